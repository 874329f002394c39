//! Steer: what may change the config, in one place: signals, files, the admin socket.
//!
//! One task has the [`Reloader`], so reloads never run beside each other.

use super::pools::{Change, ChangeError, PoolStatus};
use super::reload::{Reloader, Report};
use super::watch::Watch;
use crate::types::clock;
use crate::types::moment::Moment;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

/// How often certificates are looked at: a new one is in use within a second.
const TEND: Duration = Duration::from_millis(500);
/// Of those, how many until the config's files are looked at too, where no event tells.
const LOOK_EVERY: u32 = 20;

/// What is asked of the one who steers, and where the answer goes.
pub enum Wish {
    /// A reload.
    Reload(oneshot::Sender<Report>),
    /// The pools, as they are.
    Pools(oneshot::Sender<Vec<PoolStatus>>),
    /// A change of a backend: its pool, its name, what is to change.
    Change(String, String, Change, oneshot::Sender<Result<Vec<PoolStatus>, ChangeError>>),
}

/// Signals that the process is steered by.
pub struct Signals {
    /// Read the config again: SIGHUP.
    pub reload: Signal,
    /// Open the file of the access log anew: SIGUSR1.
    pub reopen: Signal,
}

impl Signals {
    /// Listens to both from now on.
    ///
    /// # Errors
    /// When the system does not let us.
    pub fn listen() -> std::io::Result<Self> {
        let reload = signal(SignalKind::hangup())?;
        Ok(Self { reload, reopen: signal(SignalKind::user_defined1())? })
    }
}

/// Steers until the wishes end; gives the reloader back then.
pub async fn steer(
    mut reloader: Reloader,
    mut wishes: mpsc::Receiver<Wish>,
    mut told_by: Signals,
) -> Reloader {
    let is_watching = reloader.config.process.watch_config;
    let mut watch = Watch::new();
    let mut tend = interval(TEND);
    tend.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ticks = 0;
    let changed = reloader.changed();
    let mut pools_due = None;
    let mut told = reloader.run();
    loop {
        if is_watching {
            watch.over(&reloader.files());
        }
        tokio::select! {
            wish = wishes.recv() => match wish {
                None => return reloader,
                Some(wish) => fulfil(&mut reloader, wish),
            },
            _ = told_by.reload.recv() => drop(reloader.reload("SIGHUP")),
            _ = told_by.reopen.recv() => reloader.log.reopen(),
            () = watch.changed(), if is_watching => drop(reloader.reload_if_changed()),
            () = pools_call(&changed, pools_due) => {}
            Some(pushed) = told.found.recv() => reloader.found(pushed),
            Some(finding) = told.checked.recv() => {
                let more = std::iter::from_fn(|| told.checked.try_recv().ok());
                reloader.checked(std::iter::once(finding).chain(more));
            }
            _ = tend.tick() => {
                ticks += 1;
                tick(&mut reloader, is_watching && ticks % LOOK_EVERY == 0);
            }
        }
        pools_due = reloader.pools.tend(Moment::of(clock::now()));
    }
}

/// Does what is asked. Who asked may have left: then nobody is told.
fn fulfil(reloader: &mut Reloader, wish: Wish) {
    let now = Moment::of(clock::now());
    match wish {
        Wish::Reload(answer) => drop(answer.send(reloader.reload("asked to"))),
        Wish::Pools(answer) => drop(answer.send(reloader.pools.status(now))),
        Wish::Change(pool, backend, change, answer) => {
            let changed = reloader.pools.change(&pool, &backend, &change, now);
            let status = || reloader.pools.status(now).into_iter();
            let of_pool = |()| status().filter(|status| status.pool == pool).collect();
            drop(answer.send(changed.map(of_pool)));
        }
    }
}

/// Waits until something happened to a backend, or is due at one.
async fn pools_call(changed: &Notify, due: Option<Moment>) {
    let time = async {
        match due {
            Some(due) => tokio::time::sleep_until(due.to_instant().into()).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = changed.notified() => {}
        () = time => {}
    }
}

/// Does what is to be done now and then.
fn tick(reloader: &mut Reloader, looks: bool) {
    reloader.tend();
    if looks {
        look(reloader);
    }
}

/// Looks at the files, and at what was refused, without having been told of a change.
fn look(reloader: &mut Reloader) {
    if reloader.reload_if_changed().is_none() {
        drop(reloader.retry());
    }
}
