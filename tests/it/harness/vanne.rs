//! The process under test: the real binary with a config of the test's, on ports of its own.

use super::ports::Port;
use super::{Answer, Metrics, eventually, eventually_async, get};
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;
use vanne::config::{Environment, ProcessEnvironment};

/// The running process. It is killed when this is dropped.
pub(crate) struct Vanne {
    /// Where clients go.
    pub(crate) http: SocketAddr,
    /// Where probes go.
    pub(crate) probe: SocketAddr,
    process: Process,
    dir: TempDir,
    _ports: [Port; 2],
}

/// A process with what it writes. It is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    stdout: Lines,
    stderr: Lines,
    collectors: [JoinHandle<()>; 2],
}

type Lines = Arc<Mutex<Vec<String>>>;

/// Lines of a config that has one listener, one pool `app` and one route `all`: what to add to
/// each table.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settings<'a> {
    /// In `[process]`.
    pub(crate) process: &'a str,
    /// In `[listener.http]`.
    pub(crate) listener: &'a str,
    /// In `[pool.app]`.
    pub(crate) pool: &'a str,
    /// In the route.
    pub(crate) route: &'a str,
    /// Tables of their own.
    pub(crate) more: &'a str,
}

impl Settings<'_> {
    /// The config of a proxy before these backends.
    fn config(self, backends: &[SocketAddr]) -> String {
        let Settings { process, listener, pool, route, more } = self;
        let backends = list(backends);
        format!(
            "[process]\n{process}\n[listener.http]\naddress = \"@http\"\n{listener}\n\
             [pool.app]\nbackends = {backends}\n{pool}\n\
             [[route]]\nname = \"all\"\npool = \"app\"\n{route}\n{more}\n",
        )
    }
}

/// The engine that the tests are run with; by default the lean one, where it can be.
pub(crate) fn lane() -> Option<String> {
    ProcessEnvironment.variable("VANNE_LANE")
}

impl Vanne {
    /// A proxy before these backends, with all else as by default.
    pub(crate) async fn before(backends: &[SocketAddr]) -> Self {
        Self::with(backends, Settings::default()).await
    }

    /// A proxy before these backends, with these settings.
    pub(crate) async fn with(backends: &[SocketAddr], settings: Settings<'_>) -> Self {
        Self::in_lane(lane().as_deref(), backends, settings).await
    }

    /// The same, with this engine, whatever the tests are run with.
    pub(crate) async fn in_lane(
        lane: Option<&str>,
        backends: &[SocketAddr],
        settings: Settings<'_>,
    ) -> Self {
        let run = |binary: &Path| Command::new(binary);
        let text = |path: &Path, filled: &str| std::fs::write(path, filled).unwrap();
        Self::start_with(&settings.config(backends), lane, run, text).await
    }

    /// A proxy with this config, once it is ready. `@http`, `@probe` and `@dir` in it become
    /// addresses and a folder of its own; tables that every config needs are added if missing.
    pub(crate) async fn start(config: &str) -> Self {
        Self::start_by(config, |binary| Command::new(binary)).await
    }

    /// The same; `command` says how the binary is started.
    pub(crate) async fn start_by(config: &str, command: impl FnOnce(&Path) -> Command) -> Self {
        let text = |path: &Path, filled: &str| std::fs::write(path, filled).unwrap();
        Self::start_with(config, lane().as_deref(), command, text).await
    }

    /// The same; the config's file is a link into a folder that is a link, as Kubernetes
    /// mounts it.
    pub(crate) async fn start_mounted(config: &str) -> Self {
        let write = |path: &Path, filled: &str| {
            mount(path.parent().unwrap(), 1, filled);
            std::os::unix::fs::symlink("..data/vanne.toml", path).unwrap();
        };
        let run = |binary: &Path| Command::new(binary);
        Self::start_with(config, lane().as_deref(), run, write).await
    }

