//! Vanne.
fn main() {}
