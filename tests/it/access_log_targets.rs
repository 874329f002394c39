//! Where the access log goes: files that are moved away, full disks, pipes, syslog servers.

use crate::access_log::logging;
use crate::harness::{Client, Origin, Vanne, eventually, eventually_async, in_time, ms};
use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::Signal;
use serde_json::Value;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use tokio::net::{TcpListener, UdpSocket, UnixDatagram};

const DROPPED: &str = "vanne_access_log_dropped_total";

fn targets(text: &str) -> Vec<String> {
    let target = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e} in {line:?}"));
        line["target"].as_str().unwrap().to_owned()
    };
    text.lines().map(target).collect()
}

/// What stands in a file, once it has so many whole lines.
async fn lines(path: &Path, count: usize) -> Vec<String> {
    eventually("lines in the file", || {
        let text = std::fs::read_to_string(path).ok()?;
        (text.ends_with('\n') && text.lines().count() >= count).then(|| targets(&text))
    })
    .await
}

#[tokio::test]
async fn a_file_that_was_moved_away_is_opened_anew_and_no_line_is_lost_or_torn() {
    let origin = Origin::fixed("ok").await;
    let vanne = Vanne::start(&logging(origin.address, "to = \"@dir/access.log\"")).await;
    let path = vanne.file("access.log");
    let mut client = Client::connect(vanne.http).await;
    let mut sent = 0;
    for number in 0..20 {
        for _ in 0..20 {
            client.get(&format!("/{sent}")).await;
            sent += 1;
        }
        let old = vanne.file(&format!("access.log.{number}"));
        std::fs::rename(&path, &old).unwrap();
        vanne.signal(Signal::USR1);
        eventually("the new file", || path.exists().then_some(())).await;
    }
    client.get("/last").await;
    let is_last = |text: &String| text.ends_with('\n') && text.contains("\"/last\"");
    let last = || std::fs::read_to_string(&path).ok().filter(is_last);
    let last = eventually("the last line", last).await;
    let mut all = Vec::new();
    for number in 0..20 {
        let text = std::fs::read_to_string(vanne.file(&format!("access.log.{number}"))).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        all.extend(targets(&text));
    }
    all.extend(targets(&last));
    let mut want: Vec<_> = (0..sent).map(|number| format!("/{number}")).collect();
    want.push("/last".to_owned());
    assert_eq!(all, want);
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_anew_stays_in_use() {
    let origin = Origin::fixed("ok").await;
    let vanne = Vanne::start(&logging(origin.address, "to = \"@dir/access.log\"")).await;
    let (path, old) = (vanne.file("access.log"), vanne.file("old"));
    vanne.get("/a").await;
    lines(&path, 1).await;
    std::fs::rename(&path, &old).unwrap();
    // A folder in its place: whoever runs this cannot open it, root neither.
    std::fs::create_dir(&path).unwrap();
    vanne.signal(Signal::USR1);
    let complains = || vanne.process_log().contains("cannot be opened").then_some(());
    eventually("a complaint", complains).await;
    vanne.get("/b").await;
    assert_eq!(lines(&old, 2).await, ["/a", "/b"]);
}

#[tokio::test]
async fn a_reload_sends_lines_elsewhere_or_fails_if_they_cannot_go_there() {
    let origin = Origin::fixed("ok").await;
    let to = |to: &str| logging(origin.address, &format!("to = \"{to}\""));
    let mut vanne = Vanne::start(&to("@dir/a.log")).await;
    vanne.get("/a").await;
    lines(&vanne.file("a.log"), 1).await;
    let report = vanne.reload(&to("@dir/missing/b.log")).await;
    assert_eq!(report["result"], "refused");
    let message = report["message"].as_str().unwrap();
    assert!(message.contains("access_log.to") && message.contains("missing/b.log"), "{message}");
    vanne.get("/b").await;
    let report = vanne.reload(&to("@dir/c.log")).await;
    assert_eq!(
        (&report["result"], &report["restart_needed"]),
        (&"applied".into(), &Value::Array(vec![]))
    );
    vanne.get("/c").await;
    assert_eq!(lines(&vanne.file("c.log"), 1).await, ["/c"]);
    assert_eq!(lines(&vanne.file("a.log"), 2).await, ["/a", "/b"]);
    vanne.reload(&to("stdout")).await;
    vanne.get("/d").await;
    assert_eq!(vanne.only_log().await["target"], "/d");
    vanne.sigterm();
    assert_eq!(vanne.exit_within(ms(5000)).await, 0);
}

#[tokio::test]
async fn a_full_disk_drops_lines_and_says_so_once() {
    let origin = Origin::fixed("ok").await;
    let vanne = Vanne::start(&logging(origin.address, "to = \"/dev/full\"")).await;
    for dropped in [1.0, 2.0, 3.0] {
        assert_eq!(vanne.get("/a").await.status(), 200);
        vanne.metric_is(DROPPED, &[], dropped).await;
    }
    vanne.says("access log cannot be written").await;
    assert_eq!(vanne.process_log().matches("access log cannot be written").count(), 1);
    // It is not given up for good.
    vanne.reload(&logging(origin.address, "to = \"stdout\"")).await;
    vanne.get("/b").await;
    assert_eq!(vanne.only_log().await["target"], "/b");
    eventually("good news", || vanne.process_log().contains("written again").then_some(())).await;
}

fn pipe(path: &Path) {
    mkfifoat(CWD, path, Mode::from(0o600)).unwrap();
}

#[tokio::test]
async fn a_pipe_without_a_reader_hinders_nobody_and_loses_only_lines() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.pipe");
    pipe(&path);
    let origin = Origin::fixed("ok").await;
    let keys = format!("to = \"{}\"\nheaders.request = {{ x-a = \"4KiB\" }}", path.display());
    let mut vanne = Vanne::start(&logging(origin.address, &keys)).await;
    let request = format!("GET /a HTTP/1.1\r\nHost: a\r\nX-A: {}\r\n\r\n", "x".repeat(4000));
    let mut client = Client::connect(vanne.http).await;
    // The ring of one worker and a pipe, and more.
    let sent = 2 * 1024 * 1024 / 4000 + 64 / 4 + 50;
    for _ in 0..sent {
        client.send(&request).await;
        assert_eq!(client.answer("GET").await.status(), 200);
    }
    // A reader comes, and finds whole lines: all but those that were counted.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut pipe = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(&path).unwrap();
    let (mut read, mut part) = (Vec::new(), [0; 65536]);
    let dropped = eventually_async("all lines that were not dropped", async || {
        while let Ok(count) = pipe.read(&mut part) {
            read.extend_from_slice(&part[..count]);
        }
        let dropped = vanne.metrics().await.value(DROPPED, &[]).unwrap() as usize;
        let lines = read.iter().filter(|byte| **byte == b'\n').count();
        (lines + dropped == sent).then_some(dropped)
    })
    .await;
    assert!(dropped > 0);
    assert_eq!(targets(std::str::from_utf8(&read).unwrap()).len() + dropped, sent);
    drop(pipe);
    // Nobody reads what comes now: the process ends all the same.
    for _ in 0..100 {
        client.send(&request).await;
        assert_eq!(client.answer("GET").await.status(), 200);
    }
    drop(client);
    vanne.sigterm();
    assert_eq!(vanne.exit_within(ms(9000)).await, 0);
}

