//! The node plugin.

use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// Buffers of TLS and HTTP/2 hold values and tokens, and are nobody's who wipes them: all memory is wiped as
/// it is given back.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    strongroom_node::run::main()
}
