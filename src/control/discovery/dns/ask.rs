//! Asks DNS: one round of questions, by the rules of a pool.
//!
//! Name servers are asked one after the other, in the order of the config: the next when one
//! does not answer or fails, and the one that answered first of all the next time. An answer
//! that there is nothing is an answer. One that is cut off is asked for again by TCP. Nothing
//! is cached here: a round is asked when the last one expires.

use super::learn::{Answer, Answers, Family, Miss, Question, Service};
use crate::config::Dns;
use crate::config::discovery::DnsKind;
use futures::StreamExt;
use futures::stream;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver, system_conf};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long a name server may take, for each of two tries.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Tries after the first with the same name server.
const TRIES_MORE: usize = 1;
/// Questions that are under way at once.
const AT_ONCE: usize = 16;

/// Asks for one name.
pub(super) struct Asker {
    dns: Dns,
    /// Those that are asked, the one that answered last first. Empty: not read yet.
    servers: Vec<Server>,
    search: Search,
}

/// How a name that is not whole is completed (resolv.conf(5)).
#[derive(Default)]
struct Search {
    domains: Vec<String>,
    /// A name with at least so many dots is tried as it is first.
    dots: usize,
}

impl Search {
    /// The whole names that `name` may stand for, the likeliest first.
    fn names(&self, name: &str) -> Vec<String> {
        if name.ends_with('.') {
            return vec![name.to_owned()];
        }
        let mut names: Vec<String> = self
            .domains
            .iter()
            .map(|domain| format!("{name}.{}.", domain.trim_end_matches('.')))
            .collect();
        let is_first = name.matches('.').count() >= self.dots;
        names.insert(if is_first { 0 } else { names.len() }, format!("{name}."));
        names
    }
}

struct Server {
    address: SocketAddr,
    resolver: TokioResolver,
}

impl Asker {
    /// One that asks by the rules of `dns`.
    pub(super) fn new(dns: &Dns) -> Self {
        Self { dns: dns.clone(), servers: Vec::new(), search: Search::default() }
    }

    /// One round of questions.
    pub(super) async fn ask(&mut self) -> Answers {
        if self.servers.is_empty() {
            match servers(&self.dns) {
                Ok(read) => (self.servers, self.search) = read,
                Err(why) => return self.nothing(&why),
            }
        }
        let answers = match self.dns.kind {
            DnsKind::Srv => self.ask_services().await,
            kind => {
                let name = self.dns.name.as_str().to_owned();
                self.ask_addresses(vec![name], families(kind)).await
            }
        };
        let failed = |answer: &Answer<IpAddr>| matches!(answer, Err(Miss::Failed(_)));
        let is_lost = matches!(answers.services, Some(Err(Miss::Failed(_))))
            || answers.addresses.values().any(failed);
        if is_lost && self.dns.servers.is_empty() {
            // The system may have other name servers by now.
            self.servers.clear();
        }
        answers
    }

    async fn ask_services(&mut self) -> Answers {
        let (name, service) = (self.dns.name.as_str().to_owned(), |data: &RData| match data {
            RData::SRV(srv) => Some(Service {
                host: srv.target.to_ascii(),
                port: srv.port,
                priority: srv.priority,
                weight: srv.weight,
            }),
            _ => None,
        });
        let (answer, by) = self.question(&name, RecordType::SRV, service).await;
        self.prefer(by);
        // A host of "." says that there is no such service (RFC 2782).
        let services = answer.and_then(|(mut services, ttl)| {
            services.retain(|service| service.host != "." && service.port != 0);
            match services.is_empty() {
                true => Err(Miss::Empty(format!("SRV {name}: no service"))),
                false => Ok((services, ttl)),
            }
        });
        let hosts: BTreeSet<String> = services
            .iter()
            .flat_map(|(services, _)| services.iter().map(|service| service.host.clone()))
            .collect();
        let both = &[Family::V4, Family::V6];
        let answers = self.ask_addresses(hosts.into_iter().collect(), both).await;
        Answers { services: Some(services), ..answers }
    }

    /// The addresses of `hosts`.
    async fn ask_addresses(&mut self, hosts: Vec<String>, families: &[Family]) -> Answers {
        let questions: Vec<Question> = hosts
            .iter()
            .flat_map(|host| families.iter().map(|family| (host.clone(), *family)))
            .collect();
        let asker = &*self;
        let asked = questions.into_iter().map(|question| async move {
            let (answer, by) = asker.address(&question).await;
            (question, answer, by)
        });
        let answered: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        let by = answered.iter().filter_map(|(_, _, by)| *by).max();
        self.prefer(by);
        let addresses = answered.into_iter().map(|(question, answer, _)| (question, answer));
        Answers { services: None, addresses: addresses.collect() }
    }

