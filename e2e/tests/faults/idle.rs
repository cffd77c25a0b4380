//! Ten thousand connections of one address that do nothing keep nobody else from being served.

use std::net::Ipv4Addr;

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, StatusCode};
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;

use crate::load::{runtime, scene, value};
use crate::support::{Fixture, eventually};

/// Connections that do nothing.
const IDLE: usize = 10_000;
/// So many of them come together.
const AT_ONCE: usize = 1_000;

#[test]
fn ten_thousand_idle_connections_keep_nobody_from_being_served() {
    // Of this process, and of the one that it starts: as many as it may have.
    let allowed = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let wanted = rustix::process::Rlimit {
        current: allowed.maximum,
        ..allowed
    };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, wanted).unwrap();
    let enough = wanted.current.is_none_or(|most| most > 11_000);
    assert!(
        enough,
        "this needs 11,000 open files: `ulimit -Hn` says {:?}",
        wanted.current
    );
    let f = Fixture::new();
    let (strongroom, server) = scene(&f);
    let runtime = runtime();
    let open = || {
        std::fs::read_dir(format!("/proc/{}/fd", strongroom.pid()))
            .unwrap()
            .count()
    };
    let is_served = |sender: &mut SendRequest<Full<Bytes>>, path: &str| {
        let body = value("t");
        let answer = runtime.block_on(server.ask(sender, Method::PUT, path, Some(&body)));
        let answer = answer.expect("the connection goes on");
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    };
    let mut known = runtime.block_on(server.connect()).unwrap();
    is_served(&mut known, "s0/versions/v-0");
    let before = open();
    let (mut idle, mut most) = (Vec::new(), 0);
    for round in 0..IDLE / AT_ONCE {
        // The server hangs up on those for whom their address has no room left.
        idle.extend(runtime.block_on(async {
            let connecting = stream::iter(0..AT_ONCE).map(|_| server.tls());
            let connected = connecting.buffer_unordered(64).collect::<Vec<_>>();
            connected.await.into_iter().flatten().collect::<Vec<_>>()
        }));
        most = most.max(open());
        is_served(&mut known, &format!("s1/versions/v-{round}"));
        let mut newcomer = runtime
            .block_on(server.connect_from(Ipv4Addr::new(127, 0, 0, 2)))
            .unwrap();
        is_served(&mut newcomer, &format!("s2/versions/v-{round}"));
    }
    assert!(
        most > before + 10,
        "idle connections are let in while there is room"
    );
    assert!(
        most < IDLE / 10,
        "{most} files are open: the share of an address does not hold"
    );
    drop(idle);
    let enough = before + 10;
    eventually("the connections to be gone", || (open() <= enough).then_some(()));
}
