//! Vanne: an L7 reverse proxy and load balancer on Pingora.
//!
//! The modules in the order of their layers; each uses only those before it:
//! [`types`] → [`config`], [`observe`], [`wire`] → [`data`] → [`control`] → [`cli`]. The filters are a
//! crate of their own, `vanne_filters`, which uses none of them.
//!
//! Start with [`data`]: it is the path of a request.

pub mod types;

pub mod config;
pub mod observe;
pub mod wire;

pub mod data;

pub mod control;

pub mod cli;

pub mod manual;
