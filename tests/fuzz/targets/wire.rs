//! Fuzz: the codec of HTTP/1.1 on any bytes: heads of requests and answers, and chunks.
//!
//! However bytes are split they say the same, and what we accept hyper's reader reads alike.
#![no_main]

#[path = "../../wire/properties.rs"]
mod properties;
#[path = "../../wire/reading.rs"]
mod reading;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    properties::a_head_ends_where_it_ends(bytes);
    properties::a_request_is_read_as_others_read_it(bytes);
    properties::an_answer_is_read_as_others_read_it(bytes);
    properties::chunks_are_read_in_one_way(bytes);
    properties::messages_do_not_depend_on_pieces(bytes);
    properties::no_beginning_of_an_answer_is_refused(bytes);
});
