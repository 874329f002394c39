//! SecLang, the language of ModSecurity's rules: files in, rules in order out.
//!
//! Source: the reference manual of ModSecurity 3, and what CRS 4 uses. What cannot be done here is
//! refused with its place when rules are loaded, all faults in one pass; directives that belong to
//! the process around (logs, files, connectors) are accepted with a [`Note`]. Nothing is silently
//! passed over.
//!
//! To add an action, an operator or a directive: a row in `actions.rs`, `operators.rs` or
//! `directives.rs`, and its meaning in `program/`.

mod actions;
pub mod ast;
mod control;
mod directives;
mod doubts;
mod fault;
mod library;
mod lines;
mod load;
mod operators;
pub mod pattern;
mod problem;
mod rules;
mod sanitise;
pub mod settings;
mod targets;
pub mod template;
mod update;
pub mod variables;

pub use ast::RuleSet;
pub use doubts::doubts;
pub use fault::{Fault, Faults, Note, Place};
pub use library::{Library, NoFiles, beside, expand};
pub use load::{DEPTH_MAX, Source, includes, load};
pub use sanitise::Sanitise;
