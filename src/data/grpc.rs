//! gRPC, as far as a proxy has to know it: which requests are, until when, and how they ended.
//!
//! A gRPC answer is 200 whatever became of the call: its status is in the trailers, or in the
//! head if there is nothing else. So outcomes, metrics and our own answers translate between
//! HTTP's status and gRPC's here (gRPC over HTTP/2, PROTOCOL-HTTP2.md; http-grpc-status-mapping.md).

use super::identity::Denied;
use super::refusal::Refusal;
use std::time::Duration;
use vanne_filters::{FieldList, RequestHead, Version};

/// Whether the request is a gRPC call. `application/grpc-web` is something else, and so is what
/// says of itself that it is of another type too.
#[must_use]
pub fn is_call(head: &RequestHead<'_>) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    head.version == Version::Http2
        && head.fields.first("content-type").is_some_and(|kind| {
            kind.strip_prefix(TYPE)
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
        })
        && head.fields.count("content-type") == 1
}

/// The time the client gives, if it says any: at most 8 digits and a unit.
#[must_use]
pub fn timeout(fields: &dyn FieldList) -> Option<Duration> {
    let text = std::str::from_utf8(fields.first("grpc-timeout")?).ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let is_number = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let count: u64 = if is_number { digits.parse().ok()? } else { return None };
    match unit {
        "H" => Some(Duration::from_secs(count * 3600)),
        "M" => Some(Duration::from_secs(count * 60)),
        "S" => Some(Duration::from_secs(count)),
        "m" => Some(Duration::from_millis(count)),
        "u" => Some(Duration::from_micros(count)),
        "n" => Some(Duration::from_nanos(count)),
        _ => None,
    }
}

/// The status of a call, if these fields say it.
#[must_use]
pub fn status(fields: &dyn FieldList) -> Option<u32> {
    std::str::from_utf8(fields.first("grpc-status")?).ok()?.parse().ok()
}

/// The status of a call that HTTP's `status` answers.
#[must_use]
pub fn of_http(status: u16) -> u32 {
    match status {
        400 | 431 => 13,
        401 => 16,
        403 => 7,
        404 | 405 => 12,
        413 => 8,
        429 | 502..=504 => 14,
        _ => 2,
    }
}

/// The status of a call that we refuse.
#[must_use]
pub fn of_refusal(refusal: Refusal) -> u32 {
    /// The client's own deadline has passed.
    const DEADLINE_EXCEEDED: u32 = 4;
    /// Who sends it has to say who they are, elsewhere.
    const UNAUTHENTICATED: u32 = 16;
    match refusal {
        Refusal::CallDeadline => DEADLINE_EXCEEDED,
        Refusal::Identity(Denied::ForwardRedirected) => UNAUTHENTICATED,
        _ => of_http(refusal.row().status),
    }
}

/// What the status of a call would be in HTTP.
#[must_use]
pub fn to_http(status: u32) -> u16 {
    match status {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use vanne_filters::FieldSlice;

    #[test]
    fn only_grpc_itself_is_a_call() {
        for (kind, is) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc;charset=x", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let fields = [("content-type", kind)];
            let fields = FieldSlice(&fields);
            assert_eq!(is_call(&RequestHead::new("POST", b"/", Version::Http2, &fields)), is);
            assert!(!is_call(&RequestHead::new("POST", b"/", Version::Http11, &fields)));
        }
        let two = [("content-type", "application/grpc"), ("content-type", "text/xml")];
        let two = FieldSlice(&two);
        assert!(!is_call(&RequestHead::new("POST", b"/", Version::Http2, &two)));
    }

    #[test]
    fn a_timeout_is_digits_and_a_unit() {
        let of = |text| timeout(&FieldSlice(&[("grpc-timeout", text)]));
        assert_eq!(of("5S"), Some(Duration::from_secs(5)));
        assert_eq!(of("99999999H"), Some(Duration::from_secs(99_999_999 * 3600)));
        assert_eq!(of("10m"), Some(Duration::from_millis(10)));
        assert_eq!(of("1u"), Some(Duration::from_micros(1)));
        assert_eq!(of("1n"), Some(Duration::from_nanos(1)));
        for wrong in ["", "S", "5", "5s", "-5S", "123456789S", "5 S", "5é"] {
            assert_eq!(of(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn failures_stay_failures_and_our_own_refusals_say_unavailable() {
        for status in [2, 4, 13, 14, 15] {
            assert!(to_http(status) >= 500, "{status}");
        }
        for status in [0, 1, 3, 5, 7, 16] {
            assert!(to_http(status) < 500, "{status}");
        }
        assert_eq!([502, 503, 504].map(of_http), [14; 3]);
    }
}
