//! An API server that does as a test says.

use super::PATIENCE;
use crate::config::{FilePath, Kubernetes, PoolProtocol};
use crate::control::discovery::Following;
use serde_json::{Value, json};
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// An API server that does as it is told: each request is handed to the test.
pub(super) struct Api {
    pub(super) folder: TempDir,
    pub(super) asked: mpsc::Receiver<Asked>,
}

/// A request that waits for its answer.
pub(super) struct Asked {
    pub(super) target: String,
    pub(super) stream: TcpStream,
}

impl Api {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let text = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{ "name": "k", "cluster": { "server": format!("http://{address}") } }],
            "users": [{ "name": "u", "user": { "token": "t" } }],
            "contexts": [{ "name": "c", "context": { "cluster": "k", "user": "u", "namespace": "prod" } }],
        });
        std::fs::write(folder.path().join("kubeconfig"), text.to_string()).unwrap();
        let (to, asked) = mpsc::channel(16);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(read(stream, to.clone()));
            }
        });
        Self { folder, asked }
    }

    /// The next request; its target is to have `part` in it.
    pub(super) async fn next(&mut self, part: &str) -> Asked {
        let next = timeout(PATIENCE, self.asked.recv()).await.expect("nobody asks").unwrap();
        assert!(next.target.contains(part), "{part}: {}", next.target);
        assert!(
            next.target.starts_with("/apis/discovery.k8s.io/v1/namespaces/prod/endpointslices?")
        );
        assert!(
            next.target.contains("labelSelector=kubernetes.io%2Fservice-name"),
            "{}",
            next.target
        );
        next
    }

    pub(super) async fn list(&mut self) -> Asked {
        let next = self.next("limit=500").await;
        assert!(!next.target.contains("watch=true"), "{}", next.target);
        next
    }

    /// A watch from `version` on.
    pub(super) async fn watch(&mut self, version: u32) -> Asked {
        let next = self.next("watch=true").await;
        assert!(next.target.contains(&format!("resourceVersion={version}")), "{}", next.target);
        assert!(next.target.contains("allowWatchBookmarks=true"), "{}", next.target);
        next
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn following(&self, service: &str) -> Following {
        Following {
            service: serde_json::from_value(json!({ "service": service, "port": "http" })).unwrap(),
            api: Kubernetes {
                kubeconfig: Some(FilePath(self.path("kubeconfig"))),
                ..Kubernetes::default()
            },
            kept_at: None,
            protocol: PoolProtocol::Http1,
            is_tls: false,
        }
    }
}

async fn read(mut stream: TcpStream, to: mpsc::Sender<Asked>) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    assert!(head.to_lowercase().contains("authorization: bearer t"), "{head}");
    let target = head.split(' ').nth(1).unwrap().to_owned();
    to.send(Asked { target, stream }).await.ok()
}

impl Asked {
    pub(super) async fn answer(mut self, status: u16, body: &Value) {
        let body = body.to_string();
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        self.stream.write_all((head + &body).as_bytes()).await.unwrap();
    }

    pub(super) async fn slices(self, version: u32, slices: &[Value]) {
        let list = json!({ "kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1",
            "metadata": { "resourceVersion": version.to_string() }, "items": slices });
        self.answer(200, &list).await;
    }

    pub(super) async fn refuse(self, code: u16, reason: &str, message: &str) {
        let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure",
            "code": code, "reason": reason, "message": message });
        self.answer(code, &status).await;
    }

    /// Begins to answer a watch.
    pub(super) async fn open(mut self) -> Events {
        let head =
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
        self.stream.write_all(head).await.unwrap();
        Events(self.stream)
    }
}

/// A watch that is open; dropped, it ends.
pub(super) struct Events(pub(super) TcpStream);

impl Events {
    pub(super) async fn send(&mut self, kind: &str, object: Value) {
        let line = json!({ "type": kind, "object": object }).to_string() + "\n";
        self.0.write_all(line.as_bytes()).await.unwrap();
    }
}

/// A slice of `service` with these addresses on port 80, at this version.
pub(super) fn slice(service: &str, version: u32, addresses: &[&str]) -> Value {
    let endpoint = |address: &&str| json!({ "addresses": [address] });
    json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
        "metadata": { "name": format!("{service}-1"), "resourceVersion": version.to_string(),
            "labels": { "kubernetes.io/service-name": service } },
        "ports": [{ "name": "http", "port": 80 }],
        "endpoints": addresses.iter().map(endpoint).collect::<Vec<_>>(),
    })
}
