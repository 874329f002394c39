//! Operators: what a rule asks of a value.
//!
//! Each is a pure question about bytes. Those that take time to prepare ([`Phrases`],
//! [`ByteRange`], [`Addresses`]) are built once at load and shared; the others are functions of
//! the value and the rule's parameter, which may have come from a macro.

mod addresses;
mod byte_range;
mod encoding;
mod identity;
mod number;
mod phrases;
mod text;

pub use addresses::Addresses;
pub use byte_range::ByteRange;
pub use encoding::{validate_url_encoding, validate_utf8_encoding};
pub use identity::{verify_cpf, verify_credit_card, verify_ssn};
pub use number::number;
pub use phrases::Phrases;
pub use text::{begins_with, contains, contains_word, ends_with, streq, strmatch, within};
