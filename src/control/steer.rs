//! Steer: what may change the config, in one place: signals, files, the admin socket.
//!
//! One task has the [`Reloader`], so reloads never run beside each other.

use super::discovery::Pushed;
use super::reload::Reloader;
use super::report::Report;
use super::watch::Watch;
use crate::types::clock;
use crate::types::moment::Moment;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

/// How often certificates are looked at: a new one is in use within a second.
const TEND: Duration = Duration::from_millis(500);
/// Of those, how many until the config's files are looked at too, where no event tells.
const LOOK_EVERY: u32 = 20;

/// Looks at what there is.
pub type Look = Box<dyn FnOnce(&Reloader, Moment) + Send>;
/// Changes something that is not config.
pub type Change = Box<dyn FnOnce(&mut Reloader, Moment) + Send>;

/// What is asked of the one who steers, and where the answer goes.
pub enum Wish {
    /// A reload, and who wants it.
    Reload(String, oneshot::Sender<Report>),
    /// A look at what there is.
    Look(Look),
    /// A change of something that is not config.
    Change(Change),
    /// No more wishes: the process ends, whoever still has connections to the admin API.
    End,
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

/// Steers until the wishes end, or one of them is [`Wish::End`]; gives the reloader back then.
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
    let gauges = reloader.override_gauges();
    let mut suspects = reloader.blocks.suspects();
    let mut heard = reloader.blocks.heard();
    loop {
        if is_watching {
            watch.over(&reloader.files());
        }
        tokio::select! {
            wish = wishes.recv() => match wish {
                None | Some(Wish::End) => return reloader,
                Some(wish) => fulfil(&mut reloader, wish),
            },
            _ = told_by.reload.recv() => drop(reloader.reload("SIGHUP")),
            _ = told_by.reopen.recv() => reloader.reopen_logs(),
            () = watch.changed(), if is_watching => drop(reloader.reload_if_changed()),
            () = pools_call(&changed, pools_due) => {}
            Some(pushed) = told.found.recv() => {
                let more = std::iter::from_fn(|| told.found.try_recv().ok());
                latest(std::iter::once(pushed).chain(more)).for_each(|one| reloader.found(one));
            }
            Some(finding) = told.checked.recv() => {
                let more = std::iter::from_fn(|| told.checked.try_recv().ok());
                reloader.checked(std::iter::once(finding).chain(more));
            }
            Some(suspect) = suspects.recv() => {
                let more = std::iter::from_fn(|| suspects.try_recv().ok());
                reloader.blocks.block_suspects(std::iter::once(suspect).chain(more));
            }
            Some(heard) = heard.recv() => {
                reloader.blocks.hear(heard, Moment::of(clock::now()), clock::wall());
            }
            _ = tend.tick() => {
                ticks += 1;
                tick(&mut reloader, is_watching && ticks % LOOK_EVERY == 0);
            }
        }
        let now = Moment::of(clock::now());
        let dues = [reloader.pools.tend(now), reloader.log.expire(now), reloader.blocks.tend(now)];
        pools_due = dues.into_iter().flatten().min();
        reloader.count_overrides(&gauges);
    }
}

/// Of each source only what it said last: what waits was overtaken.
fn latest(pushed: impl Iterator<Item = Pushed>) -> impl Iterator<Item = Pushed> {
    let by_source: BTreeMap<_, _> = pushed.map(|one| (one.source, one)).collect();
    by_source.into_values()
}

/// Does what is asked. Who asked may have left: then nobody is told.
fn fulfil(reloader: &mut Reloader, wish: Wish) {
    let now = Moment::of(clock::now());
    match wish {
        Wish::Reload(why, answer) => drop(answer.send(reloader.reload(&why))),
        Wish::Look(look) => look(reloader, now),
        Wish::Change(change) => change(reloader, now),
        Wish::End => {}
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
