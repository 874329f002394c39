//! Question: what must be found out before it is known who sends a request, and the answer.
//!
//! An effect of the machine's: the engine has it answered, beside the worker where it is much
//! work, and the machine reads the answer when it is resumed.

use super::denied::Denied;
use super::live_keys::LiveKeys;
use super::password::Login;
use super::proof::Proof;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Something to find out.
pub struct Question {
    what: What,
    answer: OnceLock<Result<Arc<Proof>, Denied>>,
}

/// What it is about.
enum What {
    /// Whether an issuer has newer keys. Whoever asked looks at them.
    Keys(Arc<LiveKeys>),
    /// Whether a password is good.
    Login(Arc<Login>),
}

impl Question {
    /// Whether there are newer keys than `keys` has.
    #[must_use]
    pub fn keys(keys: &Arc<LiveKeys>) -> Self {
        Self { what: What::Keys(Arc::clone(keys)), answer: OnceLock::new() }
    }

    /// Whether `login` is good.
    #[must_use]
    pub fn login(login: Login) -> Self {
        Self { what: What::Login(Arc::new(login)), answer: OnceLock::new() }
    }

    /// Finds it out.
    pub async fn find_out(&self) {
        let answer = match &self.what {
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
            What::Keys(_) => None,
            What::Login(login) => Some(login),
        }
    }
}

/// What is asked is a secret.
impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Question")
    }
}
