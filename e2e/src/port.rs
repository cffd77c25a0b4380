//! Ports of this machine's loopback for servers that are told where to listen.
//!
//! A port that the kernel hands out as free is also one that it hands out to the next connection: a test that
//! opens ten thousand of them takes it before the server does. These lie below that range.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::error::{ClusterError, trying};

/// What is handed out: above what is usually served, below what the kernel gives to connections
/// (`net.ipv4.ip_local_port_range`).
const FIRST: u16 = 20_000;
const SPAN: u16 = 12_000;

/// How many this process has looked at.
static LOOKED_AT: AtomicU16 = AtomicU16::new(0);

/// A port that nobody listens at, that no connection is given, and that this process has not handed out
/// before.
///
/// # Errors
/// [`ClusterError::Io`] where every port is taken.
pub fn free_port() -> Result<u16, ClusterError> {
    // Processes that run side by side begin far from each other.
    let begin = std::process::id().wrapping_mul(127) % u32::from(SPAN);
    let mut refused = std::io::ErrorKind::AddrInUse.into();
    for _ in 0..SPAN {
        let looked_at = u32::from(LOOKED_AT.fetch_add(1, Ordering::Relaxed));
        let offset = u16::try_from((begin + looked_at) % u32::from(SPAN)).unwrap_or_default();
        match TcpListener::bind((Ipv4Addr::LOCALHOST, FIRST + offset)) {
            Ok(_) => return Ok(FIRST + offset),
            Err(error) => refused = error,
        }
    }
    Err(trying("looking for a free port")(refused))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_handed_out_twice_or_to_a_connection() {
        let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap();
        let least: u16 = range.split_whitespace().next().unwrap().parse().unwrap();
        let mut ports: Vec<_> = (0..100).map(|_| free_port().unwrap()).collect();
        assert!(ports.iter().all(|port| *port < least), "{ports:?}");
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 100);
    }
}
