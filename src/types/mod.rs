//! Words: values that mean one thing everywhere. No I/O.

mod braces;
pub mod clock;
pub mod country;
pub mod hash;
pub mod ids;
pub mod log_field;
pub mod log_format;
pub mod moment;
pub mod own;
pub mod pattern;
pub mod percent;
pub mod request_id;
pub mod short_text;
pub mod spare;
pub mod status;
pub mod template;
pub mod text;
pub mod units;
