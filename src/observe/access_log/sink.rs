//! Sinks: what lines are written to, and how long that may take.
//!
//! A file on a disk is written as it comes. What somebody reads at the other end (a pipe, a
//! terminal) may be full for ever: there it is waited for a free place before each write, and
//! pieces of whole lines are written that a pipe takes whole or not at all.

use super::Target;
use super::ring::Wake;
use super::syslog::Syslog;
use crate::types::clock;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, OFlags};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a pipe takes whole or not at all (`PIPE_BUF`).
const PIECE_BYTES: usize = 4096;
/// How long is waited for a reader at most, once the writer is expected elsewhere.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether the writer is expected elsewhere.
const LOOK: Timespec = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };

/// Lines that were not written.
#[derive(Debug)]
pub(super) struct Failure {
    /// Why.
    pub(super) error: io::Error,
    /// How many lines of the batch.
    pub(super) lines_lost: u64,
}

impl Failure {
    /// All of these lines are lost.
    pub(super) fn of(error: io::Error, rest: &[u8]) -> Self {
        Self { error, lines_lost: memchr::memchr_iter(b'\n', rest).count() as u64 }
    }
}

/// How long the writer waits for a reader: for ever, unless it is expected elsewhere.
pub(super) struct Patience {
    wake: Arc<Wake>,
    since: Option<Instant>,
    is_over: bool,
}

impl Patience {
    /// Patience until commands come by `wake`.
    pub(super) fn new(wake: Arc<Wake>) -> Self {
        Self { wake, since: None, is_over: false }
    }

    /// A command is fulfilled: all is as it was.
    pub(super) fn renew(&mut self) {
        (self.since, self.is_over) = (None, false);
    }

    /// Waits until `file` takes something, or fails.
    ///
    /// # Errors
    /// When it takes too long.
    pub(super) fn wait(&mut self, file: BorrowedFd<'_>) -> io::Result<()> {
        loop {
            let mut asked = [PollFd::from_borrowed_fd(file, PollFlags::OUT)];
            let limit = if self.is_over { Timespec::default() } else { LOOK };
            match poll(&mut asked, Some(&limit)) {
                Ok(0) => self.bear()?,
                Ok(_) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn bear(&mut self) -> io::Result<()> {
        if !self.wake.is_expected() {
            return Ok(());
        }
        let now = clock::now();
        let since = *self.since.get_or_insert(now);
        self.is_over = now.duration_since(since) >= PATIENCE;
        match self.is_over {
            false => Ok(()),
            true => Err(io::Error::new(io::ErrorKind::TimedOut, "its reader does not read")),
        }
    }
}

/// Where lines go, opened.
pub enum Sink {
    /// Nowhere.
    Nothing,
    /// A file on a disk, and its path if it was opened by that.
    File(File, Option<PathBuf>),
    /// Something with a reader, and its path if it was opened by that.
    Stream(File, Option<PathBuf>),
    /// A syslog server.
    Syslog(Box<Syslog>),
}

impl Sink {
    /// Opens `target`. Never waits: for a reader of a named pipe neither. A syslog server is
    /// spoken to when there is something to say.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(target: &Target) -> io::Result<Self> {
        match target {
            Target::Nothing => Ok(Self::Nothing),
            Target::Stdout => Self::of(io::stdout().as_fd().try_clone_to_owned()?.into(), None),
            Target::File(path) => Self::of(open(path)?, Some(path.clone())),
            server => Ok(Syslog::new(server).map_or(Self::Nothing, |it| Self::Syslog(it.into()))),
        }
    }

    fn of(file: File, path: Option<PathBuf>) -> io::Result<Self> {
        Ok(match FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode) {
            FileType::RegularFile => Self::File(file, path),
            _ => Self::Stream(file, path),
        })
    }

    /// Opens the file anew; `false` if there is none.
    pub(super) fn reopen(&mut self) -> io::Result<bool> {
        let (Self::File(_, Some(path)) | Self::Stream(_, Some(path))) = self else {
            return Ok(false);
        };
        *self = Self::open(&Target::File(path.clone()))?;
        Ok(true)
    }

    /// Writes `batch`, which is whole lines.
    pub(super) fn write(&mut self, batch: &[u8], patience: &mut Patience) -> Result<(), Failure> {
        match self {
            Self::Nothing => Ok(()),
            Self::File(file, path) => write_lines(file, batch).map_err(|(error, written)| {
                if path.is_some() {
                    cut_torn_line(file, batch, written);
                }
                Failure::of(error, batch.get(written..).unwrap_or_default())
            }),
            Self::Stream(file, _) => write_pieces(file, batch, patience),
            Self::Syslog(server) => server.write(batch, patience),
        }
    }
}

/// Opens a file to append to, or a named pipe: for reading too, which needs no other reader
/// and does not break when that one leaves.
fn open(path: &Path) -> io::Result<File> {
    let is_pipe = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo());
    let mut options = OpenOptions::new();
    match is_pipe {
        true => {
            let flags = OFlags::NONBLOCK.bits().cast_signed();
            options.read(true).write(true).custom_flags(flags)
        }
        false => options.append(true).create(true),
    };
    options.open(path)
}

