//! Where the access log goes, in a config that changes.
//!
//! What may fail, opening a file, comes before a config is used; the rest cannot.

use crate::config::AccessLogTarget;
use crate::observe::access_log::{AccessLog, Sink, Target};
use std::sync::Arc;

/// The access log of the process, if it has one yet.
#[derive(Default)]
pub struct Log(Option<Arc<AccessLog>>);

/// Where the lines of a new config go, opened: if they go elsewhere than before.
pub struct Prepared(Option<Sink>);

/// What `config` names.
#[must_use]
pub fn target(config: &AccessLogTarget) -> Target {
    match config {
        AccessLogTarget::Off => Target::Nothing,
        AccessLogTarget::Stdout => Target::Stdout,
        AccessLogTarget::File(path) => Target::File(path.clone()),
        AccessLogTarget::SyslogUnix(path) => Target::SyslogUnix(path.clone()),
        AccessLogTarget::SyslogUdp(place) => Target::SyslogUdp(place.clone()),
        AccessLogTarget::SyslogTcp(place) => Target::SyslogTcp(place.clone()),
    }
}

impl Log {
    /// That of the process.
    #[must_use]
    pub fn of(log: Arc<AccessLog>) -> Self {
        Self(Some(log))
    }

    /// Opens what `new` names, if that is not what is open.
    ///
    /// # Errors
    /// When a file cannot be opened.
    pub fn prepare(
        &self,
        old: &AccessLogTarget,
        new: &AccessLogTarget,
    ) -> Result<Prepared, std::io::Error> {
        let is_other = self.0.is_some() && old != new;
        is_other.then(|| Sink::open(&target(new))).transpose().map(Prepared)
    }

    /// Goes over to what was prepared.
    pub fn apply(&self, prepared: Prepared) {
        if let (Some(log), Some(sink)) = (&self.0, prepared.0) {
            log.switch(sink);
        }
    }

    /// Opens the file anew.
    pub fn reopen(&self) {
        if let Some(log) = &self.0 {
            log.reopen();
        }
    }
}
