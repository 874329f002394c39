//! Fuzz: any bytes as a value that may be SQL or markup.
//!
//! None panics, the answer is always the same, and a fingerprint has one to five known kinds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vanne_filters::waf::injection;

const KINDS: &[u8] = b"kUBEtfn1vso&cA(){}.,:;T?X\\";

fuzz_target!(|value: &[u8]| {
    let (mut one, mut other) = ([0; 8], [b'?'; 8]);
    let found = injection::sqli(value, &mut one);
    assert_eq!(found, injection::sqli(value, &mut other));
    if let Some(length) = found {
        assert!((1..=5).contains(&length));
        assert_eq!(one[..length], other[..length]);
        assert!(one[..length].iter().all(|kind| KINDS.contains(kind)), "{one:?}");
    }
    assert_eq!(injection::xss(value), injection::xss(value));
    if !value.iter().any(|byte| b"<=".contains(byte)) {
        assert!(!injection::xss(value));
    }
});
