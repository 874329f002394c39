//! Outcome of an attempt: decided once, here, for everyone who asks.
//!
//! Logs, metrics, circuits and what is known of a backend read this one classification. What
//! the client, a limit or we ourselves caused is never held against the backend. Which
//! failures count in a circuit is its pool's to say (`breaker::Rules`).

use super::grpc;
use super::refusal::{Party, Refusal};

/// How an attempt at a backend ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The backend gave a whole answer below 500, in time.
    Success,
    /// The same, but it took longer than `slow_call.longer_than`.
    Slow,
    /// The backend failed, in this way.
    Failure(Category),
    /// The client or our own rules ended it: says nothing of the backend.
    ClientError,
    /// The backend did not process the request, as it says or as far as one can tell: its
    /// connection was over. Says nothing of it.
    Unseen,
}

/// In what way a backend failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Category {
    /// No connection: refused, or unreachable.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// The TLS handshake failed.
    Handshake,
    /// No answer's head in time.
    FirstByteTimeout,
    /// Nothing more of a body in time, or nothing more of a request taken.
    Stalled,
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
    /// A gRPC status that says that the call failed there.
    GrpcStatus,
}

impl Category {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Connect,
        Self::ConnectTimeout,
        Self::Handshake,
        Self::FirstByteTimeout,
        Self::Stalled,
        Self::Reset,
        Self::Truncated,
        Self::Malformed,
        Self::Gateway,
        Self::Status,
        Self::GrpcStatus,
    ];

    /// Whether nobody was there who takes connections.
    #[must_use]
    pub const fn is_connect(self) -> bool {
        matches!(self, Self::Connect | Self::ConnectTimeout)
    }
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

    /// Outcome of a gRPC call that ended with `status`, in an answer of HTTP's `status`.
    #[must_use]
    pub fn of_call(status: u32) -> Self {
        match grpc::to_http(status) {
            500.. => Self::Failure(Category::GrpcStatus),
            _ => Self::Success,
        }
    }

    /// Outcome of an attempt that ended with `refusal`.
    #[must_use]
    pub fn of_refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::ConnectFailed | Refusal::ConnectRefused => Self::Failure(Category::Connect),
            Refusal::ConnectTimeout => Self::Failure(Category::ConnectTimeout),
            Refusal::TlsFailed => Self::Failure(Category::Handshake),
            Refusal::FirstByteTimeout => Self::Failure(Category::FirstByteTimeout),
            Refusal::BackendStalled => Self::Failure(Category::Stalled),
            Refusal::BackendClosed => Self::Failure(Category::Reset),
            Refusal::BackendCut => Self::Failure(Category::Truncated),
            Refusal::BackendMalformed => Self::Failure(Category::Malformed),
            Refusal::BackendRefused => Self::Unseen,
            other => {
                debug_assert!(other.row().by != Party::Backend, "{other:?} has no category");
                Self::ClientError
            }
        }
    }

    /// The labels of all, in the order of [`Outcome::ALL`].
    pub const LABELS: [&str; Self::ALL.len()] = {
        let mut labels = [""; Self::ALL.len()];
        let mut at = 0;
        while at < labels.len() {
            #[expect(clippy::indexing_slicing, reason = "checked when it is compiled")]
            {
                labels[at] = Self::ALL[at].as_str();
            }
            at += 1;
        }
        labels
    };

    /// The label in log and metric.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Slow => "slow",
            Self::Failure(Category::Connect) => "failure_connect",
            Self::Failure(Category::ConnectTimeout) => "failure_connect_timeout",
            Self::Failure(Category::Handshake) => "failure_handshake",
            Self::Failure(Category::FirstByteTimeout) => "failure_first_byte_timeout",
            Self::Failure(Category::Stalled) => "failure_stalled",
            Self::Failure(Category::Reset) => "failure_reset",
            Self::Failure(Category::Truncated) => "failure_truncated",
            Self::Failure(Category::Malformed) => "failure_malformed",
            Self::Failure(Category::Gateway) => "failure_gateway",
            Self::Failure(Category::Status) => "failure_status",
            Self::Failure(Category::GrpcStatus) => "failure_grpc_status",
            Self::ClientError => "client_error",
            Self::Unseen => "unseen",
        }
    }

    /// Where it is in [`Outcome::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::Success => 0,
            Self::Slow => 1,
            Self::Failure(category) => 2 + category as usize,
            Self::ClientError => Self::ALL.len() - 2,
            Self::Unseen => Self::ALL.len() - 1,
        }
    }

    /// All outcomes, for resolving handles ahead.
    pub const ALL: [Self; 15] = [
        Self::Success,
        Self::Slow,
        Self::Failure(Category::Connect),
        Self::Failure(Category::ConnectTimeout),
        Self::Failure(Category::Handshake),
        Self::Failure(Category::FirstByteTimeout),
        Self::Failure(Category::Stalled),
        Self::Failure(Category::Reset),
        Self::Failure(Category::Truncated),
        Self::Failure(Category::Malformed),
        Self::Failure(Category::Gateway),
        Self::Failure(Category::Status),
        Self::Failure(Category::GrpcStatus),
        Self::ClientError,
        Self::Unseen,
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
    fn what_a_backend_did_has_a_category_and_nothing_else_has() {
        for refusal in Refusal::all().filter(|refusal| *refusal != Refusal::BackendRefused) {
            let is_failure = matches!(Outcome::of_refusal(refusal), Outcome::Failure(_));
            assert_eq!(is_failure, refusal.row().by == Party::Backend, "{refusal:?}");
        }
        assert_eq!(Outcome::of_refusal(Refusal::BackendRefused), Outcome::Unseen);
    }

    #[test]
    fn each_knows_its_place_and_has_a_name_of_its_own() {
        let mut names = std::collections::BTreeSet::new();
        for (place, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome.index(), place, "{outcome:?}");
            assert!(names.insert(outcome.as_str()));
        }
    }

    #[test]
    fn a_500_is_a_failure_and_a_404_is_not() {
        assert_eq!(Outcome::of_status(500), Outcome::Failure(Category::Status));
        assert_eq!(Outcome::of_status(503), Outcome::Failure(Category::Gateway));
        assert_eq!(Outcome::of_status(404), Outcome::Success);
        assert_eq!(Outcome::of_call(14), Outcome::Failure(Category::GrpcStatus));
        assert_eq!(Outcome::of_call(5), Outcome::Success, "not found is an answer");
    }
}
