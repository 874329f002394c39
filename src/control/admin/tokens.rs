//! Tokens: who may come in by the address, and as what. A file has their digests only.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use subtle::{ConditionallySelectable, ConstantTimeEq};

/// Longest file of tokens.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Random bytes in a token.
const TOKEN_BYTES: usize = 32;
/// What a token begins with, so that those who look for lost secrets know one.
const PREFIX: &str = "vanne_";
/// Longest name of who has a token.
const NAME_BYTES_MAX: usize = 64;

/// What somebody may do. Each may do what those before it may.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Look.
    Read,
    /// Change what is over by itself or with the process: backends, the level of the log.
    Operate,
    /// Replace the config.
    Admin,
}

impl Role {
    /// All roles.
    pub const ALL: [Self; 3] = [Self::Read, Self::Operate, Self::Admin];

    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let role = Self::ALL.into_iter().find(|role| role.as_str() == text);
        role.ok_or_else(|| format!("no role `{text}`: expected read, operate or admin"))
    }
}

/// The name of who has a token: 1 to 64 letters, digits, `.`, `_`, `-` and `@`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HolderName(Box<str>);

impl HolderName {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HolderName {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte);
        match (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(is_part) {
            true => Ok(Self(text.into())),
            false => Err("not a name: expected 1 to 64 of a-z A-Z 0-9 . _ - @".to_owned()),
        }
    }
}

type Digest = [u8; 32];

/// A token that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What its holder may do.
    pub role: Role,
    /// Who has it.
    pub name: HolderName,
    digest: Digest,
}

/// All tokens that are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(Vec<Token>);

impl Tokens {
    /// The tokens in the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or a line is none.
    pub fn read(path: &Path) -> Result<Self, String> {
        let mut text = String::new();
        let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
        let read = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
        match read.map_err(|error| error.to_string())? as u64 {
            0..=FILE_BYTES_MAX => Self::parse(&text),
            _ => Err(format!("is longer than {FILE_BYTES_MAX} bytes")),
        }
    }

    fn parse(text: &str) -> Result<Self, String> {
        let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
        let tokens: Vec<Token> = lines
            .map(|(number, line)| token(line).map_err(|why| format!("line {number}: {why}")))
            .collect::<Result<_, _>>()?;
        match tokens.is_empty() {
            true => Err("holds no token: expected a line that `vanne token` printed".to_owned()),
            false => Ok(Self(tokens)),
        }
    }

    /// The token whose text is `given`. Takes the same time whichever it is, and if it is none.
    #[must_use]
    pub fn find(&self, given: &[u8]) -> Option<&Token> {
        let given = digest_of(given);
        let mut found = 0;
        for (number, token) in (1_u32..).zip(&self.0) {
            found.conditional_assign(&number, token.digest.ct_eq(&given));
        }
        self.0.get(usize::try_from(found.checked_sub(1)?).ok()?)
    }
}

fn token(line: &str) -> Result<Token, String> {
    let parts: Vec<&str> = line.split_whitespace().collect();
    let [role, name, digest] = parts[..] else {
        return Err("expected `ROLE NAME SHA-256`, as `vanne token` prints it".to_owned());
    };
    let wrong = || "not a SHA-256: expected 64 hexadecimal digits".to_owned();
    let digest = unhex(digest).ok_or_else(wrong)?;
    Ok(Token { role: role.parse()?, name: name.parse()?, digest })
}

fn digest_of(text: &[u8]) -> Digest {
    let mut out = Digest::default();
    out.copy_from_slice(digest(&SHA256, text).as_ref());
    out
}

