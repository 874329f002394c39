//! Who may send requests: identities, from the config and the files that it names, and what
//! routes ask of them.

use super::{CompileError, Means, dangling, forward};
use crate::config::identity::jwt::{MAX_AGE, REFRESH};
use crate::config::{
    self, CertificateName, Config, IdentityMode, JwtAlgorithm, KeySource, TokenSource,
};
use crate::control::client_tls;
use crate::control::identity::Issuer;
use crate::data::identity::api_key::Ring;
use crate::data::identity::cache::Cache;
use crate::data::identity::client_certificate::{self, Rules};
use crate::data::identity::key::{Algorithm, Key, KeySet};
use crate::data::identity::live_keys::LiveKeys;
use crate::data::identity::password::{Remembered, Users};
use crate::data::identity::{
    ApiKeys, Basic, Believed, Came, Gate, Identity, Jwt, Kind, Place, jwt,
};
use crate::observe::metrics::IDENTITY;
use crate::types::ids::IdentityId;
use crate::types::units::Period;
use arc_swap::{ArcSwap, ArcSwapOption};
use http::HeaderName;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

/// Longest file of keys.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The identities of a config, compiled.
pub(super) type Identities = BTreeMap<IdentityId, Arc<Identity>>;

/// Compiles all identities of `config`. Those that are said as before stay, with what they know.
///
/// # Errors
/// When a file that one names cannot be used.
pub(super) fn compile(config: &Config, means: &mut Means<'_>) -> Result<Identities, CompileError> {
    let compile = |(id, identity): (&IdentityId, &config::Identity)| {
        Ok((id.clone(), one(id, identity, means)?))
    };
    config.identity.iter().map(compile).collect()
}

/// The issuers of `config` whose keys are to be fetched.
///
/// # Errors
/// When TLS with one of them cannot be set up.
pub(super) fn issuers(
    config: &Config,
    identities: &Identities,
) -> Result<Vec<Issuer>, CompileError> {
    let mut issuers = Vec::new();
    for (id, identity) in identities {
        let jwt = config.identity.get(id).and_then(|config| config.jwt.as_ref());
        let (Some(jwt), Kind::Jwt(of)) = (jwt, &identity.kind) else { continue };
        let Some(KeySource::Url(url)) = &jwt.jwks else { continue };
        let period = |said: Option<Period>, default| said.unwrap_or(default).as_duration();
        let tls = match url.is_https() {
            true => Some(client_tls::of_service((id, "jwt"), jwt.ca_file.as_ref())?),
            false => None,
        };
        issuers.push(Issuer {
            id: id.clone(),
            url: url.clone(),
            tls: ArcSwapOption::new(tls),
            algorithms: algorithms(jwt),
            refresh: period(jwt.refresh, REFRESH),
            max_age: period(jwt.max_age, MAX_AGE),
            keys: Arc::clone(&of.keys),
        });
    }
    Ok(issuers)
}

/// What `route` asks, if it wants to know who sends its requests.
///
/// # Errors
/// When it names an identity that there is not.
pub(super) fn gate(
    route: &config::Route,
    identities: &Identities,
) -> Result<Option<Gate>, CompileError> {
    let Some(config) = &route.identity else { return Ok(None) };
    let named = |id| identities.get(id).cloned().ok_or_else(|| dangling("identity", id));
    let headers = config.claims_to_headers.iter();
    Ok(Some(Gate {
        identities: config.uses.iter().map(named).collect::<Result<_, _>>()?,
        is_optional: config.mode == IdentityMode::Optional,
        scopes: config.scopes.iter().map(|scope| scope.as_str().into()).collect(),
        headers: headers
            .filter_map(|(name, claim)| Some((field(name)?, claim.as_str().into())))
            .collect(),
    }))
}

/// Fields that tell backends who sends a request, on whatever route.
pub(super) fn own_fields(config: &Config) -> Arc<[HeaderName]> {
    let routes = config.route.iter().filter_map(|route| route.identity.as_ref());
    let mut names: Vec<HeaderName> =
        routes.flat_map(|identity| identity.claims_to_headers.keys()).filter_map(field).collect();
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    names.into()
}

/// Names of fields in the config are fit for one.
pub(super) fn field(name: &config::FieldName) -> Option<HeaderName> {
    HeaderName::from_bytes(name.as_str().as_bytes()).ok()
}

fn one(
    id: &IdentityId,
    config: &config::Identity,
    means: &mut Means<'_>,
) -> Result<Arc<Identity>, CompileError> {
    let mut group = means.metrics.group();
    let counts = Came::ALL.map(|came| group.handle(&IDENTITY, [id.as_str(), came.as_str()]));
    let (believed, kind) = match config {
        config::Identity { jwt: Some(jwt), .. } => signed(id, jwt)?,
        config::Identity { api_keys: Some(keys), .. } => api_keys(id, keys)?,
        config::Identity { basic: Some(basic), .. } => passwords(id, basic)?,
        config::Identity { client_certificate: Some(certificate), .. } => shown(id, certificate),
        config::Identity { forward: Some(forward), .. } => {
            forward::compile(id, forward, means.metrics)?
        }
        _ => return Err(dangling("the kind of identity", id)),
    };
    let new = || Identity { id: id.clone(), kind, counts };
    Ok(means.kept.identity(id, config, believed, new))
}

/// What files say, and how it is known.
pub(super) type Parts = (Believed, Kind);

