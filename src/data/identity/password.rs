//! Names and passwords (RFC 7617): verified beside the workers, and remembered for a while.
//!
//! A hash that is slow on purpose would hold up everybody on its worker, so it is computed by
//! threads of its own, few at once; more than so many that wait are refused, since they would be
//! anyway. Who is not there costs what the others do: an answer's time tells no names. What was good
//! is known again by a hash with a secret of the process, so no password stands in memory.

use super::denied::Denied;
use super::proof::Proof;
use super::question::Question;
use crate::types::ids::IdentityId;
use argon2::{Argon2, PasswordHash, PasswordVerifier};
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use quick_cache::sync::Cache;
use serde_json::Map;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use tokio::sync::Semaphore;

/// The longest name, and the longest password.
const BYTES_MAX: usize = 256;
/// Good passwords that are remembered.
const REMEMBERED_MAX: usize = 10_000;
/// Users of one file at most.
const USERS_MAX: usize = 100_000;
/// Passwords that wait to be verified at most, over all workers.
const WAITING_MAX: usize = 64;

/// Passwords that are verified or wait for it.
static PLACES: Semaphore = Semaphore::const_new(WAITING_MAX);
/// Passwords that are verified at once: a quarter of the processors, at least one.
static HASHING: LazyLock<Semaphore> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Semaphore::new((cores / 4).max(1))
});

/// Names, and hashes of their passwords.
#[derive(Default)]
pub struct Users {
    hashes: HashMap<Box<str>, Box<str>>,
    /// What is verified for who is not there: as slow as the slowest.
    stand_in: Box<str>,
}

impl Users {
    /// The users in `text`: a line for each, `NAME:HASH`, as `htpasswd` writes it for bcrypt
    /// (`$2y$…`), or with a hash of argon2id (`$argon2id$…`).
    ///
    /// # Errors
    /// Which line is none, and why.
    pub fn read(text: &str) -> Result<Self, String> {
        let mut users = Self::default();
        for (at, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = |why: &str| format!("line {}: {why}", at + 1);
            let (name, hash) = line.split_once(':').ok_or_else(|| at("expected `NAME:HASH`"))?;
            if name.is_empty() || name.len() > BYTES_MAX {
                return Err(at("not a name: expected 1 to 256 bytes"));
            }
            let cost = cost(hash).ok_or_else(|| {
                at("no hash that is known: expected one of argon2id ($argon2id$…) or bcrypt ($2y$…)")
            })?;
            if cost >= self::cost(&users.stand_in).unwrap_or_default() {
                users.stand_in = hash.into();
            }
            if users.hashes.insert(name.into(), hash.into()).is_some() {
                return Err(at("this name is there twice"));
            }
            if users.hashes.len() > USERS_MAX {
                return Err(format!("holds more than {USERS_MAX} users"));
            }
        }
        match users.hashes.is_empty() {
            true => Err("holds no user: expected lines `NAME:HASH`".to_owned()),
            false => Ok(users),
        }
    }

    /// Whether `password` is that of `name`. Takes as long where there is no such name.
    fn has(&self, name: &str, password: &[u8]) -> bool {
        match self.hashes.get(name) {
            Some(hash) => is_of(password, hash),
            None => {
                is_of(password, &self.stand_in);
                false
            }
        }
    }
}

/// How much work a hash is, as far as it can be compared; `None`: it is none that is known.
fn cost(hash: &str) -> Option<u64> {
    if is_bcrypt(hash) {
        let cost: u32 = hash.get(4..6)?.parse().ok()?;
        let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"./".contains(byte);
        let is_base64 = hash.as_bytes().iter().skip(7).all(is_part);
        // The last character of the salt has bits that are left over, and are 0.
        let ends_salt = hash.as_bytes().get(28).is_some_and(|byte| b".Oeu".contains(byte));
        let is_whole = hash.len() == 60 && is_base64 && ends_salt && (4..=20).contains(&cost);
        // About a third of a second at a cost of 12.
        return is_whole.then(|| 1 << cost);
    }
    let parsed = PasswordHash::new(hash).ok()?;
    let is_whole = parsed.algorithm.as_str() == "argon2id" && parsed.hash.is_some();
    let number = |name: &str| parsed.params.get_decimal(name);
    // In KiB written: 19 MiB twice are about 30 ms.
    let (memory, times) = (number("m")?, number("t")?);
    (is_whole && memory <= 1 << 20 && times <= 64).then(|| u64::from(memory) * u64::from(times) / 8)
}

fn is_bcrypt(hash: &str) -> bool {
    ["$2a$", "$2b$", "$2y$"].iter().any(|begin| hash.starts_with(begin))
}

/// Whether `hash` is of `password`.
fn is_of(password: &[u8], hash: &str) -> bool {
    if is_bcrypt(hash) {
        return bcrypt::verify(password, hash).unwrap_or(false);
    }
    let Ok(parsed) = PasswordHash::new(hash) else { return false };
    Argon2::default().verify_password(password, &parsed).is_ok()
}

/// A name and a password.
pub struct Login {
    /// The name.
    pub name: Box<str>,
    /// The password.
    password: Box<[u8]>,
    /// The users that it was said to.
    users: Arc<Users>,
    /// What it is known again by.
    print: Print,
    of: IdentityId,
}

