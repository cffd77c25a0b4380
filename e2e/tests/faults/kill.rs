//! A process that is killed where it stands, under load, has lost no value that it took and no record of a
//! value that it gave.

use std::sync::Arc;
use std::time::Instant;

use crate::load::{CLIENTS, Clients, Load, runtime, scene};
use crate::records::audited_requests;
use crate::support::{Fixture, eventually};

/// Answers before the process is killed.
const ANSWERS: usize = 20_000;
/// Who read each secret.
const READERS: usize = 8;

#[test]
fn a_kill_under_load_loses_no_value_and_no_record() {
    let f = Fixture::new();
    let (mut strongroom, server) = scene(&f);
    let (runtime, load) = (runtime(), Arc::new(Load::default()));
    let clients = Clients::start_with(&runtime, &server, &load, READERS);
    let begin = Instant::now();
    eventually("the load", || {
        let (puts, reads) = load.answers();
        (puts + reads >= ANSWERS).then_some(())
    });
    let (puts, reads) = load.answers();
    let seconds = begin.elapsed().as_secs_f64();
    strongroom.kill();
    let rate = (puts + reads) as f64 / seconds;
    println!(
        "killed after {seconds:.1} s: {puts} puts and {reads} reads answered, {rate:.0} requests a second"
    );
    let answered = clients.end(&runtime);
    let reads = answered.reads.concat().len();
    assert!(
        answered.written.iter().all(|count| *count > 1) && reads > CLIENTS,
        "{:?}, {reads} reads",
        answered.written
    );

    let _strongroom = f.start_api(server.port);
    audited_requests(&f).holds(&runtime, &server, &answered);
}
