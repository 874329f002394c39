//! Admin: what operators ask of the running process, on a unix socket.
//!
//! Who may open the socket may do everything: it is for the process' own user only.

use super::pools::{Change, ChangeError};
use super::reload::{Report, Verdict};
use super::steer::Wish;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use serde::Serialize;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{self, PathBuf};
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
    pub fn bind(path: &path::Path) -> io::Result<(Self, UnixListener)> {
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
    Router::new()
        .route("/v1/reload", post(reload))
        .route("/v1/pools", get(pools))
        .route("/v1/pools/{pool}/backends/{backend}", patch(change))
        .with_state(wishes)
}

/// Asks the one who steers; an answer of ours if nothing came of it.
async fn ask<T>(
    wishes: &mpsc::Sender<Wish>,
    wish: impl FnOnce(oneshot::Sender<T>) -> Wish,
) -> Result<T, Response> {
    let (answer, answered) = oneshot::channel();
    if wishes.send(wish(answer)).await.is_err() {
        return Err((StatusCode::SERVICE_UNAVAILABLE, "the process ends\n").into_response());
    }
    let nothing = || (StatusCode::INTERNAL_SERVER_ERROR, "nothing came of it\n").into_response();
    answered.await.map_err(|_closed| nothing())
}

async fn reload(State(wishes): State<mpsc::Sender<Wish>>) -> Response {
    match ask(&wishes, Wish::Reload).await {
        Ok(report) => answer(&report),
        Err(response) => response,
    }
}

async fn pools(State(wishes): State<mpsc::Sender<Wish>>) -> Response {
    match ask(&wishes, Wish::Pools).await {
        Ok(pools) => json(StatusCode::OK, &pools),
        Err(response) => response,
    }
}

async fn change(
    State(wishes): State<mpsc::Sender<Wish>>,
    Path((pool, backend)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let change: Change = match serde_json::from_slice(&body) {
        Ok(change) => change,
        Err(error) => return (StatusCode::BAD_REQUEST, format!("{error}\n")).into_response(),
    };
    match ask(&wishes, |answer| Wish::Change(pool, backend, change, answer)).await {
        Ok(Ok(mut pools)) => json(StatusCode::OK, &pools.pop()),
        Ok(Err(error)) => {
            let status = match error {
                ChangeError::Pool(..) | ChangeError::Backend(..) => StatusCode::NOT_FOUND,
                ChangeError::Nothing | ChangeError::Weight(_) => StatusCode::UNPROCESSABLE_ENTITY,
            };
            (status, format!("{error}\n")).into_response()
        }
        Err(response) => response,
    }
}

fn answer(report: &Report) -> Response {
    let status = match report.result {
        Verdict::Refused => StatusCode::UNPROCESSABLE_ENTITY,
        Verdict::Applied | Verdict::Unchanged => StatusCode::OK,
    };
    json(status, report)
}

fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(body) => (status, [(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
