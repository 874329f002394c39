//! Engines: they move bytes and turn what happens into events. No decisions here.
//!
//! A worker is a thread with a runtime of its own ([`worker`]). It serves connections
//! ([`serve`]): reads a head, hands the request to an engine, writes answers of our
//! own, closes. The engine there is so far is Pingora's ([`pingora`]), which speaks to
//! backends and frames messages.

mod accepting;
pub mod drive;
mod open;
pub mod own_answer;
pub mod pingora;
mod record;
pub mod serve;
mod serve_http2;
pub mod worker;
