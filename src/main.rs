//! The binary: picks the allocator and the crypto provider, and hands over to the
//! command line.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // First of all: whoever speaks TLS in this process speaks it with this provider.
    if rustls::crypto::aws_lc_rs::default_provider().install_default().is_err() {
        // Only if somebody was there before, and nobody can be.
        return ExitCode::FAILURE;
    }
    vanne::cli::main()
}
