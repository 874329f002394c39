//! `[geoip]`: files that say in which country, and of which operator, addresses are.

use super::observe::FilePath;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Files that say in which country an address is, and of which operator's network (autonomous
/// system), in the format of MaxMind DB (`.mmdb`). They are read again when they change; one that
/// is wrong leaves what was there. What they say is in the access log (`country`, `asn`), and can
/// block (`blocklist.deny_countries`, `only_countries`, `deny_asns`).
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GeoIp {
    /// A file with countries: `country.iso_code`, as GeoLite2-Country, GeoLite2-City and DB-IP have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<FilePath>,
    /// A file with operators: `autonomous_system_number`, as GeoLite2-ASN and DB-IP have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<FilePath>,
}
