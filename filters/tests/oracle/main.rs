//! Differential tests of the WAF's parts against Coraza 3 and libinjection-go.
//!
//! They run when `VANNE_WAF_PARTS` names the oracle's program (`go build` in `tests/waf/parts`),
//! and pass with a message without it. `VANNE_WAF_CASES` is the number of values (default 20,000),
//! `SEED` begins another row of them. Each known difference is a named rule beside its test.
#![cfg(test)]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test may panic, and says what it skips"
)]

mod bodies;
mod generate;
mod injection;
mod oracle;
mod transforms;
