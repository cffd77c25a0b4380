//! For tests: reads this process's own memory through the kernel, as an attacker with a dump would.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Where a thing stands.
pub(crate) fn address_of<T: ?Sized>(thing: &T) -> u64 {
    std::ptr::from_ref(thing).cast::<u8>().addr() as u64
}

/// The bytes at an address.
pub(crate) fn read(address: u64, size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    File::open("/proc/self/mem")
        .unwrap()
        .read_exact_at(&mut bytes, address)
        .unwrap();
    bytes
}
