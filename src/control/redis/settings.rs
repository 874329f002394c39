//! Settings: how Redis is reached, with what the config's files hold.

use crate::config::{self, FilePath, RedisAddress};
use crate::control::compile::CompileError;
use redis::{
    Client, ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, RedisResult, TlsCertificates,
};
use std::fmt;
use std::time::Duration;

/// How Redis is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// Where it is.
    pub address: RedisAddress,
    user: Option<String>,
    password: Option<String>,
    authorities: Option<Vec<u8>>,
    database: u32,
    /// What names of keys begin with.
    pub prefix: String,
    /// How long a command may take.
    pub timeout: Duration,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Settings {
    /// What `config` says.
    ///
    /// # Errors
    /// When a file that it names cannot be used.
    pub fn of(config: &config::Redis) -> Result<Self, CompileError> {
        let password = read("redis.password_file", config.password_file.as_ref())?;
        let password = password.map(|bytes| String::from_utf8_lossy(&bytes).trim_end().to_owned());
        let settings = Self {
            address: config.address.clone(),
            user: config.user.as_ref().map(ToString::to_string),
            password,
            authorities: read("redis.ca_file", config.ca_file.as_ref())?,
            database: config.database,
            prefix: config.prefix.to_string(),
            timeout: config.timeout.as_duration(),
        };
        let unusable = |error| CompileError::Unusable { key: "redis".into(), why: text(&error) };
        settings.client().map_err(unusable)?;
        Ok(settings)
    }

    /// What connects to it.
    ///
    /// # Errors
    /// When what the files hold cannot be used.
    pub(super) fn client(&self) -> RedisResult<Client> {
        let address = match &self.address {
            RedisAddress::Unix(path) => ConnectionAddr::Unix(path.clone()),
            RedisAddress::Host { host, port, is_tls: false } => {
                ConnectionAddr::Tcp(host.to_string(), *port)
            }
            RedisAddress::Host { host, port, is_tls: true } => ConnectionAddr::TcpTls {
                host: host.to_string(),
                port: *port,
                insecure: false,
                tls_params: None,
            },
        };
        let mut login = RedisConnectionInfo::default().set_db(i64::from(self.database));
        if let Some(user) = &self.user {
            login = login.set_username(user);
        }
        if let Some(password) = &self.password {
            login = login.set_password(password);
        }
        let whole = address.into_connection_info()?.set_redis_settings(login);
        match &self.authorities {
            None => Client::open(whole),
            Some(authorities) => {
                let root_cert = Some(authorities.clone());
                Client::build_with_tls(whole, TlsCertificates { client_tls: None, root_cert })
            }
        }
    }
}

fn read(key: &str, path: Option<&FilePath>) -> Result<Option<Vec<u8>>, CompileError> {
    let Some(FilePath(path)) = path else { return Ok(None) };
    let wrong = |error: std::io::Error| CompileError::File {
        key: key.to_owned(),
        path: path.display().to_string(),
        why: error.to_string(),
    };
    std::fs::read(path).map(Some).map_err(wrong)
}

/// What went wrong, without the library's own words around it.
pub(super) fn text(error: &redis::RedisError) -> String {
    error.to_string()
}
