//! The disk of a process under load runs full: writes are refused by a code of their own, reads go on and
//! stay audited by the room laid out before, then they are refused too; and all goes on, without a restart,
//! once there is room.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use strongroom_api::v1::{ProblemDocument, ValueAnswer};

use crate::load::{CLIENTS, Server, ask, runtime, scene, value};
use crate::records::{audited_requests, chains_are_sound};
use crate::support::answers::{code, typed};
use crate::support::{Fixture, eventually};
use crate::volume::Volume;

/// MiB of the volume. The read log lays out as many segments of 8 MiB as there is room for, up to 64 MiB.
const VOLUME: u32 = 48;
/// Bytes that are taken before the start, so that freeing them makes room for a segment.
const BEFORE: u64 = 32 << 20;
/// Most values in one batch.
const BATCH: usize = 20;

/// Puts the next version of `s0`.
fn put(runtime: &tokio::runtime::Runtime, server: &Server, version: usize) -> crate::load::Answer {
    let id = format!("w{version}");
    let path = format!("s0/versions/{id}");
    ask(runtime, server, Method::PUT, &path, Some(&value(&id)))
}

/// Asks for the same secrets by name, by stage and by version, which are different reads.
fn batch() -> Value {
    let each = (1..CLIENTS).flat_map(|number| {
        let name = format!("s{number}");
        [
            json!({"name": name}),
            json!({"name": name, "stage": "Current"}),
            json!({"name": name, "versionId": "w0"}),
        ]
    });
    json!({"secrets": each.take(BATCH).collect::<Vec<_>>()})
}

#[test]
fn a_full_disk_refuses_writes_then_reads_and_goes_on_once_there_is_room() {
    let f = Fixture::new();
    let Some(volume) = Volume::in_memory(&f, VOLUME) else {
        return;
    };
    let before = volume.fill("before", Some(BEFORE));
    let (mut strongroom, server) = scene(&f);
    let runtime = runtime();
    for number in 0..CLIENTS {
        let path = format!("s{number}/versions/w0");
        let answer = ask(&runtime, &server, Method::PUT, &path, Some(&value("w0")));
        assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.body);
    }
    // Later versions of `s0` until there is no room.
    let some = volume.fill("some", Some(5 << 18));
    let rest = volume.fill("rest", None);
    std::fs::remove_file(some).unwrap();
    let mut written = 1;
    let refused = loop {
        let answer = put(&runtime, &server, written);
        if answer.status != StatusCode::CREATED {
            break answer;
        }
        written += 1;
        assert!(written < 10_000, "the disk never ran full");
    };
    let problem: ProblemDocument = typed(&refused.body);
    assert_eq!(
        (refused.status, problem.code.as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "StoreFull"),
        "{refused:?}"
    );
    assert!(problem.detail.contains("no space left"), "{refused:?}");
    // What a commit of ours may have freed meanwhile is taken too.
    let last = volume.fill("last", None);

    // Reads go on for as long as there is room for their records, each of which is the last thing before the
    // value leaves.
    let current = |server: &Server| ask(&runtime, server, Method::GET, "s0/value", None);
    let answer = current(&server);
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let read: ValueAnswer = typed(&answer.body);
    assert_eq!(read.version_id, format!("w{}", written - 1));
    let mut reads = vec![answer.request];
    let mut sender = runtime.block_on(server.connect()).unwrap();
    let (batch, mut batches) = (batch(), 0);
    let unrecorded = eventually("the room for records to be used up", || {
        for _ in 0..200 {
            let asking = server.ask_at(&mut sender, Method::POST, ":batchGet", Some(&batch));
            let answer = runtime.block_on(asking).unwrap();
            let unavailable = |code: &str| code == "AuditUnavailable";
            let first = answer.body["errors"][0]["code"].as_str();
            if first.is_some_and(unavailable) || unavailable(&code(&answer.body)) {
                return Some(current(&server));
            }
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            assert_eq!(answer.body["errors"], json!([]));
            batches += 1;
        }
        None
    });
    assert_eq!(
        (unrecorded.status, code(&unrecorded.body).as_str()),
        (StatusCode::SERVICE_UNAVAILABLE, "AuditUnavailable"),
        "{unrecorded:?}"
    );
    assert!(batches > 100, "only {batches} batches");
    let refused = put(&runtime, &server, written);
    assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE, "{refused:?}");

    // Room again: nobody restarts anything.
    let pid = strongroom.pid();
    for taken in [before, rest, last] {
        std::fs::remove_file(taken).unwrap();
    }
    reads.push(eventually("reads to go on", || {
        let answer = current(&server);
        (answer.status == StatusCode::OK).then_some(answer.request)
    }));
    eventually("writes to go on", || {
        (put(&runtime, &server, written).status == StatusCode::CREATED).then_some(())
    });
    written += 1;
    assert!(strongroom.ended().is_none() && strongroom.pid() == pid);
    println!(
        "{written} puts and {} reads were answered around the full disk",
        batches * BATCH + reads.len()
    );
    let mut answered = crate::load::ClientResults {
        written: vec![1; CLIENTS],
        reads: vec![reads],
    };
    answered.written[0] = written;
    let on_record = audited_requests(&f);
    on_record.holds(&runtime, &server, &answered);
    assert!(on_record.times.len() >= batches * BATCH);
    chains_are_sound(&f, &mut strongroom);
    drop(strongroom);
}