/// Writes all of `batch`; else why not, and how much was written.
fn write_lines(file: &mut impl Write, batch: &[u8]) -> Result<(), (io::Error, usize)> {
    let mut rest = batch;
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => return Err((io::ErrorKind::WriteZero.into(), batch.len() - rest.len())),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((error, batch.len() - rest.len())),
        }
    }
    Ok(())
}

/// Takes back the part of a line that was the last to find room: the next line begins anew.
fn cut_torn_line(file: &File, batch: &[u8], written: usize) {
    let whole = batch.get(..written).unwrap_or(batch);
    let torn = whole.len() - memchr::memrchr(b'\n', whole).map_or(0, |at| at + 1);
    if torn == 0 {
        return;
    }
    let cut = file.metadata().and_then(|found| file.set_len(found.len() - torn as u64));
    if let Err(error) = cut {
        tracing::warn!(%error, "access log has a torn line");
    }
}

/// Writes `batch` in pieces of whole lines, each when there is room for it.
fn write_pieces(file: &File, batch: &[u8], patience: &mut Patience) -> Result<(), Failure> {
    let mut rest = batch;
    while !rest.is_empty() {
        let most = rest.get(..PIECE_BYTES).unwrap_or(rest);
        // A longer line goes alone, and a pipe may take it in parts.
        let end = memchr::memrchr(b'\n', most).or_else(|| memchr::memchr(b'\n', rest));
        let (piece, later) =
            rest.split_at_checked(end.map_or(rest.len(), |at| at + 1)).unwrap_or((rest, &[]));
        write_piece(file, piece, patience).map_err(|error| Failure::of(error, rest))?;
        rest = later;
    }
    Ok(())
}

fn write_piece(mut file: &File, piece: &[u8], patience: &mut Patience) -> io::Result<()> {
    let mut rest = piece;
    while !rest.is_empty() {
        patience.wait(file.as_fd())?;
        match file.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock
                ) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes so many bytes, then no more.
    struct Small(usize);

    impl Write for Small {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.0);
            self.0 -= count;
            if count == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(count) }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_loses_whole_lines_only_and_counts_them() {
        let batch = b"one\ntwo\nthree\n";
        let (error, written) = write_lines(&mut Small(6), batch).unwrap_err();
        assert_eq!((error.kind(), written), (io::ErrorKind::StorageFull, 6));
        assert_eq!(Failure::of(error, &batch[written..]).lines_lost, 2);
        // What was written before stays, what was torn goes.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut file = open(&path).unwrap();
        file.write_all(b"zero\n").unwrap();
        file.write_all(&batch[..6]).unwrap();
        cut_torn_line(&file, batch, 6);
        file.write_all(b"four\n").unwrap();
        assert_eq!(std::fs::read_to_string(path).unwrap(), "zero\none\nfour\n");
    }

    #[test]
    fn a_device_that_is_full_fails_and_is_tried_again() {
        let mut sink = Sink::open(&Target::File("/dev/full".into())).unwrap();
        let wake = Arc::new(Wake::of(std::thread::current()));
        for _ in 0..2 {
            let failure =
                sink.write(b"one\ntwo\n", &mut Patience::new(Arc::clone(&wake))).unwrap_err();
            assert_eq!(failure.lines_lost, 2);
        }
    }
}
