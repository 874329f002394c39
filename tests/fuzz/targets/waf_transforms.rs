//! Fuzz: any bytes through each transformation of the WAF.
//!
//! None panics; "nothing to do" is said when, and only when, the result equals the value; what was
//! in the buffer does not show; no result is longer than it can be; what is encoded is decoded; and
//! what is done once is done.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vanne_filters::waf::transform::Transform;

const INVERSE: &[(Transform, Transform)] = &[
    (Transform::Base64Encode, Transform::Base64Decode),
    (Transform::HexEncode, Transform::HexDecode),
    (Transform::UrlEncode, Transform::UrlDecode),
];

fn result(transform: Transform, value: &[u8]) -> Vec<u8> {
    let mut out = b"what was here before".to_vec();
    if !transform.apply(value, &mut out) {
        return value.to_vec();
    }
    assert_ne!(out, value, "{transform:?}");
    let mut fresh = Vec::new();
    assert!(transform.apply(value, &mut fresh));
    assert_eq!(out, fresh, "{transform:?}");
    // `%ufffd` for a byte is the most; a digest, a length and the end of base64 are longer than
    // nothing.
    assert!(out.len() <= value.len() * 6 + 24, "{transform:?}");
    out
}

fuzz_target!(|value: &[u8]| {
    for transform in Transform::ALL {
        let once = result(*transform, value);
        if Transform::IDEMPOTENT.contains(transform) {
            assert_eq!(result(*transform, &once), once, "{transform:?}");
        }
    }
    for (encode, decode) in INVERSE {
        assert_eq!(result(*decode, &result(*encode, value)), value, "{encode:?}");
    }
});
