//! How much memory a run takes.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// Memory in bytes; what the system or the device does not tell is absent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The most that the process has had in main memory so far. Linux tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peak: Option<u64>,
    /// What the process has in main memory. Linux tells.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resident: Option<u64>,
    /// What is reserved on the device, pages kept for reuse included. GPUs tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<u64>,
}

impl Memory {
    /// Reads the process's memory and the device's.
    ///
    /// # Example
    /// ```
    /// let memory = dlm_train::Memory::now(&burn::tensor::Device::default());
    /// assert!(memory.peak >= memory.resident);
    /// ```
    pub fn now(device: &Device) -> Self {
        // Other systems have no such file.
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self { device: device.memory_pool_usage().map(|usage| usage.bytes_reserved), ..Self::of(&status) }
    }

    /// From the text of `/proc/self/status`, which counts in units of 1024 bytes.
    fn of(status: &str) -> Self {
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kib| kib * 1024)
        };
        Self { peak: bytes("VmHWM:"), resident: bytes("VmRSS:"), device: None }
    }

    /// What matters most: the device's memory, else the process's peak.
    pub fn most(&self) -> Option<u64> {
        self.device.or(self.peak)
    }
}

/// A number of bytes for people: `731 MiB`, `12.4 GiB`.
///
/// # Example
/// ```
/// use dlm_train::memory::show_bytes;
/// assert_eq!(show_bytes(5 << 20), "5 MiB");
/// assert_eq!(show_bytes(3 << 29), "1.5 GiB");
/// ```
pub fn show_bytes(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_counts_in_kibibytes_and_others_say_nothing() {
        let status = "Name:\tx\nVmPeak:\t 9000 kB\nVmHWM:\t  2048 kB\nVmRSS:\t    12 kB\n";
        let memory = Memory { peak: Some(2 << 20), resident: Some(12 << 10), device: None };
        assert_eq!(Memory::of(status), memory);
        assert_eq!(memory.most(), Some(2 << 20));
        assert_eq!(Memory { device: Some(1), ..memory }.most(), Some(1));
        assert_eq!(Memory::of("VmHWM: many kB\n"), Memory::default());
    }
}
