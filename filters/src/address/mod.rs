//! Sets of networks: which of them an address is in, the longest first.
//!
//! `prefixes` is a set of networks of both families that never changes, asked by an address's `bits`.
//! Who is in none of them ends mostly at a `sieve`; for the others a `cover` tells whether they are
//! in any, by a `leaf` with all networks that begin alike, or by a `tree` where those are many; and
//! a `family` tells which they are in. `layered` is a set that grows while it is read, without
//! copying what it has.

mod bits;
mod cover;
mod family;
mod layered;
mod leaf;
mod number;
mod prefixes;
mod sieve;
mod tree;

pub use bits::Bits;
pub use layered::Layered;
pub use prefixes::Prefixes;
