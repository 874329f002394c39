//! Certificates of clients: who a certificate names, read once for each connection.
//!
//! That it is good (whose it is, by whom, until when) was found out in the handshake
//! (`listener::tls`); what it says is believed here. A connection outlives the handshake, so the
//! end of the certificate's time is looked at with each request.

use super::denied::Denied;
use super::proof::Proof;
use crate::types::ids::IdentityId;
use arc_swap::ArcSwapOption;
use aws_lc_rs::digest::{SHA256, digest};
use serde_json::{Map, Value};
use std::sync::Arc;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What in a certificate is the user's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// The common name of the subject.
    Common,
    /// The first alternative name that is a host's.
    Dns,
    /// The first that is an address of mail.
    Email,
    /// The first that is a URI.
    Uri,
}

/// How it is known from certificates who somebody is.
pub struct Rules {
    /// Whose they are.
    pub of: IdentityId,
    /// What is the name.
    pub name: Name,
}

/// What the certificate says that a client has shown. One for each connection.
pub struct ClientCertificate {
    common: Option<Box<str>>,
    dns: Option<Box<str>>,
    email: Option<Box<str>>,
    uri: Option<Box<str>>,
    /// All claims but the name.
    claims: Map<String, Value>,
    /// The last second that it is good, in Unix time.
    until: u64,
    /// Who it is by the rules that asked last.
    known: ArcSwapOption<(Arc<Rules>, Arc<Proof>)>,
}

impl ClientCertificate {
    /// What the certificate `der` says, which the handshake has believed. `None`: it cannot be read.
    #[must_use]
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let mut names = parsed.subject().iter_common_name();
        // Of two, each reader takes another one.
        let common = match (names.next(), names.next()) {
            (Some(name), None) => name.as_str().ok().map(Box::from),
            _ => None,
        };
        let mut this = Self {
            common,
            dns: None,
            email: None,
            uri: None,
            claims: Map::new(),
            until: parsed.validity().not_after.timestamp().try_into().unwrap_or_default(),
            known: ArcSwapOption::empty(),
        };
        let alternatives = parsed.subject_alternative_name().ok().flatten();
        let mut san: Vec<Value> = Vec::new();
        for name in alternatives.iter().flat_map(|names| &names.value.general_names) {
            let (first, text) = match *name {
                GeneralName::DNSName(text) => (&mut this.dns, text),
                GeneralName::RFC822Name(text) => (&mut this.email, text),
                GeneralName::URI(text) => (&mut this.uri, text),
                _ => continue,
            };
            first.get_or_insert_with(|| text.into());
            san.push(text.into());
        }
        if let Some(name) = &this.common {
            this.claims.insert("cn".to_owned(), (&**name).into());
        }
        if !san.is_empty() {
            this.claims.insert("san".to_owned(), san.into());
        }
        let serial = parsed.raw_serial();
        // A number that begins with a high bit has a zero before it (X.690 §8.3.3).
        let serial = serial.strip_prefix(&[0]).filter(|rest| !rest.is_empty()).unwrap_or(serial);
        this.claims.insert("serial".to_owned(), hex(serial).into());
        let print = digest(&SHA256, der);
        this.claims.insert("fingerprint".to_owned(), hex(print.as_ref()).into());
        Some(this)
    }

    fn name(&self, name: Name) -> Option<&str> {
        match name {
            Name::Common => self.common.as_deref(),
            Name::Dns => self.dns.as_deref(),
            Name::Email => self.email.as_deref(),
            Name::Uri => self.uri.as_deref(),
        }
    }

    /// Who it is by `rules`, at `wall`, in seconds of Unix time.
    ///
    /// # Errors
    /// When its time is over, or it does not say who it is.
    /// Cost: two looks and an addition; an allocation when other rules asked last.
    pub fn proof(&self, rules: &Arc<Rules>, wall: u64) -> Result<Arc<Proof>, Denied> {
        if wall > self.until {
            return Err(Denied::CertificateExpired);
        }
        if let Some(known) = &*self.known.load()
            && Arc::ptr_eq(&known.0, rules)
        {
            return Ok(Arc::clone(&known.1));
        }
        let name = self.name(rules.name).ok_or(Denied::CertificateNameless)?;
        let mut claims = self.claims.clone();
        claims.insert("sub".to_owned(), name.into());
        let proof = Arc::new(Proof::of(&rules.of, claims, ("sub", "scope")));
        if proof.user.is_none() {
            return Err(Denied::CertificateNameless);
        }
        self.known.store(Some(Arc::new((Arc::clone(rules), Arc::clone(&proof)))));
        Ok(proof)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, SerialNumber};

    fn rules(name: Name) -> Arc<Rules> {
        Arc::new(Rules { of: "staff".parse().unwrap(), name })
    }

    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> ClientCertificate {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.serial_number = Some(SerialNumber::from(vec![0x9a, 1]));
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        ClientCertificate::read(params.self_signed(&key).unwrap().der()).unwrap()
    }

    #[test]
    fn a_certificate_names_who_shows_it() {
        let shown = certificate(|params| {
            params.distinguished_name.push(DnType::CommonName, "ann");
            params.subject_alt_names = vec![
                SanType::URI("spiffe://a/b".try_into().unwrap()),
                SanType::DnsName("a.example".try_into().unwrap()),
                SanType::DnsName("b.example".try_into().unwrap()),
                SanType::Rfc822Name("ann@a.example".try_into().unwrap()),
            ];
        });
        for (name, user) in [
            (Name::Common, "ann"),
            (Name::Dns, "a.example"),
            (Name::Email, "ann@a.example"),
            (Name::Uri, "spiffe://a/b"),
        ] {
            let rules = rules(name);
            let proof = shown.proof(&rules, 0).unwrap();
            assert_eq!(proof.user.as_deref(), Some(user));
            let again = shown.proof(&rules, 0).unwrap();
            assert!(Arc::ptr_eq(&proof, &again), "made once for a connection");
            assert_eq!(proof.claims["cn"], "ann");
            assert_eq!(proof.claims["serial"], "9a01");
            let san = ["spiffe://a/b", "a.example", "b.example", "ann@a.example"];
            assert_eq!(proof.claims["san"], Value::from(&san[..]));
            assert_eq!(proof.claims["fingerprint"].as_str().unwrap().len(), 64);
        }
    }

    #[test]
    fn without_the_name_or_out_of_its_time_it_is_nobodys() {
        let shown = certificate(|params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.not_after = time::OffsetDateTime::from_unix_timestamp(1_000_000_000).unwrap();
            params.subject_alt_names = vec![SanType::URI("urn:a".try_into().unwrap())];
        });
        for name in [Name::Common, Name::Dns, Name::Email] {
            assert_eq!(shown.proof(&rules(name), 0), Err(Denied::CertificateNameless));
        }
        let uri = rules(Name::Uri);
        assert!(shown.proof(&uri, 1_000_000_000).is_ok());
        assert_eq!(shown.proof(&uri, 1_000_000_001), Err(Denied::CertificateExpired));
        assert!(ClientCertificate::read(b"none").is_none());
    }
}
