//! Detection of SQL injection and cross-site scripting, as libinjection does it.
//!
//! libinjection reads a value as a server's parser would: as SQL in three states of quoting, as
//! HTML in five places of a page. It decides by what kinds of words come after each other (SQL)
//! and by names of tags and attributes (HTML). This is its algorithm anew, without allocation and
//! on any bytes; the lists of words are libinjection's (BSD-3-Clause, see `LICENSE.libinjection`).
//!
//! The reference is libinjection-go 0.3.5, whose corrections follow the C library; a differential
//! test of millions of values finds no difference. One is known and meant: Go's upper case makes
//! ASCII of `ſ` and `ı`, so that `ſelect` is a word to it and none to the C library and to us.
//! Tests in front pass over values that cannot match; properties hold them against the detector.

mod sqli;
mod xss;

pub use sqli::sqli;
pub use xss::xss;
