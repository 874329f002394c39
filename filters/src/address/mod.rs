//! Sets of networks: which of them an address is in, the longest first.
//!
//! `prefixes` is a set of networks of both families that never changes. Its `cover` tells whether
//! an address is in any, with a `sieve` in front for those who are in none; its `family` tells which
//! they are. `layered` is a set that grows while it is read, without copying what it has.

mod cover;
mod family;
mod layered;
mod leaf;
mod number;
mod prefixes;
mod sieve;
mod tree;

pub use layered::Layered;
pub use prefixes::Prefixes;
