//! `/v1/blocklist` and what is below it, and the same by the paths that came before.

use super::call::{Call, Changed, Reply};
use super::door::Peer;
use super::operations::{Operation, schema};
use super::pools::check_text;
use super::problem::Problem;
use super::tokens::Role;
use crate::config::Network;
use crate::control::blocklist::{BlockError, BlockPage, BlockStatus, Checked, Maker, Wanted};
use crate::types::clock;
use crate::types::units::Period;
use axum::http::{Method, StatusCode};
use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::time::Duration;

/// Blocks in an answer, unless it is said how many.
const LIMIT: usize = 100;
/// The same at most.
const LIMIT_MAX: usize = 10_000;

/// What can be asked about the blocklist.
pub(super) static OPERATIONS: &[Operation] = &[
    Operation {
        method: Method::POST,
        path: "/network/block-ip",
        name: "block_ip",
        needs: Role::Operate,
        summary: "The same as POST /v1/blocklist.",
        query: None,
        body: Some(schema::<NewBlock>),
        answer: schema::<BlockStatus>,
        run: |call| Box::pin(add(call)),
    },
    Operation {
        method: Method::GET,
        path: "/network/check-ip/{ip}",
        name: "check_ip",
        needs: Role::Read,
        summary: "The same as /v1/blocklist/check.",
        query: None,
        body: None,
        answer: schema::<Checked>,
        run: |call| Box::pin(check_named(call)),
    },
    Operation {
        method: Method::GET,
        path: "/network/security-groups",
        name: "security_groups",
        needs: Role::Read,
        summary: "The same as /v1/blocklist.",
        query: Some(schema::<PageQuery>),
        body: None,
        answer: schema::<BlockPage>,
        run: |call| Box::pin(list(call)),
    },
    Operation {
        method: Method::DELETE,
        path: "/network/unblock-ip/{ip}",
        name: "unblock_ip",
        needs: Role::Operate,
        summary: "Lifts the block of an address.",
        query: None,
        body: Some(schema::<Lifted>),
        answer: schema::<BlockStatus>,
        run: |call| Box::pin(remove(call)),
    },
    Operation {
        method: Method::GET,
        path: "/v1/blocklist",
        name: "blocks",
        needs: Role::Read,
        summary: "Blocks that were made at run time, a part at a time, and how much is blocked besides.",
        query: Some(schema::<PageQuery>),
        body: None,
        answer: schema::<BlockPage>,
        run: |call| Box::pin(list(call)),
    },
    Operation {
        method: Method::POST,
        path: "/v1/blocklist",
        name: "block",
        needs: Role::Operate,
        summary: "Blocks an address or a network, for a while or for good.",
        query: None,
        body: Some(schema::<NewBlock>),
        answer: schema::<BlockStatus>,
        run: |call| Box::pin(add(call)),
    },
    Operation {
        method: Method::GET,
        path: "/v1/blocklist/check",
        name: "blocklist_check",
        needs: Role::Read,
        summary: "Whether an address is blocked: which network, from where, until when.",
        query: Some(schema::<CheckQuery>),
        body: None,
        answer: schema::<Checked>,
        run: |call| Box::pin(check(call)),
    },
    Operation {
        method: Method::DELETE,
        path: "/v1/blocklist/{cidr}",
        name: "unblock",
        needs: Role::Operate,
        summary: "Lifts a block that was made at run time; of a network as ADDRESS/BITS or ADDRESS%2FBITS.",
        query: None,
        body: Some(schema::<Lifted>),
        answer: schema::<BlockStatus>,
        run: |call| Box::pin(remove(call)),
    },
    Operation {
        method: Method::DELETE,
        path: "/v1/blocklist/{cidr}/{bits}",
        name: "unblock_network",
        needs: Role::Operate,
        summary: "The same.",
        query: None,
        body: Some(schema::<Lifted>),
        answer: schema::<BlockStatus>,
        run: |call| Box::pin(remove(call)),
    },
];

/// Which part of the blocks is asked for.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PageQuery {
    /// Those after this network: what `next` said.
    after: Option<Network>,
    /// How many at most: 1 to 10000, without it 100.
    limit: Option<usize>,
}

/// Which address is asked about.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct CheckQuery {
    /// The address.
    ip: IpAddr,
}

/// A time: `"10m"`, or a number of seconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged, expecting = "expected a time like \"10m\", or a number of seconds")]
enum Time {
    Seconds(u64),
    Period(Period),
}

/// A block to be made.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBlock {
    /// Who is to be blocked: an address or a network. May be called `ip`, too.
    #[serde(alias = "ip", alias = "ip_address")]
    cidr: Network,
    /// For how long, like `"10m"`, or in seconds; without it: for good. May be called `duration`,
    /// too.
    #[serde(default, alias = "duration")]
    ttl: Option<Time>,
    /// Why.
    #[serde(default)]
    reason: Option<String>,
    /// Who says so; without it who asks.
    #[serde(default)]
    owner: Option<String>,
    /// It may be the address from which this is asked, or the machine's own.
    #[serde(default)]
    force: bool,
}

