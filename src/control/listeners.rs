//! Listeners: the sockets that are open, and the certificates behind them.
//!
//! What the config says is compiled whole before anything changes: a new address is bound, a
//! new certificate read. Only then the rules of each address are replaced, new sockets are
//! given to the workers, and those that are gone are taken from them. An address that moves
//! to a listener of another name keeps its socket.

use super::certs::{CertificateProblem, CertificateStatus, Keeper};
use super::compile::{self, CompileError, Means};
use crate::config::{Config, ListenerTls};
use crate::data::engine::worker::Workers;
use crate::data::listener::Listener;
use crate::data::listener::accept::ListeningSocket;
use crate::observe::metrics::Metrics;
use crate::types::ids::ListenerId;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

/// Why listeners cannot be as the config says.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// An address cannot be bound.
    #[error("listener.{id}.address: cannot listen on {address}: {error}")]
    Bind {
        /// The listener.
        id: ListenerId,
        /// Its address.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
    /// There is no certificate to begin with.
    #[error("listener.{id}.tls.{}: {}", problem.key, problem)]
    Certificate {
        /// The listener.
        id: ListenerId,
        /// The first thing that is wrong.
        problem: CertificateProblem,
    },
    /// The rest.
    #[error(transparent)]
    Compile(#[from] CompileError),
}

/// The listeners that are there.
#[derive(Default)]
pub struct Listeners {
    sockets: HashMap<SocketAddr, Arc<ListeningSocket>>,
    keepers: BTreeMap<ListenerId, (ListenerTls, Keeper)>,
}

/// What is to be there, ready but for being used.
pub struct Prepared {
    rules: Vec<Listener>,
    opened: HashMap<SocketAddr, Arc<ListeningSocket>>,
    keepers: BTreeMap<ListenerId, (ListenerTls, Keeper)>,
}

impl Listeners {
    /// Gets ready what `config` says; nothing changes yet.
    ///
    /// # Errors
    /// When an address cannot be bound, a certificate cannot be used, or a metric not made.
    pub fn prepare(
        &self,
        config: &Config,
        means: &mut Means<'_>,
        wall: SystemTime,
    ) -> Result<Prepared, ListenError> {
        let mut prepared =
            Prepared { rules: Vec::new(), opened: HashMap::new(), keepers: BTreeMap::new() };
        for (id, listener) in &config.listener {
            let known = self.keepers.get(id);
            let mut fresh = None;
            if let Some(tls) = &listener.tls
                && known.is_none_or(|(config, _)| config != tls)
            {
                let keeper = Keeper::start(
                    id.as_str(),
                    tls,
                    known.map(|(_, keeper)| keeper),
                    means.now,
                    wall,
                )
                .map_err(|problems| first_problem(id, problems))?;
                fresh = Some((tls.clone(), keeper));
            }
            let keeper = fresh.as_ref().or(known).map(|(_, keeper)| keeper);
            let rules = compile::listener(id, listener, &config.page, keeper, means)?;
            if self.sockets.contains_key(&rules.address) {
                prepared.rules.push(rules);
            } else {
                let address = rules.address;
                let socket = ListeningSocket::bind(rules).map_err(|error| ListenError::Bind {
                    id: id.clone(),
                    address,
                    error,
                })?;
                prepared.opened.insert(address, Arc::new(socket));
            }
            prepared.keepers.extend(fresh.map(|fresh| (id.clone(), fresh)));
        }
        Ok(prepared)
    }

    /// Makes it so. `workers` are told, if they run already.
    pub fn apply(
        &mut self,
        prepared: Prepared,
        config: &Config,
        workers: Option<&Workers>,
        metrics: &Metrics,
    ) {
        let mut kept: Vec<SocketAddr> = prepared.opened.keys().copied().collect();
        for rules in prepared.rules {
            kept.push(rules.address);
            if let Some(socket) = self.sockets.get(&rules.address) {
                socket.slot.replace(rules);
            }
        }
        for (address, socket) in prepared.opened {
            if let Some(workers) = workers {
                workers.listen(&socket);
            }
            self.sockets.insert(address, socket);
        }
        for (_, socket) in self.sockets.extract_if(|address, _| !kept.contains(address)) {
            let slot = Arc::clone(&socket.slot);
            slot.close();
            // The last one to let go of the socket must be a worker: it empties the queue.
            drop(socket);
            if let Some(workers) = workers {
                workers.unlisten(&slot);
            }
        }
        self.keepers.extend(prepared.keepers);
        self.keepers.retain(|id, _| config.listener.get(id).is_some_and(|l| l.tls.is_some()));
        for (_, keeper) in self.keepers.values_mut() {
            keeper.show(metrics);
        }
    }

    /// All sockets, for workers that start.
    #[must_use]
    pub fn sockets(&self) -> Vec<Arc<ListeningSocket>> {
        self.sockets.values().cloned().collect()
    }

    /// What there is to tell of certificates at the time `wall`.
    #[must_use]
    pub fn certificates(&self, wall: SystemTime) -> Vec<CertificateStatus> {
        self.keepers.values().flat_map(|(_, keeper)| keeper.status(wall)).collect()
    }

    /// Looks whether certificates or ticket keys have changed, and uses what they say now.
    pub fn refresh(&mut self, metrics: &Metrics, now: Instant, wall: SystemTime) {
        for (id, (_, keeper)) in &mut self.keepers {
            if keeper.refresh(metrics, now, wall) {
                tracing::info!(listener = %id, "certificates read again");
            }
        }
    }
}

fn first_problem(id: &ListenerId, problems: Vec<CertificateProblem>) -> ListenError {
    let nothing = || CertificateProblem {
        key: "certificates",
        path: "-".into(),
        why: "no certificate".to_owned(),
    };
    // What nothing can stand in for is said before certificates that merely do not count.
    let fatal = problems.iter().position(CertificateProblem::is_fatal).unwrap_or(0);
    let problem = problems.into_iter().nth(fatal).unwrap_or_else(nothing);
    ListenError::Certificate { id: id.clone(), problem }
}
