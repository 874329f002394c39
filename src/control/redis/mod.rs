//! Redis: what replicas share through it, in the background.
//!
//! A thread of its own keeps one connection (`keep`), which everybody uses at once (`link`): what
//! the control runtime is busy with delays nothing. No request waits for Redis longer than it was
//! told to, and none fails when it is away.
//!
//! To share something else: a [`Link`] and [`Link::query`]; keys begin with [`Link::prefix`].

mod keep;
mod limits;
mod link;
pub mod scripts;
mod settings;

pub use link::{Fault, Link};
pub use settings::Settings;

use super::compile::CompileError;
use crate::config;
use crate::data::rate_limit::shared::{Bridge, Order};
use crate::observe::metrics::Metrics;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// The connection to Redis, if the config has one. It outlives reloads.
pub struct Redis {
    link: Arc<Link>,
    bridge: Arc<Bridge>,
    /// What the data plane orders, until there is a thread that carries it out.
    orders: Option<mpsc::Receiver<Order>>,
    /// What the thread goes by, once there is one.
    told: Option<watch::Sender<Option<Arc<Settings>>>>,
}

impl Default for Redis {
    fn default() -> Self {
        let (bridge, orders) = Bridge::new();
        let link = Arc::new(Link::new(Arc::clone(&bridge)));
        Self { link, bridge, orders: Some(orders), told: None }
    }
}

impl Redis {
    /// What the data plane knows of it.
    #[must_use]
    pub fn bridge(&self) -> Arc<Bridge> {
        Arc::clone(&self.bridge)
    }

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

    /// Gives back what was leased: there are no more requests.
    pub async fn end(&self) {
        limits::end(&self.link, &self.bridge).await;
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
        self.link.configure(settings.as_deref());
        let Some(told) = &self.told else {
            if let (Some(_), Some(orders)) = (&settings, self.orders.take()) {
                let (told, tells) = watch::channel(settings);
                let ordered = (Arc::clone(&self.bridge), orders);
                keep::start(Arc::clone(&self.link), tells, Arc::clone(metrics), ordered)?;
                self.told = Some(told);
            }
            return Ok(());
        };
        told.send_if_modified(|now| {
            let is_other = *now != settings;
            *now = settings;
            is_other
        });
        Ok(())
    }
}
