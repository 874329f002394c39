//! The data plane: what happens to a request, in the order in which it happens.
//!
//! A client's connection is accepted and its head read by `listener`; `exchange` is the
//! machine that decides, and calls the stages below it; `engine` moves the bytes. Start
//! with [`exchange::Exchange::step`]: it is the request's path.
//!
//! Nothing here reads config, blocks, or holds a lock across an await. The policy of a
//! request is its [`snapshot`]; what outlives a snapshot is atomics in
//! [`pool::BackendState`].

// What a request rests on.
pub mod generation;
pub mod lifecycle;
pub mod snapshot;
// The machine, and what it may wait for.
pub mod effects;
pub mod exchange;
// 1 accept, read and admit
pub mod listener;
// 2 which route, and where its requests go
pub mod route;
pub mod target;
// 3 who sends it, the route's rate limits, firewall, filters and edits; 9 the same on the answer
pub mod chain;
pub mod edits;
pub mod identity;
pub mod rate_limit;
pub mod waf;
// 5 whether it is too much, and which pool
pub mod overload;
pub mod split;
// 6 which backend
pub mod balance;
pub mod pool;
// 7 whether it may be called
pub mod breaker;
// 8 the attempt and its outcome; a copy of it for the mirror
pub mod grpc;
pub mod mirror;
pub mod outcome;
pub mod upstream;
// when no backend may be tried, and when we answer ourselves
pub mod fallback;
pub mod page;
pub mod party;
pub mod refusal;
// the end of every request
pub mod finish;
pub mod log_line;
// who moves the bytes
pub mod engine;
