//! Admin: what operators ask of the running process, on a unix socket.
//!
//! Who may open the socket may do everything: it is for the process' own user only.

use super::reload::{Report, Verdict};
use super::steer::Wish;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

/// The admin socket. Its file goes when this is dropped.
pub struct AdminSocket {
    path: PathBuf,
}

impl AdminSocket {
    /// Listens at `path`. A socket that a process has left there is replaced.
    ///
    /// # Errors
    /// When something else is there, a process listens there, or it cannot be made.
    pub fn bind(path: &Path) -> io::Result<(Self, UnixListener)> {
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "not a socket"));
            }
            Ok(_) if UnixStream::connect(path).is_ok() => {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, "a process listens there"));
            }
            Ok(_) => std::fs::remove_file(path)?,
            Err(_) => {}
        }
        let listener = UnixListener::bind(path)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
        Ok((Self { path: path.to_owned() }, listener))
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "admin socket not removed");
        }
    }
}

/// The routes of the admin socket.
pub fn router(wishes: mpsc::Sender<Wish>) -> Router {
    Router::new().route("/v1/reload", post(reload)).with_state(wishes)
}

async fn reload(State(wishes): State<mpsc::Sender<Wish>>) -> Response {
    let (wish, report) = oneshot::channel();
    if wishes.send(wish).await.is_err() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the process ends\n").into_response();
    }
    match report.await {
        Ok(report) => answer(&report),
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, "nothing came of it\n").into_response(),
    }
}

fn answer(report: &Report) -> Response {
    let status = match report.result {
        Verdict::Refused => StatusCode::UNPROCESSABLE_ENTITY,
        Verdict::Applied | Verdict::Unchanged => StatusCode::OK,
    };
    match serde_json::to_vec(report) {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
