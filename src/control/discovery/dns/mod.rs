//! Backends that a name in DNS stands for.
//!
//! One task asks, waits until the answer expires, and asks again. What is asked is in `ask`,
//! what comes of the answers in `learn`, which is pure.

mod ask;
mod learn;

use super::{Last, Origin, Outlet, Shared};
use crate::config::Dns;
use crate::types::clock;
use ask::Asker;
use futures::future::BoxFuture;
use learn::Learnt;

pub(super) fn run(origin: &Origin, to: Outlet, _: &Shared) -> Option<BoxFuture<'static, ()>> {
    let dns = origin.dns.clone()?;
    Some(Box::pin(ask_again_and_again(dns, to)))
}

async fn ask_again_and_again(dns: Dns, to: Outlet) {
    let mut asker = Asker::new(&dns);
    let mut learnt = Learnt::new(&dns);
    let mut last = Last::default();
    loop {
        let answers = asker.ask().await;
        let now = clock::now();
        let round = learnt.learn(answers, last.backends());
        if let Some(update) = last.next(round.backends, round.fault, now)
            && !to.push(update).await
        {
            return;
        }
        tokio::time::sleep_until((now + round.wait).into()).await;
    }
}

#[cfg(test)]
mod tests;
