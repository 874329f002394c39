//! The level of the process log: what the config says, or an operator, for a while.

use crate::config::LogLevel;
use crate::types::moment::Moment;

/// Changes the level of the process log.
pub type SetLevel = Box<dyn Fn(LogLevel) + Send>;

/// What an operator said of the level.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LevelOverride {
    /// The level.
    pub level: LogLevel,
    /// Who said so.
    pub owner: String,
    /// Why.
    pub reason: Option<String>,
    /// Until when.
    pub until: Moment,
}

/// The level of the process log.
pub struct LogControl {
    set_level: SetLevel,
    configured: LogLevel,
    set: Option<LevelOverride>,
}

impl LogControl {
    /// The level `configured`, which is set already.
    #[must_use]
    pub fn new(set_level: SetLevel, configured: LogLevel) -> Self {
        Self { set_level, configured, set: None }
    }

    /// The level now.
    #[must_use]
    pub fn level(&self) -> LogLevel {
        self.set.as_ref().map_or(self.configured, |set| set.level)
    }

    /// What the config says.
    #[must_use]
    pub fn configured(&self) -> LogLevel {
        self.configured
    }

    /// What an operator said.
    #[must_use]
    pub fn set(&self) -> Option<&LevelOverride> {
        self.set.as_ref()
    }

    /// The config says `level` from now on. What an operator said still holds.
    pub fn configure(&mut self, level: LogLevel) {
        let before = self.level();
        self.configured = level;
        self.use_if_other(before);
    }

    /// An operator says this; `None`: nothing any more.
    pub fn change(&mut self, set: Option<LevelOverride>) {
        let before = self.level();
        self.set = set;
        self.use_if_other(before);
    }

    /// Ends what is over at `now`. Gives when it will be.
    pub fn expire(&mut self, now: Moment) -> Option<Moment> {
        let until = self.set.as_ref()?.until;
        if now < until {
            return Some(until);
        }
        self.change(None);
        tracing::info!(level = self.configured.as_str(), "the log has its own level again");
        None
    }

    fn use_if_other(&self, before: LogLevel) {
        if self.level() != before {
            (self.set_level)(self.level());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use parking_lot::Mutex;
    use std::sync::Arc;
    use std::time::Duration;

    #[test]
    fn what_an_operator_says_holds_until_its_time_is_over_whatever_the_config_says() {
        let said = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&said);
        let mut log =
            LogControl::new(Box::new(move |level| noted.lock().push(level)), LogLevel::Info);
        let at = |seconds| Moment::default().after(Duration::from_secs(seconds));
        let owner = "kim".to_owned();
        let set = LevelOverride { level: LogLevel::Debug, owner, reason: None, until: at(9) };
        assert_eq!(log.expire(at(0)), None);
        log.change(Some(set));
        log.configure(LogLevel::Warn);
        assert_eq!((log.level(), log.expire(at(8))), (LogLevel::Debug, Some(at(9))));
        assert_eq!((log.expire(at(9)), log.level()), (None, LogLevel::Warn));
        assert_eq!(*said.lock(), [LogLevel::Debug, LogLevel::Warn]);
    }
}
