//! The table of all that can be asked: paths, who may, what is sent and what is answered.
//!
//! Routes, checks and the OpenAPI document come from it, so none of them can be forgotten.
//! What changes something needs more than [`Role::Read`], and is no GET.

use super::call::{Call, Reply};
use super::config::{ConfigStatus, Defaults};
use super::log::{LevelChange, LogStatus};
use super::pools::BackendsQuery;
use super::problem::Problem;
use super::routes::RouteStatus;
use super::status::Status;
use super::tokens::Role;
use super::{
    blocklist, certificates, circuits, config, log, openapi, pools, reload, routes, status, wafs,
};
use crate::control::certs::CertificateStatus;
use crate::control::pools::{
    BackendStatus, Change, CircuitDetail, CircuitStatus, Order, PoolStatus, PoolSummary, Said,
};
use crate::control::report::Report;
use crate::control::wafs::WafStatus;
use axum::http::Method;
use futures::future::BoxFuture;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;
use std::sync::LazyLock;

/// Something that can be asked.
pub struct Operation {
    /// The method.
    pub method: Method,
    /// The path, with `{names}` for parts that are any.
    pub path: &'static str,
    /// Its name.
    pub name: &'static str,
    /// Who may.
    pub needs: Role,
    /// What it is for.
    pub summary: &'static str,
    /// What the query says, if it may say something.
    pub(super) query: Option<SchemaOf>,
    /// What the body says, if there is one.
    pub(super) body: Option<SchemaOf>,
    /// What is answered.
    pub(super) answer: SchemaOf,
    pub(super) run: fn(Call) -> BoxFuture<'static, Result<Reply, Problem>>,
}

/// Makes the schema of a type.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

pub(super) fn schema<T: JsonSchema>(of: &mut SchemaGenerator) -> Schema {
    of.subschema_for::<T>()
}

/// All that can be asked; those of one path beside each other.
pub static OPERATIONS: LazyLock<Vec<&Operation>> = LazyLock::new(|| {
    let mut all: Vec<&Operation> = OTHERS.iter().chain(blocklist::OPERATIONS).collect();
    // Stable: those of one path stay in their order.
    all.sort_by_key(|operation| operation.path);
    all
});

