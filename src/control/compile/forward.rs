//! Services that say who may pass: from the config to what asks them.

use super::identities::{Parts, field};
use super::{CompileError, dangling};
use crate::config::{self, FieldName};
use crate::control::client_tls;
use crate::data::identity::forward::{Forward, Outcome, Remembered};
use crate::data::identity::service::{Service, Site};
use crate::data::identity::{Believed, Kind};
use crate::observe::metrics::{FORWARD_DURATION, FORWARD_TOTAL, Metrics};
use crate::types::ids::IdentityId;
use http::HeaderName;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use tokio::sync::Semaphore;

/// The field with the user's name, unless the config says which.
const USER: HeaderName = HeaderName::from_static("remote-user");

/// Compiles the service that the identity `id` asks.
///
/// # Errors
/// When TLS with it cannot be set up.
pub(super) fn compile(
    id: &IdentityId,
    config: &config::Forward,
    metrics: &Metrics,
) -> Result<Parts, CompileError> {
    let believed = match config.url.is_https() {
        true => {
            let tls = client_tls::of_service((id, "forward"), config.ca_file.as_ref())?;
            Believed::Authorities(tls)
        }
        false => Believed::Nothing,
    };
    let mut group = metrics.group();
    let labels = [id.as_str()];
    let forward = Forward {
        of: id.clone(),
        service: Service::new(site(id, &config.url)?),
        request_fields: config.request_headers.iter().filter_map(field).collect(),
        user_field: config.user_header.as_ref().and_then(field).unwrap_or(USER),
        claims: config.claims.iter().filter_map(claim).collect(),
        timeout: config.timeout.as_duration(),
        places: Semaphore::new(usize::try_from(config.max_at_once).unwrap_or(usize::MAX)),
        remembered: config.remember.map(|time| Remembered::new(time.as_duration())),
        time: group.handle(&FORWARD_DURATION, labels),
        outcomes: Outcome::ALL.map(|one| group.handle(&FORWARD_TOTAL, [id.as_str(), one.as_str()])),
        is_away: false.into(),
    };
    Ok((believed, Kind::Forward(Arc::new(forward))))
}

fn claim((claim, name): (&String, &FieldName)) -> Option<(Box<str>, HeaderName)> {
    Some((claim.as_str().into(), field(name)?))
}

/// Where the service is; what a checked URL has, requests can say.
fn site(id: &IdentityId, url: &config::HttpUrl) -> Result<Site, CompileError> {
    let unfit = || dangling("the url of identity", id);
    let host = url.host().trim_matches(['[', ']']);
    let name = match url.is_https() {
        true => Some(ServerName::try_from(host.to_owned()).map_err(|_form| unfit())?),
        false => None,
    };
    Ok(Site {
        host: host.into(),
        port: url.port(),
        authority: url.authority().parse().map_err(|_form| unfit())?,
        path: url.path().parse().map_err(|_form| unfit())?,
        name,
    })
}
