//! `vanne run`: the proxy.

use crate::config::{self, Address, Config, FilePath, Loaded, LogLevel};
use crate::control::access_log::{self, Log};
use crate::control::admin::Admin;
use crate::control::admin::door::{Door, SocketFile};
use crate::control::drain::{Signals, Times, drain};
use crate::control::log_level::SetLevel;
use crate::control::probe::{self, Probed};
use crate::control::process_gauges;
use crate::control::reload::Reloader;
use crate::control::steer::{self, Wish, steer};
use crate::data::engine::worker::{Setup, Workers};
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::{ACCESS_LOG_DROPPED, Counter, Metrics, WAF_LOG_DROPPED};
use anyhow::Context;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

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
    /// The engine that requests go by; for comparing the two.
    #[arg(long, hide = true, value_enum, default_value_t = LaneArg::Lean)]
    lane: LaneArg,
}

/// The engine that requests go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum LaneArg {
    /// The lean one, where it can be.
    Lean,
    /// Pingora's, always.
    Pingora,
}

/// Runs until the process is told to end. Exit code 1: the config is wrong, or something
/// could not be started; the reason is on standard error.
pub(crate) fn run(args: &Args) -> ExitCode {
    let loaded = match config::load(&args.config, &config::ProcessEnvironment) {
        Ok(loaded) => loaded,
        Err(diagnostics) => return super::report(&diagnostics),
    };
    let path = Some(args.config.clone());
    let logging = start_logging(&loaded.config);
    let is_lean = args.lane == LaneArg::Lean;
    super::exit_code(
        logging.and_then(|set_level| serve(Start { loaded, path, is_lean, set_level }, || ())),
    )
}

/// Writes the process log to standard error, at the level of the config. What changes the
/// level afterwards.
pub(crate) fn start_logging(config: &Config) -> anyhow::Result<SetLevel> {
    let (filter, handle) = tracing_subscriber::reload::Layer::new(filter_of(config.log.level));
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(super::wants_colour(std::io::stderr().is_terminal()))
        .with_target(false);
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init()
        .map_err(|error| anyhow::anyhow!(error))?;
    Ok(Box::new(move |level| {
        if let Err(error) = handle.reload(filter_of(level)) {
            tracing::error!(%error, level = level.as_str(), "level of the log not changed");
        }
    }))
}

/// What is logged at `level`. The libraries below warn of whatever a client does wrong, line by
/// line: they speak only to those who want to know everything.
fn filter_of(level: LogLevel) -> Targets {
    let level = level.as_str().parse().unwrap_or(LevelFilter::INFO);
    let of_libraries =
        if level >= LevelFilter::DEBUG { level } else { level.min(LevelFilter::ERROR) };
    let libraries = ["h2", "hickory", "hyper", "pingora", "rustls", "tokio_rustls"];
    let pingoras = ["pingora_core", "pingora_proxy"];
    Targets::new()
        .with_default(level)
        .with_targets(libraries.into_iter().chain(pingoras).map(|name| (name, of_libraries)))
}

/// What is served.
pub(crate) struct Start {
    /// The config.
    pub loaded: Loaded,
    /// The file that it is from, if it is from one.
    pub path: Option<PathBuf>,
    /// Whether the lean engine is used where it can be.
    pub is_lean: bool,
    /// What changes the level of the process log.
    pub set_level: SetLevel,
}

/// Serves until a signal ends it; `started` is called once everything listens.
///
/// # Errors
/// When something cannot be started: an address that is in use, a log file.
pub(crate) fn serve(start: Start, started: impl FnOnce()) -> anyhow::Result<()> {
    let Start { loaded, path, is_lean, set_level } = start;
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let metrics = Arc::new(Metrics::new(worker_count(&loaded.config))?);
    let logs = Logs::start(&loaded.config, &metrics)?;
    let mut reloader = Reloader::start(loaded, path, &metrics, set_level)?;
    reloader.access_log = Log::of(Arc::clone(&logs.access));
    reloader.waf_log = Log::of(Arc::clone(&logs.waf));
    let workers = Arc::new(start_workers(&reloader, is_lean, &metrics, &logs)?);
    reloader.work_with(&workers);
    runtime.block_on(control(reloader, workers, metrics, started))?;
    logs.access.stop();
    logs.waf.stop();
    Ok(())
}

