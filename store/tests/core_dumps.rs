//! A process that called `forbid_core_dumps` leaves no dump. Alone in its file: it changes the whole process,
//! for good.

use std::fs;

use rustix::process::{DumpableBehavior, dumpable_behavior};
use strongroom_store::crypto::{CoreDumps, forbid_core_dumps};

#[test]
fn the_kernel_will_dump_nothing() {
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::Dumpable);
    assert_eq!(forbid_core_dumps().unwrap(), CoreDumps::Forbidden);
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let core: Vec<&str> = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max core file size"))
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(core, ["0", "0", "bytes"], "soft limit, hard limit, unit");
    // Once is enough, twice does no harm.
    forbid_core_dumps().unwrap();
}
