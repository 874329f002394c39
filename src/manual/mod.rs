//! The manual: prose about Vanne, beside the code that it is about.
//!
//! Read [`life_of_a_request`] first. [`decisions`] says why things are as they are, and
//! what was measured; [`admin`], [`blocklist`], [`circuits`], [`cors`], [`identity`],
//! [`kubernetes`], [`rate_limits`], [`security_headers`], [`waf`] and [`waf_rules`] are for
//! operators.

#[doc = include_str!("admin.md")]
pub mod admin {}

#[doc = include_str!("access_log.md")]
pub mod access_log {}

#[doc = include_str!("blocklist.md")]
pub mod blocklist {}

#[doc = include_str!("circuits.md")]
pub mod circuits {}

#[doc = include_str!("cors.md")]
pub mod cors {}

#[doc = include_str!("decisions.md")]
pub mod decisions {}

#[doc = include_str!("fallback.md")]
pub mod fallback {}

#[doc = include_str!("identity.md")]
pub mod identity {}

#[doc = include_str!("kubernetes.md")]
pub mod kubernetes {}

#[doc = include_str!("life_of_a_request.md")]
pub mod life_of_a_request {}

#[doc = include_str!("rate_limits.md")]
pub mod rate_limits {}

#[doc = include_str!("reload.md")]
pub mod reload {}

#[doc = include_str!("security_headers.md")]
pub mod security_headers {}
#[doc = include_str!("waf.md")]
pub mod waf {}

#[doc = include_str!("waf_rules.md")]
pub mod waf_rules {}
