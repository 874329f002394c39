//! Keys of issuers that are somewhere on the network: fetched beside the traffic, kept while their
//! issuer is away.

mod fetch;
mod follow;

pub use follow::{Followed, Issuer};
