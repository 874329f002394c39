//! Outcome of an attempt: decided once, here, for everyone who asks.
//!
//! Logs, metrics and (later) breaker, passive health and canary judge read this one
//! classification. What the client caused is never held against the backend.

use super::refusal::{Party, Refusal};

/// How an attempt at a backend ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The backend gave a whole answer below 500.
    Success,
    /// The backend failed, in this way.
    Failure(Category),
    /// The client or our own rules ended it: says nothing of the backend.
    ClientError,
}

/// In what way a backend failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// No connection: refused, unreachable, or without trust.
    Connect,
    /// Too slow: connect, first byte, or between bytes.
    Timeout,
    /// Closed before its answer began.
    Reset,
    /// Its answer ended before it was whole.
    Truncated,
    /// Not HTTP.
    Malformed,
    /// Status 502, 503 or 504: it is overloaded, or whom it asks is gone.
    Gateway,
    /// Another status of 500 or above.
    Status,
}

impl Outcome {
    /// Outcome of a whole answer with `status`.
    #[must_use]
    pub fn of_status(status: u16) -> Self {
        match status {
            502..=504 => Self::Failure(Category::Gateway),
            500.. => Self::Failure(Category::Status),
            _ => Self::Success,
        }
    }

    /// Outcome of an attempt that ended with `refusal`.
    #[must_use]
    pub fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::ConnectFailed | Refusal::ConnectRefused | Refusal::TlsFailed => {
                Self::Failure(Category::Connect)
            }
            Refusal::ConnectTimeout | Refusal::FirstByteTimeout | Refusal::BackendStalled => {
                Self::Failure(Category::Timeout)
            }
            Refusal::BackendClosed => Self::Failure(Category::Reset),
            Refusal::BackendCut => Self::Failure(Category::Truncated),
            Refusal::BackendMalformed => Self::Failure(Category::Malformed),
            other => {
                debug_assert!(other.row().by != Party::Backend, "{other:?} has no category");
                Self::ClientError
            }
        }
    }

    /// The label in log and metric.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure(Category::Connect) => "failure_connect",
            Self::Failure(Category::Timeout) => "failure_timeout",
            Self::Failure(Category::Reset) => "failure_reset",
            Self::Failure(Category::Truncated) => "failure_truncated",
            Self::Failure(Category::Malformed) => "failure_malformed",
            Self::Failure(Category::Gateway) => "failure_gateway",
            Self::Failure(Category::Status) => "failure_status",
            Self::ClientError => "client_error",
        }
    }

    /// Where it is in [`Outcome::ALL`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Success => 0,
            Self::Failure(category) => 1 + category as usize,
            Self::ClientError => Self::ALL.len() - 1,
        }
    }

    /// All outcomes, for resolving handles ahead.
    pub const ALL: [Self; 9] = [
        Self::Success,
        Self::Failure(Category::Connect),
        Self::Failure(Category::Timeout),
        Self::Failure(Category::Reset),
        Self::Failure(Category::Truncated),
        Self::Failure(Category::Malformed),
        Self::Failure(Category::Gateway),
        Self::Failure(Category::Status),
        Self::ClientError,
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_leaves_says_nothing_of_the_backend() {
        for refusal in [Refusal::ClientGone, Refusal::ClientStalled, Refusal::TotalTimeout] {
            assert_eq!(Outcome::of_refusal(refusal), Outcome::ClientError);
        }
    }

    #[test]
    fn each_knows_its_place() {
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.index(), place, "{outcome:?}");
        }
    }

    #[test]
    fn a_500_is_a_failure_and_a_404_is_not() {
        assert_eq!(Outcome::of_status(500), Outcome::Failure(Category::Status));
        assert_eq!(Outcome::of_status(503), Outcome::Failure(Category::Gateway));
        assert_eq!(Outcome::of_status(404), Outcome::Success);
    }
}