/// What is said when a block is lifted.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Lifted {
    /// Why.
    reason: Option<String>,
    /// Who says so.
    owner: Option<String>,
}

pub(super) async fn list(call: Call) -> Result<Reply, Problem> {
    let PageQuery { after, limit } = call.query()?;
    let limit = limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        let detail = format!("limit {limit} is out of range: expected 1 to {LIMIT_MAX}");
        return Err(Problem::invalid(detail));
    }
    let after = after.map(|Network(network)| network);
    let page =
        call.look(move |reloader, now| reloader.blocks.page(after, limit, now, clock::wall()));
    Reply::json(page.await?).await
}

pub(super) async fn check(call: Call) -> Result<Reply, Problem> {
    let CheckQuery { ip } = call.query()?;
    check_address(&call, ip).await
}

/// The same of the address in the path.
pub(super) async fn check_named(call: Call) -> Result<Reply, Problem> {
    let text = call.param("ip");
    let invalid = |_| Problem::invalid(format!("{text} is no IP address"));
    let ip = text.parse().map_err(invalid)?;
    check_address(&call, ip).await
}

async fn check_address(call: &Call, ip: IpAddr) -> Result<Reply, Problem> {
    let checked = call.look(move |reloader, now| reloader.blocks.check(ip, now, clock::wall()));
    Reply::json(checked.await?).await
}

pub(super) async fn add(call: Call) -> Result<Reply, Problem> {
    let NewBlock { cidr: Network(network), ttl, reason, owner, force } = call.body()?;
    check_text("reason", reason.as_deref())?;
    check_text("owner", owner.as_deref())?;
    let wanted = Wanted {
        network,
        time: ttl.map(|time| match time {
            Time::Seconds(seconds) => Duration::from_secs(seconds),
            Time::Period(period) => period.as_duration(),
        }),
        by: Maker::Api,
        owner: owner.unwrap_or_else(|| call.actor.name.clone()),
        reason: reason.clone(),
        from: match call.peer {
            Peer::Address(ip) => Some(ip),
            Peer::Socket(_) => None,
        },
        is_forced: force,
    };
    let done = call.change(move |reloader, now| {
        let wall = clock::wall();
        let before = reloader.blocks.status_of(network, now, wall);
        reloader.blocks.block(wanted, now, wall)?;
        Ok((before, reloader.blocks.status_of(network, now, wall)))
    });
    let (before, after) = done.await?.map_err(|error: BlockError| refused(&error))?;
    let Some(after) = after else { return Err(Problem::internal("the block is gone")) };
    let change = Changed { before: before.as_ref().map(told), after: Some(told(&after)), reason };
    Ok(Reply::json(after).await?.changed(change))
}

/// Lifts the block of the network in the path.
pub(super) async fn remove(call: Call) -> Result<Reply, Problem> {
    let network = named(&call)?;
    let Lifted { reason, owner } =
        if call.body.is_empty() { Lifted::default() } else { call.body()? };
    check_text("reason", reason.as_deref())?;
    check_text("owner", owner.as_deref())?;
    let done = call.change(move |reloader, now| {
        let wall = clock::wall();
        let before = reloader.blocks.status_of(network, now, wall);
        reloader.blocks.unblock(network, now, wall)?;
        Ok(before)
    });
    let before = done.await?.map_err(|error: BlockError| refused(&error))?;
    let Some(before) = before else { return Err(Problem::internal("the block is gone")) };
    let after = owner.map(|owner| json!({ "lifted_by": owner }));
    let change = Changed { before: Some(told(&before)), after, reason };
    Ok(Reply::json(before).await?.changed(change))
}

/// The network that the path names.
fn named(call: &Call) -> Result<IpNet, Problem> {
    let names = [call.param("cidr"), call.param("ip")];
    let name = names.into_iter().find(|name| !name.is_empty()).unwrap_or_default();
    let bits = call.param("bits");
    let text = if bits.is_empty() { name.to_owned() } else { format!("{name}/{bits}") };
    let Network(network) =
        text.parse::<Network>().map_err(|error| Problem::invalid(format!("{text}: {error}")))?;
    Ok(network)
}

/// What the audit log tells of a block.
fn told(block: &BlockStatus) -> Value {
    json!({ "cidr": block.cidr, "owner": block.owner, "reason": block.reason, "until": block.until })
}

fn refused(error: &BlockError) -> Problem {
    let (status, reason) = match error {
        BlockError::Allowed(..) => (StatusCode::CONFLICT, "allowed"),
        BlockError::Configured(..) => (StatusCode::CONFLICT, "in_config"),
        BlockError::Full(_) => (StatusCode::CONFLICT, "too_many_blocks"),
        BlockError::NotKept(..) => (StatusCode::INTERNAL_SERVER_ERROR, "not_kept"),
        BlockError::Own(..) => (StatusCode::CONFLICT, "needs_force"),
        BlockError::Seconds(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid"),
        BlockError::Unknown(..) => (StatusCode::NOT_FOUND, "no_such_block"),
    };
    Problem::new(status, reason, error.to_string())
}
