//! `vanne demo`: backends whose latency and failures are switched over HTTP, and a proxy
//! before them, in one process.
//!
//! For trying things out by hand, for newcomers, and for load tests. The backends are in
//! `backend`, what they can be told in `behaviour`; what is printed is here. Nothing of
//! this is used by `vanne run`.

mod backend;
mod behaviour;

use crate::config::{
    self, BackendEntry, Config, Diagnostics, Format, Loaded, ProcessEnvironment, Source,
};
use crate::control::drain::Signals;
use crate::types::ids::PoolId;
use anyhow::Context;
use std::fmt::Write;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;

/// The config that is used if no other is named.
const BUILT_IN: &str = include_str!("../../conf/demo.toml");
/// The pool whose backends are the demo's.
const POOL: &str = "demo";

/// Start demo backends and a proxy before them.
///
/// Prints what to ask them, and runs until Ctrl-C. The access log goes where the config
/// says: by default below what is printed.
#[derive(clap::Args, Debug)]
#[command(after_long_help = behaviour::HELP)]
pub(crate) struct Args {
    /// Start the backends only.
    #[arg(long)]
    backends_only: bool,
    /// Port of the first backend; the next have the next ports. 0: any free ports.
    #[arg(long, default_value_t = 9001)]
    base_port: u16,
    /// How many backends.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=100))]
    count: u16,
    /// The proxy's config. The backends of its pool `demo` are replaced by those started.
    /// Without it: conf/demo.toml as it was when this program was built.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Runs until the process is told to end. Exit code 1: the config is wrong, or something
/// could not be started; the reason is on standard error.
pub(crate) fn run(args: &Args) -> ExitCode {
    if args.backends_only {
        return super::exit_code(run_backends(args));
    }
    match load(args.config.as_deref()) {
        Ok(loaded) => super::exit_code(run_all(args, loaded)),
        Err(diagnostics) => super::report(&diagnostics),
    }
}

fn load(path: Option<&Path>) -> Result<Loaded, Box<Diagnostics>> {
    match path {
        Some(path) => config::load(path, &ProcessEnvironment),
        None => {
            let name = "conf/demo.toml (built in)";
            let folder = Path::new(".");
            let source = Source { name, text: BUILT_IN, format: Format::Toml, folder };
            config::parse(&source, &ProcessEnvironment)
        }
    }
}

fn run_backends(args: &Args) -> anyhow::Result<()> {
    let backends = start_backends(args)?;
    let mut text = String::from("Backends, until Ctrl-C:\n");
    for address in &backends {
        writeln!(text, "  http://{address}/")?;
    }
    if let Some(first) = backends.first() {
        section(
            &mut text,
            "What they can be told: vanne demo --help. For example",
            &[format!(
                "curl -s -X PUT http://{first}/_demo/behaviour -d '{{\"latency\":\"200ms\"}}'"
            )],
        )?;
    }
    super::print(&text)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async { anyhow::Ok(Signals::listen()?.next().await) })?;
    Ok(())
}

fn run_all(args: &Args, mut loaded: Loaded) -> anyhow::Result<()> {
    let config = &mut loaded.config;
    let id: PoolId = POOL.parse()?;
    let Some(pool) = config.pool.get_mut(&id) else {
        anyhow::bail!("the config has no pool.{POOL}: that is where the demo backends go");
    };
    let backends = start_backends(args)?;
    pool.backends = backends.iter().copied().map(BackendEntry::at).collect();
    let text = introduction(config, &backends)?;
    let set_level = super::run::start_logging(config)?;
    let start = super::run::Start { loaded, path: None, is_lean: true, set_level };
    super::run::serve(start, move || {
        if let Err(error) = super::print(&text) {
            tracing::warn!(%error, "introduction not printed");
        }
    })
}

/// Starts the backends on a thread of their own: their addresses.
fn start_backends(args: &Args) -> anyhow::Result<Vec<SocketAddr>> {
    let mut sockets = Vec::new();
    for index in 0..args.count {
        let port = match args.base_port {
            0 => 0,
            base => base.checked_add(index).context("--base-port: there are no such ports")?,
        };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let socket = std::net::TcpListener::bind(address)
            .with_context(|| format!("--base-port: cannot listen on {address}"))?;
        socket.set_nonblocking(true)?;
        sockets.push(socket);
    }
    let addresses =
        sockets.iter().map(std::net::TcpListener::local_addr).collect::<Result<_, _>>()?;
    let (sender, started) = mpsc::channel();
    std::thread::Builder::new().name("demo-backends".into()).spawn(move || {
        let result = backend::serve(sockets, || drop(sender.send(Ok(()))));
        // Only somebody who still waits for the start wants to know.
        drop(sender.send(result));
    })?;
    started.recv().context("the backends ended at once")??;
    Ok(addresses)
}

/// What to ask the demo. Every line works as it stands.
fn introduction(config: &Config, backends: &[SocketAddr]) -> anyhow::Result<String> {
    let listener = config.listener.values().next().context("the config has no listener")?;
    let (proxy, probe) = (reachable(listener.address.0), reachable(config.probe.address.0));
    let tell = |index: usize, what: &str| {
        let address = backends.get(index).or(backends.first()).copied().unwrap_or(proxy);
        format!("curl -s -X PUT http://{address}/_demo/behaviour -d '{what}'")
    };
    let turns = format!("for i in $(seq {}); do curl -s http://{proxy}/; done", backends.len() + 1);
    let mut text = format!("Vanne listens on http://{proxy}/ before {} backends:", backends.len());
    for address in backends {
        write!(text, " {address}")?;
    }
    text.push_str(".\nAsk from another terminal; the access log appears here. Ctrl-C ends it.\n");
    section(&mut text, "Each backend in turn", std::slice::from_ref(&turns))?;
    section(
        &mut text,
        "One that is slow",
        &[tell(0, "{\"latency\":\"500ms\"}"), turns.clone(), tell(0, "{}")],
    )?;
    section(
        &mut text,
        "One that fails, and one that cuts the connection: another one answers",
        &[
            tell(0, "{\"fail\":\"503\"}"),
            tell(1, "{\"fail\":\"reset\"}"),
            turns.clone(),
            tell(0, "{}"),
            tell(1, "{}"),
        ],
    )?;
    let posts = turns.replace("curl -s", "curl -s -X POST");
    section(
        &mut text,
        "One that hangs: at the pool's first_byte limit another one answers, or 504 if the\n\
         # request must not be repeated",
        &[tell(0, "{\"fail\":\"hang\"}"), turns, posts, tell(0, "{}")],
    )?;
    section(
        &mut text,
        "Server-sent events, as they are sent",
        &[format!("curl -sN 'http://{proxy}/sse?count=3'")],
    )?;
    section(
        &mut text,
        "A large body",
        &[format!("curl -s http://{proxy}/bytes/64000000 | wc -c")],
    )?;
    section(
        &mut text,
        "Metrics, readiness, health",
        &[
            format!("curl -s http://{probe}/metrics | grep ^vanne_requests_total"),
            format!("curl -si http://{probe}/readyz"),
            format!("curl -s http://{probe}/health"),
        ],
    )?;
    text.push('\n');
    Ok(text)
}

/// An address to connect to: loopback for one that means all interfaces.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        (Ipv4Addr::LOCALHOST, address.port()).into()
    } else {
        address
    }
}

fn section(text: &mut String, title: &str, lines: &[String]) -> std::fmt::Result {
    write!(text, "\n# {title}\n{}\n", lines.join("\n"))
}
