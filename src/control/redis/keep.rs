//! Keep: connects to Redis, looks whether it answers, and connects again.

use super::limits;
use super::link::{Link, Reason};
use super::settings::{Settings, text};
use crate::data::rate_limit::shared::{Bridge, Order};
use crate::observe::metrics::{Counter, Metrics, REDIS_FAILURES, REDIS_REPLICAS, REDIS_UP};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, RedisError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Pauses between attempts: doubled each time, up to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// How often Redis is asked whether it is there: it may be gone while nobody asks anything.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Starts the thread that keeps `link`, until whoever tells it the settings is gone.
pub(super) fn start(
    link: Arc<Link>,
    settings: watch::Receiver<Option<Arc<Settings>>>,
    metrics: Arc<Metrics>,
    (bridge, orders): (Arc<Bridge>, mpsc::Receiver<Order>),
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let work = move || {
        runtime.spawn(limits::serve(Arc::clone(&link), orders));
        runtime.spawn(limits::announce(Arc::clone(&link), Arc::clone(&bridge)));
        runtime.spawn(limits::sweep(Arc::clone(&bridge)));
        runtime.block_on(keep(&link, settings, &metrics, &bridge));
    };
    std::thread::Builder::new().name("redis".into()).spawn(work).map(drop)
}

async fn keep(
    link: &Arc<Link>,
    mut settings: watch::Receiver<Option<Arc<Settings>>>,
    metrics: &Arc<Metrics>,
    bridge: &Arc<Bridge>,
) {
    loop {
        let now = settings.borrow_and_update().clone();
        let work = async {
            match &now {
                None => std::future::pending().await,
                Some(settings) => follow(link, settings, metrics, bridge).await,
            }
        };
        let is_over = tokio::select! {
            () = work => false,
            changed = settings.changed() => changed.is_err(),
        };
        link.leave();
        if is_over {
            return;
        }
    }
}

/// Keeps a connection as `settings` say; never ends.
async fn follow(
    link: &Arc<Link>,
    settings: &Settings,
    metrics: &Arc<Metrics>,
    bridge: &Arc<Bridge>,
) {
    let known = Arc::downgrade(bridge);
    let replicas = move || Some(f64::from(known.upgrade()?.replicas()));
    let _counted = metrics.watch(&REDIS_REPLICAS, [], replicas);
    let weak = Arc::downgrade(link);
    let is_up = move || Some(f64::from(u8::from(weak.upgrade()?.is_up())));
    let _shown = metrics.watch(&REDIS_UP, [], is_up);
    let mut group = metrics.control_group();
    let failures = Reason::ALL.map(|reason| group.handle(&REDIS_FAILURES, [reason.as_str()]));
    drop(group);
    let failures = Arc::new(failures);
    let (mut pause, mut is_told) = (PAUSES.0, false);
    loop {
        match connect(settings).await {
            Ok(connection) => {
                tracing::info!(address = %settings.address, "redis is there");
                link.join(connection, &failures);
                (pause, is_told) = (PAUSES.0, true);
                look_after(link).await;
            }
            Err(error) => {
                count(&*failures, &error);
                if !is_told {
                    let why = text(&error);
                    tracing::warn!(address = %settings.address, error = why,
                        "redis cannot be reached: each replica goes on by itself");
                }
                is_told = true;
            }
        }
        tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

/// Until the connection is lost.
async fn look_after(link: &Link) {
    while link.is_up() {
        tokio::select! {
            () = link.lost.notified() => continue,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
        // What comes of it is the link's to judge.
        drop(link.query::<()>(&redis::cmd("PING")).await);
    }
}

/// A connection to a Redis that answers in time.
async fn connect(settings: &Settings) -> Result<MultiplexedConnection, RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(CONNECT_TIMEOUT))
        .set_response_timeout(Some(settings.timeout));
    let client = settings.client()?;
    let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
    redis::cmd("PING").query_async::<()>(&mut connection).await?;
    Ok(connection)
}

fn count(failures: &[Counter], error: &RedisError) {
    if let Some(count) = failures.get(Reason::of(error) as usize) {
        count.inc();
    }
}
