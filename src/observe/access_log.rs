//! The access log: one JSON line per request, never in the way of one.
//!
//! Each worker has a ring of its own and writes finished lines into it; one thread
//! takes them out and writes to the file or to stdout. A ring that is full drops the
//! line and counts it. Nothing here knows what a request is: lines come as bytes.

use crossbeam_queue::ArrayQueue;
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use super::metrics::Counter;

/// Lines a worker may be ahead of the writer. At it, lines are dropped and counted.
const RING_LINES: usize = 8192;
/// The writer's longest sleep: bounds how late a line is when a wake-up is missed.
const WRITER_NAP: Duration = Duration::from_millis(20);

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Standard output.
    Stdout,
    /// Appended to this file, which is made if it is not there.
    File(PathBuf),
}

/// A worker's end: takes finished lines.
#[derive(Clone)]
pub struct LogRing {
    lines: Arc<ArrayQueue<Vec<u8>>>,
    wake: Arc<Wake>,
    dropped: Counter,
}

struct Wake {
    writer: Thread,
    sleeping: AtomicBool,
}

impl LogRing {
    /// Hands `line` (with its newline) to the writer, or drops and counts it when the
    /// ring is full.
    ///
    /// Cost: no lock; one futex wake only if the writer sleeps.
    pub fn push(&self, line: Vec<u8>) {
        if self.lines.push(line).is_err() {
            self.dropped.inc();
        }
        // A missed wake-up delays the line by at most WRITER_NAP.
        if self.wake.sleeping.swap(false, Ordering::Relaxed) {
            self.wake.writer.unpark();
        }
    }
}

/// The writer's thread and the rings of all workers.
pub struct AccessLog {
    rings: Vec<LogRing>,
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl AccessLog {
    /// Opens `target` and starts the writer for `workers` rings.
    ///
    /// # Errors
    /// When the file cannot be opened or the thread not be started.
    pub fn start(target: &Target, workers: usize, dropped: &Counter) -> io::Result<Self> {
        let sink = open(target)?;
        let queues: Vec<_> = (0..workers).map(|_| Arc::new(ArrayQueue::new(RING_LINES))).collect();
        let stop = Arc::new(AtomicBool::new(false));
        let (give_wake, take_wake) = std::sync::mpsc::sync_channel::<Arc<Wake>>(1);
        let (rings, stopping) = (queues.clone(), Arc::clone(&stop));
        let thread = thread::Builder::new().name("access-log".into()).spawn(move || {
            let wake =
                Arc::new(Wake { writer: thread::current(), sleeping: AtomicBool::new(false) });
            if give_wake.send(Arc::clone(&wake)).is_ok() {
                write_until_stopped(&rings, &wake, &stopping, BufWriter::new(sink));
            }
        })?;
        let wake = take_wake.recv().map_err(io::Error::other)?;
        let rings = queues
            .into_iter()
            .map(|lines| LogRing { lines, wake: Arc::clone(&wake), dropped: dropped.clone() })
            .collect();
        Ok(Self { rings, stop, thread })
    }

    /// The ring of worker `index`.
    #[must_use]
    pub fn ring(&self, index: usize) -> Option<LogRing> {
        self.rings.get(index).cloned()
    }

    /// Writes what is still in the rings and ends the writer.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Release);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::error!("access log writer panicked");
        }
    }
}

fn open(target: &Target) -> io::Result<Box<dyn Write + Send>> {
    match target {
        Target::Stdout => Ok(Box::new(io::stdout())),
        Target::File(path) => Ok(Box::new(append_to(path)?)),
    }
}

fn append_to(path: &Path) -> io::Result<std::fs::File> {
    OpenOptions::new().create(true).append(true).open(path)
}

fn write_until_stopped(
    queues: &[Arc<ArrayQueue<Vec<u8>>>],
    wake: &Wake,
    stop: &AtomicBool,
    mut sink: BufWriter<Box<dyn Write + Send>>,
) {
    let mut failing = false;
    loop {
        // Read before the rings: what was pushed before the stop is written.
        let stopping = stop.load(Ordering::Acquire);
        let mut result = Ok(());
        for line in queues.iter().flat_map(|queue| std::iter::from_fn(|| queue.pop())) {
            result = result.and(sink.write_all(&line));
        }
        result = result.and(sink.flush());
        // Said once per failure, not once per line.
        match (&result, failing) {
            (Err(error), false) => tracing::error!(%error, "access log cannot be written"),
            (Ok(()), true) => tracing::info!("access log is written again"),
            _ => {}
        }
        failing = result.is_err();
        if stopping {
            return;
        }
        wake.sleeping.store(true, Ordering::Relaxed);
        thread::park_timeout(WRITER_NAP);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter() -> Counter {
        Counter::default()
    }

    #[test]
    fn lines_of_all_rings_reach_the_file_before_stop_returns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access.log");
        let log = AccessLog::start(&Target::File(path.clone()), 2, &counter()).unwrap();
        for worker in 0..2 {
            for line in 0..100 {
                log.ring(worker).unwrap().push(format!("{worker} {line}\n").into_bytes());
            }
        }
        log.stop();
        assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 200);
    }

    #[test]
    fn a_full_ring_drops_and_counts() {
        let dropped = counter();
        let ring = LogRing {
            lines: Arc::new(ArrayQueue::new(2)),
            wake: Arc::new(Wake { writer: thread::current(), sleeping: AtomicBool::new(false) }),
            dropped: dropped.clone(),
        };
        for _ in 0..5 {
            ring.push(b"x\n".to_vec());
        }
        assert_eq!(dropped.get(), 3);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_at_start() {
        let target = Target::File("/nonexistent/dir/access.log".into());
        assert!(AccessLog::start(&target, 1, &counter()).is_err());
    }
}
