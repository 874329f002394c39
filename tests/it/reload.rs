//! A new config while the process runs: what changes, what stays, and what is never cut.

use crate::harness::ports::Port;
use crate::harness::vanne::{binary, list};
use crate::harness::{
    Client, Origin, Vanne, ask, eventually, eventually_async, get, in_time, ms, timed,
};
use rustix::process::Signal;
use std::net::SocketAddr;
use std::process::{Command, Output};
use tokio::net::TcpStream;

/// A config with one listener, one pool, one route and the admin socket.
fn config(backends: &[SocketAddr], route: &str) -> String {
    format!(
        "[process]\nwatch_config = false\n[admin]\nsocket = \"@dir/admin.sock\"\n\
         [listener.http]\naddress = \"@http\"\n\
         [pool.app]\nbackends = {}\n[[route]]\nname = \"all\"\npool = \"app\"\n{route}\n",
        list(backends)
    )
}

/// A config that is watched.
fn watched(backends: &[SocketAddr], route: &str) -> String {
    config(backends, route).replace("watch_config = false\n", "")
}

/// Replaces the config's file by renaming.
fn rewrite(vanne: &Vanne, text: &str) {
    let temporary = vanne.file("new.tmp");
    std::fs::write(&temporary, vanne.fill_in(text)).unwrap();
    std::fs::rename(temporary, vanne.file("vanne.toml")).unwrap();
}

fn reload(vanne: &Vanne, arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("reload").arg("--config").arg(vanne.file("vanne.toml")).args(arguments);
    command.output().unwrap()
}

