//! A hash that is the same in every process, on every machine and in every version.
//!
//! For choices that replicas must make alike: which backend a client belongs to, which side
//! of a split. It protects from nothing: who may choose the bytes may choose the hash.

/// The hash of `bytes`: FNV-1a, its bits mixed by the finalizer of `SplitMix64`, since FNV
/// alone leaves short keys close together.
#[must_use]
pub fn stable(bytes: &[u8]) -> u64 {
    let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    mix(bytes.iter().fold(0xcbf2_9ce4_8422_2325, fnv))
}

/// Spreads a number over all 64 bits.
#[must_use]
pub const fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes() {
        // Other replicas may run another version.
        assert_eq!(stable(b""), 0xc381_7c01_6ba4_ff30);
        assert_eq!(stable(b"a"), 0x5f29_c2aa_dd9b_8527);
        assert_eq!(stable(b"10.0.0.1:8080"), 0x617f_b5c9_4294_a1fd);
    }
}