/// A message's text, behind the head of RFC 5424.
fn text_of(message: &str) -> &str {
    let parts: Vec<&str> = message.splitn(8, ' ').collect();
    let [head, time, _, name, _, id, nothing, text] = parts[..] else { panic!("{message}") };
    assert_eq!((head, name, id, nothing), ("<134>1", "vanne", "access", "-"), "{message}");
    assert!(time.ends_with('Z') && time.len() == 27, "{message}");
    text
}

#[tokio::test]
async fn syslog_gets_a_message_per_line_by_every_way() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let origin = Origin::fixed("ok").await;
    let to = |to: &str| logging(origin.address, &format!("to = \"syslog:{to}\""));
    let mut bytes = [0; 8192];
    let unix = UnixDatagram::bind(&path).unwrap();
    let vanne = Vanne::start(&to(&format!("unix:{}", path.display()))).await;
    for target in ["/a", "/b"] {
        vanne.get(target).await;
        let count = in_time("a datagram", unix.recv(&mut bytes)).await.unwrap();
        let message = std::str::from_utf8(&bytes[..count]).unwrap();
        assert_eq!(targets(text_of(message)), [target]);
    }
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    vanne.reload(&to(&format!("udp:{}", udp.local_addr().unwrap()))).await;
    vanne.get("/c").await;
    let count = in_time("a datagram", udp.recv(&mut bytes)).await.unwrap();
    assert_eq!(targets(text_of(std::str::from_utf8(&bytes[..count]).unwrap())), ["/c"]);
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = tcp.local_addr().unwrap().port();
    vanne.reload(&to(&format!("tcp:localhost:{port}"))).await;
    // Lines of one connection keep their order.
    let mut client = Client::connect(vanne.http).await;
    client.get("/d").await;
    client.get("/e").await;
    let (stream, _) = in_time("a connection", tcp.accept()).await.unwrap();
    let mut server = crate::harness::Wire::new(stream);
    for target in ["/d", "/e"] {
        let mut length = String::new();
        while !length.ends_with(' ') {
            length += std::str::from_utf8(&server.exactly(1).await).unwrap();
        }
        let message = server.exactly(length.trim().parse().unwrap()).await;
        assert_eq!(targets(text_of(std::str::from_utf8(&message).unwrap())), [target]);
    }
}

#[tokio::test]
async fn a_syslog_server_that_goes_away_costs_lines_until_it_is_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let origin = Origin::fixed("ok").await;
    let keys = format!("to = \"syslog:unix:{}\"", path.display());
    let vanne = Vanne::start(&logging(origin.address, &keys)).await;
    vanne.get("/a").await;
    vanne.metric_is(DROPPED, &[], 1.0).await;
    let server = UnixDatagram::bind(&path).unwrap();
    let mut bytes = [0; 8192];
    eventually_async("a message", async || {
        vanne.get("/b").await;
        tokio::time::timeout(ms(20), server.recv(&mut bytes)).await.ok()
    })
    .await
    .unwrap();
    assert_eq!(vanne.process_log().matches("access log cannot be written").count(), 1);
}
