//! Makes certificates for trying TLS out on one machine: an authority of its own, and two
//! certificates for `localhost` that it signs, one with an elliptic curve and one with RSA.
//!
//! `make dev-certs` runs it. Whoever trusts `certs/dev/ca.pem` trusts the others; nobody else
//! should. Keys are never committed: the folder is ignored by git.
#![allow(clippy::print_stdout, reason = "what it made is what it has to say")]

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use std::path::Path;
use time::{Duration, OffsetDateTime};

/// How long they are good: browsers take no longer.
const DAYS: i64 = 397;
const NAMES: [&str; 4] = ["localhost", "*.localhost", "127.0.0.1", "::1"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new("certs/dev");
    std::fs::create_dir_all(folder)?;
    let mut params = params(&[], "Vanne's authority for development")?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    let key = KeyPair::generate()?;
    let authority = params.self_signed(&key)?;
    write(&folder.join("ca.pem"), &authority.pem())?;
    let issuer = Issuer::new(params, key);
    let keys = [
        ("localhost-ecdsa.pem", KeyPair::generate()?),
        ("localhost-rsa.pem", KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256)?),
    ];
    for (name, key) in keys {
        let leaf = self::params(&NAMES, "localhost")?.signed_by(&key, &issuer)?;
        write(&folder.join(name), &(leaf.pem() + &key.serialize_pem()))?;
    }
    println!("For {}, {DAYS} days. In a listener:", NAMES.join(", "));
    println!("  tls = {{ certificates = [\"certs/dev/localhost-*.pem\"] }}");
    println!("and to ask it:");
    println!("  curl --cacert certs/dev/ca.pem https://localhost:8443/");
    Ok(())
}

fn params(names: &[&str], called: &str) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, called);
    let now = OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now - Duration::days(1), now + Duration::days(DAYS));
    Ok(params)
}

/// Writes a file that only its owner may read: it may hold a key.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(path)?.write_all(text.as_bytes())?;
    println!("{}", path.display());
    Ok(())
}
