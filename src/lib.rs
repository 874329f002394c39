//! Vanne.
