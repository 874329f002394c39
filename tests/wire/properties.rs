//! What holds of the codec for any bytes: tried on the corpus, on what is made of it, and by the
//! fuzz target `wire`. Each function panics if it does not hold.

use crate::reading;
use httparse::{EMPTY_HEADER, Status};
use vanne::wire::chunked::ChunkScan;
use vanne::wire::fields::Fields;
use vanne::wire::head_scan::{HeadScan, Scan};
use vanne::wire::request::RequestIndex;
use vanne::wire::response::{ResponseIndex, may_begin};

/// More fields than a head of these tests has.
const FIELDS_MAX: usize = 4096;

/// Where a head ends does not depend on how its bytes come.
pub fn a_head_ends_where_it_ends(bytes: &[u8]) {
    let whole = HeadScan::default().scan(bytes);
    for step in [1, 2, 3, 7] {
        let mut scan = HeadScan::default();
        let mut found = Scan::Partial;
        let ends = (step..bytes.len()).step_by(step).chain([bytes.len()]);
        for end in ends {
            found = scan.scan(&bytes[..end]);
            if found != Scan::Partial {
                break;
            }
        }
        assert_eq!(found, whole, "in steps of {step}");
    }
}

/// What we take for the head of a request hyper's reader takes for the same.
pub fn a_request_is_read_as_others_read_it(bytes: &[u8]) {
    let Scan::Complete(length) = HeadScan::default().scan(bytes) else { return };
    let head = &bytes[..length];
    let mut index = RequestIndex::default();
    if index.read(head).is_err() {
        return;
    }
    let mut fields = vec![EMPTY_HEADER; FIELDS_MAX];
    let mut other = httparse::Request::new(&mut fields);
    assert_eq!(other.parse(head), Ok(Status::Complete(length)));
    assert_eq!(other.method, Some(index.method(head)));
    assert_eq!(other.path.map(str::as_bytes), Some(index.target(head)));
    assert_eq!(other.version, Some(u8::from(index.is_http_11())));
    same_fields(index.fields(head), other.headers);
}

/// What we take for the head of an answer hyper's reader takes for the same.
pub fn an_answer_is_read_as_others_read_it(bytes: &[u8]) {
    let Scan::Complete(length) = HeadScan::default().scan(bytes) else { return };
    let head = &bytes[..length];
    let mut index = ResponseIndex::default();
    if index.read(head, false).is_err() {
        return;
    }
    let mut fields = vec![EMPTY_HEADER; FIELDS_MAX];
    let mut other = httparse::Response::new(&mut fields);
    assert_eq!(other.parse(head), Ok(Status::Complete(length)));
    assert_eq!(other.code, Some(index.status));
    same_fields(index.fields(head), other.headers);
}

fn same_fields(ours: Fields<'_>, others: &[httparse::Header<'_>]) {
    let ours: Vec<_> = ours.iter().collect();
    // httparse leaves the blanks at the end of a value.
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let trim = |value: &'_ [u8]| {
        let end = value.iter().rposition(|byte| !blank(byte)).map_or(0, |at| at + 1);
        value[..end].to_vec()
    };
    assert_eq!(ours.len(), others.len());
    for ((name, value), other) in ours.iter().zip(others) {
        assert_eq!(*name, other.name.as_bytes());
        assert_eq!(*value, trim(other.value));
    }
}

/// A chunked body ends where it ends, and has in it what it has, however its bytes come.
pub fn chunks_are_read_in_one_way(bytes: &[u8]) {
    let mut scan = ChunkScan::default();
    let whole = scan.scan(bytes).map(|taken| (taken, scan.is_done()));
    for step in [1, 2, 5, 64] {
        let (mut scan, mut taken, mut is_bad) = (ChunkScan::default(), 0, false);
        for part in bytes.chunks(step) {
            match scan.scan(part) {
                Ok(count) => taken += count,
                Err(_) => is_bad = true,
            }
            if is_bad || scan.is_done() {
                break;
            }
        }
        match whole {
            Ok(whole) => assert_eq!((taken, scan.is_done(), is_bad), (whole.0, whole.1, false)),
            Err(_) => assert!(is_bad, "in steps of {step}"),
        }
    }
}

/// Messages say the same however their bytes come: heads, bodies and trailers, of requests and of
/// answers, one after the other.
pub fn messages_do_not_depend_on_pieces(bytes: &[u8]) {
    let whole = bytes.len().max(1);
    let answers = |is_to_head, step| reading::answers(bytes, is_to_head, step);
    for step in [1, 2, 5, 64] {
        assert_eq!(reading::requests(bytes, step), reading::requests(bytes, whole), "in {step}s");
        for is_to_head in [false, true] {
            assert_eq!(answers(is_to_head, step), answers(is_to_head, whole), "in {step}s");
        }
    }
}

/// No beginning of what is an answer is taken for something else.
pub fn no_beginning_of_an_answer_is_refused(bytes: &[u8]) {
    let Scan::Complete(length) = HeadScan::default().scan(bytes) else { return };
    let (head, body) = bytes.split_at(length);
    let mut index = ResponseIndex::default();
    if index.read(head, false).is_err() {
        return;
    }
    assert!((0..head.len()).all(|end| may_begin(&head[..end])));
    if index.is_body_sound(body) {
        assert!((0..body.len()).all(|end| index.is_body_sound(&body[..end])));
    }
}
