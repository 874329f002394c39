//! Question: what must be found out before it is known who sends a request, and the answer.
//!
//! An effect of the machine's: the engine has it answered, beside the worker where it is much
//! work, and the machine reads the answer when it is resumed.

use super::denied::Denied;
use super::forward::Case;
use super::live_keys::LiveKeys;
use super::password::Login;
use super::proof::Proof;
use crate::data::target::FixedAnswer;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Something to find out.
pub struct Question {
    what: What,
    answer: OnceLock<Result<Arc<Proof>, Denied>>,
    /// What the client is told, if who answers says that too.
    words: OnceLock<FixedAnswer>,
}

/// What it is about.
enum What {
    /// Whether a service lets a request pass.
    Case(Box<Case>),
    /// Whether an issuer has newer keys. Whoever asked looks at them.
    Keys(Arc<LiveKeys>),
    /// Whether a password is good.
    Login(Arc<Login>),
}

impl Question {
    /// Whether there are newer keys than `keys` has.
    #[must_use]
    pub fn keys(keys: &Arc<LiveKeys>) -> Self {
        Self::about_what(What::Keys(Arc::clone(keys)))
    }

    /// Whether `login` is good.
    #[must_use]
    pub fn login(login: Login) -> Self {
        Self::about_what(What::Login(Arc::new(login)))
    }

    /// Whether a service lets the request of `case` pass.
    #[must_use]
    pub fn case(case: Case) -> Self {
        Self::about_what(What::Case(Box::new(case)))
    }

    fn about_what(what: What) -> Self {
        Self { what, answer: OnceLock::new(), words: OnceLock::new() }
    }

    /// Finds it out.
    pub async fn find_out(&self) {
        let answer = match &self.what {
            What::Case(case) => case.find_out().await.map_err(|(denied, words)| {
                // Nobody else answers.
                words.into_iter().for_each(|words| drop(self.words.set(words)));
                denied
            }),
            What::Keys(keys) => return keys.ask().await,
            What::Login(login) => Arc::clone(login).verify().await,
        };
        // Nobody else answers.
        drop(self.answer.set(answer));
    }

    /// The answer, once it is there.
    #[must_use]
    pub fn answer(&self) -> Option<&Result<Arc<Proof>, Denied>> {
        self.answer.get()
    }

    /// The login that it is about, if it is about one.
    #[must_use]
    pub fn about(&self) -> Option<&Login> {
        match &self.what {
            What::Case(_) | What::Keys(_) => None,
            What::Login(login) => Some(login),
        }
    }

    /// The request that a service was asked about, if that is what it is.
    #[must_use]
    pub fn asked_case(&self) -> Option<&Case> {
        match &self.what {
            What::Case(case) => Some(case),
            What::Keys(_) | What::Login(_) => None,
        }
    }

    /// What the client is told by who answered, if it is told anything.
    #[must_use]
    pub fn words(&self) -> Option<&FixedAnswer> {
        self.words.get()
    }
}

/// What is asked is a secret.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question")
    }
}
