//! EndpointSlices: what is kept of each, and the backends that those of a Service come to. Pure.
//!
//! Slices are put together as if they were one: only what they say counts, never in which order
//! they came. An address may be in several of them, or twice in one; who is ready wins.

use crate::config::ServicePort;
use crate::control::discovery::{FOUND_MAX, Found};
use crate::data::pool::Pod;
use k8s_openapi::api::discovery::v1 as api;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// The label that says whose slice it is.
pub(super) const SERVICE_LABEL: &str = "kubernetes.io/service-name";

/// What is kept of a slice.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Slice {
    /// Its name.
    pub(super) name: Box<str>,
    /// The Service that it is of.
    pub(super) service: Box<str>,
    /// Whether its addresses are names, which are not used.
    is_of_names: bool,
    ports: Vec<Port>,
    endpoints: Vec<Endpoint>,
}

#[derive(Clone, Debug, PartialEq)]
struct Port {
    /// Empty if the Service has only one and gives it none.
    name: Box<str>,
    /// `None`: any.
    number: Option<u16>,
    /// What is spoken there, if the Service says so.
    protocol: Option<Box<str>>,
}

#[derive(Clone, Debug, PartialEq)]
struct Endpoint {
    address: IpAddr,
    stage: Stage,
    identity: Option<Arc<str>>,
    pod: Option<Arc<Pod>>,
    /// Zones that are to use it.
    hints: Box<[Box<str>]>,
}

/// How far a pod is in its life; the later here, the better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// It takes nothing.
    Away,
    /// It is not ready; the Service has it published all the same (`publishNotReadyAddresses`).
    Published,
    /// It ends, and still serves.
    Leaving,
    /// It serves.
    Ready,
}

impl Stage {
    /// What is not said means: ready, serving as it is ready, not terminating.
    fn of(conditions: Option<&api::EndpointConditions>) -> Self {
        let is_ready = conditions.and_then(|said| said.ready).unwrap_or(true);
        let is_serving = conditions.and_then(|said| said.serving).unwrap_or(is_ready);
        let is_ending = conditions.and_then(|said| said.terminating).unwrap_or(false);
        match (is_ending, is_serving, is_ready) {
            (true, true, _) => Self::Leaving,
            (false, true, true) => Self::Ready,
            (false, false, true) => Self::Published,
            _ => Self::Away,
        }
    }
}

impl Slice {
    /// What is kept of `slice`; `None` if it is of no Service.
    pub(super) fn of(slice: api::EndpointSlice) -> Option<Self> {
        let labels = slice.metadata.labels.unwrap_or_default();
        let service = labels.get(SERVICE_LABEL).filter(|name| !name.is_empty())?;
        let port = |port: api::EndpointPort| {
            let is_tcp = port.protocol.as_deref().is_none_or(|kind| kind == "TCP");
            let number = match port.port {
                None => None,
                Some(number) => Some(u16::try_from(number).ok().filter(|number| *number > 0)?),
            };
            is_tcp.then(|| Port {
                name: port.name.unwrap_or_default().into(),
                number,
                protocol: port.app_protocol.map(Into::into),
            })
        };
        Some(Self {
            name: slice.metadata.name?.into(),
            service: service.as_str().into(),
            is_of_names: !matches!(slice.address_type.as_str(), "IPv4" | "IPv6"),
            ports: slice.ports.into_iter().flatten().filter_map(port).collect(),
            endpoints: slice.endpoints.into_iter().filter_map(endpoint).collect(),
        })
    }

    /// The port that `wanted` means here, and what is spoken there.
    fn port(&self, wanted: &ServicePort) -> Option<(u16, Option<&str>)> {
        let found = self.ports.iter().find(|port| match wanted {
            ServicePort::Name(name) => port.name == *name,
            ServicePort::Number(number) => port.number.is_none_or(|here| here == *number),
        });
        match (found, wanted) {
            (Some(port), ServicePort::Name(_)) => Some((port.number?, port.protocol.as_deref())),
            (Some(port), ServicePort::Number(number)) => Some((*number, port.protocol.as_deref())),
            // A headless Service need not name any.
            (None, ServicePort::Number(number)) if self.ports.is_empty() => Some((*number, None)),
            (None, _) => None,
        }
    }
}

/// What is kept of an endpoint. Of several addresses the first counts: what others would mean
/// is said nowhere.
fn endpoint(endpoint: api::Endpoint) -> Option<Endpoint> {
    let address = endpoint.addresses.first()?.parse().ok()?;
    let (name, identity) = match endpoint.target_ref {
        Some(target) => (target.name, target.uid),
        None => (None, None),
    };
    let pod = Pod {
        name: name.map(Into::into),
        node: endpoint.node_name.map(Into::into),
        zone: endpoint.zone.map(Into::into),
    };
    let hints = endpoint.hints.and_then(|hints| hints.for_zones).unwrap_or_default();
    Some(Endpoint {
        address,
        stage: Stage::of(endpoint.conditions.as_ref()),
        identity: identity.map(Into::into),
        pod: (pod != Pod::default()).then(|| Arc::new(pod)),
        hints: hints.into_iter().map(|zone| zone.name.into()).collect(),
    })
}

