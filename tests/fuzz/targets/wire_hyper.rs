//! Fuzz: the codec of HTTP/1.1 beside hyper, which reads the same bytes as a server and as a client.
//!
//! What we accept hyper takes for the same messages, with the same bodies.
#![no_main]

#[path = "../../wire/beside_hyper.rs"]
mod beside_hyper;
#[path = "../../wire/reading.rs"]
mod reading;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    beside_hyper::requests_are_read_alike(bytes);
    beside_hyper::an_answer_is_read_alike(bytes);
});
