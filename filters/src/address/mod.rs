//! Sets of networks: which of them an address is in, the longest first.
//!
//! `ranges` finds, among sorted ranges of one family, that of an address; `prefixes` is a set of
//! networks of both families that never changes; `layered` is one that grows while it is read,
//! without copying what it has.

mod layered;
mod prefixes;
mod ranges;

pub use layered::Layered;
pub use prefixes::Prefixes;
