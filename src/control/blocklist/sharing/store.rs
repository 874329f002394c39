//! Store: what replicas share, as it is in Redis; one journey tells changes and hears those of
//! others.
//!
//! What is kept of a block is JSON; when it ends is by the clock of the store, and travels as the
//! time that is left. What cannot be read is nobody's block: Redis is also others'.

use super::super::entry::{Entry, Maker, Record, unix_seconds};
use super::super::making::SECONDS_MAX;
use crate::config::Network;
use crate::control::redis::{Fault, Link};
use crate::types::moment::Moment;
use crate::types::text::can_be_shown;
use ipnet::IpNet;
use redis::Script;
use serde::{Deserialize, Serialize};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime};

/// Tells changes and hears others.
static BLOCKS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("blocks.lua")));
/// Networks that are read in one journey, at most.
const PAGE: usize = 500;

/// What a replica tells and asks.
#[derive(Clone, Debug, Default)]
pub(super) struct Question {
    /// The store that is known; empty: none.
    pub(super) id: String,
    /// The number of the last change before which all are known.
    pub(super) base: u64,
    /// The number of the last change that was read.
    pub(super) from: u64,
    /// Blocks that there may be.
    pub(super) most: u32,
    /// What is told.
    pub(super) words: Vec<(IpNet, Said)>,
}

/// What is said of a network.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// It is blocked.
    Block(Text),
    /// It is blocked, unless something else is known of it: the store lost what it had.
    Keep(Text),
    /// It is blocked no longer.
    Lift,
}

/// A block as the store has it.
#[derive(Clone, Debug)]
pub(super) struct Text {
    value: String,
    left: Option<Duration>,
}

/// A value in the store.
#[derive(Debug, Deserialize, Serialize)]
struct Value {
    by: Maker,
    owner: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    since: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
}

/// What the store says.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// Which store it is: another one after it has lost something.
    pub(super) id: String,
    /// The number of the last change.
    pub(super) number: u64,
    /// The number after which was read: zero where all is read anew.
    pub(super) from: u64,
    /// The number of the last change that was read.
    pub(super) to: u64,
    /// There is more after that.
    pub(super) is_more: bool,
    /// The places of those words for which there was no room.
    pub(super) full: Vec<usize>,
    /// What was read, in order of the changes.
    pub(super) read: Vec<Read>,
}

/// A network that was read.
#[derive(Clone, Debug)]
pub(super) struct Read {
    network: Vec<u8>,
    value: Vec<u8>,
    left_ms: i64,
}

impl Text {
    /// The block of `entry` at `now`. `None`: it is over.
    pub(super) fn of(entry: &Entry, now: Moment) -> Option<Self> {
        let Record { by, owner, reason, since, seconds, .. } = entry.record.clone();
        let left = entry.until.map(|until| until.since(now));
        let value = serde_json::to_string(&Value { by, owner, reason, since, seconds }).ok()?;
        (left != Some(Duration::ZERO)).then_some(Self { value, left })
    }
}

impl Read {
    /// The network, and its block if it has one, from `now` on, which is the time `wall`.
    /// `None`: it makes no sense.
    pub(super) fn entry(&self, now: Moment, wall: SystemTime) -> Option<(IpNet, Option<Entry>)> {
        let Network(network) = str::from_utf8(&self.network).ok()?.parse().ok()?;
        let network = network.trunc();
        if self.value.is_empty() {
            return Some((network, None));
        }
        let value: Value = serde_json::from_slice(&self.value).ok()?;
        let is_right = can_be_shown(&value.owner)
            && value.reason.as_deref().is_none_or(can_be_shown)
            && value.seconds.is_none_or(|seconds| (1..=SECONDS_MAX).contains(&seconds));
        let left = match value.seconds {
            // It was to end, and the store does not know when; or the other way round.
            Some(_) if self.left_ms < 0 => return None,
            None if self.left_ms >= 0 => return None,
            None => None,
            Some(seconds) => {
                let left = Duration::from_millis(self.left_ms.unsigned_abs());
                Some(left.min(Duration::from_secs(seconds)))
            }
        };
        let Value { by, owner, reason, since, seconds } = value;
        let whole = |left: Duration| left.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
        let until = left.map(|left| unix_seconds(wall).saturating_add(whole(left)));
        let cidr = Network(network);
        let record = Record { cidr, by, owner, reason, since, seconds, until };
        is_right.then(|| (network, Some(Entry::ending(record, left.map(|left| now.after(left))))))
    }
}

