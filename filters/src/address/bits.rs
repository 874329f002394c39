//! Bits: an address as it is looked up, made once for several sets.

use std::net::IpAddr;

/// The bits of an address. One of IPv4 that is written as IPv6 (RFC 4291 section 2.5.5.2) is what
/// it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bits {
    /// Of IPv4.
    V4(u32),
    /// Of IPv6.
    V6(u128),
}

impl From<IpAddr> for Bits {
    fn from(address: IpAddr) -> Self {
        /// What is before the last 32 bits of those that are of IPv4.
        const MAPPED: u128 = 0xffff;
        match address {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => match address.to_bits() {
                #[expect(clippy::cast_possible_truncation, reason = "the last 32 bits")]
                bits if bits >> 32 == MAPPED => Self::V4(bits as u32),
                bits => Self::V6(bits),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_of_the_address_in_its_plain_form() {
        for text in
            ["192.0.2.1", "::ffff:192.0.2.1", "::fffe:192.0.2.1", "::192.0.2.1", "::", "1::"]
        {
            let address: IpAddr = text.parse().unwrap();
            let want = match address.to_canonical() {
                IpAddr::V4(plain) => Bits::V4(plain.to_bits()),
                IpAddr::V6(plain) => Bits::V6(plain.to_bits()),
            };
            assert_eq!(Bits::from(address), want, "{text}");
        }
    }
}
