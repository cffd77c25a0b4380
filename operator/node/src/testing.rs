//! The node plugin as tests run it: it dies at the point that they name, and takes csi-sanity's calls.

use std::process::ExitCode;

use zeroizing_alloc::ZeroAlloc;

/// As the plugin itself.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<std::alloc::System> = ZeroAlloc(std::alloc::System);

fn main() -> ExitCode {
    strongroom_node::run::main()
}
