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
    pub(super) fn write(&self, asker: Asker<'_>, hasher: &mut dyn Hasher) {
        let Asker { head, address, route, proof } = asker;
        // Each piece begins with its kind and length: no two lists of pieces are the same bytes.
        let mut put = |kind: u8, piece: &[u8]| {
            hasher.write_u64(u64::from(kind) << 56 | piece.len() as u64);
            hasher.write(piece);
        };
        match self {
            Self::Address(prefix) => put_address(address, *prefix, put),
            Self::Route => put(2, route.as_str().as_bytes()),
            Self::User(prefix) => {
                match proof.and_then(|proof| Some((&proof.by, proof.user.as_deref()?))) {
                    // Two ways to know may have the same name for different people.
                    Some((by, user)) => {
                        put(5, by.as_str().as_bytes());
                        put(6, user.as_bytes());
                    }
                    None => put_address(address, *prefix, put),
                }
            }
            Self::Header(name, prefix) => match head.fields.first(name) {
                Some(value) => put(3, value),
                None => put_address(address, *prefix, put),
            },
            Self::Cookie(name, prefix) => {
                let mut is_there = false;
                cookie(head, name, |value| {
                    is_there = true;
                    put(4, value);
                });
                if !is_there {
                    put_address(address, *prefix, put);
                }
            }
        }
    }
}

/// Hands over the kind of `address` and as many of its leading bits as count.
pub fn put_address(address: IpAddr, prefix: u8, mut put: impl FnMut(u8, &[u8])) {
    match address.to_canonical() {
        IpAddr::V4(address) => put(0, &address.octets()),
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or_default();
            put(1, &(address.to_bits() & mask).to_be_bytes());
        }
    }
}
