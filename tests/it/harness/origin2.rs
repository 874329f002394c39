//! A scripted backend that speaks HTTP/2, in plain text or inside TLS.

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A backend that speaks HTTP/2.
pub(crate) struct Origin2 {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    connections: usize,
    heads: Vec<HeaderMap>,
    ended: usize,
}

impl Drop for Origin2 {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Origin2 {
    /// A backend that runs `script` for each request.
    pub(crate) async fn start<F>(
        tls: Option<TlsAcceptor>,
        script: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                shared.lock().connections += 1;
                let (tls, script, seen) = (tls.clone(), script.clone(), Arc::clone(&shared));
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, script, seen).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, script, seen).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, seen, accepting }
    }

    /// A backend that answers every call after reading it, with these trailers.
    pub(crate) async fn calling(status: &'static str) -> Self {
        Self::start(None, move |request, mut respond| async move {
            let mut body = request.into_body();
            while let Some(Ok(data)) = body.data().await {
                body.flow_control().release_capacity(data.len()).unwrap();
            }
            let head = Response::builder().header("content-type", "application/grpc");
            let mut stream = respond.send_response(head.body(()).unwrap(), false).unwrap();
            stream.send_data(Bytes::from_static(b"\0\0\0\0\0"), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", status.parse().unwrap());
            stream.send_trailers(trailers).unwrap();
        })
        .await
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen.lock().connections
    }

    /// The heads of the requests that came.
    pub(crate) fn heads(&self) -> Vec<HeaderMap> {
        self.seen.lock().heads.clone()
    }
}

async fn serve<F>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    script: impl Fn(Request<RecvStream>, SendResponse<Bytes>) -> F,
    seen: Arc<Mutex<Seen>>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        seen.lock().heads.push(request.headers().clone());
        tokio::spawn(script(request, respond));
    }
    seen.lock().ended += 1;
}
