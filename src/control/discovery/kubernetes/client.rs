//! How the API server is reached: by a kubeconfig, or by what a pod is given.

use super::fault::whole;
use crate::config::{self, FilePath};
use kube::Client;
use kube::config::{Config, KubeConfigOptions, Kubeconfig};
use std::path::Path;
use std::time::Duration;

/// A client by the rules of `api`; files that it names are read anew. To be called on the
/// runtime that it is to run on.
///
/// # Errors
/// What cannot be used, in words.
pub(super) async fn connect(api: &config::Kubernetes, limit: Duration) -> Result<Client, String> {
    let mut config = match &api.kubeconfig {
        Some(FilePath(path)) => {
            let options =
                KubeConfigOptions { context: api.context.clone(), ..KubeConfigOptions::default() };
            let config = Config::from_custom_kubeconfig(read(path)?, &options).await;
            config.map_err(|error| format!("{}: {}", path.display(), whole(&error)))?
        }
        None => Config::incluster().map_err(|error| not_in_a_pod(&whole(&error)))?,
    };
    config.connect_timeout = Some(limit);
    // When to ask again is decided here.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| whole(&error))
}

fn read(path: &Path) -> Result<Kubeconfig, String> {
    Kubeconfig::read_from(path).map_err(|error| format!("{}: {}", path.display(), whole(&error)))
}

fn not_in_a_pod(why: &str) -> String {
    format!(
        "no credentials for Kubernetes: expected `kubernetes.kubeconfig`, or to run in a pod with a service account: {why}"
    )
}

/// Whether there is a way to the API server, without asking it.
///
/// # Errors
/// The key that is wrong, or missing, and why.
pub fn usable(api: &config::Kubernetes) -> Result<(), (&'static str, String)> {
    let Some(FilePath(path)) = &api.kubeconfig else {
        let config = Config::incluster();
        let wrong = |error| ("kubernetes", not_in_a_pod(&whole(&error)));
        return config.map(drop).map_err(wrong);
    };
    let kubeconfig = read(path).map_err(|why| ("kubernetes.kubeconfig", why))?;
    let name = api.context.as_ref().or(kubeconfig.current_context.as_ref());
    let is_named = |name: &&String| kubeconfig.contexts.iter().any(|one| one.name == **name);
    if name.filter(is_named).is_some() {
        return Ok(());
    }
    let have: Vec<_> = kubeconfig.contexts.iter().map(|one| format!("`{}`", one.name)).collect();
    let (key, wanted) = match name {
        Some(name) => ("kubernetes.context", format!("no context `{name}`")),
        None => ("kubernetes.context", "no current context".to_owned()),
    };
    Err((key, format!("{}: {wanted}: expected one of {}", path.display(), have.join(", "))))
}