impl Login {
    /// Who it is, found out beside the workers.
    ///
    /// # Errors
    /// When it is not good, or too many wait.
    pub async fn verify(self: Arc<Self>) -> Result<Arc<Proof>, Denied> {
        let Ok(_place) = PLACES.try_acquire() else { return Err(Denied::PasswordsBusy) };
        let Ok(turn) = HASHING.acquire().await else { return Err(Denied::PasswordsBusy) };
        let login = Arc::clone(&self);
        // Whoever leaves does not stop it: the turn is over when the hash is.
        let verified = tokio::task::spawn_blocking(move || {
            let is_good = login.users.has(&login.name, &login.password);
            drop(turn);
            is_good
        });
        match verified.await {
            Ok(true) => {
                let mut claims = Map::new();
                claims.insert("sub".to_owned(), (&*self.name).into());
                Ok(Arc::new(Proof::of(&self.of, claims, ("sub", "scope"))))
            }
            Ok(false) => Err(Denied::Password),
            Err(_panicked) => Err(Denied::PasswordsBusy),
        }
    }
}

type Print = [u8; 32];

/// What is remembered of a good password.
struct Good {
    proof: Arc<Proof>,
    users: Arc<Users>,
    /// In seconds of Unix time.
    until: u64,
}

/// Passwords that were good a while ago.
pub struct Remembered {
    good: Cache<Print, Arc<Good>>,
    secret: hmac::Key,
    /// For how long, in seconds.
    seconds: u64,
}

impl Remembered {
    /// None yet; each is remembered for so long.
    ///
    /// # Errors
    /// When the system gives no random bytes.
    pub fn new(seconds: u64) -> Result<Self, aws_lc_rs::error::Unspecified> {
        let secret = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new())?;
        Ok(Self { good: Cache::new(REMEMBERED_MAX), secret, seconds })
    }

    /// Who shows `credentials`, if it is known at `wall`; else what is to be found out.
    ///
    /// # Errors
    /// When they are none.
    pub fn ask(
        &self,
        of: &IdentityId,
        users: &Arc<Users>,
        credentials: &[u8],
        wall: u64,
    ) -> Result<Result<Arc<Proof>, Arc<Question>>, Denied> {
        let text = STANDARD.decode(credentials).map_err(|_form| Denied::Malformed)?;
        let colon = text.iter().position(|byte| *byte == b':').ok_or(Denied::Malformed)?;
        let (name, password) = text.split_at_checked(colon).ok_or(Denied::Malformed)?;
        let password = password.get(1..).unwrap_or_default();
        let name = std::str::from_utf8(name).map_err(|_form| Denied::Malformed)?;
        if name.len() > BYTES_MAX || password.len() > BYTES_MAX {
            return Err(Denied::TooLong);
        }
        let print = hmac::sign(&self.secret, &text).as_ref().try_into().unwrap_or_default();
        if let Some(good) = self.good.get(&print)
            && wall < good.until
            && Arc::ptr_eq(&good.users, users)
        {
            return Ok(Ok(Arc::clone(&good.proof)));
        }
        let (users, of) = (Arc::clone(users), of.clone());
        let login = Login { name: name.into(), password: password.into(), users, print, of };
        Ok(Err(Arc::new(Question::login(login))))
    }

    /// Remembers that `login` was good at `wall`.
    pub fn keep(&self, login: &Login, proof: &Arc<Proof>, wall: u64) {
        let (proof, users) = (Arc::clone(proof), Arc::clone(&login.users));
        let good = Good { proof, users, until: wall.saturating_add(self.seconds) };
        self.good.insert(login.print, Arc::new(good));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of `secret`, cheap.
    const ARGON2: &str = "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHRzb21lc2FsdA$";

    fn bcrypt_of(password: &str) -> String {
        bcrypt::hash_with_salt(password, 4, [7; 16]).unwrap().to_string()
    }

    fn argon2_of(password: &str) -> String {
        use argon2::{Algorithm, Params, PasswordHasher, Version, password_hash::SaltString};
        let params = Params::new(64, 1, 1, None).unwrap();
        let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let salt = SaltString::from_b64("c29tZXNhbHRzb21lc2FsdA").unwrap();
        hasher.hash_password(password.as_bytes(), &salt).unwrap().to_string()
    }

    #[test]
    fn a_password_is_of_its_name_alone() {
        let (one, two) = (argon2_of("one"), bcrypt_of("two"));
        assert!(one.starts_with(ARGON2), "{one}");
        let users = Users::read(&format!("# all\nann:{one}\n\nbob:{two}\n")).unwrap();
        assert!(users.has("ann", b"one") && users.has("bob", b"two"));
        for (name, password) in [("ann", "two"), ("bob", "one"), ("eve", "one"), ("ann", "")] {
            assert!(!users.has(name, password.as_bytes()), "{name} {password}");
        }
        assert_eq!(*users.stand_in, *two, "who is not there takes as long as the slowest");
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        for (text, why) in [
            ("", "holds no user"),
            ("ann", "line 1: expected `NAME:HASH`"),
            (":$2y$", "line 1: not a name"),
            ("ann:secret", "line 1: no hash"),
            ("ann:$apr1$x$y", "line 1: no hash"),
            ("ann:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "line 1: no hash"),
            ("ann:$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$aGFzaGhhc2hoYXNo", "line 1: no hash"),
            ("ann:$2y$31$abc", "line 1: no hash"),
            (&*format!("ann:$2y$10${}", "a".repeat(53)), "line 1: no hash"),
        ] {
            let said = Users::read(text).err().unwrap();
            assert!(said.starts_with(why), "{text:?}: {said}");
        }
        let hash = bcrypt_of("x");
        assert!(Users::read(&format!("a:{hash}\na:{hash}")).err().unwrap().contains("twice"));
    }
}