/// What a pool wants of its Service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// The port of its backends.
    pub(super) port: &'a ServicePort,
    /// The zone whose pods are preferred, if any is.
    pub(super) zone: Option<&'a str>,
}

/// What the slices of a Service come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Merged {
    /// The backends, by address.
    pub(super) backends: Vec<Found>,
    /// What an operator should know about them.
    pub(super) notes: Vec<String>,
    /// What the Service says is spoken on the port.
    pub(super) protocol: Option<String>,
}

/// The backends that `slices`, all of one Service, come to.
///
/// # Errors
/// When there are endpoints and none has that port, or there are too many: in words, with what
/// would be accepted. Cost: O(n log n) of all endpoints.
pub(super) fn merge<'a>(
    slices: impl Iterator<Item = &'a Slice>,
    wanted: Wanted<'_>,
) -> Result<Merged, String> {
    let mut merged = Merged::default();
    let mut best: BTreeMap<SocketAddr, &Endpoint> = BTreeMap::new();
    let (mut others, mut names) = (BTreeSet::new(), 0);
    for slice in slices.filter(|slice| !slice.endpoints.is_empty() || slice.is_of_names) {
        if slice.is_of_names {
            names += 1;
            continue;
        }
        let Some((port, protocol)) = slice.port(wanted.port) else {
            others.extend(slice.ports.iter().map(shown));
            continue;
        };
        merged.protocol = merged.protocol.max(protocol.map(ToOwned::to_owned));
        for endpoint in &slice.endpoints {
            let place = best.entry(SocketAddr::new(endpoint.address, port)).or_insert(endpoint);
            *place = (*place).max_by_rank(endpoint);
        }
    }
    if !others.is_empty() {
        let have = others.into_iter().collect::<Vec<_>>().join(", ");
        let message = format!("no port `{}`: expected one of {have}", wanted.port);
        match best.is_empty() {
            true => return Err(message),
            false => merged.notes.push(format!("some slices have {message}")),
        }
    }
    if names > 0 {
        merged.notes.push(format!("{names} slices of names (FQDN) are not used"));
    }
    if best.len() > FOUND_MAX {
        return Err(format!("{} backends: expected at most {FOUND_MAX}", best.len()));
    }
    let stage = best.values().map(|one| one.stage).max().unwrap_or(Stage::Away);
    if matches!(stage, Stage::Leaving | Stage::Published) {
        let who = if stage == Stage::Leaving { "that end" } else { "that are not ready" };
        merged.notes.push(format!("no pod is ready: those {who} are used"));
    }
    let near = near(best.values().filter(|one| one.stage == stage), wanted.zone);
    merged.backends = best
        .into_iter()
        .filter(|(_, one)| one.stage > Stage::Away)
        .filter(|(_, one)| one.stage == stage || one.stage == Stage::Leaving)
        .map(|(address, one)| Found {
            is_backup: near.is_some_and(|zone| !one.is_for(zone)),
            is_leaving: one.stage != stage,
            identity: one.identity.clone(),
            pod: one.pod.clone(),
            ..Found::at(address)
        })
        .collect();
    Ok(merged)
}

impl Endpoint {
    /// The better of two with one address; the same whichever comes first.
    fn max_by_rank<'a>(&'a self, other: &'a Self) -> &'a Self {
        let rank = |one: &'a Self| (one.stage, one.identity.as_deref(), &one.hints);
        let pod = |one: &'a Self| one.pod.as_ref().map(|pod| (&pod.name, &pod.node, &pod.zone));
        if (rank(other), pod(other)) > (rank(self), pod(self)) { other } else { self }
    }

    fn is_for(&self, zone: &str) -> bool {
        self.hints.iter().any(|hint| **hint == *zone)
    }
}

/// The zone to prefer, if hints are to be followed: each of `endpoints` has some, and one has
/// this zone. Otherwise they are about to change, and half of them would mislead.
fn near<'a, 'b>(
    endpoints: impl Iterator<Item = &'a &'a Endpoint> + Clone,
    zone: Option<&'b str>,
) -> Option<&'b str> {
    let are_hinted = endpoints.clone().all(|one| !one.hints.is_empty());
    zone.filter(|zone| are_hinted && endpoints.clone().any(|one| one.is_for(zone)))
}

fn shown(port: &Port) -> String {
    match (&*port.name, port.number) {
        ("", number) => number.map_or_else(|| "any number".into(), |number| number.to_string()),
        (name, None) => format!("`{name}`"),
        (name, Some(number)) => format!("`{name}` ({number})"),
    }
}

#[cfg(test)]
mod tests;
