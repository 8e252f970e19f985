//! Hashes that are the same on every machine.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::error::Error;

/// The hash of nothing.
pub(crate) const START: u64 = 0xcbf2_9ce4_8422_2325;

/// Goes on with FNV-1a, 64 bits: stable across machines and compiler versions, which std's hashers are
/// not. It finds damage, not malice.
pub(crate) fn fnv(hash: u64, bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

/// A number for [`BatchSource::fingerprint`](crate::BatchSource::fingerprint), of all numbers that the batches
/// depend on, in their order.
///
/// # Example
/// ```
/// use dlm_train::fingerprint;
/// assert_ne!(fingerprint([1, 2]), fingerprint([2, 1]));
/// ```
pub fn fingerprint(numbers: impl IntoIterator<Item = u64>) -> u64 {
    fnv(START, numbers.into_iter().flat_map(u64::to_le_bytes))
}

/// Size and hash of a file, read a piece at a time.
pub(crate) fn digest(path: &Path) -> Result<(u64, u64), Error> {
    let mut file = BufReader::new(File::open(path).map_err(Error::io("open", path))?);
    let (mut piece, mut bytes, mut hash) = (vec![0; 1 << 16], 0, START);
    loop {
        let read = file.read(&mut piece).map_err(Error::io("read", path))?;
        if read == 0 {
            return Ok((bytes, hash));
        }
        bytes += read as u64;
        hash = fnv(hash, piece[..read].iter().copied());
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn fnv_of_the_published_examples() {
        assert_eq!(super::fnv(super::START, *b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(super::fnv(super::START, *b"foobar"), 0x8594_4171_f739_67e8);
    }
}