    async fn start_with(
        config: &str,
        lane: Option<&str>,
        command: impl FnOnce(&Path) -> Command,
        write: impl FnOnce(&Path, &str),
    ) -> Self {
        let ports = [Port::take(), Port::take()];
        let [http, probe] = [ports[0].address, ports[1].address];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vanne.toml");
        let filled = fill_in(config, http, probe, dir.path());
        write(&path, &filled);
        let mut command = command(binary());
        command.arg("run").arg("--config").arg(&path);
        // Every test holds whichever engine serves its requests.
        if let Some(lane) = lane {
            command.arg("--lane").arg(lane);
        }
        let mut vanne = Self { http, probe, process: Process::start(command), dir, _ports: ports };
        eventually_async("ready", async || {
            if let Some(status) = vanne.process.child.try_wait().unwrap() {
                panic!("{status} at start:\n{}\n{filled}", vanne.process.stderr().join("\n"));
            }
            is_ready(probe).await.then_some(())
        })
        .await;
        vanne
    }

    /// What stands in the file of a config for this process.
    pub(crate) fn fill_in(&self, config: &str) -> String {
        fill_in(config, self.http, self.probe, self.dir.path())
    }

    /// Mounts another version of the config, as Kubernetes does.
    pub(crate) fn mount(&self, version: u32, config: &str) {
        mount(self.dir.path(), version, &self.fill_in(config));
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// A file in the process' folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The process.
    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Replaces the config file: by renaming another one over it.
    pub(crate) fn replace_config(&self, config: &str) {
        let (new, path) = (self.file("vanne.toml.new"), self.file("vanne.toml"));
        std::fs::write(&new, self.fill_in(config)).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    /// Has this config used, by way of the admin socket at `@dir/admin.sock`: what came of it.
    pub(crate) async fn reload(&self, config: &str) -> Value {
        let before = self.metrics().await.value("vanne_config_generation", &[]);
        self.replace_config(config);
        let mut command = Command::new(binary());
        command.args(["reload", "--json", "--socket"]).arg(self.file("admin.sock"));
        let run = tokio::task::spawn_blocking(move || command.output().unwrap());
        let output = run.await.unwrap();
        let mut said: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        // Who watches the file may have been first.
        if said["result"] == "unchanged" && said["generation"].as_f64() > before {
            said["result"] = "applied".into();
        }
        said
    }

    /// Sends SIGTERM.
    pub(crate) fn sigterm(&self) {
        self.process.signal(Signal::TERM);
    }

    /// Waits until the process has ended, for `limit` at most: its exit code.
    pub(crate) async fn exit_within(&mut self, limit: Duration) -> i32 {
        self.process.exit_within(limit).await.code().expect("ended by a signal")
    }

    /// Asks for `target` on a connection of its own.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        get(self.http, target).await
    }

    /// The lines of the access log so far.
    pub(crate) fn log_lines(&self) -> Vec<Value> {
        let lines = self.process.stdout.lock();
        let parse = |line: &String| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"))
        };
        lines.iter().map(parse).collect()
    }

    /// The line of the access log for the request with this id.
    pub(crate) async fn log_of(&self, id: &str) -> Value {
        eventually("a line in the access log", || {
            self.log_lines().into_iter().find(|line| line["request_id"] == id)
        })
        .await
    }

    /// The only line of the access log.
    pub(crate) async fn only_log(&self) -> Value {
        let lines = eventually("a line in the access log", || {
            let lines = self.log_lines();
            (!lines.is_empty()).then_some(lines)
        })
        .await;
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.into_iter().next().unwrap()
    }

    /// What the process log says so far.
    pub(crate) fn process_log(&self) -> String {
        self.process.stderr().join("\n")
    }

    /// Waits until the process log says this.
    pub(crate) async fn says(&self, text: &str) {
        let is_said = || self.process_log().contains(text).then_some(());
        eventually(&format!("`{text}` in the process log"), is_said).await;
    }

    /// The metrics now.
    pub(crate) async fn metrics(&self) -> Metrics {
        let answer = get(self.probe, "/metrics").await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        Metrics(answer.text())
    }

