//! The web application firewall: rules in SecLang, as the OWASP Core Rule Set is written.
//!
//! Everything here works on bytes: a request is bytes, and a rule that looks for broken UTF-8
//! must see it. Nothing here opens a file or a socket, or reads a clock.

pub mod body;
pub mod injection;
pub mod operator;
pub mod program;
pub mod regression;
pub mod seclang;
pub mod transaction;
pub mod transform;
