//! Keys of the config that no other topic shows.

use crate::harness::ports::Port;
use crate::harness::vanne::{Process, binary};
use crate::harness::{Client, Origin, Settings, Vanne, ms};
use std::process::Command;
use std::sync::Arc;
use tokio::sync::Barrier;

#[tokio::test]
async fn there_are_as_many_workers_as_it_says() {
    for workers in [1, 3] {
        let process = format!("workers = {workers}");
        let settings = Settings { process: &process, ..Settings::default() };
        let mut vanne = Vanne::with(&[], settings).await;
        let names = threads(vanne.process().id());
        assert_eq!(names.iter().filter(|name| name.starts_with("worker-")).count(), workers);
    }
}

/// Names of a process' threads.
fn threads(process: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).unwrap()).collect()
}

#[tokio::test]
async fn freed_memory_is_given_back_by_a_thread_of_its_own() {
    let mut vanne = Vanne::with(&[], Settings::default()).await;
    let names = threads(vanne.process().id());
    assert!(names.iter().any(|name| name == "jemalloc_bg_thd\n"), "{names:?}");
}

/// Connections to the backend that are still open after `count` requests at once, with room for
/// `idle`.
async fn kept_of(count: usize, idle: usize) -> usize {
    let barrier = Arc::new(Barrier::new(count));
    let origin = Origin::start(move |mut conn| {
        let barrier = Arc::clone(&barrier);
        async move {
            conn.request().await;
            barrier.wait().await;
            conn.send(crate::harness::origin::ok("ok")).await;
            conn.note_end().await;
        }
    })
    .await;
    let process = format!("workers = 1\nidle_upstream_connections = {idle}");
    let settings = Settings { process: &process, ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = Client::connect(vanne.http).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(client.answer("GET").await.status(), 200);
    }
    // What is closed is closed at once; what is kept would be kept for long.
    tokio::time::sleep(ms(200)).await;
    origin.connections() - origin.ends()
}

#[tokio::test]
async fn no_more_unused_connections_are_kept_than_it_says() {
    assert_eq!(kept_of(4, 1).await, 1);
    assert_eq!(kept_of(4, 2).await, 2);
    assert_eq!(kept_of(4, 1024).await, 4);
}

#[tokio::test]
async fn the_process_log_has_the_level_it_says() {
    let port = Port::take();
    let log_at = async |level: &str| {
        let more = format!("[log]\nlevel = \"{level}\"");
        let settings = Settings { more: &more, ..Settings::default() };
        let mut vanne = Vanne::with(&[port.address], settings).await;
        assert_eq!(vanne.get("/").await.status(), 502);
        vanne.sigterm();
        vanne.exit_within(ms(3000)).await;
        vanne.process_log()
    };
    let info = log_at("info").await;
    assert!(info.contains(" INFO ") && info.contains("connect_refused"), "{info}");
    let warn = log_at("warn").await;
    assert!(!warn.contains(" INFO ") && warn.contains(" WARN "), "{warn}");
    let off = log_at("off").await;
    assert_eq!(off, "");
}

#[tokio::test]
async fn each_listener_has_its_address_and_its_name_in_the_log() {
    let (origin, second) = (Origin::fixed("ok").await, Port::take());
    let more = format!("[listener.second]\naddress = \"{}\"", second.address);
    let settings = Settings { more: &more, ..Settings::default() };
    let vanne = Vanne::with(&[origin.address], settings).await;
    for (address, name) in [(vanne.http, "http"), (second.address, "second")] {
        let answer = crate::harness::get(address, "/").await;
        assert_eq!(vanne.log_of(answer.id()).await["listener"], name);
    }
    let port = origin.requests().swap_remove(1);
    assert_eq!(port.field("x-forwarded-port"), Some(second.address.port().to_string().as_str()));
}

#[tokio::test]
async fn an_ipv6_backend_is_reached() {
    let Ok(listener) = std::net::TcpListener::bind("[::1]:0") else { return };
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    let vanne = Vanne::before(&[address]).await;
    let serving = async {
        let mut wire = crate::harness::Wire::new(listener.accept().await.unwrap().0);
        wire.head().await;
        wire.send(crate::harness::origin::ok("six")).await;
        wire
    };
    let (answer, _wire) = tokio::join!(vanne.get("/"), serving);
    assert_eq!(answer.text(), "six");
}

/// What a process that cannot start says, with its exit code.
async fn fails(config: &str) -> (i32, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vanne.toml");
    std::fs::write(&path, config).unwrap();
    let mut command = Command::new(binary());
    command.arg("run").arg("--config").arg(&path);
    let mut process = Process::start(command);
    let code = process.exit_within(ms(5000)).await.code().unwrap();
    (code, process.stderr().join("\n"))
}

#[tokio::test]
async fn a_wrong_config_does_not_start() {
    let (code, said) = fails("[listener.http]\naddres = \"127.0.0.1:1\"").await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("addres") && said.contains("vanne.toml:2"), "{said}"); // misspelt on purpose
}

#[tokio::test]
async fn an_address_in_use_is_said_with_its_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let listening = std::net::TcpListener::bind(taken).unwrap();
    let address = listening.local_addr().unwrap();
    let free = Port::take();
    let config = |http: std::net::SocketAddr, probe: std::net::SocketAddr| {
        format!("[listener.http]\naddress = \"{http}\"\n[probe]\naddress = \"{probe}\"")
    };
    let (code, said) = fails(&config(address, free.address)).await;
    assert_eq!(code, 1);
    assert!(said.contains("listener.http.address"), "{said}");
    let (code, said) = fails(&config(free.address, address)).await;
    assert_eq!(code, 1);
    assert!(said.contains("probe.address"), "{said}");
}

/// A proxy that may have so many open files and no more.
async fn with_open_files(origin: &Origin, limit: u32) -> Vanne {
    let config = format!(
        "[pool.app]\nbackends = [\"{}\"]\n[[route]]\nname = \"all\"\npool = \"app\"",
        origin.address
    );
    Vanne::start_by(&config, |binary| {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
        command.args(["-c", &script]).arg(binary);
        command
    })
    .await
}

#[tokio::test]
async fn a_process_out_of_open_files_recovers() {
    let origin = Origin::fixed("ok").await;
    let mut vanne = with_open_files(&origin, 64).await;
    let mut clients = Vec::new();
    for _ in 0..100 {
        clients.push(Client::connect(vanne.http).await);
    }
    crate::harness::eventually("it says so", || {
        vanne.process_log().contains("accept failed").then_some(())
    })
    .await;
    drop(clients);
    assert_eq!(vanne.get("/").await.status(), 200);
    assert!(vanne.process().runs());
    vanne.sigterm();
    assert_eq!(vanne.exit_within(ms(3000)).await, 0);
}