/// Those that have no table in the file of their area.
static OTHERS: &[Operation] = &[
    Operation {
        method: Method::GET,
        path: "/circuit-breaker/metrics/{name}",
        name: "circuit_metrics",
        needs: Role::Read,
        summary: "The circuits that a name means: a pool, a backend, or POOL%2FBACKEND.",
        query: None,
        body: None,
        answer: schema::<Vec<CircuitDetail>>,
        run: |call| Box::pin(circuits::show_named(call)),
    },
    Operation {
        method: Method::POST,
        path: "/circuit-breaker/reset/{name}",
        name: "circuit_reset_named",
        needs: Role::Operate,
        summary: "Closes the circuits that a name means, and forgets their calls.",
        query: None,
        body: Some(schema::<Said>),
        answer: schema::<Vec<CircuitDetail>>,
        run: |call| Box::pin(circuits::reset_named(call)),
    },
    Operation {
        method: Method::GET,
        path: "/circuit-breaker/status",
        name: "circuit_status",
        needs: Role::Read,
        summary: "The same as /v1/circuits.",
        query: None,
        body: None,
        answer: schema::<Vec<CircuitStatus>>,
        run: |call| Box::pin(circuits::list(call)),
    },
    Operation {
        method: Method::GET,
        path: "/v1/certificates",
        name: "certificates",
        needs: Role::Read,
        summary: "The certificates of all listeners, and files that give none.",
        query: None,
        body: None,
        answer: schema::<Vec<CertificateStatus>>,
        run: |call| Box::pin(certificates::list(call)),
    },
    Operation {
        method: Method::GET,
        path: "/v1/circuits",
        name: "circuits",
        needs: Role::Read,
        summary: "All circuits: those of this process, each replica has its own.",
        query: None,
        body: None,
        answer: schema::<Vec<CircuitStatus>>,
        run: |call| Box::pin(circuits::list(call)),
    },
    Operation {
        method: Method::GET,
        path: "/v1/circuits/{pool}/{backend}",
        name: "circuit",
        needs: Role::Read,
        summary: "A circuit: its window, its rates, what it did last and why.",
        query: None,
        body: None,
        answer: schema::<CircuitDetail>,
        run: |call| Box::pin(circuits::show(call)),
    },
    Operation {
        method: Method::POST,
        path: "/v1/circuits/{pool}/{backend}/auto",
        name: "circuit_auto",
        needs: Role::Operate,
        summary: "Lets a circuit go by itself again, as it is.",
        query: None,
        body: Some(schema::<Said>),
        answer: schema::<CircuitDetail>,
        run: |call| Box::pin(circuits::order(call, Order::Auto)),
    },
    Operation {
        method: Method::POST,
        path: "/v1/circuits/{pool}/{backend}/force-closed",
        name: "circuit_force_closed",
        needs: Role::Operate,
        summary: "Keeps a circuit closed, whoever fails there.",
        query: None,
        body: Some(schema::<Said>),
        answer: schema::<CircuitDetail>,
        run: |call| Box::pin(circuits::order(call, Order::ForceClosed)),
    },
    Operation {
        method: Method::POST,
        path: "/v1/circuits/{pool}/{backend}/force-open",
        name: "circuit_force_open",
        needs: Role::Operate,
        summary: "Keeps a circuit open: nobody comes from the next request on.",
        query: None,
        body: Some(schema::<Said>),
        answer: schema::<CircuitDetail>,
        run: |call| Box::pin(circuits::order(call, Order::ForceOpen)),
    },
    Operation {
        method: Method::POST,
        path: "/v1/circuits/{pool}/{backend}/reset",
        name: "circuit_reset",
        needs: Role::Operate,
        summary: "Closes a circuit and forgets its calls; by itself from now on.",
        query: None,
        body: Some(schema::<Said>),
        answer: schema::<CircuitDetail>,
        run: |call| Box::pin(circuits::order(call, Order::Reset)),
    },
    Operation {
        method: Method::GET,
        path: "/v1/config",
        name: "config",
        needs: Role::Read,
        summary: "The config in use, secrets as ***; its keys are those of conf/schema.json.",
        query: Some(schema::<Defaults>),
        body: None,
        answer: schema::<ConfigStatus>,
        run: |call| Box::pin(config::show(call)),
    },
    Operation {
        method: Method::GET,
        path: "/v1/log",
        name: "log",
        needs: Role::Read,
        summary: "The level of the process log.",
        query: None,
        body: None,
        answer: schema::<LogStatus>,
        run: |call| Box::pin(log::show(call)),
    },
    Operation {
        method: Method::PATCH,
        path: "/v1/log",
        name: "log_set",
        needs: Role::Operate,
        summary: "Another level of the process log, for a while.",
        query: None,
        body: Some(schema::<LevelChange>),
        answer: schema::<LogStatus>,
        run: |call| Box::pin(log::set(call)),
    },
    Operation {
        method: Method::DELETE,
        path: "/v1/log",
        name: "log_reset",
        needs: Role::Operate,
        summary: "The level that the config says again.",
        query: None,
        body: None,
        answer: schema::<LogStatus>,
        run: |call| Box::pin(log::reset(call)),
    },
    Operation {
        method: Method::GET,
        path: "/v1/openapi.json",
        name: "openapi",
        needs: Role::Read,
        summary: "This document.",
        query: None,
        body: None,
        answer: schema::<Value>,
        run: |call| Box::pin(openapi::show(call)),
    },
    Operation {
        method: Method::GET,
        path: "/v1/pools",
        name: "pools",
        needs: Role::Read,
        summary: "All pools in short, with the backends that are out.",
        query: None,
        body: None,
        answer: schema::<Vec<PoolSummary>>,
        run: |call| Box::pin(pools::list(call)),
    },
    Operation {
        method: Method::GET,
        path: "/v1/pools/{pool}",
        name: "pool",
        needs: Role::Read,
        summary: "A pool with its backends.",
        query: None,
        body: None,
        answer: schema::<PoolStatus>,
        run: |call| Box::pin(pools::show(call)),
    },
    Operation {
        method: Method::GET,
        path: "/v1/pools/{pool}/backends",
        name: "backends",
        needs: Role::Read,
        summary: "The backends of a pool.",
        query: Some(schema::<BackendsQuery>),
        body: None,
        answer: schema::<Vec<BackendStatus>>,
        run: |call| Box::pin(pools::backends(call)),
    },
    Operation {
        method: Method::GET,
        path: "/v1/pools/{pool}/backends/{backend}",
        name: "backend",
        needs: Role::Read,
        summary: "A backend of a pool; its name is its address and port.",
        query: None,
        body: None,
        answer: schema::<BackendStatus>,
        run: |call| Box::pin(pools::backend(call)),
    },
    Operation {
        method: Method::PATCH,
        path: "/v1/pools/{pool}/backends/{backend}",
        name: "backend_change",
        needs: Role::Operate,
        summary: "Drains a backend, takes it out, brings it back, or changes its weight.",
        query: None,
        body: Some(schema::<Change>),
        answer: schema::<BackendStatus>,
        run: |call| Box::pin(pools::change(call)),
    },
    Operation {
        method: Method::POST,
        path: "/v1/reload",
        name: "reload",
        needs: Role::Admin,
        summary: "Reads the config again and uses it, or says why not: then the old one stays.",
        query: None,
        body: None,
        answer: schema::<Report>,
        run: |call| Box::pin(reload::reload(call)),
    },
    Operation {
        method: Method::GET,
        path: "/v1/routes",
        name: "routes",
        needs: Role::Read,
        summary: "All routes, in the order in which they are matched.",
        query: None,
        body: None,
        answer: schema::<Vec<RouteStatus>>,
        run: |call| Box::pin(routes::list(call)),
    },
    Operation {
        method: Method::GET,
        path: "/v1/status",
        name: "status",
        needs: Role::Read,
        summary: "How the process is, and what an operator should look at.",
        query: None,
        body: None,
        answer: schema::<Status>,
        run: |call| Box::pin(status::show(call)),
    },
    Operation {
        method: Method::GET,
        path: "/v1/waf",
        name: "waf",
        needs: Role::Read,
        summary: "The web application firewalls, and the rules that have matched most.",
        query: None,
        body: None,
        answer: schema::<Vec<WafStatus>>,
        run: |call| Box::pin(wafs::list(call)),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_changes_by_get_or_by_who_may_only_look() {
        for operation in OPERATIONS.iter() {
            let is_look = operation.method == Method::GET;
            assert_eq!(is_look, operation.needs == Role::Read, "{}", operation.name);
            assert!(!is_look || operation.body.is_none(), "{}", operation.name);
        }
    }

    #[test]
    fn names_are_unique_and_paths_in_order() {
        let mut names: Vec<_> = OPERATIONS.iter().map(|operation| operation.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), OPERATIONS.len());
        for table in [OTHERS, blocklist::OPERATIONS] {
            assert!(table.is_sorted_by_key(|operation| operation.path));
        }
    }
}
