use std::fmt;

/// What became of a checkpoint's weights, by their upstream names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Loaded into the network, by the names that upstream saves today, whatever the file says.
    pub loaded: Vec<String>,
    /// Of the network but not of the checkpoint: new and untrained.
    pub missing: Vec<String>,
    /// Copies of tied weights, not read.
    pub tied: Vec<String>,
    /// Of the checkpoint but not of the network: poolers, classifiers, buffers.
    pub unused: Vec<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} weights loaded", self.loaded.len())?;
        for (what, keys) in [("new", &self.missing), ("tied", &self.tied), ("unused", &self.unused)] {
            if !keys.is_empty() {
                write!(f, "; {} {what}: {}", keys.len(), keys.join(", "))?;
            }
        }
        Ok(())
    }
}