/// Replaces the config and waits until it is in use.
fn apply(vanne: &Vanne, text: &str) {
    rewrite(vanne, text);
    let output = reload(vanne, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn a_new_config_holds_for_the_next_request_of_a_kept_connection() {
    let (one, two) = (Origin::fixed("one").await, Origin::fixed("two").await);
    let vanne = Vanne::start(&config(&[one.address], "")).await;
    let mut client = Client::connect(vanne.http).await;
    assert_eq!(client.get("/").await.text(), "one");
    apply(&vanne, &config(&[two.address], "match = { path = \"/only\" }"));
    assert_eq!(client.get("/only").await.text(), "two");
    assert_eq!(client.get("/").await.status(), 404);
    vanne.metric_is("vanne_config_generation", &[], 2.0).await;
    let applied = [("result", "applied")];
    vanne.metric_is("vanne_reloads_total", &applied, 2.0).await;
}

#[tokio::test]
async fn vanne_reload_prints_what_came_of_it() {
    let origin = Origin::fixed("x").await;
    let vanne = Vanne::start(&config(&[origin.address], "")).await;
    let said =
        |output: &Output| String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
    let output = reload(&vanne, &[]);
    assert_eq!(
        (output.status.code(), said(&output).trim()),
        (Some(0), "unchanged: generation 1 is in use")
    );
    rewrite(&vanne, &config(&[], "").replace("[process]\n", "[process]\nworkers = 3\n"));
    let output = reload(&vanne, &["--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["result"], &report["generation"]), (&"applied".into(), &2.into()));
    assert_eq!(report["restart_needed"][0], "process.workers");
    rewrite(
        &vanne,
        "[listener.http]\nadress = \"127.0.0.1:1\"\n[admin]\nsocket = \"@dir/admin.sock\"\n",
    );
    let output = reload(&vanne, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("did you mean `address`?"), "{}", said(&output));
    assert!(said(&output).contains("refused: generation 2 is in use"), "{}", said(&output));
    eventually("it is in the log", || {
        vanne.process_log().contains("the old one stays in use").then_some(())
    })
    .await;
    vanne.metric_is("vanne_config_reload_success", &[], 0.0).await;
    assert_eq!(get(vanne.http, "/").await.status(), 503, "the old one is in use");
    let nobody = Command::new(binary()).args(["reload", "--socket", "/nowhere"]).output().unwrap();
    assert_eq!(nobody.status.code(), Some(2));
    rewrite(&vanne, "[listener.http]\naddress = \"127.0.0.1:1\"\n");
    let output = reload(&vanne, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).contains("admin.socket is not set, nor is admin.address"),
        "{}",
        said(&output)
    );
}

#[tokio::test]
async fn the_admin_socket_is_for_its_user_only_and_goes_with_the_process() {
    use std::os::unix::fs::PermissionsExt;
    let mut vanne = Vanne::start(&config(&[], "")).await;
    let socket = vanne.file("admin.sock");
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let stream = std::os::unix::net::UnixStream::connect(&socket).unwrap();
    let asked = std::thread::spawn(move || {
        use std::io::{Read, Write};
        let mut stream = stream;
        stream.write_all(b"GET /v1/reload HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    });
    assert!(asked.join().unwrap().contains(" 405 "), "nothing changes by GET");
    vanne.sigterm();
    vanne.exit_within(ms(3000)).await;
    assert!(!socket.exists());
}

#[tokio::test]
async fn sighup_reads_the_config_again_and_changes_the_level_of_the_log() {
    let vanne = Vanne::start(&config(&[], "")).await;
    rewrite(&vanne, &(config(&[], "") + "[log]\nlevel = \"debug\"\n"));
    vanne.signal(Signal::HUP);
    vanne.metric_is("vanne_config_generation", &[], 2.0).await;
    assert_eq!(ask(vanne.http, "nonsense\r\n\r\n").await.status(), 400);
    eventually("a line of that level", || vanne.process_log().contains("DEBUG").then_some(()))
        .await;
}

#[tokio::test]
async fn a_file_that_changes_is_read_again_however_it_is_replaced() {
    let origin = Origin::fixed("x").await;
    let path = |path: &str| watched(&[origin.address], &format!("match = {{ path = \"{path}\" }}"));
    let vanne = Vanne::start(&path("/0")).await;
    let comes = async |target: &str| {
        let (took, ()) = timed(eventually_async(target, async || {
            (vanne.get(target).await.status() == 200).then_some(())
        }))
        .await;
        assert!(took < ms(2000), "{target} after {took:?}");
    };
    rewrite(&vanne, &path("/renamed"));
    comes("/renamed").await;
    std::fs::write(vanne.file("vanne.toml"), vanne.fill_in(&path("/inplace"))).unwrap();
    comes("/inplace").await;
    std::fs::remove_file(vanne.file("vanne.toml")).unwrap();
    eventually("said", || vanne.process_log().contains("stays in use").then_some(())).await;
    assert_eq!(vanne.get("/inplace").await.status(), 200);
    std::fs::write(vanne.file("vanne.toml"), vanne.fill_in(&path("/again"))).unwrap();
    comes("/again").await;
    for number in 0..50 {
        rewrite(&vanne, &path(&format!("/n{number}")));
        tokio::time::sleep(ms(20)).await;
    }
    comes("/n49").await;
    let text = vanne.fill_in(&path("/half"));
    std::fs::write(vanne.file("vanne.toml"), text.get(..text.len() - 20).unwrap()).unwrap();
    tokio::time::sleep(ms(700)).await;
    assert_eq!(vanne.get("/n49").await.status(), 200, "half a file changes nothing");
    std::fs::write(vanne.file("vanne.toml"), &text).unwrap();
    comes("/half").await;
}

#[tokio::test]
async fn a_link_that_is_swapped_is_a_change() {
    let origin = Origin::fixed("x").await;
    let vanne =
        Vanne::start_mounted(&watched(&[origin.address], "match = { path = \"/a\" }")).await;
    assert_eq!(vanne.get("/a").await.status(), 200);
    vanne.mount(2, &watched(&[origin.address], "match = { path = \"/b\" }"));
    let (took, ()) = timed(eventually_async("swapped", async || {
        (vanne.get("/b").await.status() == 200).then_some(())
    }))
    .await;
    assert!(took < ms(2000), "{took:?}");
}

#[tokio::test]
async fn without_watch_config_files_are_not_watched() {
    let vanne = Vanne::start(&config(&[], "")).await;
    rewrite(&vanne, &config(&[], "match = { path = \"/only\" }"));
    tokio::time::sleep(ms(1500)).await;
    vanne.metric_is("vanne_config_generation", &[], 1.0).await;
    assert_eq!(vanne.get("/").await.status(), 503);
}

#[tokio::test]
async fn listeners_come_change_move_and_go() {
    let origin = Origin::fixed("x").await;
    let vanne = Vanne::start(&config(&[origin.address], "")).await;
    let base = config(&[origin.address], "");
    let other = Port::take();
    let listener = |name: &str, more: &str| {
        format!("{base}[listener.{name}]\naddress = \"{}\"\n{more}\n", other.address)
    };
    apply(&vanne, &listener("other", "timeouts = { idle = \"1s\" }"));
    assert_eq!(get(other.address, "/").await.status(), 200);
    let mut kept = Client::connect(other.address).await;
    assert_eq!(kept.get("/").await.status(), 200);
    // Its rules change under a connection that is kept.
    apply(&vanne, &listener("other", "max_connections = 1"));
    tokio::time::sleep(ms(1500)).await;
    assert_eq!(kept.get("/").await.status(), 200, "not idle for too long any more");
    assert_eq!(get(other.address, "/").await.status(), 503, "one is open");
    // The address under another name: no gap, and the log says the new name.
    apply(&vanne, &listener("renamed", ""));
    assert_eq!(kept.get("/").await.status(), 200);
    eventually("a line", || {
        vanne.log_lines().iter().any(|line| line["listener"] == "renamed").then_some(())
    })
    .await;
    // Gone: the kept connection ends, a new one is refused.
    apply(&vanne, &base);
    in_time("the end", kept.end()).await;
    eventually_async("refused", async || TcpStream::connect(other.address).await.err()).await;
    assert_eq!(vanne.get("/").await.status(), 200);
    eventually_async("its series go", async || {
        let metrics = vanne.metrics().await;
        let open = metrics.value("vanne_connections_open", &[("listener", "renamed")]);
        open.is_none().then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_address_that_cannot_be_had_refuses_the_whole_config() {
    let origin = Origin::fixed("x").await;
    let vanne = Vanne::start(&config(&[origin.address], "")).await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let more = format!("[listener.other]\naddress = \"{address}\"\n");
    rewrite(&vanne, &(config(&[], "") + &more));
    let output = reload(&vanne, &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("listener.other.address: cannot listen on"), "{text}");
    assert_eq!(vanne.get("/").await.text(), "x", "nothing has changed");
}

#[tokio::test]
async fn nothing_under_way_is_cut_and_old_configs_end_with_it() {
    let origin = Origin::start(|mut conn| async move {
        let Some(request) = conn.request_head().await else { return };
        if request.field("upgrade").is_some() {
            conn.send(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n").await;
            loop {
                let mut ping = Vec::new();
                if conn.take(4, &mut ping).await.is_none() {
                    return;
                }
                conn.send(&ping).await;
            }
        }
        conn.send(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n").await;
        for _ in 0..20 {
            conn.send(b"x").await;
            tokio::time::sleep(ms(50)).await;
        }
    })
    .await;
    let vanne = Vanne::start(&config(&[origin.address], "")).await;
    let mut tunnel = Client::connect(vanne.http).await;
    tunnel
        .send(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
        .await;
    assert_eq!(tunnel.head().await.unwrap().status(), 101);
    let http = vanne.http;
    let slow = tokio::spawn(async move { get(http, "/").await });
    let in_flight = [("pool", "app"), ("backend", &*origin.address.to_string())];
    vanne.metric_is("vanne_backend_requests_in_flight", &in_flight, 2.0).await;
    for number in 0..10 {
        apply(&vanne, &config(&[origin.address], &format!("match = {{ path = \"/{number}\" }}")));
        tunnel.send(b"ping").await;
        assert_eq!(tunnel.exactly(4).await, b"ping");
    }
    vanne.metric_is("vanne_backend_requests_in_flight", &in_flight, 2.0).await;
    vanne.metric_is("vanne_generations_alive", &[("held_by", "current")], 1.0).await;
    vanne.metric_is("vanne_generations_alive", &[("held_by", "tunnels")], 1.0).await;
    // Its route, its pool and its listener's name are gone.
    let gone = config(&[], "").replace("listener.http", "listener.new").replace("app", "new");
    apply(&vanne, &gone);
    assert_eq!(in_time("the slow answer", slow).await.unwrap().text(), "x".repeat(20));
    tunnel.send(b"ping").await;
    assert_eq!(tunnel.exactly(4).await, b"ping");
    tunnel.shut().await;
    for held_by in ["requests", "tunnels"] {
        vanne.metric_is("vanne_generations_alive", &[("held_by", held_by)], 0.0).await;
    }
    eventually_async("series of what is gone", async || {
        let metrics = vanne.metrics().await;
        let rows = ["vanne_requests_total", "vanne_pool_backends", "vanne_backend_up"];
        let is_gone = |row: &&str| metrics.value(row, &[("pool", "app")]).is_none();
        rows.iter().all(is_gone).then_some(())
    })
    .await;
}
