//! Link: the one connection to Redis, as everybody uses it.
//!
//! It is there or not. Commands of many are on their way at once; each has a time limit. One that
//! fails is counted; a connection that broke, or two commands in a row without an answer in time,
//! and Redis is away: nobody waits for it any more until the keeper has it back.

use super::settings::{Settings, text};
use crate::data::rate_limit::shared::Bridge;
use crate::observe::metrics::Counter;
use crate::types::clock;
use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, Pipeline, RedisError, Script, ScriptInvocation, Value};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// Commands in a row without an answer in time, after which Redis is away.
const LATE_MAX: u32 = 2;
/// How often the log says that it answers with errors.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Redis is away.
    #[error("redis is away")]
    Away,
    /// It did not answer in time, or not what was asked.
    #[error("{0}")]
    Redis(#[from] RedisError),
}

/// What a command failed by: the label in metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// An error, or an answer of another type.
    Answer,
    /// The connection broke, or could not be made.
    Connection,
    /// No answer in time.
    Timeout,
}

impl Reason {
    pub(super) const ALL: [Self; 3] = [Self::Answer, Self::Connection, Self::Timeout];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Connection => "connection",
            Self::Timeout => "timeout",
        }
    }

    pub(super) fn of(error: &RedisError) -> Self {
        match error.is_timeout() {
            true => Self::Timeout,
            false if error.is_io_error() || error.is_connection_dropped() => Self::Connection,
            false => Self::Answer,
        }
    }
}

/// A connection, and how it does.
pub(super) struct Held {
    connection: MultiplexedConnection,
    /// Commands in a row without an answer in time.
    late: AtomicU32,
    /// `vanne_redis_failures_total`, in the order of [`Reason::ALL`].
    failures: Arc<[Counter; Reason::ALL.len()]>,
    /// When it was last said that it answers with errors.
    told: Mutex<Option<Instant>>,
}

impl Held {
    fn count(&self, error: &RedisError) -> Reason {
        let reason = Reason::of(error);
        if let Some(count) = self.failures.get(reason as usize) {
            count.inc();
        }
        if reason == Reason::Answer {
            self.tell(error);
        }
        reason
    }

    /// Says that it is there and does not do what it is asked: now and then.
    fn tell(&self, error: &RedisError) {
        let (now, mut told) = (clock::now(), self.told.lock());
        if told.is_some_and(|told| now.duration_since(told) < TELL_EVERY) {
            return;
        }
        *told = Some(now);
        tracing::warn!(error = text(error), "redis refuses what it is asked");
    }
}

/// The way to Redis.
pub struct Link {
    /// What the data plane knows of it.
    bridge: Arc<Bridge>,
    held: ArcSwapOption<Held>,
    /// What names of keys begin with.
    prefix: ArcSwap<String>,
    /// Told when there is a connection.
    pub(super) joined: Notify,
    /// Told when it is lost.
    pub(super) lost: Notify,
}

impl Link {
    pub(super) fn new(bridge: Arc<Bridge>) -> Self {
        Self {
            bridge,
            held: ArcSwapOption::empty(),
            prefix: ArcSwap::default(),
            joined: Notify::new(),
            lost: Notify::new(),
        }
    }

    /// Whether Redis is there, as far as is known.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.held.load().is_some()
    }

    /// What names of keys begin with.
    #[must_use]
    pub fn prefix(&self) -> Arc<String> {
        self.prefix.load_full()
    }

    /// Its answer to `command`, in the time that the config gives.
    ///
    /// # Errors
    /// When it is away, does not answer in time, or not with what is asked for.
    pub async fn query<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, Fault> {
        let held = self.held.load_full().ok_or(Fault::Away)?;
        let answer = command.query_async(&mut held.connection.clone()).await;
        self.judge(&held, answer)
    }

    /// What a script gives. One that Redis does not have yet, after its restart, is sent along.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn run<T: FromRedisValue>(&self, script: &ScriptInvocation<'_>) -> Result<T, Fault> {
        let held = self.held.load_full().ok_or(Fault::Away)?;
        let answer = script.invoke_async(&mut held.connection.clone()).await;
        self.judge(&held, answer)
    }

    /// Its answers to several commands at once; each may be an error of its own.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn batch(&self, pipe: &Pipeline) -> Result<Vec<Result<Value, RedisError>>, Fault> {
        let held = self.held.load_full().ok_or(Fault::Away)?;
        let answer = pipe.query_async(&mut held.connection.clone()).await;
        self.judge(&held, answer)
    }

    /// Counts what one of several commands failed by, if it did.
    pub fn note(&self, error: Option<&RedisError>) {
        if let (Some(error), Some(held)) = (error, &*self.held.load()) {
            held.count(error);
        }
    }

    /// Has Redis know `script`.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn load(&self, script: &Script) -> Result<(), Fault> {
        let held = self.held.load_full().ok_or(Fault::Away)?;
        let answer = script.load_async(&mut held.connection.clone()).await;
        self.judge(&held, answer.map(drop))
    }

    pub(super) fn configure(&self, settings: Option<&Settings>) {
        let prefix = settings.map(|settings| settings.prefix.clone()).unwrap_or_default();
        self.prefix.store(Arc::new(prefix));
        let timeout = settings.map(|settings| settings.timeout);
        self.bridge.set_patience(timeout.unwrap_or_default());
    }

    /// Uses this connection.
    pub(super) fn join(
        &self,
        connection: MultiplexedConnection,
        failures: &Arc<[Counter; Reason::ALL.len()]>,
    ) {
        let failures = Arc::clone(failures);
        let (late, told) = (AtomicU32::new(0), Mutex::default());
        let held = Held { connection, late, failures, told };
        self.held.store(Some(Arc::new(held)));
        self.bridge.set_up(true);
        self.joined.notify_one();
    }

    /// Uses none.
    pub(super) fn leave(&self) {
        self.bridge.set_up(false);
        self.held.store(None);
    }

    /// What an answer says of the connection.
    fn judge<T>(&self, held: &Arc<Held>, answer: Result<T, RedisError>) -> Result<T, Fault> {
        let Err(error) = &answer else {
            held.late.store(0, Ordering::Relaxed);
            return Ok(answer?);
        };
        let is_lost = match held.count(error) {
            Reason::Answer => false,
            Reason::Connection => true,
            Reason::Timeout => held.late.fetch_add(1, Ordering::Relaxed) + 1 >= LATE_MAX,
        };
        if is_lost {
            self.lose(held, error);
        }
        Ok(answer?)
    }

    /// Redis is away, unless somebody has found that out before, or it is back already.
    fn lose(&self, held: &Arc<Held>, error: &RedisError) {
        let before = self.held.compare_and_swap(&Some(Arc::clone(held)), None);
        if before.as_ref().is_some_and(|before| Arc::ptr_eq(before, held)) {
            self.bridge.set_up(false);
            tracing::warn!(error = text(error), "redis is away: each replica goes on by itself");
            self.lost.notify_one();
        }
    }
}