fn signed(id: &IdentityId, config: &config::Jwt) -> Result<Parts, CompileError> {
    let is_followed = matches!(config.jwks, Some(KeySource::Url(_)));
    let kind = Kind::Jwt(Box::new(Jwt {
        place: place(&config.from),
        rules: rules(id, config),
        keys: Arc::new(LiveKeys::new(is_followed)),
        cache: Cache::new(usize::try_from(config.max_cached).unwrap_or(usize::MAX)),
    }));
    let believed = match is_followed {
        true => Believed::Nothing,
        false => Believed::Keys(keys(id, config)?),
    };
    Ok((believed, kind))
}

fn api_keys(id: &IdentityId, config: &config::ApiKeys) -> Result<Parts, CompileError> {
    let ring = parsed(id, "api_keys.file", &config.file, |text| Ring::read(id, text))?;
    let header = config.header.as_ref().map_or("x-api-key", config::FieldName::as_str);
    let place = Place::Header(header.into());
    let kind = Kind::ApiKeys(Box::new(ApiKeys { place, ring: ArcSwap::default() }));
    Ok((Believed::ApiKeys(ring), kind))
}

fn passwords(id: &IdentityId, config: &config::Basic) -> Result<Parts, CompileError> {
    let users = parsed(id, "basic.file", &config.file, Users::read)?;
    let seconds = config.remember.as_duration().as_secs();
    let remembered = Remembered::new(seconds).map_err(|_unspecified| CompileError::Random)?;
    let kind = Kind::Basic(Box::new(Basic { users: ArcSwap::default(), remembered }));
    Ok((Believed::Users(users), kind))
}

fn shown(id: &IdentityId, config: &config::ClientCertificate) -> Parts {
    let name = match config.user {
        CertificateName::Cn => client_certificate::Name::Common,
        CertificateName::SanDns => client_certificate::Name::Dns,
        CertificateName::SanEmail => client_certificate::Name::Email,
        CertificateName::SanUri => client_certificate::Name::Uri,
    };
    (Believed::Nothing, Kind::ClientCertificate(Arc::new(Rules { of: id.clone(), name })))
}

/// What `parse` makes of the file that `key` of the identity names.
fn parsed<T>(
    id: &IdentityId,
    key: &str,
    config::FilePath(path): &config::FilePath,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, CompileError> {
    let text = read(path).map_err(|error| error.to_string());
    let text = text.and_then(|text| String::from_utf8(text).map_err(|_form| "is no UTF-8".into()));
    text.and_then(|text| parse(&text)).map_err(|why| CompileError::File {
        key: format!("identity.{id}.{key}"),
        path: path.display().to_string(),
        why,
    })
}

fn place(from: &TokenSource) -> Place {
    match from {
        TokenSource::Bearer => Place::Authorization("Bearer"),
        TokenSource::Cookie(name) => Place::Cookie(name.as_str().into()),
        TokenSource::Header(name) => Place::Header(name.as_str().into()),
    }
}

fn rules(id: &IdentityId, config: &config::Jwt) -> jwt::Rules {
    let boxed = |texts: &[String]| texts.iter().map(|text| text.as_str().into()).collect();
    jwt::Rules {
        of: id.clone(),
        algorithms: algorithms(config).into(),
        issuer: config.issuer.as_deref().map(Box::from),
        audiences: boxed(&config.audiences),
        required: boxed(&config.required_claims),
        skew: config.skew.as_duration().as_secs(),
        user_claim: config.user_claim.as_str().into(),
        scopes_claim: config.scopes_claim.as_str().into(),
        bytes_max: usize::try_from(config.max_token.as_bytes()).unwrap_or(usize::MAX),
    }
}

fn algorithms(config: &config::Jwt) -> Vec<Algorithm> {
    let compile = |algorithm: &JwtAlgorithm| match algorithm {
        JwtAlgorithm::Es256 => Algorithm::Es256,
        JwtAlgorithm::EdDsa => Algorithm::EdDsa,
        JwtAlgorithm::Hs256 => Algorithm::Hs256,
        JwtAlgorithm::Ps256 => Algorithm::Ps256,
        JwtAlgorithm::Rs256 => Algorithm::Rs256,
    };
    config.algorithms.iter().map(compile).collect()
}

/// The keys that `config` names in files.
fn keys(id: &IdentityId, config: &config::Jwt) -> Result<KeySet, CompileError> {
    let wrong = |key: &str, path: &Path, why: String| CompileError::File {
        key: format!("identity.{id}.jwt.{key}"),
        path: path.display().to_string(),
        why,
    };
    if let Some(config::FilePath(path)) = &config.secret_file {
        let wrong = |why| wrong("secret_file", path, why);
        let text = read(path).map_err(|error| wrong(error.to_string()))?;
        let key = Key::shared(text.trim_ascii()).map_err(|error| wrong(error.to_string()))?;
        return Ok(KeySet::of_secret(key));
    }
    let Some(KeySource::File(config::FilePath(path))) = &config.jwks else {
        return Err(dangling("the keys of identity", id));
    };
    let wrong = |why| wrong("jwks", path, why);
    let text = read(path).map_err(|error| wrong(error.to_string()))?;
    KeySet::read(&text, &algorithms(config)).map_err(|error| wrong(error.to_string()))
}

/// What is in the file at `path`.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let count = File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut text)?;
    match count as u64 {
        0..=FILE_BYTES_MAX => Ok(text),
        _ => Err(io::Error::other("is longer than 16 MiB")),
    }
}
