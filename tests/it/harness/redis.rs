//! A Redis of the test's own: the real server (`redis-server`, which `make test` installs), and a
//! way to it that may be slow.

use super::ports::Port;
use super::vanne::Process;
use super::{PATIENCE, eventually};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A Redis that keeps nothing on disk. It is killed when this is dropped.
pub(crate) struct RedisServer {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    arguments: Vec<String>,
    process: Option<Process>,
    dir: TempDir,
    _port: Port,
}

impl RedisServer {
    /// One that asks for no password.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// One with more arguments; `@dir` in them is a folder of its own, `@port` its port.
    pub(crate) async fn with(arguments: &[&str]) -> Self {
        let (port, dir) = (Port::take(), tempfile::tempdir().unwrap());
        let number = port.address.port().to_string();
        let folder = dir.path().to_str().unwrap().to_owned();
        let fill_in = |text: &&str| text.replace("@dir", &folder).replace("@port", &number);
        let mut all: Vec<String> = arguments.iter().map(fill_in).collect();
        for (key, value) in [("--bind", "127.0.0.1"), ("--save", ""), ("--dir", &folder)] {
            all.extend([key.to_owned(), value.to_owned()]);
        }
        if !arguments.contains(&"--port") {
            all.extend(["--port".to_owned(), number]);
        }
        let address = port.address;
        let mut server = Self { address, arguments: all, process: None, dir, _port: port };
        server.restart().await;
        server
    }

    /// A file in its folder, written before it starts.
    pub(crate) fn file(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Starts it, empty, if it does not run.
    pub(crate) async fn restart(&mut self) {
        let mut command = Command::new("redis-server");
        command.args(&self.arguments);
        let process = self.process.insert(Process::start(command));
        eventually("redis-server", || {
            let log = process.stdout();
            assert!(process.runs(), "{log:?} {:?}", process.stderr());
            log.iter().any(|line| line.contains("Ready to accept")).then_some(())
        })
        .await;
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Stops it where it stands.
    pub(crate) fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Has it go on.
    pub(crate) fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        self.process.as_ref().expect("it runs").signal(signal);
    }

    /// A connection to it.
    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        let place = (self.address.ip().to_string(), self.address.port());
        let patience = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let client = redis::Client::open(place).unwrap();
        client.get_multiplexed_async_connection_with_config(&patience).await.unwrap()
    }

    /// Its answer to a command.
    pub(crate) async fn ask<T: FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.connect().await;
        redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await.unwrap()
    }
}

/// A way to a server on which every piece of an answer takes so long.
pub(crate) struct SlowWay {
    /// Where it begins.
    pub(crate) address: SocketAddr,
    delay_ms: Arc<AtomicU64>,
}

impl SlowWay {
    /// A way to `server`, without delay at first.
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, delay_ms) = (listener.local_addr().unwrap(), Arc::new(AtomicU64::new(0)));
        let delay = Arc::clone(&delay_ms);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let delay = Arc::clone(&delay);
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    tokio::join!(
                        pass(from_client, to_server, None),
                        pass(from_server, to_client, Some(delay)),
                    );
                });
            }
        });
        Self { address, delay_ms }
    }

    /// From now on answers take so many milliseconds longer.
    pub(crate) fn delay(&self, ms: u64) {
        self.delay_ms.store(ms, Ordering::SeqCst);
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    delay: Option<Arc<AtomicU64>>,
) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece).await {
        if let Some(delay) = &delay {
            tokio::time::sleep(Duration::from_millis(delay.load(Ordering::SeqCst))).await;
        }
        if to.write_all(&piece[..length]).await.is_err() {
            return;
        }
    }
    // Whoever reads may have left before.
    drop(to.shutdown().await);
}
