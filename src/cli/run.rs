//! `vanne run`: the proxy.

use crate::config::{self, AccessLogTarget, Config};
use crate::control::compile;
use crate::control::drain::{Signals, Times, drain};
use crate::control::probe::{self, Probed};
use crate::data::engine::worker::{Setup, Workers};
use crate::data::listener::accept::ListeningSocket;
use crate::data::snapshot::Publisher;
use crate::observe::access_log::{AccessLog, Target};
use crate::observe::metrics::{ACCESS_LOG_DROPPED, Metrics};
use anyhow::Context;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::Arc;

/// Run the proxy.
///
/// Reads FILE, starts listening and serves until SIGTERM or SIGINT; then it drains: see
/// `drain_delay` and `drain_deadline` in conf/REFERENCE.md. A second signal exits at once.
///
/// Example: vanne run --config conf/vanne.toml
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The config file: TOML, YAML or JSON, by its extension.
    #[arg(short, long, value_name = "FILE")]
    config: std::path::PathBuf,
}

/// Runs until the process is told to end. Exit code 1: the config is wrong, or something
/// could not be started; the reason is on standard error.
pub(crate) fn run(args: &Args) -> ExitCode {
    let loaded = match config::load(&args.config, &config::ProcessEnvironment) {
        Ok(loaded) => loaded,
        Err(diagnostics) => return super::report(&diagnostics),
    };
    super::exit_code(start_logging(&loaded.config).and_then(|()| serve(&loaded.config, || ())))
}

/// Writes the process log to standard error, at the level of the config.
pub(crate) fn start_logging(config: &Config) -> anyhow::Result<()> {
    let level: tracing_subscriber::filter::LevelFilter = config.log.level.as_str().parse()?;
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(super::wants_colour(std::io::stderr().is_terminal()))
        .with_target(false)
        .try_init()
        .map_err(|error| anyhow::anyhow!(error))
}

/// Serves `config` until a signal ends it; `started` is called once everything listens.
///
/// # Errors
/// When something cannot be started: an address that is in use, a log file.
pub(crate) fn serve(config: &Config, started: impl FnOnce()) -> anyhow::Result<()> {
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let metrics = Arc::new(Metrics::new()?);
    let access_log = start_access_log(config, &metrics)?.map(Arc::new);
    let workers = start_workers(config, &metrics, access_log.clone())?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let address = config.probe.address.0;
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .with_context(|| format!("probe.address: cannot listen on {address}"))?;
        let probed = Arc::new(Probed {
            workers,
            metrics,
            metrics_token: config.probe.metrics_token.as_ref().map(|t| t.expose().to_owned()),
        });
        let answering =
            tokio::spawn(axum::serve(listener, probe::router(Arc::clone(&probed))).into_future());
        tracing::info!(listeners = config.listener.len(), probe = %address, "serving");
        started();
        let signal = signals.next().await;
        tracing::info!(signal, "told to end");
        let times = Times {
            delay: config.process.drain_delay.as_duration(),
            deadline: config.process.drain_deadline.as_duration(),
        };
        drain(&probed.workers, &mut signals, times).await;
        answering.abort();
        anyhow::Ok(())
    })?;
    if let Some(log) = access_log.and_then(Arc::into_inner) {
        log.stop();
    }
    Ok(())
}

/// Takes as many open files as the system lets us: each connection is one, and the usual soft
/// limit of 1024 is far below `max_connections`.
fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, current = ?limit.current, "limit of open files not raised");
    }
}

fn start_access_log(config: &Config, metrics: &Metrics) -> anyhow::Result<Option<AccessLog>> {
    let target = match &config.access_log.to {
        AccessLogTarget::Off => return Ok(None),
        AccessLogTarget::Stdout => Target::Stdout,
        AccessLogTarget::File(path) => Target::File(path.clone()),
    };
    let dropped = metrics.counter(&ACCESS_LOG_DROPPED, &[])?;
    AccessLog::start(&target, worker_count(config), &dropped)
        .map(Some)
        .with_context(|| format!("access_log.to: cannot write to {target:?}"))
}

fn start_workers(
    config: &Config,
    metrics: &Arc<Metrics>,
    access_log: Option<Arc<AccessLog>>,
) -> anyhow::Result<Workers> {
    let snapshot = compile::snapshot(config, metrics, 1)?;
    let sockets = compile::listeners(config, metrics)?
        .into_iter()
        .map(|listener| {
            let (id, address) = (listener.id.clone(), listener.address);
            ListeningSocket::bind(listener)
                .with_context(|| format!("listener.{id}.address: cannot listen on {address}"))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let setup = Setup {
        workers: worker_count(config),
        idle_connections: usize::try_from(config.process.idle_upstream_connections)?,
        sockets,
        publisher: Publisher::new(snapshot),
        metrics: Arc::clone(metrics),
        access_log,
    };
    Ok(Workers::start(setup)?)
}

fn worker_count(config: &Config) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    config.process.worker_count(cores)
}
