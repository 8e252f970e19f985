/// The hash of nothing.
pub(crate) const START: u64 = 0xcbf2_9ce4_8422_2325;

/// Goes on with FNV-1a, 64 bits: stable across machines and compiler versions, which std's hashers are
/// not. It finds damage, not malice.
pub(crate) fn fnv(hash: u64, bytes: impl IntoIterator<Item = u8>) -> u64 {
    bytes.into_iter().fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    #[test]
    fn fnv_of_the_published_examples() {
        assert_eq!(super::fnv(super::START, *b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(super::fnv(super::START, *b"foobar"), 0x8594_4171_f739_67e8);
    }
}
