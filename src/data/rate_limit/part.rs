//! Whose bucket a request takes from: what tells clients apart.

use crate::data::identity::Proof;
use crate::data::pool::hash_key::cookie;
use crate::types::ids::RouteId;
use std::hash::Hasher;
use std::net::IpAddr;
use vanne_filters::RequestHead;

/// One thing that tells clients apart. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// The client's address; of IPv6 so many leading bits.
    Address(u8),
    /// The route.
    Route,
    /// Who sends it; as long as that is not known the address, of IPv6 so many leading bits.
    User(u8),
    /// The value of a cookie; without it the address, of IPv6 so many leading bits.
    Cookie(Box<str>, u8),
    /// The value of a header field; without it the address, of IPv6 so many leading bits.
    Header(Box<str>, u8),
}

/// Who asks.
#[derive(Clone, Copy)]
pub struct Asker<'a> {
    /// What it asks for.
    pub head: &'a RequestHead<'a>,
    /// Its address.
    pub address: IpAddr,
    /// Its route.
    pub route: &'a RouteId,
    /// Who sends it, if that is known.
    pub proof: Option<&'a Proof>,
}

impl Part {
    /// Writes what of `asker` it stands for.
    pub(super) fn write<H: Hasher>(&self, asker: Asker<'_>, hasher: &mut H) {
        let Asker { head, address, route, proof } = asker;
        // Each piece begins with its kind and length: no two lists of pieces are the same bytes.
        let put = |hasher: &mut H, kind: u8, piece: &[u8]| {
            hasher.write_u64(u64::from(kind) << 56 | piece.len() as u64);
            hasher.write(piece);
        };
        match self {
            Self::Address(prefix) => write_address(address, *prefix, hasher),
            Self::Route => put(hasher, 2, route.as_str().as_bytes()),
            Self::User(prefix) => {
                match proof.and_then(|proof| Some((&proof.by, proof.user.as_deref()?))) {
                    // Two ways to know may have the same name for different people.
                    Some((by, user)) => {
                        put(hasher, 5, by.as_str().as_bytes());
                        put(hasher, 6, user.as_bytes());
                    }
                    None => write_address(address, *prefix, hasher),
                }
            }
            Self::Header(name, prefix) => match head.fields.first(name) {
                Some(value) => put(hasher, 3, value),
                None => write_address(address, *prefix, hasher),
            },
            Self::Cookie(name, prefix) => {
                let mut is_there = false;
                cookie(head, name, |value| {
                    is_there = true;
                    put(hasher, 4, value);
                });
                if !is_there {
                    write_address(address, *prefix, hasher);
                }
            }
        }
    }
}

/// Writes as many leading bits of `address` as count, after its kind, which says how long it is.
#[inline]
pub fn write_address(address: IpAddr, prefix: u8, hasher: &mut impl Hasher) {
    match address.to_canonical() {
        IpAddr::V4(address) => hasher.write_u64(address.to_bits().into()),
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or_default();
            let bits = address.to_bits() & mask;
            hasher.write_u64(1 << 56);
            hasher.write_u64((bits >> 64) as u64);
            hasher.write_u64(bits as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that is written, in order.
    #[derive(Default)]
    struct Written(Vec<u8>);

    impl Hasher for Written {
        fn finish(&self) -> u64 {
            0
        }

        fn write(&mut self, bytes: &[u8]) {
            self.0.extend_from_slice(bytes);
        }
    }

    fn written(address: &str, prefix: u8) -> Vec<u8> {
        let mut written = Written::default();
        write_address(address.parse().unwrap(), prefix, &mut written);
        written.0
    }

    #[test]
    fn an_address_is_one_however_it_is_written_and_of_ipv6_a_network() {
        assert_eq!(written("192.0.2.1", 64), written("::ffff:192.0.2.1", 48));
        assert_ne!(written("192.0.2.1", 64), written("192.0.2.2", 64));
        assert_eq!(written("2001:db8:0:1::1", 64), written("2001:db8:0:1:ffff::", 64));
        assert_ne!(written("2001:db8:0:1::1", 64), written("2001:db8:0:2::1", 64));
        assert_eq!(written("2001:db8::1", 0), written("fd00::", 0));
        assert_ne!(written("2001:db8::1", 128), written("2001:db8::2", 128));
        assert_ne!(written("0.0.0.0", 0), written("::", 0));
    }
}
