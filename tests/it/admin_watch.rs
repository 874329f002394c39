//! `vanne status --watch`, on a terminal and elsewhere.

use crate::harness::admin::Lab;
use crate::harness::vanne::{Process, binary};
use crate::harness::{Origin, eventually, ms};
use parking_lot::Mutex;
use rustix::fs::OFlags;
use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command};
use std::sync::Arc;

/// A terminal of this size, with a process that has it to itself.
struct Terminal {
    master: File,
    written: Arc<Mutex<Vec<u8>>>,
    child: Child,
}

impl Terminal {
    fn start(command: &[&OsStr], columns: u16, rows: u16) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&master, size).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let flags = OFlags::NOCTTY.bits().cast_signed();
        let mut options = File::options();
        options.read(true).write(true).custom_flags(flags);
        let other = options.open(OsStr::from_bytes(name.as_bytes())).unwrap();
        let copy = || other.try_clone().unwrap();
        // The terminal becomes that of the new session, so that Ctrl-C there is a signal.
        let mut setsid = Command::new("setsid");
        setsid.arg("--ctty").args(command).env_remove("NO_COLOR");
        let child = setsid.stdin(copy()).stdout(copy()).stderr(copy()).spawn().unwrap();
        let master = File::from(master);
        let (mut reader, written) = (master.try_clone().unwrap(), Arc::default());
        let collected: Arc<Mutex<Vec<u8>>> = Arc::clone(&written);
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                collected.lock().extend_from_slice(&buffer[..count]);
            }
        });
        Self { master, written, child }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.written.lock()).into_owned()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[tokio::test]
async fn status_is_watched_on_a_terminal_until_ctrl_c() {
    let origin = Origin::fixed("x").await;
    let lab = Lab::start(&[origin.address], "", "").await;
    let socket = lab.vanne.file("admin.sock");
    let arguments = ["status", "--watch", "0.1", "--socket"].map(OsStr::new);
    let command: Vec<&OsStr> =
        [binary().as_os_str()].into_iter().chain(arguments).chain([socket.as_os_str()]).collect();
    let mut terminal = Terminal::start(&command, 80, 5);
    // Pictures begin in the top left corner; rates are known from the second on.
    eventually("three pictures", || (terminal.text().matches("\x1b[H").count() >= 3).then_some(()))
        .await;
    let text = terminal.text();
    assert!(text.starts_with("\x1b[?1049h\x1b[?25l\x1b[H"), "{text:?}");
    let pictures: Vec<&str> = text.split("\x1b[H").skip(1).collect();
    assert!(
        pictures[0].contains("\x1b[1mvanne ") && pictures[0].contains("\x1b[K\r\n"),
        "{text:?}"
    );
    assert!(!pictures[0].contains("/s\x1b") && pictures[1].contains("/s\x1b[K"), "{text:?}");
    for picture in &pictures[..2] {
        assert_eq!(picture.matches("\r\n").count(), 4, "as many lines as fit: {picture:?}");
        assert!(picture.contains("… 2 more"), "{picture:?}");
        let codes = ["\x1b[1m", "\x1b[33m", "\x1b[0m", "\x1b[K", "\x1b[J"];
        let plain = codes.iter().fold((*picture).to_owned(), |text, code| text.replace(code, ""));
        assert!(plain.split("\r\n").all(|line| line.chars().count() <= 80), "{plain:?}");
    }
    terminal.master.write_all(b"\x03").unwrap();
    let ended = eventually("its end", || terminal.child.try_wait().unwrap()).await;
    assert_eq!(ended.code(), Some(0));
    eventually("the terminal is as it was", || {
        terminal.text().ends_with("\x1b[?25h\x1b[?1049l").then_some(())
    })
    .await;
}

#[tokio::test]
async fn status_is_watched_elsewhere_too_and_goes_on_when_the_proxy_comes_back() {
    let mut lab = Lab::start(&[], "", "").await;
    let mut command = Command::new(binary());
    command.args(["status", "--watch", "0.1", "--socket"]).arg(lab.vanne.file("admin.sock"));
    let mut watching = Process::start(command);
    let said = |watching: &Process, what: &str, count: usize| {
        (watching.stdout().join("\n").matches(what).count() >= count).then_some(())
    };
    eventually("two pictures", || said(&watching, "workers: 2", 2)).await;
    assert!(!watching.stdout().join("").contains('\x1b'));
    lab.vanne.sigterm();
    lab.vanne.exit_within(ms(4000)).await;
    eventually("it is told", || said(&watching, "cannot reach a proxy", 1)).await;
    assert!(watching.runs(), "it may come back");
    watching.signal(Signal::INT);
    assert_eq!(watching.exit_within(ms(5000)).await.code(), Some(0));
    let gone = lab.verb(&["status", "--watch"]).await;
    assert_eq!(gone.status.code(), Some(2));
}
