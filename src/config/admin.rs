//! `[admin]`: how operators reach the running process.

use super::diagnostics::Problem;
use super::listener::Address;
use super::observe::FilePath;
use super::route::Host;
use super::tree::Node;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// How operators reach the running process: the admin API, which `vanne status`, `vanne reload`
/// and others ask. Without `socket` and `address`: not at all.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// A unix socket that only the process' own user may open. Who opens it has the role
    /// `admin`, without a token. Without it: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub socket: Option<FilePath>,
    /// An address and port that the API is also reached at, by HTTP in plain text. Without
    /// `tokens_file` it must be a loopback address, and whoever reaches it has the role `read`.
    /// Other addresses are for networks that nobody listens in on: tokens are sent in clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Names of hosts that clients ask `address` by, besides `localhost` and IP addresses.
    /// Requests to other names are refused: a web page may have made a browser send them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<Host>,
    /// The tokens that `address` asks for: a file with a line `ROLE NAME SHA-256` for each, the
    /// role being `read`, `operate` or `admin`; `vanne token` makes one and its line. What
    /// changes in the file counts within a second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens_file: Option<FilePath>,
    /// A file that gets a line of JSON for each change by the API, and for each refused attempt
    /// at one. They are also in the process log. It is opened anew for each line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit_file: Option<FilePath>,
}

/// Who reaches the address must show a token, unless only this machine does.
pub(super) fn check(root: &Node, problems: &mut Vec<Problem>) {
    let Some(admin) = root.get("admin") else { return };
    let address = admin.get("address");
    for key in ["hosts", "tokens_file"] {
        if let (Some(node), None) = (admin.get(key), address) {
            let message = format!("{key} without address does nothing");
            problems.push(
                Problem::new(&format!("admin.{key}"), node.span.clone(), message)
                    .accepts("`address` beside it; `socket` asks for no token"),
            );
        }
    }
    let Some(node) = address else { return };
    let parsed = node.text().and_then(|text| text.parse::<SocketAddr>().ok());
    let Some(address) = parsed.filter(|address| !address.ip().to_canonical().is_loopback()) else {
        return;
    };
    let problem = |message: &str| Problem::new("admin.address", node.span.clone(), message);
    match admin.get("tokens_file") {
        None => problems.push(
            problem(&format!("others reach {address} too, and nothing asks who they are"))
                .accepts("`tokens_file` beside it, or a loopback address like \"127.0.0.1:9902\""),
        ),
        Some(_) => problems.push(
            problem("tokens are sent in clear to this address: whoever listens in has them")
                .accepts("a loopback address, or a network that nobody listens in on")
                .warning(),
        ),
    }
}
