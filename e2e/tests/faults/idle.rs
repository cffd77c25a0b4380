//! Ten thousand connections that do nothing keep nobody else from being served.

use http::{Method, StatusCode};

use crate::load::{ask, runtime, scene, value};
use crate::support::{Fixture, eventually};

/// Connections that do nothing.
const IDLE: usize = 10_000;

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
    let idle = runtime.block_on(async {
        use futures::{StreamExt, TryStreamExt, stream};
        let connecting = stream::iter(0..IDLE).map(|_| server.tls());
        connecting
            .buffer_unordered(64)
            .try_collect::<Vec<_>>()
            .await
            .unwrap()
    });
    let open = std::fs::read_dir(format!("/proc/{}/fd", strongroom.pid()))
        .unwrap()
        .count();
    assert!(open > IDLE / 2, "{open} of {IDLE} connections are open");
    let answer = ask(
        &runtime,
        &server,
        Method::PUT,
        "s0/versions/v-1",
        Some(&value("t")),
    );
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    drop(idle);
    eventually("the connections to be gone", || {
        let open = std::fs::read_dir(format!("/proc/{}/fd", strongroom.pid()))
            .unwrap()
            .count();
        (open < IDLE / 10).then_some(())
    });
}
