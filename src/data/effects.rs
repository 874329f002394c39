//! Effects: what a stage waits for.
//!
//! A stage never waits itself. It returns an [`Effect`]; the engine runs it here and
//! resumes the machine with [`Event::Resumed`](super::exchange::Event::Resumed). The
//! route's total deadline and the client's leaving cancel it: the engine drops the future.
//! A new kind of wait is one variant and one arm.

use super::identity::Question;
use super::pool::Ticket;
use super::rate_limit::shared::Answer;
use super::waf::aside::Aside;
use std::sync::Arc;
use std::time::Duration;

/// Something to wait for.
#[derive(Clone, Debug)]
pub enum Effect {
    /// It must be known who sends the request.
    Ask(Arc<Question>),
    /// What shared buckets say of a request; it comes, or it does not in time.
    Answer(Arc<Answer>),
    /// Time passes: the pause before a backend that refused is tried again.
    Pause(Duration),
    /// Others go first: its turn comes when a backend has a place for it.
    Turn(Arc<Ticket>),
    /// A large body is inspected, on another thread.
    Inspect(Arc<Aside>),
}

/// Waits until `effect` is done.
pub async fn run(effect: Effect) {
    match effect {
        Effect::Ask(question) => question.find_out().await,
        Effect::Answer(answer) => answer.wait().await,
        Effect::Pause(time) => tokio::time::sleep(time).await,
        Effect::Turn(ticket) => ticket.called().await,
        Effect::Inspect(aside) => aside.run().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_pause_lasts_as_long_as_it_says() {
        let started = tokio::time::Instant::now();
        run(Effect::Pause(Duration::from_millis(100))).await;
        assert_eq!(started.elapsed(), Duration::from_millis(100));
    }
}
