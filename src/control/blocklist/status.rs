//! What is told of the blocklist.

use super::Blocks;
use super::entry::{Entry, Maker, unix_seconds};
use crate::config::Network;
use crate::data::listener::places::Elsewhere;
use crate::observe::audit_log::AuditLine;
use crate::types::country::Country;
use crate::types::moment::Moment;
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::Serialize;
use std::net::IpAddr;
use std::ops::Bound;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A block that was made at run time.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BlockStatus {
    /// Who is blocked.
    pub cidr: Network,
    /// Who made it.
    pub by: Maker,
    /// Who said so.
    pub owner: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it was made: RFC 3339, UTC.
    pub since: String,
    /// When it ends: RFC 3339, UTC; without it: it holds for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// For how long it holds still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

/// A part of the blocks that were made at run time, and how much there is besides.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BlockPage {
    /// Blocks that were made at run time, in order of address; those of IPv4 first.
    pub blocks: Vec<BlockStatus>,
    /// With `after` set to it the next part is given; without it there are no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<Network>,
    /// How many blocks were made at run time, in all.
    pub total: usize,
    /// Networks that the config denies.
    pub denied: usize,
    /// Networks that are never blocked.
    pub allowed: usize,
    /// Files in use.
    pub files: Vec<FileStatus>,
    /// Why the files are not in use as they are now, if they are not; or which pattern finds none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Whether blocks outlive the process: `process.state_dir` is set.
    pub is_kept: bool,
    /// Whether they hold on all replicas: there is a `redis`, and `blocklist.shared` is not off.
    pub is_shared: bool,
    /// How many changes wait to be told to the other replicas.
    pub untold: usize,
}

/// A file of networks.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct FileStatus {
    /// The file.
    pub file: String,
    /// How many networks it names.
    pub networks: usize,
}

/// Where an address is listed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ListedIn {
    /// The network.
    pub cidr: Network,
    /// Where it stands: `allow`, `config`, `file`, `geoip`, or who made it at run time.
    pub source: &'static str,
    /// Its place in the config, or its file and line; of `geoip` what is denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
    /// The block, if it was made at run time.
    #[serde(flatten)]
    pub block: Option<BlockStatusRest>,
}

/// A block, but for its network.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct BlockStatusRest {
    /// Who said so.
    pub owner: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it ends: RFC 3339, UTC; without it: it holds for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// For how long it holds still.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

/// What the blocklist says of an address.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct Checked {
    /// The address.
    pub ip: IpAddr,
    /// Whether it may not come in.
    pub is_blocked: bool,
    /// In which country it is, if a file says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<&'static str>,
    /// The number of the operator's network that it is of, if a file says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// Where it is listed: what allows it, then what blocks it; of each the longest network
    /// first.
    pub listed: Vec<ListedIn>,
}

impl Blocks {
    /// At most `limit` blocks, of the networks after `after`.
    #[must_use]
    pub fn page(
        &self,
        after: Option<IpNet>,
        limit: usize,
        now: Moment,
        wall: SystemTime,
    ) -> BlockPage {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.entries.range((from, Bound::Unbounded));
        let blocks: Vec<BlockStatus> =
            rest.by_ref().take(limit).map(|(_, entry)| entry.status(now, wall)).collect();
        let next = rest.next().and(blocks.last()).map(|last| last.cidr);
        BlockPage {
            blocks,
            next,
            total: self.entries.len(),
            denied: self.own,
            allowed: self.shared.lists().allow.len(),
            files: self.files.iter().map(FileStatus::of).collect(),
            fault: self.fault().map(str::to_owned),
            is_kept: self.state.is_some(),
            is_shared: self.sharing.is_on(),
            untold: self.sharing.untold(),
        }
    }

    /// How many blocks were made at run time.
    #[must_use]
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// Why the files are not in use as they are now, if they are not.
    #[must_use]
    pub fn fault(&self) -> Option<&str> {
        self.fault.as_deref().or(self.places.fault.as_deref())
    }

    /// The block of just this network, if there is one.
    #[must_use]
    pub fn status_of(&self, network: IpNet, now: Moment, wall: SystemTime) -> Option<BlockStatus> {
        Some(self.entries.get(&network.trunc())?.status(now, wall))
    }

    /// What is said of `address`.
    /// Cost: a look at each length of a network.
    #[must_use]
    pub fn check(&self, address: IpAddr, now: Moment, wall: SystemTime) -> Checked {
        let address = address.to_canonical();
        let lists = self.shared.lists();
        let configured = |cidr: IpNet, list, source, origin| ListedIn {
            cidr: Network(cidr),
            source,
            place: Some(self.place(list, origin)),
            block: None,
        };
        let allowed =
            lists.allow.around(address).map(|(net, at)| configured(net, "allow", "allow", *at));
        let denied = lists.deny.around(address).map(|(net, at)| {
            configured(net, "deny", if at.file == 0 { "config" } else { "file" }, *at)
        });
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let lengths = (0..=bits).rev().filter_map(|bits| IpNet::new(address, bits).ok());
        let made = lengths.filter_map(|network| self.entries.get(&network.trunc()));
        let made = made.map(|entry| entry.listed(now, wall));
        let places = self.shared.places();
        let elsewhere = lists.places.blocks(address, places).map(|why| ListedIn {
            cidr: Network(IpNet::from(address)),
            source: "geoip",
            place: Some(match why {
                Elsewhere::Country(country) => format!("{country} in blocklist.deny_countries"),
                Elsewhere::Other(country) => {
                    format!("{country} is not in blocklist.only_countries")
                }
                Elsewhere::Asn(asn) => format!("{asn} in blocklist.deny_asns"),
            }),
            block: None,
        });
        Checked {
            ip: address,
            is_blocked: self.shared.is_blocked(address, now),
            country: places.country(address).map(Country::as_str),
            asn: places.asn(address),
            listed: allowed.chain(made).chain(denied).chain(elsewhere).collect(),
        }
    }
}

impl Entry {
    fn status(&self, now: Moment, wall: SystemTime) -> BlockStatus {
        let BlockStatusRest { owner, reason, until, seconds_left } = self.rest(now, wall);
        let since = UNIX_EPOCH + Duration::from_secs(self.record.since);
        BlockStatus {
            cidr: self.record.cidr,
            by: self.record.by,
            owner,
            reason,
            since: AuditLine::timestamp(since),
            until,
            seconds_left,
        }
    }

    fn rest(&self, now: Moment, wall: SystemTime) -> BlockStatusRest {
        let left = self.until.map(|until| until.since(now).as_secs());
        let end = |left: u64| Duration::from_secs(unix_seconds(wall).saturating_add(left));
        BlockStatusRest {
            owner: self.record.owner.clone(),
            reason: self.record.reason.clone(),
            until: left.map(|left| AuditLine::timestamp(UNIX_EPOCH + end(left))),
            seconds_left: left,
        }
    }

    fn listed(&self, now: Moment, wall: SystemTime) -> ListedIn {
        ListedIn {
            cidr: self.record.cidr,
            source: self.record.by.as_str(),
            place: None,
            block: Some(self.rest(now, wall)),
        }
    }
}

impl FileStatus {
    fn of((path, networks): &(std::path::PathBuf, usize)) -> Self {
        Self { file: path.display().to_string(), networks: *networks }
    }
}