/// What happens beside the traffic, until the process ends.
async fn control(
    reloader: Reloader,
    workers: Arc<Workers>,
    metrics: Arc<Metrics>,
    started: impl FnOnce(),
) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    let told_by = steer::Signals::listen()?;
    let config = &reloader.config;
    let (listeners, address) = (config.listener.len(), config.probe.address.0);
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("probe.address: cannot listen on {address}"))?;
    let shown = process_gauges::watch(&metrics, &reloader.generations());
    let (wishes, asked) = mpsc::channel(1);
    let access = Arc::clone(&reloader.access);
    let admin = Admin::new(wishes.clone(), access, Arc::clone(&workers), Arc::clone(&metrics));
    let admin = open_admin(&admin, config).await?;
    let probed = Arc::new(Probed {
        workers: Arc::clone(&workers),
        metrics: Arc::clone(&metrics),
        starting: reloader.starting(),
        metrics_token: reloader.metrics_token(),
    });
    let answering = tokio::spawn(axum::serve(listener, probe::router(probed)).into_future());
    let steering = tokio::spawn(steer(reloader, asked, told_by));
    tracing::info!(listeners, probe = %address, "serving");
    started();
    let signal = signals.next().await;
    tracing::info!(signal, "told to end");
    // Connections to it may stay open: they are answered that the process ends.
    admin.answering.iter().for_each(JoinHandle::abort);
    drop(admin);
    // If nobody steers any more, that has ended too.
    drop(wishes.send(Wish::End).await);
    let reloader = steering.await?;
    let process = &reloader.config.process;
    let times = Times {
        delay: process.drain_delay.as_duration(),
        deadline: process.drain_deadline.as_duration(),
    };
    // What listens is the workers' alone from here on: they close it.
    let kept = reloader.into_kept();
    drain(&workers, &mut signals, times).await;
    kept.redis.end().await;
    answering.abort();
    drop(shown);
    Ok(())
}

/// The open doors of the admin API.
struct OpenAdmin {
    answering: Vec<JoinHandle<()>>,
    _socket: Option<SocketFile>,
}

/// Opens the doors of the admin API that the config names.
async fn open_admin(admin: &Arc<Admin>, config: &Config) -> anyhow::Result<OpenAdmin> {
    let mut open = OpenAdmin { answering: Vec::new(), _socket: None };
    if let Some(FilePath(path)) = &config.admin.socket {
        let (socket, door) = SocketFile::bind(path)
            .with_context(|| format!("admin.socket: cannot listen at {}", path.display()))?;
        open._socket = Some(socket);
        open.answering.push(tokio::spawn(Arc::clone(admin).answer(door)));
    }
    if let Some(Address(address)) = config.admin.address {
        let door = Door::bind(address)
            .await
            .with_context(|| format!("admin.address: cannot listen on {address}"))?;
        open.answering.push(tokio::spawn(Arc::clone(admin).answer(door)));
    }
    Ok(open)
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

/// The logs of requests.
struct Logs {
    access: Arc<AccessLog>,
    waf: Arc<AccessLog>,
}

impl Logs {
    fn start(config: &Config, metrics: &Metrics) -> anyhow::Result<Self> {
        let start = |key, to, dropped: Counter| {
            AccessLog::start(&access_log::target(to), worker_count(config), &dropped)
                .with_context(|| format!("{key}.to: cannot write to {to}"))
                .map(Arc::new)
        };
        let access = metrics.handle(&ACCESS_LOG_DROPPED, []);
        let waf = metrics.handle(&WAF_LOG_DROPPED, []);
        Ok(Self {
            access: start("access_log", &config.access_log.to, access)?,
            waf: start("waf_log", &config.waf_log.to, waf)?,
        })
    }
}

fn start_workers(
    reloader: &Reloader,
    is_lean: bool,
    metrics: &Arc<Metrics>,
    logs: &Logs,
) -> anyhow::Result<Workers> {
    let config = &reloader.config;
    let setup = Setup {
        workers: worker_count(config),
        idle_connections: usize::try_from(config.process.idle_upstream_connections)?,
        is_lean,
        sockets: reloader.listeners.sockets(),
        publisher: reloader.publisher(),
        blocklist: reloader.blocks.shared(),
        metrics: Arc::clone(metrics),
        access_log: Arc::clone(&logs.access),
        waf_log: Arc::clone(&logs.waf),
    };
    Ok(Workers::start(setup)?)
}

fn worker_count(config: &Config) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    config.process.worker_count(cores)
}
