//! A call: what an operation is given, and what it gives.

use super::Admin;
use super::auth::Actor;
use super::door::Peer;
use super::problem::Problem;
use crate::control::reload::Reloader;
use crate::control::steer::Wish;
use crate::types::moment::Moment;
use axum::body::Bytes;
use axum::extract::Query;
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use tokio::sync::oneshot;

/// An operation that somebody who may has asked for.
pub(super) struct Call {
    pub(super) admin: Arc<Admin>,
    pub(super) actor: Actor,
    pub(super) peer: Peer,
    pub(super) params: Vec<(String, String)>,
    pub(super) uri: Uri,
    pub(super) body: Bytes,
}

/// What was changed, for the audit log.
#[derive(Clone, Debug, Default)]
pub(super) struct Changed {
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
    pub(super) reason: Option<String>,
}

/// The answer to a call.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    body: Vec<u8>,
    allow: Option<String>,
    pub(super) change: Option<Changed>,
}

impl Call {
    /// The part of the path that is called `name`.
    pub(super) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value)
    }

    /// What the query says.
    pub(super) fn query<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        match Query::try_from_uri(&self.uri) {
            Ok(Query(query)) => Ok(query),
            Err(error) => Err(Problem::invalid(error.body_text())),
        }
    }

    /// What the body says.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(&self.body).map_err(|error| match error.is_data() {
            true => Problem::invalid(error.to_string()),
            false => Problem::new(StatusCode::BAD_REQUEST, "not_json", error.to_string()),
        })
    }

    /// What `look` finds. It changes nothing.
    pub(super) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Reloader, Moment) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        self.ask(|answer| {
            // Who asked may have left: then nobody is told.
            Wish::Look(Box::new(move |reloader, now| drop(answer.send(look(reloader, now)))))
        })
        .await
    }

    /// What comes of `change`.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Reloader, Moment) -> T + Send + 'static,
    ) -> Result<T, Problem> {
        self.ask(|answer| {
            Wish::Change(Box::new(move |reloader, now| drop(answer.send(change(reloader, now)))))
        })
        .await
    }

    /// Asks the one who steers.
    pub(super) async fn ask<T>(
        &self,
        wish: impl FnOnce(oneshot::Sender<T>) -> Wish,
    ) -> Result<T, Problem> {
        let (answer, answered) = oneshot::channel();
        if self.admin.wishes.send(wish(answer)).await.is_err() {
            let (status, detail) = (StatusCode::SERVICE_UNAVAILABLE, "the process ends");
            return Err(Problem::new(status, "draining", detail));
        }
        answered.await.map_err(|_closed| Problem::internal("nothing came of it"))
    }
}

impl Reply {
    /// The answer `value`. Made into text on a thread of its own: that of a large pool takes
    /// milliseconds, which others should not wait for.
    pub(super) async fn json<T: Serialize + Send + 'static>(value: T) -> Result<Self, Problem> {
        let made = tokio::task::spawn_blocking(move || serde_json::to_vec(&value)).await;
        let failed = |error: &dyn std::fmt::Display| Problem::internal(error.to_string());
        let body = made.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
        Ok(Self { status: StatusCode::OK, body, allow: None, change: None })
    }

    /// Which methods there are.
    pub(super) fn methods(allow: &str) -> Self {
        let (status, allow) = (StatusCode::NO_CONTENT, Some(allow.to_owned()));
        Self { status, body: Vec::new(), allow, change: None }
    }

    /// The same, with what it changed.
    pub(super) fn changed(self, change: Changed) -> Self {
        Self { change: Some(change), ..self }
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        match self.allow {
            Some(allow) => (self.status, [(header::ALLOW, allow)]).into_response(),
            None => {
                let kind = [(header::CONTENT_TYPE, "application/json")];
                (self.status, kind, self.body).into_response()
            }
        }
    }
}