    async fn address(&self, (host, family): &Question) -> (Answer<IpAddr>, Option<usize>) {
        let address = |data: &RData| match data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        };
        let kind = match family {
            Family::V4 => RecordType::A,
            Family::V6 => RecordType::AAAA,
        };
        self.question(host, kind, address).await
    }

    /// The answer to one question, and the place of the name server that gave it.
    async fn question<T>(
        &self,
        name: &str,
        kind: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> (Answer<T>, Option<usize>) {
        let mut empty = None;
        for name in self.search.names(name) {
            match self.whole(&name, kind, &read).await {
                (Err(Miss::Empty(why)), by) => empty = empty.or(Some((why, by))),
                // Only when it is sure that a name has nothing may the next one stand for it.
                other => return other,
            }
        }
        let (why, by) = empty.unwrap_or_default();
        (Err(Miss::Empty(why)), by)
    }

    /// The same for a name that is whole.
    async fn whole<T>(
        &self,
        name: &str,
        kind: RecordType,
        read: impl Fn(&RData) -> Option<T>,
    ) -> (Answer<T>, Option<usize>) {
        let mut faults = Vec::new();
        for (place, server) in self.servers.iter().enumerate() {
            let found = server.resolver.lookup(name, kind).await;
            match answer(found, &read) {
                Ok(answer) => return (Ok(answer), Some(place)),
                Err(Miss::Empty(why)) => {
                    return (Err(Miss::Empty(format!("{kind} {name}: {why}"))), Some(place));
                }
                Err(Miss::Failed(why)) => faults.push(format!("{why} from {}", server.address)),
            }
        }
        (Err(Miss::Failed(format!("{kind} {name}: {}", faults.join(", ")))), None)
    }

    /// Asks the one at `place` first from now on.
    fn prefer(&mut self, place: Option<usize>) {
        if let Some(place) = place.filter(|place| *place < self.servers.len()) {
            self.servers.rotate_left(place);
        }
    }

    /// No answer to anything.
    fn nothing(&self, why: &str) -> Answers {
        let failed = || Miss::Failed(why.to_owned());
        match self.dns.kind {
            DnsKind::Srv => Answers { services: Some(Err(failed())), ..Answers::default() },
            kind => {
                let name = self.dns.name.as_str();
                let question = |family: &Family| ((name.to_owned(), *family), Err(failed()));
                let addresses = families(kind).iter().map(question).collect();
                Answers { services: None, addresses }
            }
        }
    }
}

fn families(kind: DnsKind) -> &'static [Family] {
    match kind {
        DnsKind::A => &[Family::V4],
        DnsKind::Aaaa => &[Family::V6],
        DnsKind::Both | DnsKind::Srv => &[Family::V4, Family::V6],
    }
}

/// What the library found, read.
fn answer<T>(found: Result<Lookup, NetError>, read: impl Fn(&RData) -> Option<T>) -> Answer<T> {
    let lookup = found.map_err(miss)?;
    let list: Vec<T> = lookup.answers().iter().filter_map(|record| read(&record.data)).collect();
    // Of a chain of names the shortest time counts.
    let ttl = lookup.answers().iter().map(|record| record.ttl).min().unwrap_or_default();
    match list.is_empty() {
        true => Err(Miss::Empty("no such record".to_owned())),
        false => Ok((list, Duration::from_secs(ttl.into()))),
    }
}

fn miss(error: NetError) -> Miss {
    match &error {
        error if error.is_nx_domain() => Miss::Empty("no such name (NXDOMAIN)".to_owned()),
        error if error.is_no_records_found() => Miss::Empty("no such record".to_owned()),
        NetError::Timeout => Miss::Failed("no answer".to_owned()),
        NetError::Dns(DnsError::ResponseCode(code)) => Miss::Failed(code.to_string()),
        NetError::Io(error) => Miss::Failed(error.to_string()),
        error => Miss::Failed(error.to_string()),
    }
}

/// The name servers that `dns` names, or the system does, and how the system completes names.
fn servers(dns: &Dns) -> Result<(Vec<Server>, Search), String> {
    if !dns.servers.is_empty() {
        let server = |address: SocketAddr| {
            let at = |mut config: ConnectionConfig| {
                config.port = address.port();
                config
            };
            let connections = vec![at(ConnectionConfig::udp()), at(ConnectionConfig::tcp())];
            build(address, NameServerConfig::new(address.ip(), true, connections))
        };
        let servers = dns.servers.iter().map(|one| server(one.0)).collect::<Result<_, _>>()?;
        return Ok((servers, Search::default()));
    }
    let (config, options) = system_conf::read_system_conf()
        .map_err(|error| format!("/etc/resolv.conf cannot be used: {error}"))?;
    let (_, domains, name_servers) = config.into_parts();
    let server = |one: NameServerConfig| {
        let port = one.connections.first().map_or(0, |connection| connection.port);
        build(SocketAddr::new(one.ip, port), one)
    };
    let servers = name_servers.into_iter().map(server).collect::<Result<_, _>>()?;
    let domains = domains.iter().map(ToString::to_string).collect();
    Ok((servers, Search { domains, dots: options.ndots }))
}

fn build(address: SocketAddr, config: NameServerConfig) -> Result<Server, String> {
    let config = ResolverConfig::from_name_servers(vec![config]);
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = TIMEOUT;
    options.attempts = TRIES_MORE;
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    let resolver = builder.build().map_err(|error| format!("no resolver: {error}"))?;
    Ok(Server { address, resolver })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_completed_as_the_system_says() {
        let search = |dots| Search { domains: vec!["a.b.".into(), "c".into()], dots };
        assert_eq!(search(2).names("x.y"), ["x.y.a.b.", "x.y.c.", "x.y."]);
        assert_eq!(search(1).names("x.y"), ["x.y.", "x.y.a.b.", "x.y.c."]);
        assert_eq!(search(5).names("x.y."), ["x.y."]);
        assert_eq!(Search::default().names("x"), ["x."]);
    }
}
