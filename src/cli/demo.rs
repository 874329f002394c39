//! `vanne demo`: backends that misbehave on request, and a proxy in front of them.
//!
//! For a first look, and for whoever develops Vanne. The backends run on a thread of their
//! own (`backend`), the proxy is the one of `vanne run`. Nothing here is for production.

mod backend;
mod behaviour;
mod cut;
mod lines;

use super::run;
use crate::config::{self, Format, Loaded, ProcessEnvironment, Source};
use crate::control::drain::Signals;
use anyhow::Context;
use backend::Backend;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The config that is served without `--config`: built in, so that it works in any folder.
const BUILT_IN: &str = include_str!("../../conf/demo.toml");
const BUILT_IN_NAME: &str = "conf/demo.toml (built in)";

const EXAMPLES: &str = "\
Examples:
  vanne demo                            three backends and a proxy on 127.0.0.1:8080
  vanne demo --config my.toml           the same backends, your proxy
  vanne demo --backends-only --count 5  backends on ports 9001 to 9005, for a proxy of your own

Each backend answers at any path with what reached it, as JSON. Also:
  /sse       an event each second
  /bytes/N   N bytes, at most 1 GiB
  /slow/MS   the same as any path, after MS milliseconds
  WebSocket  at any path: each message is sent back

Backends misbehave when told so, each on its own port:
  curl -X PUT 'http://127.0.0.1:9001/_demo/behaviour?latency=200ms&status=503&share=50%25'
  curl -X PUT 'http://127.0.0.1:9002/_demo/behaviour?hang'     never answers
  curl -X PUT 'http://127.0.0.1:9003/_demo/behaviour?reset'    resets the connection
  curl http://127.0.0.1:9001/_demo/behaviour                   shows it
  curl -X DELETE http://127.0.0.1:9001/_demo/behaviour         behaves again";

/// Start demo backends and the proxy in one process, and print what to ask them.
///
/// The proxy serves conf/demo.toml, which is built in, or the config you name. It goes to the
/// backends that its config names: `--base-port` and `--count` change only which demo backends
/// are started.
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The proxy's config file, instead of the built-in one.
    #[arg(short, long, value_name = "FILE", conflicts_with = "backends_only")]
    config: Option<PathBuf>,
    /// Start no proxy.
    #[arg(long)]
    backends_only: bool,
    /// Port of the first backend; the others have the next ones. The proxy's config stays as
    /// it is.
    #[arg(long, value_name = "PORT", default_value_t = 9001,
          value_parser = clap::value_parser!(u16).range(1..))]
    base_port: u16,
    /// How many backends are started.
    #[arg(long, value_name = "N", default_value_t = 3,
          value_parser = clap::value_parser!(u16).range(1..=100))]
    count: u16,
}

/// Runs until the process is told to end. Exit code 1: the config is wrong, or a port is in
/// use; the reason is on standard error.
pub(crate) fn run(args: &Args) -> ExitCode {
    if args.backends_only {
        return super::exit_code(backends_only(args));
    }
    let loaded = match &args.config {
        Some(path) => config::load(path, &ProcessEnvironment),
        None => built_in(),
    };
    match loaded {
        Ok(loaded) => super::exit_code(with_proxy(args, &loaded)),
        Err(diagnostics) => super::report(&diagnostics),
    }
}

fn built_in() -> Result<Loaded, Box<config::Diagnostics>> {
    let source = Source {
        name: BUILT_IN_NAME,
        text: BUILT_IN,
        format: Format::Toml,
        folder: Path::new("."),
    };
    config::parse(&source, &ProcessEnvironment)
}

fn with_proxy(args: &Args, loaded: &Loaded) -> anyhow::Result<()> {
    let config = &loaded.config;
    run::start_logging(config)?;
    let backends = start_backends(args)?;
    run::serve(config, || {
        // The lines are a service to who watches; the proxy serves all the same.
        if let Err(error) = super::print(&lines::of_proxy(config, &backends)) {
            tracing::warn!(%error, "cannot print what to try");
        }
    })
}

fn backends_only(args: &Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let backends = start_backends(args)?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        super::print(&lines::of_backends(&backends))?;
        signals.next().await;
        Ok(())
    })
}

/// Starts the backends on a thread of their own: where they listen.
fn start_backends(args: &Args) -> anyhow::Result<Vec<SocketAddr>> {
    let mut bound = Vec::new();
    for index in 0..args.count {
        let port = args.base_port.checked_add(index).with_context(|| {
            format!("--base-port {} --count {}: ports end at 65535", args.base_port, args.count)
        })?;
        bound.push((format!("demo-{}", index + 1), listen(port)?));
    }
    let addresses = bound.iter().map(|(_, listener)| listener.local_addr());
    let addresses = addresses.collect::<io::Result<Vec<_>>>()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new().name("demo-backends".to_owned()).spawn(move || {
        runtime.block_on(serve(bound));
    })?;
    Ok(addresses)
}

fn listen(port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).with_context(|| {
        format!("a demo backend cannot listen on {address} (--base-port sets the ports)")
    })?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Serves all backends until the process ends.
async fn serve(bound: Vec<(String, TcpListener)>) {
    let all = bound.into_iter().map(|(name, listener)| async move {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Backend::new(name).serve(listener).await
    });
    for result in futures::future::join_all(all).await {
        if let Err(error) = result {
            tracing::error!(%error, "a demo backend ended");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_config_is_right() {
        let loaded = built_in().unwrap();
        assert!(loaded.warnings.problems.is_empty());
        let ports = loaded.config.pool.values().flat_map(|pool| &pool.backends);
        let ports: Vec<u16> = ports.map(|address| address.0.port()).collect();
        assert_eq!(ports, [9001, 9002, 9003], "the defaults of --base-port and --count");
    }
}
