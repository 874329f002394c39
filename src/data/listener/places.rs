//! 1 · Places: in which country, and of which operator's network, an address is.
//!
//! Asked when somebody comes in, where the blocklist names countries or operators, and when a line
//! of the access log is written. What is not known blocks nobody. Control replaces the files.

use crate::types::country::Country;
use arc_swap::ArcSwapOption;
use maxminddb::{Reader, path};
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// Networks of a file that are looked at before it is used, at most.
const TRIED_MAX: usize = 100_000;

/// What a file says of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// Their country.
    Country,
    /// The number of their operator's network.
    Asn,
}

impl About {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Country, Self::Asn];

    /// The key in the config, and the label in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Country => "country",
            Self::Asn => "asn",
        }
    }
}

/// A file that was read.
pub struct Database(Reader<Vec<u8>>);

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Database").field(self.0.metadata()).finish()
    }
}

impl Database {
    /// The file that has these `bytes`.
    ///
    /// # Errors
    /// When it is none, or says nothing about what it is to say.
    pub fn new(bytes: Vec<u8>, about: About) -> Result<Self, String> {
        let said = |error: maxminddb::MaxMindDbError| error.to_string();
        let database = Self(Reader::from_source(bytes).map_err(said)?);
        let mut says_something = false;
        for network in database.0.networks(Default::default()).map_err(said)?.take(TRIED_MAX) {
            let found = network.map_err(said)?;
            says_something |= match about {
                About::Country => country(&found).map_err(said)?.is_some(),
                About::Asn => asn(&found).map_err(said)?.is_some(),
            };
        }
        let name = &database.0.metadata().database_type;
        match says_something {
            true => Ok(database),
            false => Err(format!(
                "{name} says of no address {}",
                match about {
                    About::Country => "its country: expected `country.iso_code` in it",
                    About::Asn => "its operator: expected `autonomous_system_number` in it",
                }
            )),
        }
    }

    /// When it was made.
    #[must_use]
    pub fn made(&self) -> Option<SystemTime> {
        self.0.metadata().build_time().ok()
    }
}

type Found<'a> = maxminddb::LookupResult<'a, Vec<u8>>;

fn country(found: &Found<'_>) -> Result<Option<Country>, maxminddb::MaxMindDbError> {
    let code: Option<&str> = found.decode_path(&path!["country", "iso_code"])?;
    Ok(code.and_then(|code| Country::of(code.as_bytes())))
}

fn asn(found: &Found<'_>) -> Result<Option<u32>, maxminddb::MaxMindDbError> {
    found.decode_path(&path!["autonomous_system_number"])
}

/// What is known of addresses; one for the process.
#[derive(Debug, Default)]
pub struct Places {
    /// In the order of [`About::ALL`].
    files: [ArcSwapOption<Database>; About::ALL.len()],
}

impl Places {
    /// The country of `address`, if it is known.
    /// Cost: some steps down a tree, in memory that may be far away; no allocation, no lock.
    #[must_use]
    pub fn country(&self, address: IpAddr) -> Option<Country> {
        self.look(About::Country, address, country)
    }

    /// The number of the network that `address` is of, if it is known. Cost: the same.
    #[must_use]
    pub fn asn(&self, address: IpAddr) -> Option<u32> {
        self.look(About::Asn, address, asn)
    }

    /// From now on `database` says what there is to know, or none does. For control's one thread.
    pub fn set(&self, about: About, database: Option<Database>) {
        if let Some(file) = self.files.get(about as usize) {
            file.store(database.map(Arc::new));
        }
    }

    /// When the file in use was made.
    #[must_use]
    pub fn made(&self, about: About) -> Option<SystemTime> {
        self.files.get(about as usize)?.load().as_ref()?.made()
    }

    /// A damaged file says nothing, as one that does not know the address.
    fn look<T>(
        &self,
        about: About,
        address: IpAddr,
        read: fn(&Found<'_>) -> Result<Option<T>, maxminddb::MaxMindDbError>,
    ) -> Option<T> {
        let file = self.files.get(about as usize)?.load();
        let found = file.as_ref()?.0.lookup(address.to_canonical()).ok()?;
        read(&found).ok()?
    }
}

/// Who is blocked because of where they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceRules {
    /// Countries that are blocked, in order.
    pub deny_countries: Vec<Country>,
    /// If there are any: all countries but these are blocked. In order.
    pub only_countries: Vec<Country>,
    /// Networks that are blocked, in order.
    pub deny_asns: Vec<u32>,
}

/// Why somebody is blocked because of where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// The country is denied.
    Country(Country),
    /// The country is none of those that may come in.
    Other(Country),
    /// The operator's network is denied.
    Asn(u32),
}

impl PlaceRules {
    /// Why `address` is blocked, if it is, by what `places` know.
    /// Cost: nothing where there are no rules; else a look-up or two in `places`.
    #[must_use]
    pub fn blocks(&self, address: IpAddr, places: &Places) -> Option<Elsewhere> {
        self.country(address, places).or_else(|| self.asn(address, places))
    }

    fn country(&self, address: IpAddr, places: &Places) -> Option<Elsewhere> {
        let Self { deny_countries: deny, only_countries: only, .. } = self;
        if deny.is_empty() && only.is_empty() {
            return None;
        }
        let country = places.country(address)?;
        if deny.binary_search(&country).is_ok() {
            return Some(Elsewhere::Country(country));
        }
        let is_other = !only.is_empty() && only.binary_search(&country).is_err();
        is_other.then_some(Elsewhere::Other(country))
    }

    fn asn(&self, address: IpAddr, places: &Places) -> Option<Elsewhere> {
        if self.deny_asns.is_empty() {
            return None;
        }
        let asn = places.asn(address)?;
        self.deny_asns.binary_search(&asn).is_ok().then_some(Elsewhere::Asn(asn))
    }
}
