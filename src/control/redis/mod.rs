//! Redis: what replicas share through it, in the background.
//!
//! A thread of its own keeps one connection (`keep`), which everybody uses at once (`link`): what
//! the control runtime is busy with delays nothing. No request waits for Redis longer than it was
//! told to, and none fails when it is away.
//!
//! To share something else: a [`Link`] and [`Link::query`]; keys begin with [`Link::prefix`].

mod keep;
mod link;
mod settings;

pub use link::{Fault, Link};
pub use settings::Settings;

use super::compile::CompileError;
use crate::config;
use crate::observe::metrics::Metrics;
use std::sync::Arc;
use tokio::sync::watch;

/// The connection to Redis, if the config has one. It outlives reloads.
#[derive(Default)]
pub struct Redis {
    link: Arc<Link>,
    /// What the thread goes by, once there is one.
    told: Option<watch::Sender<Option<Arc<Settings>>>>,
}

impl Redis {
    /// The way to it.
    #[must_use]
    pub fn link(&self) -> Arc<Link> {
        Arc::clone(&self.link)
    }

    /// Reads what `config` says, and changes nothing yet.
    ///
    /// # Errors
    /// When a file that it names cannot be used.
    pub fn prepare(config: Option<&config::Redis>) -> Result<Option<Settings>, CompileError> {
        config.map(Settings::of).transpose()
    }

    /// Goes by `settings` from now on: the connection stays if they are the same as before.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn apply(
        &mut self,
        settings: Option<Settings>,
        metrics: &Arc<Metrics>,
    ) -> std::io::Result<()> {
        let settings = settings.map(Arc::new);
        match (&self.told, settings) {
            (None, None) => {}
            (None, settings) => {
                self.link.configure(settings.as_deref());
                let (told, tells) = watch::channel(settings);
                keep::start(Arc::clone(&self.link), tells, Arc::clone(metrics))?;
                self.told = Some(told);
            }
            (Some(told), settings) => {
                self.link.configure(settings.as_deref());
                told.send_if_modified(|now| {
                    let is_other = *now != settings;
                    *now = settings;
                    is_other
                });
            }
        }
        Ok(())
    }
}
