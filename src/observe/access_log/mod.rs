//! The access log: one line per request, never in the way of one.
//!
//! Each worker has a `ring` of its own and copies finished lines into it; one thread, the
//! `writer`, takes them out and gives them to a `sink`: a file, standard output, syslog. A
//! ring that is full drops the line and counts it. Nothing here knows what a request is or how
//! a line looks: lines come as bytes, and end with the only newline in them.
//!
//! To add a kind of target: a variant of [`Target`] and of [`Sink`].

mod ring;
mod sink;
mod syslog;
mod writer;

pub use ring::LogRing;
pub use sink::Sink;

use crate::observe::metrics::Counter;
use parking_lot::Mutex;
use ring::Wake;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use writer::{Command, Order, Writer};

/// How long the end of the process waits for the writer: longer than that tries to write.
const STOP_MAX: Duration = Duration::from_secs(4);

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nowhere.
    Nothing,
    /// Standard output.
    Stdout,
    /// Appended to this file, which is made if it is not there; or into this named pipe.
    File(PathBuf),
    /// A syslog server at this datagram socket.
    SyslogUnix(PathBuf),
    /// A syslog server at this `HOST:PORT`, by UDP.
    SyslogUdp(String),
    /// The same by TCP.
    SyslogTcp(String),
}

/// The writer's thread and the rings of all workers.
pub struct AccessLog {
    rings: Vec<LogRing>,
    wake: Arc<Wake>,
    commands: Sender<Order>,
    /// The writer, until it is told to end.
    thread: Mutex<Option<(JoinHandle<()>, Receiver<()>)>>,
}

impl AccessLog {
    /// Opens `target` and starts the writer for `workers` rings.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread not be started.
    pub fn start(target: &Target, workers: usize, dropped: &Counter) -> io::Result<Self> {
        let sink = Sink::open(target)?;
        let (producers, consumers): (Vec<_>, Vec<_>) = (0..workers).map(|_| ring::new()).unzip();
        let (commands, orders) = channel();
        let (give_wake, take_wake) = sync_channel(1);
        let (ended, end) = sync_channel(1);
        let dropped_there = dropped.clone();
        let thread = thread::Builder::new().name("access-log".into()).spawn(move || {
            let wake = Arc::new(Wake::of(thread::current()));
            if give_wake.send(Arc::clone(&wake)).is_ok() {
                Writer::new(consumers, wake, orders, sink, dropped_there).run();
            }
            if ended.send(()).is_err() {
                tracing::debug!("nobody waited for the access log");
            }
        })?;
        let wake = take_wake.recv().map_err(io::Error::other)?;
        let ring = |producer| LogRing::new(producer, Arc::clone(&wake), dropped.clone());
        let rings = producers.into_iter().map(ring).collect();
        Ok(Self { rings, wake, commands, thread: Mutex::new(Some((thread, end))) })
    }

    /// The ring of worker `index`.
    #[must_use]
    pub fn ring(&self, index: usize) -> Option<LogRing> {
        self.rings.get(index).cloned()
    }

    /// What is in the rings goes where it went; what comes afterwards goes to `sink`.
    pub fn switch(&self, sink: Sink) {
        self.command(Command::Switch(sink));
    }

    /// Opens the file anew, where there is one: it may have been moved away. If that fails the
    /// old one stays.
    pub fn reopen(&self) {
        self.command(Command::Reopen);
    }

    /// Writes what is still in the rings and ends the writer. What cannot be written within
    /// some seconds is dropped and counted.
    pub fn stop(&self) {
        let Some((thread, end)) = self.thread.lock().take() else { return };
        self.command(Command::Stop);
        if end.recv_timeout(STOP_MAX).is_err() && !thread.is_finished() {
            tracing::error!("access log cannot be written to its end: its writer is stuck");
            return;
        }
        if thread.join().is_err() {
            tracing::error!("access log writer panicked");
        }
    }

    fn command(&self, command: Command) {
        self.wake.expect_one_more();
        let marks = self.rings.iter().map(LogRing::mark).collect();
        // A writer that has ended needs no commands.
        drop(self.commands.send(Order { command, marks }));
        self.wake.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter() -> Counter {
        Counter::default()
    }

    fn say(log: &AccessLog, worker: usize, text: &str) {
        log.ring(worker).unwrap().write(|line| line.extend_from_slice(text.as_bytes()));
    }

    #[test]
    fn lines_of_all_rings_reach_the_file_before_stop_returns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let log = AccessLog::start(&Target::File(path.clone()), 2, &counter()).unwrap();
        for worker in 0..2 {
            for line in 0..100 {
                say(&log, worker, &format!("{worker} {line}"));
            }
        }
        log.stop();
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 200);
    }

    #[test]
    fn lines_go_where_they_belong_when_the_target_changes_and_when_a_file_is_moved_away() {
        let dir = tempfile::tempdir().unwrap();
        let [a, b, old] = ["a", "b", "old"].map(|name| dir.path().join(name));
        let log = AccessLog::start(&Target::File(a.clone()), 1, &counter()).unwrap();
        say(&log, 0, "first");
        log.switch(Sink::open(&Target::File(b.clone())).unwrap());
        say(&log, 0, "second");
        while std::fs::read_to_string(&b).unwrap() != "second\n" {
            thread::yield_now();
        }
        std::fs::rename(&b, &old).unwrap();
        log.reopen();
        while !b.exists() {
            thread::yield_now();
        }
        say(&log, 0, "third");
        log.stop();
        let read = |path| std::fs::read_to_string(path).unwrap();
        assert_eq!((read(&a).as_str(), read(&b).as_str()), ("first\n", "third\n"));
        assert_eq!(read(&old), "second\n");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_at_start() {
        let target = Target::File("/nonexistent/dir/access.log".into());
        assert!(AccessLog::start(&target, 1, &counter()).is_err());
    }

    #[test]
    fn a_pipe_that_nobody_reads_hinders_neither_the_start_nor_for_ever_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &path, rustix::fs::Mode::from(0o600)).unwrap();
        let dropped = counter();
        let log = AccessLog::start(&Target::File(path), 1, &dropped).unwrap();
        // More than a pipe holds.
        for _ in 0..1000 {
            say(&log, 0, &"x".repeat(999));
        }
        log.stop();
        // All are accounted for: those in the pipe, and those that found no place in time.
        assert!((900..1000).contains(&dropped.get()), "{}", dropped.get());
    }
}
