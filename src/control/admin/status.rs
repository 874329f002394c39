//! `/v1/status`: how the process is, and what an operator should look at.

use super::call::{Call, Reply};
use super::problem::Problem;
use crate::control::certs::CertificateStatus;
use crate::control::pools::{PoolSummary, SourceStatus};
use crate::control::reload::Reloader;
use crate::control::report::Verdict;
use crate::data::lifecycle::Stage;
use crate::observe::audit_log::AuditLine;
use crate::observe::metrics::REQUESTS_IN_FLIGHT;
use crate::types::clock;
use crate::types::moment::Moment;
use schemars::JsonSchema;
use serde::Serialize;
use std::time::SystemTime;

/// Days before its end from which on a certificate is warned of.
const DAYS_LEFT_MIN: i64 = 14;

/// How the process is.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct Status {
    /// Vanne's version.
    version: &'static str,
    /// The process' number.
    pid: u32,
    /// Whether it is `serving` or `draining`.
    stage: &'static str,
    /// For how long it runs.
    uptime_seconds: f64,
    /// Worker threads.
    workers: usize,
    /// Connections of clients that are open.
    connections: usize,
    /// Requests being served.
    requests_in_flight: i64,
    /// Requests that the routes of the config in use have ended since the start.
    requests: u64,
    /// The config in use.
    config: ConfigInUse,
    /// All pools in short.
    pools: Vec<PoolSummary>,
    /// Who may not come in, in short.
    blocklist: BlocklistInUse,
    /// What operators changed, and has not ended.
    overrides: Vec<OverrideInUse>,
    /// What an operator should look at.
    warnings: Vec<Warning>,
}

/// The config in use.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct ConfigInUse {
    /// Its number: 1 at the start, one more with each that was applied.
    generation: u64,
    /// Its file, if it is from one.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// The SHA-256 of the file as it was read: what `sha256sum` prints.
    sha256: String,
    /// When it was applied: RFC 3339, UTC.
    applied: String,
    /// What came of the last reload, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    last_reload: Option<LastReload>,
}

/// What came of a reload.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct LastReload {
    /// When: RFC 3339, UTC.
    time: String,
    /// What came of it.
    result: Verdict,
    /// Keys that changed and count only after a restart.
    restart_needed: Vec<&'static str>,
    /// The first line of why it was refused, if it was. The rest may quote the file: it is for
    /// those who reload.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// Who may not come in, in short.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct BlocklistInUse {
    /// Blocks that were made at run time.
    blocks: usize,
    /// Networks that config and files deny.
    denied: usize,
}

/// Something that an operator changed.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct OverrideInUse {
    /// What: `backend api/10.0.0.1:80` or `log level`.
    what: String,
    /// What it is now.
    now: String,
    /// Who said so.
    owner: String,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// For how long still; without it: for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds_left: Option<u64>,
}

/// Something that an operator should look at.
#[derive(Clone, Debug, Serialize, JsonSchema)]
struct Warning {
    /// What it is about: `blocklist`, `certificate`, `config`, `pool`, `source` or `tokens`.
    about: &'static str,
    /// What is wrong.
    message: String,
}

pub(super) async fn show(call: Call) -> Result<Reply, Problem> {
    let (admin, wall) = (call.admin.clone(), clock::wall());
    let in_flight = admin.metrics.handle(&REQUESTS_IN_FLIGHT, []).get();
    let stage = match admin.workers.lifecycle().stage() {
        Stage::Serving => "serving",
        _ => "draining",
    };
    let found = call.look(move |reloader, now| {
        let pools = reloader.summaries();
        Status {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            stage,
            uptime_seconds: now.since(admin.started).as_secs_f64(),
            workers: admin.workers.count(),
            connections: admin.workers.connections(),
            requests_in_flight: in_flight,
            requests: reloader.requests(),
            config: config_in_use(reloader),
            blocklist: BlocklistInUse {
                blocks: reloader.blocks.count(),
                denied: reloader.blocks.shared().lists().deny.len(),
            },
            overrides: overrides(reloader, now),
            warnings: warnings(reloader, &pools, wall),
            pools,
        }
    });
    Reply::json(found.await?).await
}

fn config_in_use(reloader: &Reloader) -> ConfigInUse {
    let last = reloader.last_report.as_ref();
    ConfigInUse {
        generation: reloader.generation(),
        path: reloader.path().map(|path| path.display().to_string()),
        sha256: reloader.in_use.sha256.clone(),
        applied: AuditLine::timestamp(reloader.in_use.applied),
        last_reload: last.map(|(time, report)| LastReload {
            time: AuditLine::timestamp(*time),
            result: report.result,
            restart_needed: report.restart_needed.clone(),
            message: report.message.lines().next().map(str::to_owned),
        }),
    }
}

