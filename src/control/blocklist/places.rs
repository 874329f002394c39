//! Places: the files of `[geoip]`, read and read again.

use super::lookout::{Lookout, Sign, sign};
use crate::config::{FilePath, GeoIp};
use crate::control::compile::CompileError;
use crate::data::listener::places::{About, Database, Places};
use crate::observe::metrics::{GEOIP_MADE, Metrics, Watched};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

/// The largest file that is read.
const BYTES_MAX: u64 = 1 << 30;

/// What was read: in the order of [`About::ALL`], those that there are.
type Read = [Option<Database>; About::ALL.len()];

/// Files that are ready to be used, and what they looked like.
pub(super) type Ready = (Read, Vec<Sign>);

/// The files in use.
pub(super) struct PlaceFiles {
    places: Arc<Places>,
    config: GeoIp,
    lookout: Lookout<Read>,
    /// Why they are not in use as they are now, if they are not.
    pub(super) fault: Option<String>,
    /// `vanne_geoip_made_timestamp_seconds`, by file.
    made: Vec<Watched>,
}

impl PlaceFiles {
    /// None yet; `places` will know what they say.
    pub(super) fn new(places: &Arc<Places>) -> Self {
        Self {
            places: Arc::clone(places),
            config: GeoIp::default(),
            lookout: Lookout::default(),
            fault: None,
            made: Vec::new(),
        }
    }

    /// Reads what `config` names, if that is other than what is in use.
    ///
    /// # Errors
    /// When one cannot be used.
    pub(super) fn prepare(&self, config: &GeoIp) -> Result<Option<Ready>, CompileError> {
        if self.config == *config {
            return Ok(None);
        }
        let signs = signs(config);
        Ok(Some((read(config)?, signs)))
    }

    /// Uses what was prepared of `config`.
    pub(super) fn apply(&mut self, (read, signs): Ready, config: &GeoIp, metrics: &Metrics) {
        self.config = config.clone();
        self.lookout.follow(signs);
        let named = About::ALL.into_iter().filter(|about| path_of(config, *about).is_some());
        let show = |about: About| {
            let places = Arc::clone(&self.places);
            let made = move || {
                let made = places.made(about)?.duration_since(UNIX_EPOCH).ok()?;
                Some(made.as_secs_f64())
            };
            metrics.watch(&GEOIP_MADE, [about.as_str()], made)
        };
        self.made = named.filter_map(show).collect();
        self.replace(read);
    }

    /// Looks whether files have changed, and uses them as they are now. Gives whether it does.
    pub(super) fn look(&mut self) -> bool {
        let config = self.config.clone();
        match self.lookout.look(signs(&self.config), move || read(&config)) {
            None => false,
            Some(Ok(read)) => {
                tracing::info!("files of geoip read again");
                self.replace(read);
                true
            }
            Some(Err(error)) => {
                tracing::error!(%error, "files of geoip not read again: what was there stays");
                self.fault = Some(error.to_string());
                false
            }
        }
    }

    fn replace(&mut self, read: Read) {
        for (about, database) in About::ALL.into_iter().zip(read) {
            self.places.set(about, database);
        }
        self.fault = None;
    }
}

/// What the files of `config` look like now.
fn signs(config: &GeoIp) -> Vec<Sign> {
    About::ALL.into_iter().filter_map(|about| path_of(config, about)).map(|it| sign(it)).collect()
}

/// Reads the files that `config` names.
///
/// # Errors
/// When one cannot be used.
pub(super) fn read(config: &GeoIp) -> Result<Read, CompileError> {
    let one = |about| {
        let Some(path) = path_of(config, about) else { return Ok(None) };
        read_one(path, about).map(Some).map_err(|why| CompileError::File {
            key: format!("geoip.{}", about.as_str()),
            path: path.display().to_string(),
            why,
        })
    };
    let [country, asn] = About::ALL.map(one);
    Ok([country?, asn?])
}

fn read_one(path: &Path, about: About) -> Result<Database, String> {
    let found = std::fs::metadata(path).map_err(|error| error.to_string())?;
    // Reading a pipe would wait.
    if !found.is_file() || found.len() > BYTES_MAX {
        return Err(format!("expected a file of at most {BYTES_MAX} bytes"));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    Database::new(bytes, about)
}

fn path_of(config: &GeoIp, about: About) -> Option<&PathBuf> {
    let file = match about {
        About::Country => &config.country,
        About::Asn => &config.asn,
    };
    file.as_ref().map(|FilePath(path)| path)
}
