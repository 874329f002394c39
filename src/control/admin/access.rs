//! Access: who may come in, as the config in use and the file of tokens say.
//!
//! Replaced as a whole when one of them changes; each request looks once.

use super::tokens::TokensFile;
use crate::config::{Admin, FilePath};
use arc_swap::ArcSwap;
use std::path::PathBuf;
use std::sync::Arc;

/// What holds for those who come in.
#[derive(Debug, Default)]
pub struct Rules {
    /// Names of hosts by which the address may be asked, besides `localhost` and IP addresses.
    pub hosts: Vec<String>,
    /// The tokens; `None`: nobody is asked for one, and everybody may only look.
    pub tokens: Option<Arc<TokensFile>>,
    /// Where changes are noted, besides the process log.
    pub audit_file: Option<PathBuf>,
}

/// The rules in use.
#[derive(Debug, Default)]
pub struct Access(ArcSwap<Rules>);

impl Rules {
    /// What `config` says.
    ///
    /// # Errors
    /// When the file of tokens cannot be used.
    pub fn of(config: &Admin) -> Result<Self, String> {
        let tokens = match &config.tokens_file {
            None => None,
            Some(FilePath(path)) => Some(Arc::new(TokensFile::open(path)?)),
        };
        Ok(Self {
            hosts: config.hosts.iter().map(|host| host.as_str().to_owned()).collect(),
            tokens,
            audit_file: config.audit_file.as_ref().map(|FilePath(path)| path.clone()),
        })
    }
}

impl Access {
    /// The rules now.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        self.0.load_full()
    }

    /// Uses `rules` from now on.
    pub fn replace(&self, rules: Rules) {
        self.0.store(Arc::new(rules));
    }

    /// Reads the file of tokens again, if it has changed.
    pub fn look(&self) {
        let rules = self.rules();
        let Some(file) = rules.tokens.as_ref().and_then(|file| file.look()) else { return };
        if file.problem.is_none() {
            tracing::info!(file = %file.path().display(), "tokens read again");
        }
        self.replace(Rules {
            hosts: rules.hosts.clone(),
            tokens: Some(Arc::new(file)),
            audit_file: rules.audit_file.clone(),
        });
    }
}