fn overrides(reloader: &Reloader, now: Moment) -> Vec<OverrideInUse> {
    let of_backends = reloader.pools.overrides().map(|(pool, address, set)| {
        let weight = set.weight.map(|weight| format!(", weight {weight}")).unwrap_or_default();
        OverrideInUse {
            what: format!("backend {pool}/{address}"),
            now: format!("{}{weight}", set.state.as_str()),
            owner: set.owner.clone(),
            reason: set.reason.clone(),
            seconds_left: set.until.map(|until| until.since(now).as_secs()),
        }
    });
    let of_circuits = reloader.pools.forced().map(|(pool, address, set)| OverrideInUse {
        what: format!("circuit {pool}/{address}"),
        now: set.as_str().to_owned(),
        owner: set.owner.clone(),
        reason: set.reason.clone(),
        seconds_left: set.until.map(|until| until.since(now).as_secs()),
    });
    let of_log = reloader.log.set().map(|set| OverrideInUse {
        what: "log level".to_owned(),
        now: set.level.as_str().to_owned(),
        owner: set.owner.clone(),
        reason: set.reason.clone(),
        seconds_left: Some(set.until.since(now).as_secs()),
    });
    of_backends.chain(of_circuits).chain(of_log).collect()
}

fn warnings(reloader: &Reloader, pools: &[PoolSummary], wall: SystemTime) -> Vec<Warning> {
    let warning = |about: &'static str| move |message: String| Warning { about, message };
    let last = reloader.last_report.as_ref().map(|(_, report)| report);
    let of_config = last.into_iter().flat_map(|report| {
        let refused = report.is_refused().then(|| {
            "the file was refused when it was read last: the config before it is in use".to_owned()
        });
        let restart = report.restart_needed.iter();
        let restart =
            restart.map(|key| format!("{key} has changed: it counts only after a restart"));
        refused.into_iter().chain(restart).collect::<Vec<_>>()
    });
    let of_pools = pools.iter().flat_map(|pool| {
        let idle = pool.idle.map(|why| format!("{}: no backend takes traffic: {why}", pool.pool));
        let panic = pool.panic.then(|| format!("{}: health is overlooked", pool.pool));
        let backup = pool.backup.then(|| format!("{}: the backups are in use", pool.pool));
        let guarded = (pool.guarded > 0).then(|| {
            let (pool, count) = (&pool.pool, pool.guarded);
            format!("{pool}: the guard keeps {count} backends in service that fail")
        });
        idle.into_iter().chain(panic).chain(backup).chain(guarded).collect::<Vec<_>>()
    });
    let of_sources = pools.iter().flat_map(|pool| {
        let of_source = |source: &SourceStatus| {
            let (pool, name) = (&pool.pool, source.source);
            let stale = source.stale.as_ref().map(|why| format!("{pool}: {name} is stale: {why}"));
            let note = source.note.as_ref().map(|note| format!("{pool}: {name}: {note}"));
            [stale, note].into_iter().flatten()
        };
        pool.sources.iter().flat_map(of_source).collect::<Vec<_>>()
    });
    let certificates = reloader.listeners.certificates(wall);
    of_config
        .map(warning("config"))
        .chain(of_pools.map(warning("pool")))
        .chain(of_sources.map(warning("source")))
        .chain(certificates.iter().filter_map(of_certificate).map(warning("certificate")))
        .chain(of_blocklist(reloader).into_iter().map(warning("blocklist")))
        .chain(of_tokens(reloader).into_iter().map(warning("tokens")))
        .chain(of_redis(reloader).into_iter().map(warning("redis")))
        .collect()
}

fn of_certificate(certificate: &CertificateStatus) -> Option<String> {
    let CertificateStatus { listener, file, error, .. } = certificate;
    match (error, certificate.days_left) {
        (Some(error), _) => Some(format!("{listener}: {file} {error}")),
        (None, Some(days)) if days < DAYS_LEFT_MIN => {
            Some(format!("{listener}: {file} ends in {days} days"))
        }
        _ => None,
    }
}

fn of_redis(reloader: &Reloader) -> Option<String> {
    let address = &reloader.config.redis.as_ref()?.address;
    let is_away = !reloader.kept.redis.link().is_up();
    is_away.then(|| format!("{address} is away: each replica goes on by itself"))
}

fn of_blocklist(reloader: &Reloader) -> Option<String> {
    let fault = reloader.blocks.fault()?.lines().next()?;
    Some(format!("the files are not in use as they are now: {fault}"))
}

fn of_tokens(reloader: &Reloader) -> Option<String> {
    let rules = reloader.access.rules();
    let file = rules.tokens.as_ref()?;
    let exposed = || format!("{} may be read by others: chmod 600", file.path().display());
    file.problem.clone().or_else(|| file.is_exposed().then(exposed))
}