/// The SHA-256 of `text` in hexadecimal digits.
#[must_use]
pub fn sha256(text: &[u8]) -> String {
    digest_of(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Digest> {
    let mut out = Digest::default();
    if text.len() != 2 * out.len() {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

/// 256 random bits as text.
///
/// # Errors
/// When the system gives no random bytes.
pub fn random_text() -> Result<String, aws_lc_rs::error::Unspecified> {
    let mut bytes = [0; TOKEN_BYTES];
    aws_lc_rs::rand::fill(&mut bytes)?;
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

/// A new token of 256 random bits, and its line for the file.
///
/// # Errors
/// When the system gives no random bytes.
pub fn make(
    role: Role,
    name: &HolderName,
) -> Result<(String, String), aws_lc_rs::error::Unspecified> {
    let token = format!("{PREFIX}{}", random_text()?);
    let line = format!("{role} {} {}", name.as_str(), sha256(token.as_bytes()));
    Ok((token, line))
}

/// The file of tokens, kept as it is.
#[derive(Debug)]
pub struct TokensFile {
    path: PathBuf,
    sign: Option<Sign>,
    /// Those that it held when it was good last.
    pub tokens: Tokens,
    /// Why they are not what it holds now.
    pub problem: Option<String>,
}

/// What tells cheaply whether a file has changed: device, inode, size, time of its last change,
/// and who may read it.
type Sign = (u64, u64, u64, i64, i64, u32);

impl TokensFile {
    /// The file at `path`, read.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn open(path: &Path) -> Result<Self, String> {
        let sign = sign(path);
        let shown = |why| format!("{}: {why}", path.display());
        let tokens = Tokens::read(path).map_err(shown)?;
        let file = Self { path: path.to_owned(), sign, tokens, problem: None };
        if file.is_exposed() {
            tracing::warn!(file = %path.display(), "others may read the file of tokens: chmod 600");
        }
        Ok(file)
    }

    /// The same file read again, if it has changed.
    #[must_use]
    pub fn look(&self) -> Option<Self> {
        let sign = sign(&self.path);
        if sign == self.sign {
            return None;
        }
        Some(Self::open(&self.path).unwrap_or_else(|problem| {
            tracing::error!(%problem, "tokens not read: those that were there stay");
            let (path, tokens) = (self.path.clone(), self.tokens.clone());
            Self { path, sign, tokens, problem: Some(problem) }
        }))
    }

    /// Whether others than its owner may read it.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        self.sign.is_some_and(|(.., mode)| mode & 0o044 != 0)
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn sign(path: &Path) -> Option<Sign> {
    let found = std::fs::metadata(path).ok()?;
    let mode = found.permissions().mode();
    Some((found.dev(), found.ino(), found.size(), found.ctime(), found.ctime_nsec(), mode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_by_its_text_and_by_nothing_else() {
        let name: HolderName = "ci".parse().unwrap();
        let made: Vec<_> = Role::ALL.into_iter().map(|role| make(role, &name).unwrap()).collect();
        let lines: Vec<_> = made.iter().map(|(_, line)| line.as_str()).collect();
        let tokens = Tokens::parse(&format!("# who\n\n{}\n", lines.join("\n"))).unwrap();
        for ((token, line), role) in made.iter().zip(Role::ALL) {
            let found = tokens.find(token.as_bytes()).unwrap();
            assert_eq!((found.role, found.name.as_str()), (role, "ci"));
            assert!(!line.contains(token.as_str()) && token.len() > 40);
            assert!(tokens.find(&token.as_bytes()[1..]).is_none());
        }
        assert!(tokens.find(b"").is_none());
    }

    #[test]
    fn a_wrong_line_is_named() {
        let digest = sha256(b"x");
        for (text, said) in [
            ("".to_owned(), "no token"),
            (format!("reed ci {digest}"), "line 1: no role `reed`"),
            (format!("\nread c/i {digest}"), "line 2: not a name"),
            (format!("read ci {digest}0"), "64 hexadecimal digits"),
            (format!("read ci {}", digest.replace('a', "+")), "64 hexadecimal digits"),
            ("read ci".to_owned(), "ROLE NAME SHA-256"),
        ] {
            let told = Tokens::parse(&text).unwrap_err();
            assert!(told.contains(said), "{told}");
        }
    }
}
