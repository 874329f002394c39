//! An API server of Kubernetes as far as EndpointSlices go: it lists them, and tells who watches
//! of changes.

use parking_lot::Mutex;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// The server. It runs for as long as the test does.
pub(crate) struct KubeApi {
    state: Arc<Mutex<State>>,
    folder: TempDir,
}

#[derive(Default)]
struct State {
    version: u64,
    /// By namespace and name.
    slices: BTreeMap<(String, String), Value>,
    watching: Vec<(String, mpsc::UnboundedSender<String>)>,
    /// What was told, with version and namespace: for who watches from an older version on.
    told: Vec<(u64, String, String)>,
    /// The status that it answers all with, if it does not do its work.
    refusal: Option<u16>,
}

/// A pod of a Service: where it listens, and what else its endpoint says.
pub(crate) struct Pod {
    address: SocketAddr,
    endpoint: Value,
}

impl Pod {
    /// One at `address` called `name`.
    pub(crate) fn new(name: &str, address: SocketAddr) -> Self {
        let target = json!({ "kind": "Pod", "name": name, "uid": format!("uid-{name}") });
        let endpoint = json!({ "addresses": [address.ip().to_string()], "targetRef": target });
        Self { address, endpoint }
    }

    /// With this part of its endpoint, too.
    pub(crate) fn with(mut self, key: &str, value: Value) -> Self {
        self.endpoint[key] = value;
        self
    }
}

impl KubeApi {
    /// One without slices.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(Mutex::new(State { version: 1, ..State::default() }));
        let folder = tempfile::tempdir().unwrap();
        let context = |name: &str, cluster: &str, namespace: &str| {
            json!({ "name": name,
                "context": { "cluster": cluster, "user": "u", "namespace": namespace } })
        };
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "prod",
            "clusters": [
                { "name": "here", "cluster": { "server": format!("http://{address}") } },
                { "name": "nowhere", "cluster": { "server": "http://127.0.0.1:1" } },
            ],
            "users": [{ "name": "u", "user": { "token": "secret" } }],
            "contexts": [context("prod", "here", "prod"), context("test", "here", "test"),
                context("nowhere", "nowhere", "prod")],
        });
        std::fs::write(folder.path().join("kubeconfig"), config.to_string()).unwrap();
        let served = Arc::clone(&state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&served)));
            }
        });
        Self { state, folder }
    }

    /// A kubeconfig that leads here: contexts `prod`, which is the current one, and `test`, each
    /// with the namespace of its name; and `nowhere`.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// The Service has these pods from now on.
    pub(crate) fn set(&self, namespace: &str, service: &str, pods: &[Pod]) {
        self.change(namespace, service, pods, true);
    }

    /// The same, and nobody is told.
    pub(crate) fn set_silently(&self, namespace: &str, service: &str, pods: &[Pod]) {
        self.change(namespace, service, pods, false);
    }

    /// Answers all with this status from now on, and ends all watches; `None`: as it should.
    pub(crate) fn refuse(&self, status: Option<u16>) {
        let mut state = self.state.lock();
        state.refusal = status;
        state.watching.clear();
    }

    /// One slice for each pod, since each has a port of its own here.
    fn change(&self, namespace: &str, service: &str, pods: &[Pod], is_told: bool) {
        let state = &mut *self.state.lock();
        let slices: BTreeMap<_, _> = pods
            .iter()
            .map(|pod| {
                let name = format!("{service}-{}", pod.address.port());
                let slice = json!({
                    "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
                    "addressType": "IPv4", "endpoints": [pod.endpoint],
                    "ports": [{ "name": "http", "port": pod.address.port(), "protocol": "TCP" }],
                    "metadata": { "name": name, "namespace": namespace,
                        "labels": { "kubernetes.io/service-name": service } },
                });
                ((namespace.to_owned(), name), slice)
            })
            .collect();
        let is_of =
            |slice: &Value| slice["metadata"]["labels"]["kubernetes.io/service-name"] == service;
        let gone: Vec<_> = state
            .slices
            .extract_if(.., |key, slice| {
                key.0 == namespace && is_of(slice) && !slices.contains_key(key)
            })
            .collect();
        let told = slices.into_iter().map(|one| ("MODIFIED", one));
        for (kind, (key, mut slice)) in told.chain(gone.into_iter().map(|one| ("DELETED", one))) {
            state.version += 1;
            slice["metadata"]["resourceVersion"] = state.version.to_string().into();
            if kind != "DELETED" {
                state.slices.insert(key, slice.clone());
            }
            let line = json!({ "type": kind, "object": slice }).to_string() + "\n";
            if !is_told {
                continue;
            }
            let watching = state.watching.iter().filter(|(of, _)| of == namespace);
            // Who has left hears nothing.
            watching.for_each(|(_, to)| drop(to.send(line.clone())));
            state.told.push((state.version, namespace.to_owned(), line));
        }
    }
}

async fn serve(mut stream: TcpStream, state: Arc<Mutex<State>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    let namespace = target.split('/').nth(5).unwrap_or_default().to_owned();
    let refusal = state.lock().refusal;
    let (status, body) = match refusal {
        Some(status) => (
            status,
            json!({ "kind": "Status", "apiVersion": "v1",
            "status": "Failure", "code": status, "reason": "Told", "message": "as told" }),
        ),
        None if target.contains("watch=true") => {
            let version = target.split("resourceVersion=").nth(1).unwrap();
            let version = version.split('&').next().unwrap().parse().unwrap();
            return watch(stream, &namespace, version, &state).await;
        }
        None => (200, list(&namespace, &state.lock())),
    };
    let body = body.to_string();
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    drop(stream.write_all((head + &body).as_bytes()).await);
}

fn list(namespace: &str, state: &State) -> Value {
    let of = state.slices.iter().filter(|((of, _), _)| of == namespace);
    let items: Vec<&Value> = of.map(|(_, slice)| slice).collect();
    json!({ "kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1",
        "metadata": { "resourceVersion": state.version.to_string() }, "items": items })
}

async fn watch(mut stream: TcpStream, namespace: &str, version: u64, state: &Mutex<State>) {
    let (to, mut lines) = mpsc::unbounded_channel();
    {
        let state = &mut *state.lock();
        let missed = state.told.iter().filter(|(at, of, _)| *at > version && of == namespace);
        missed.for_each(|(_, _, line)| to.send(line.clone()).unwrap());
        state.watching.push((namespace.to_owned(), to));
    }
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
    let mut next = head.to_owned();
    while stream.write_all(next.as_bytes()).await.is_ok() {
        match lines.recv().await {
            Some(line) => next = line,
            None => return,
        }
    }
}
