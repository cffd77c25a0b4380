//! The file system under a running process turns read-only, as the kernel makes it after an error of the
//! disk: nothing more is taken or given, by codes that say so; a start on it says what is wrong; and once the
//! disk is mended every version that was answered is there, and the chains prove themselves.

use std::sync::Arc;

use http::{Method, StatusCode};
use strongroom_api::v1::ProblemDocument;
use strongroom_e2e::Strongroom;

use crate::load::{Clients, Load, ask, runtime, scene, value};
use crate::records::{audited_requests, chains_are_sound};
use crate::support::answers::typed;
use crate::support::{Fixture, eventually};
use crate::volume::Volume;

#[test]
fn a_file_system_that_turns_read_only_stops_everything_and_loses_nothing() {
    let f = Fixture::new();
    let Some(mut volume) = Volume::on_a_disk(&f, 160) else {
        return;
    };
    let (mut strongroom, server) = scene(&f);
    let (runtime, load) = (runtime(), Arc::new(Load::refusable()));
    let clients = Clients::start(&runtime, &server, &load);
    load.goes_on(200);
    volume.fails();
    let answered = clients.end(&runtime);

    // It runs, and says why it does nothing: of writes, since one failed, and of reads, since none can be
    // recorded.
    for (method, path, body) in [
        (Method::PUT, "s0/versions/later", Some(value("later"))),
        (Method::GET, "s0/value", None),
    ] {
        let answer = ask(&runtime, &server, method.clone(), path, body.as_ref());
        let expected = if method == Method::PUT {
            ["StoreUnavailable", "AuditUnavailable"]
        } else {
            ["AuditUnavailable"; 2]
        };
        let problem: ProblemDocument = typed(&answer.body);
        assert!(
            answer.status == StatusCode::SERVICE_UNAVAILABLE && expected.contains(&problem.code.as_str()),
            "{answer:?}"
        );
        assert!(problem.detail.contains("until a restart"), "{answer:?}");
    }
    assert!(strongroom.ended().is_none());
    strongroom.kill();

    // Mounted read-only it does not start, and says why.
    volume.mend("ro");
    let listen = format!("--gateway-listen=127.0.0.1:{}", server.port);
    let mut refused = Strongroom::spawn(&f.cluster, &f.data(), &[&listen]).unwrap();
    let status = refused.wait().unwrap();
    let log = refused.log();
    let said = log.lines().last().unwrap_or_default();
    assert!(
        !status.success() && log.contains("lies on a read-only file system"),
        "{status}: {said}"
    );
    drop(refused);

    volume.mend("rw");
    let mut strongroom = f.start_api(server.port);
    eventually("the API", || {
        let answer = ask(&runtime, &server, Method::GET, "s0/value", None);
        (answer.status == StatusCode::OK).then_some(())
    });
    let on_record = audited_requests(&f);
    on_record.holds_writes(&runtime, &server, &answered);
    // Records of reads are durable within 50 ms: of the reads just before the error some may be missing, of
    // each reader the last ones, and a signed gap says so.
    let (reads, unrecorded) = (answered.reads.concat().len(), on_record.unrecorded(&answered));
    println!("{reads} reads were answered; the records of the last {unrecorded} were not on the medium");
    assert!(reads > 2 * unrecorded, "{unrecorded} of {reads}");
    let report = chains_are_sound(&f, &mut strongroom);
    assert!(report.contains("unclean stop"), "{report}");
    drop(strongroom);
}