    /// Waits until a metric has this value.
    pub(crate) async fn metric_is(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        eventually_async(&format!("{name}{labels:?} is {value}"), async || {
            (self.metrics().await.value(name, labels) == Some(value)).then_some(())
        })
        .await;
    }

    /// Waits until no connection of a client is open.
    pub(crate) async fn is_idle(&self) {
        self.metric_is("vanne_connections_open", &[], 0.0).await;
    }
}

impl Process {
    /// Starts `command`.
    pub(crate) fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, out) = collect(child.stdout.take().unwrap());
        let (stderr, err) = collect(child.stderr.take().unwrap());
        Self { child, stdout, stderr, collectors: [out, err] }
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// The lines it has written to standard output.
    pub(crate) fn stdout(&self) -> Vec<String> {
        self.stdout.lock().clone()
    }

    /// The lines it has written to standard error.
    pub(crate) fn stderr(&self) -> Vec<String> {
        self.stderr.lock().clone()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits until it has ended, for `limit` at most, and all it has written is here.
    pub(crate) async fn exit_within(&mut self, limit: Duration) -> ExitStatus {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                let is_all = || self.collectors.iter().all(JoinHandle::is_finished).then_some(());
                eventually("the end of its output", is_all).await;
                return status;
            }
            let log = || self.stderr().join("\n");
            assert!(Instant::now() < deadline, "still running after {limit:?}:\n{}", log());
            tokio::time::sleep(super::LOOK).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// The binary under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_vanne"))
}

/// Addresses as a list in TOML.
pub(crate) fn list(addresses: &[SocketAddr]) -> String {
    let quoted: Vec<_> = addresses.iter().map(|address| format!("\"{address}\"")).collect();
    format!("[{}]", quoted.join(", "))
}

fn fill_in(config: &str, http: SocketAddr, probe: SocketAddr, dir: &Path) -> String {
    complete(config)
        .replace("@http", &http.to_string())
        .replace("@probe", &probe.to_string())
        .replace("@dir", dir.to_str().unwrap())
}

fn mount(folder: &Path, version: u32, config: &str) {
    let target = folder.join(format!("..{version}"));
    std::fs::create_dir_all(&target).unwrap();
    std::fs::write(target.join("vanne.toml"), config).unwrap();
    let link = folder.join("..new");
    std::os::unix::fs::symlink(format!("..{version}"), &link).unwrap();
    std::fs::rename(link, folder.join("..data")).unwrap();
}

/// The config with what every test wants, as far as it does not say otherwise.
fn complete(config: &str) -> String {
    let mut config = config.to_owned();
    for (table, key, line) in [
        ("[process]", "workers", "workers = 2"),
        ("[process]", "drain_delay", "drain_delay = \"50ms\""),
        ("[process]", "drain_deadline", "drain_deadline = \"5s\""),
        ("[probe]", "address = \"@probe\"", "address = \"@probe\""),
        ("[listener.", "[listener.", "[listener.http]\naddress = \"@http\""),
    ] {
        if config.contains(key) {
            continue;
        }
        if !table.ends_with(']') {
            config = format!("{config}\n{line}\n");
        } else if config.contains(table) {
            config = config.replacen(table, &format!("{table}\n{line}"), 1);
        } else {
            config = format!("{config}\n{table}\n{line}\n");
        }
    }
    config
}

async fn is_ready(probe: SocketAddr) -> bool {
    if tokio::net::TcpStream::connect(probe).await.is_err() {
        return false;
    }
    get(probe, "/readyz").await.status() == 200
}

/// Collects the lines of a pipe until it ends.
fn collect(pipe: impl Read + Send + 'static) -> (Lines, JoinHandle<()>) {
    let lines = Lines::default();
    let collected = Arc::clone(&lines);
    let collector = std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines() {
            let Ok(line) = line else { return };
            collected.lock().push(line);
        }
    });
    (lines, collector)
}
