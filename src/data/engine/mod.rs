//! Engines: they move bytes and turn what happens into events. No decisions here.
//!
//! A worker is a thread with a runtime of its own ([`worker`]). It serves connections
//! ([`serve`]): reads a head, hands the request to an engine, writes answers of our
//! own, closes. Plain HTTP to HTTP/1.1 backends is the lean engine's ([`lean`]); all else is
//! Pingora's ([`pingora`]).

mod accepting;
pub mod drive;
pub mod lean;
mod open;
pub mod own_answer;
pub mod pingora;
mod record;
pub mod serve;
mod serve_http2;
mod stream_end;
mod tasks;
mod waiting;
pub mod worker;
