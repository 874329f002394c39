//! Detection of SQL injection and cross-site scripting, as libinjection does it.

/// The fingerprint of `value` when libinjection calls it SQL injection: its length, 1..=8.
///
/// `fingerprint` is written only then; what is after its length is unspecified.
pub fn sqli(_value: &[u8], _fingerprint: &mut [u8; 8]) -> Option<usize> {
    None
}

/// Whether libinjection calls `value` cross-site scripting, in any of its five contexts.
#[must_use]
pub fn xss(_value: &[u8]) -> bool {
    false
}
