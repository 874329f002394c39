//! The lean engine: requests of plain HTTP to backends that speak HTTP/1.1.
//!
//! Heads are ranges of the bytes they came in, bodies pass as they are, and what a request
//! needs for its way is used again by the next one: it allocates nothing. A worker's
//! connections to backends are its own (`idle`), each a socket without a task. No decisions
//! here: what happens is reported to the request's machine, as by every engine.
//!
//! What it does not do ([`takes`]) goes Pingora's way, attempt by attempt: backends that speak
//! HTTP/2, and tunnels of HTTP/2 clients. What Pingora reads of HTTP/1 it reads through here
//! ([`Checked`]), and copies for mirrors are sent from here whoever made the request ([`Copying`]).

mod agreed;
mod answer;
mod checked;
mod copy;
mod heads;
mod idle;
mod input;
mod lane;
mod link;
mod passing;
mod reply_head;
mod stream_answer;
mod stream_lane;
mod trailers;

pub use agreed::note_http1;
pub use checked::Checked;
pub use copy::Copying;
pub use lane::{Lane, Stop};
pub use link::Offer;
pub use stream_lane::StreamLane;

use crate::data::upstream::{Attempt, Protocol};

/// Whether this engine can make `attempt`: to a backend that speaks HTTP/1.1, as far as is known.
#[must_use]
pub fn takes(attempt: &Attempt) -> bool {
    match attempt.wire.protocol {
        Protocol::Http1 => true,
        Protocol::Http2 => false,
        // Who was not asked yet is asked by the first connection.
        Protocol::Agreed => !agreed::is_http2(attempt),
    }
}

/// Keeps this worker's connections to backends, up to `most`, for as long as it is polled.
pub async fn keep_connections(most: usize) {
    idle::keep_most(most);
    idle::sweep().await;
}

/// Closes this worker's idle connections to backends.
pub fn close_connections() {
    idle::clear();
}
