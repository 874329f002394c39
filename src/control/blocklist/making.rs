//! Making blocks, and lifting them: what operators may do, and what not.

use super::entry::{Maker, Record, unix_seconds};
use super::{Blocks, Change};
use crate::config::Network;
use crate::data::listener::blocklist::Origin;
use crate::types::moment::Moment;
use ipnet::IpNet;
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// The longest that a block may hold, unless it holds for good: ten years.
pub(super) const SECONDS_MAX: u64 = 10 * 366 * 86_400;

/// A block that somebody wants.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Who is to be blocked.
    pub network: IpNet,
    /// For how long; `None`: for good.
    pub time: Option<Duration>,
    /// Who wants it.
    pub by: Maker,
    /// Who says so.
    pub owner: String,
    /// Why.
    pub reason: Option<String>,
    /// The address from which that is asked, if it is one.
    pub from: Option<IpAddr>,
    /// It may be the asker's own address, or the machine's.
    pub is_forced: bool,
}

/// Why somebody was not blocked or unblocked.
#[derive(Debug, thiserror::Error)]
pub enum BlockError {
    /// It would never have an effect.
    #[error("{0} is never blocked: {1} is allowed by {2}; take it out there first")]
    Allowed(IpNet, IpNet, String),
    /// Too many.
    #[error(
        "there are {0} blocks already, as many as blocklist.max_blocks allows: lift some, or block wider networks"
    )]
    Full(usize),
    /// Too long a time, or none.
    #[error("a block of {0} s is out of range: expected 1 to {SECONDS_MAX}")]
    Seconds(u64),
    /// It would lock out who asks.
    #[error("{0} would block {1}: expected `force` with it, if that is meant")]
    Own(IpNet, String),
    /// There is no such block.
    #[error("{0} is not blocked by anybody: {1}")]
    Unknown(IpNet, String),
    /// The config says it.
    #[error("{0} is blocked by {1}: take it out there, or add it to blocklist.allow")]
    Configured(IpNet, String),
    /// It is in force, and will not outlive the process.
    #[error("done, but it could not be written to {0}, so a restart undoes it: {1}")]
    NotKept(String, std::io::Error),
}

impl Blocks {
    /// Blocks a network.
    ///
    /// # Errors
    /// When nothing was done; and with [`BlockError::NotKept`] when it was, but not written.
    pub fn block(
        &mut self,
        wanted: Wanted,
        now: Moment,
        wall: SystemTime,
    ) -> Result<(), BlockError> {
        let network = wanted.network.trunc();
        let seconds = wanted.time.map(|time| time.as_secs());
        if let Some(seconds) = seconds.filter(|seconds| !(1..=SECONDS_MAX).contains(seconds)) {
            return Err(BlockError::Seconds(seconds));
        }
        if let Some((allowed, origin)) = self.allowed_around(&network) {
            return Err(BlockError::Allowed(network, allowed, self.place("allow", origin)));
        }
        if !wanted.is_forced {
            check_own(network, wanted.from)?;
        }
        let max = usize::try_from(self.config.max_blocks).unwrap_or(usize::MAX);
        if self.entries.len() >= max && !self.entries.contains_key(&network) {
            return Err(BlockError::Full(self.entries.len()));
        }
        let since = unix_seconds(wall);
        let record = Record {
            cidr: Network(network),
            by: wanted.by,
            owner: wanted.owner,
            reason: wanted.reason,
            since,
            seconds,
            until: seconds.map(|seconds| since.saturating_add(seconds)),
        };
        let change = Change::block(vec![record], now, wall);
        self.change(change, now, wall).map_err(|error| self.not_kept(error))
    }

    /// Lifts the block of just this network.
    ///
    /// # Errors
    /// When there is none that was made at run time; and with [`BlockError::NotKept`] when it was
    /// lifted, but that was not written.
    pub fn unblock(
        &mut self,
        network: IpNet,
        now: Moment,
        wall: SystemTime,
    ) -> Result<(), BlockError> {
        let network = network.trunc();
        if !self.entries.contains_key(&network) {
            return Err(self.not_there(network));
        }
        let change = Change { lifted: vec![network], is_own: true, ..Change::default() };
        self.change(change, now, wall).map_err(|error| self.not_kept(error))
    }

    fn not_there(&self, network: IpNet) -> BlockError {
        let lists = self.shared.lists();
        let around = lists.deny.around(network.addr());
        let mut around = around.filter(|(wide, _)| wide.contains(&network));
        if let Some((wide, origin)) = around.next() {
            let place = self.place("deny", *origin);
            let place = if wide == network { place } else { format!("{wide} in {place}") };
            return BlockError::Configured(network, place);
        }
        let is_around = |wide: &&IpNet| wide.contains(&network);
        let wide = self.entries.keys().find(is_around).map(|wide| format!("{wide} is, though"));
        BlockError::Unknown(network, wide.unwrap_or_else(|| "nothing to lift".to_owned()))
    }

    /// The network that is allowed and that all of `network` is in.
    fn allowed_around(&self, network: &IpNet) -> Option<(IpNet, Origin)> {
        let lists = self.shared.lists();
        let mut around = lists.allow.around(network.addr());
        around.find(|(allowed, _)| allowed.contains(network)).map(|(net, origin)| (net, *origin))
    }

    /// Where something stands, in words.
    pub(super) fn place(&self, list: &str, origin: Origin) -> String {
        let Some(index) = usize::from(origin.file).checked_sub(1) else {
            return format!("blocklist.{list}[{}] of the config", origin.line);
        };
        let path = self.files.get(index).map(|(path, _)| path.display().to_string());
        format!("{}:{}", path.unwrap_or_default(), origin.line)
    }

    fn not_kept(&self, error: std::io::Error) -> BlockError {
        let path = self.state.as_ref().map(|state| state.path().display().to_string());
        BlockError::NotKept(path.unwrap_or_default(), error)
    }
}

/// Blocking oneself, or the machine's own address, is rarely meant.
fn check_own(network: IpNet, from: Option<IpAddr>) -> Result<(), BlockError> {
    let from = from.map(|from| from.to_canonical());
    if let Some(asker) = from.filter(|from| network.contains(from)) {
        return Err(BlockError::Own(network, format!("{asker}, which asks for it")));
    }
    let loopback: [IpAddr; 2] =
        [std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()];
    match loopback.into_iter().find(|one| network.contains(one)) {
        Some(one) => Err(BlockError::Own(network, format!("{one}, the machine itself"))),
        None => Ok(()),
    }
}
