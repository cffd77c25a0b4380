//! The node plugin.

use std::process::ExitCode;

use clap::Parser;
use strongroom_node::run::run;
use strongroom_node::settings::Settings;
use zeroizing_alloc::ZeroAlloc;

/// Buffers of TLS and HTTP/2 hold values and tokens, and are nobody's who wipes them: all memory is wiped as it is given back.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    // A client without a provider panics. Only a second call fails.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(Settings::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Logging may be what failed.
            let _ =
                std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("strongroom-node: {error}\n"));
            ExitCode::FAILURE
        }
    }
}
