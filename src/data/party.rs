//! Party: who is to blame for how a request ended.

/// Who ended a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Party {
    /// The client: what it sent, did not send, or that it left.
    Client,
    /// The backend: what it did or failed to do.
    Backend,
    /// Vanne, by its config or its state.
    Vanne,
}

impl Party {
    /// The label in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Backend => "backend",
            Self::Vanne => "vanne",
        }
    }
}
