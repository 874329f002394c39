//! A block that was made at run time: of whom, by whom, why and until when.

use crate::config::Network;
use crate::data::listener::blocklist::Block;
use crate::types::moment::Moment;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Who makes blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Maker {
    /// An operator.
    Api,
    /// Vanne itself: too many answers of some kind.
    Automatic,
}

impl Maker {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Api, Self::Automatic];

    /// The label in metrics, and as it is written.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Automatic => "automatic",
        }
    }
}

/// A block as it is kept: its times are of the wall clock, in seconds of Unix time.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Who is blocked.
    pub cidr: Network,
    /// Who made it.
    pub by: Maker,
    /// Who said so.
    pub owner: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was made.
    pub since: u64,
    /// For how long it was to hold; `None`: for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
}

impl Record {
    /// How long it holds still, at the time `wall`; never longer than it was to hold, whatever
    /// became of the clock. `None`: for good.
    #[must_use]
    pub fn left(&self, wall: SystemTime) -> Option<Duration> {
        let (until, seconds) = (self.until?, self.seconds?);
        Some(Duration::from_secs(until.saturating_sub(unix_seconds(wall)).min(seconds)))
    }
}

/// A block that holds.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) record: Record,
    /// When it ends, whatever becomes of the wall clock.
    pub(super) until: Option<Moment>,
    /// What the data plane sees of it.
    pub(super) block: Arc<Block>,
    /// Something may be known of its network where replicas share blocks.
    pub(super) is_stored: bool,
}

/// How much later or earlier a block may end that is the same as another: it was told as the time
/// that is left.
const SAME_END: Duration = Duration::from_secs(2);

impl Entry {
    /// The block of `record`, from `now` on, which is the time `wall`.
    pub(super) fn of(record: Record, now: Moment, wall: SystemTime) -> Self {
        let until = record.left(wall).map(|left| now.after(left));
        Self::ending(record, until)
    }

    /// The block of `record`, which holds until then.
    pub(super) fn ending(record: Record, until: Option<Moment>) -> Self {
        Self { record, until, block: Arc::new(Block::until(until)), is_stored: false }
    }

    /// Whether `other` says the same.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        let rest = |entry: &Self| Record { until: None, ..entry.record.clone() };
        let is_near = |a: Moment, b: Moment| a.since(b).max(b.since(a)) <= SAME_END;
        let ends_alike = match (self.until, other.until) {
            (Some(one), Some(two)) => is_near(one, two),
            (one, two) => one == two,
        };
        ends_alike && rest(self) == rest(other)
    }

    /// How it is kept at `now`, which is the time `wall`: the clock may have been set since.
    pub(super) fn kept(&self, now: Moment, wall: SystemTime) -> Record {
        let left = self.until.map(|until| until.since(now).as_secs());
        let until = left.map(|left| unix_seconds(wall).saturating_add(left));
        Record { until, ..self.record.clone() }
    }
}

/// In whole seconds of Unix time.
pub(super) fn unix_seconds(wall: SystemTime) -> u64 {
    wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_never_more_than_was_said() {
        let record = Record {
            cidr: "192.0.2.1/32".parse().unwrap(),
            by: Maker::Api,
            owner: "kim".into(),
            reason: None,
            since: 1000,
            seconds: Some(60),
            until: Some(1060),
        };
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        for (wall, left) in [(1000, 60), (1030, 30), (1060, 0), (2000, 0), (10, 60)] {
            assert_eq!(record.left(at(wall)), Some(Duration::from_secs(left)), "{wall}");
        }
        // The clock is set an hour ahead while it holds: what is kept is moved with it.
        let now = Moment::default();
        let entry = Entry::of(record, now, at(1000));
        let kept = entry.kept(now.after(Duration::from_secs(20)), at(4620));
        assert_eq!((kept.until, kept.since), (Some(4660), 1000));
    }
}