/// Goes to the store with `question`.
///
/// # Errors
/// When it is away, or does not answer with what makes sense.
pub(super) async fn ask(link: &Link, question: Question) -> Result<Answer, Fault> {
    let prefix = link.prefix();
    let mut call = BLOCKS.prepare_invoke();
    for name in ["blocklist", "blocklist:order", "blocklist:ends", "blocklist:about"] {
        call.key(format!("{prefix}{name}"));
    }
    let Question { id, base, from, most, words } = question;
    call.arg(format!("{:016x}", fastrand::u64(..))).arg(id);
    call.arg(base).arg(from).arg(PAGE).arg(most);
    for (network, said) in words {
        let (what, text) = match said {
            Said::Block(text) => ("block", Some(text)),
            Said::Keep(text) => ("keep", Some(text)),
            Said::Lift => ("lift", None),
        };
        let left = text.as_ref().and_then(|text| text.left);
        let left = left.map(|left| left.as_millis().max(1).to_string()).unwrap_or_default();
        let value = text.map(|text| text.value).unwrap_or_default();
        call.arg(network.to_string()).arg(what).arg(left).arg(value);
    }
    type Told = (String, u64, u64, u64, bool, Vec<usize>, Vec<Vec<u8>>, Vec<Vec<u8>>, Vec<i64>);
    let (id, number, from, to, is_more, full, networks, values, lefts): Told =
        link.run(&call).await?;
    let each = networks.into_iter().zip(values).zip(lefts);
    let read = each.map(|((network, value), left_ms)| Read { network, value, left_ms }).collect();
    Ok(Answer { id, number, from, to, is_more, full, read })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn read(network: &str, value: &str, left_ms: i64) -> Option<(IpNet, Option<Entry>)> {
        let read = Read { network: network.into(), value: value.into(), left_ms };
        read.entry(Moment::default(), UNIX_EPOCH + Duration::from_secs(1000))
    }

    #[test]
    fn a_block_comes_back_as_it_was_told() {
        let record = Record {
            cidr: "192.0.2.0/24".parse().unwrap(),
            by: Maker::Automatic,
            owner: "vanne".into(),
            reason: Some("401".into()),
            since: 990,
            seconds: Some(60),
            until: Some(1050),
        };
        let now = Moment::default();
        let entry = Entry::ending(record.clone(), Some(now.after(Duration::from_millis(49_500))));
        let Text { value, left } = Text::of(&entry, now).unwrap();
        assert_eq!(left, Some(Duration::from_millis(49_500)));
        let (network, back) = read("192.0.2.9/24", &value, 49_500).unwrap();
        let back = back.unwrap();
        assert_eq!((network.to_string().as_str(), &back.record), ("192.0.2.0/24", &record));
        assert_eq!(back.until, entry.until);
        assert!(Text::of(&entry, now.after(Duration::from_secs(50))).is_none(), "it is over");
        assert!(matches!(read("192.0.2.1", "", -1), Some((_, None))));
    }

    #[test]
    fn what_makes_no_sense_is_nobodys_block() {
        let value = |more: &str| format!("{{\"by\":\"api\",\"owner\":\"a\",\"since\":1{more}}}");
        assert!(read("192.0.2.1", &value(""), -1).is_some());
        assert!(read("192.0.2.1", &value(",\"seconds\":5"), 5000).is_some());
        let long = value(&format!(",\"reason\":\"{}\"", "x".repeat(1000)));
        for (network, value, left) in [
            ("192.0.2", value(""), -1),
            ("", value(""), -1),
            ("192.0.2.1", "nonsense".to_owned(), -1),
            ("192.0.2.1", "{}".to_owned(), -1),
            ("192.0.2.1", value(",\"seconds\":5"), -1),
            ("192.0.2.1", value(""), 5000),
            ("192.0.2.1", value(",\"seconds\":0"), 5000),
            ("192.0.2.1", value(",\"reason\":\"a\\nb\""), -1),
            ("192.0.2.1", long, -1),
        ] {
            assert!(read(network, &value, left).is_none(), "{network} {value} {left}");
        }
        let (_, longer) = read("192.0.2.1", &value(",\"seconds\":5"), 9_000_000).unwrap();
        let most = Moment::default().after(Duration::from_secs(5));
        assert_eq!(longer.unwrap().until, Some(most), "never longer than was said");
    }
}
