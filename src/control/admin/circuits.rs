//! `/v1/circuits` and what is below it, and the same by the paths that came before.

use super::call::{Call, Changed, Reply};
use super::pools::{check_text, refused};
use super::problem::Problem;
use crate::control::pools::{ChangeError, CircuitDetail, Order, Said};
use crate::control::reload::Reloader;
use crate::types::moment::Moment;
use serde_json::{Value, json};

pub(super) async fn list(call: Call) -> Result<Reply, Problem> {
    Reply::json(call.look(|reloader, now| reloader.pools.circuits(now)).await?).await
}

pub(super) async fn show(call: Call) -> Result<Reply, Problem> {
    let (pool, backend) = (call.param("pool").to_owned(), call.param("backend").to_owned());
    let found = call.look(move |reloader, now| reloader.pools.circuit_of(&pool, &backend, now));
    Reply::json(found.await?.map_err(|error| refused(&error))?).await
}

/// The circuits that one name means.
pub(super) async fn show_named(call: Call) -> Result<Reply, Problem> {
    let name = call.param("name").to_owned();
    let found = call.look(move |reloader, now| {
        let names = named(reloader, &name)?;
        details(reloader, &names, now).map_err(|error| refused(&error))
    });
    Reply::json(found.await??).await
}

pub(super) async fn order(call: Call, order: Order) -> Result<Reply, Problem> {
    let said = said(&call)?;
    let names = vec![(call.param("pool").to_owned(), call.param("backend").to_owned())];
    let (before, mut after, reason) = obey(&call, move |_| Ok(names), order, said).await?;
    let change = changed(&before, &after, reason);
    match after.pop() {
        Some(detail) => Ok(Reply::json(detail).await?.changed(change)),
        None => Err(Problem::internal("the circuit is gone")),
    }
}

/// Closes the circuits that one name means.
pub(super) async fn reset_named(call: Call) -> Result<Reply, Problem> {
    let said = said(&call)?;
    let name = call.param("name").to_owned();
    let names = move |reloader: &Reloader| named(reloader, &name);
    let (before, after, reason) = obey(&call, names, Order::Reset, said).await?;
    let change = changed(&before, &after, reason);
    Ok(Reply::json(after).await?.changed(change))
}

/// Pool and backend.
type Name = (String, String);

/// What was before, what is after, and why.
type Obeyed = (Vec<CircuitDetail>, Vec<CircuitDetail>, Option<String>);

async fn obey(
    call: &Call,
    names: impl FnOnce(&Reloader) -> Result<Vec<Name>, Problem> + Send + 'static,
    order: Order,
    said: Said,
) -> Result<Obeyed, Problem> {
    let reason = said.reason.clone();
    let obeyed = call.change(move |reloader, now| {
        let names = names(reloader)?;
        let mut done = || {
            let before = details(reloader, &names, now)?;
            for (pool, backend) in &names {
                reloader.pools.order(pool, backend, order, &said, now)?;
            }
            Ok((before, details(reloader, &names, now)?))
        };
        done().map_err(|error: ChangeError| refused(&error))
    });
    let (before, after) = obeyed.await??;
    Ok((before, after, reason))
}

/// What is said with an order, if anything is.
fn said(call: &Call) -> Result<Said, Problem> {
    let mut said = if call.body.is_empty() { Said::default() } else { call.body()? };
    check_text("reason", said.reason.as_deref())?;
    check_text("owner", said.owner.as_deref())?;
    said.owner.get_or_insert_with(|| call.actor.name.clone());
    Ok(said)
}

fn named(reloader: &Reloader, name: &str) -> Result<Vec<Name>, Problem> {
    let names = reloader.pools.circuits_named(name);
    if !names.is_empty() {
        return Ok(names);
    }
    let detail = format!(
        "no circuit is called {name}: expected a pool, a backend, or both as POOL%2FBACKEND"
    );
    Err(Problem::not_found("no_such_circuit", detail))
}

fn details(
    reloader: &Reloader,
    names: &[Name],
    now: Moment,
) -> Result<Vec<CircuitDetail>, ChangeError> {
    names.iter().map(|(pool, backend)| reloader.pools.circuit_of(pool, backend, now)).collect()
}

fn changed(before: &[CircuitDetail], after: &[CircuitDetail], reason: Option<String>) -> Changed {
    Changed { before: Some(told(before)), after: Some(told(after)), reason }
}

/// What the audit log tells of circuits: of one how it is, of several that of each.
fn told(circuits: &[CircuitDetail]) -> Value {
    let tell = |detail: &CircuitDetail| {
        let circuit = &detail.circuit;
        json!({
            "circuit": format!("{}/{}", circuit.pool, circuit.backend),
            "state": circuit.state, "override": circuit.set,
        })
    };
    match circuits {
        [one] => tell(one),
        several => several.iter().map(tell).collect(),
    }
}
