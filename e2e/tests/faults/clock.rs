//! The clock of the process jumps an hour forth and back under load, and over a kill: nothing is lost,
//! nothing is destroyed early, the chains prove themselves, and everybody is served.
//!
//! libfaketime (Debian's package `faketime`) stands between the process and the wall clock; the monotonic
//! clock stays what it is, as it does where a machine's clock is set.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::load::{Clients, Load, runtime, scene_in};
use crate::records::{audited_requests, chains_are_sound};
use crate::support::{Fixture, eventually, generated};

/// How far the clock jumps, in seconds.
const HOUR: i64 = 3_600;

/// The clock of one process.
struct Clock {
    offset: PathBuf,
}

impl Clock {
    /// A clock that is right, and what makes a process go by it; none where the library is missing, which is
    /// no excuse where `CI` is set.
    fn new(f: &Fixture) -> Option<(Self, Vec<(&'static str, String)>)> {
        let library = ["x86_64", "aarch64"]
            .map(|machine| format!("/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1"))
            .into_iter()
            .find(|path| Path::new(path).exists());
        let Some(library) = library else {
            assert!(std::env::var("CI").is_err(), "no libfaketime, and this is CI");
            println!("SKIPPED: needs libfaketime, Debian's package faketime");
            return None;
        };
        let clock = Self {
            offset: f.keep.path().join("offset"),
        };
        clock.set(0);
        let environment = vec![
            ("LD_PRELOAD", library),
            ("FAKETIME_TIMESTAMP_FILE", clock.offset.display().to_string()),
            // Each look at the clock is a look at the file: a step may be over before a second is.
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("NO_FAKE_STAT", "1".to_owned()),
        ];
        Some((clock, environment))
    }

    /// The process's clock is so many seconds ahead of the right one, from its next look on.
    fn set(&self, seconds: i64) {
        let new = self.offset.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).unwrap();
        fs::rename(new, &self.offset).unwrap();
    }
}

fn versions(f: &Fixture, name: &str) -> usize {
    let object = f.managed(name);
    object["status"]["versions"].as_array().map_or(0, Vec::len)
}

#[test]
fn a_clock_that_jumps_an_hour_forth_and_back_loses_and_destroys_nothing() {
    let f = Fixture::new();
    let Some((clock, environment)) = Clock::new(&f) else {
        return;
    };
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let (mut strongroom, server) = scene_in(&f, &environment);
    // One that is rotated meanwhile, and one in its recovery window.
    f.apply(&generated("rotated"));
    f.apply(&generated("gone"));
    f.wait_ready("rotated", "True", "Ready");
    let gone = f.wait_ready("gone", "True", "Ready")["status"]["secretId"].clone();
    let native = f.native("gone").unwrap();
    f.kubectl(&["-n", "shop", "delete", "managedsecret", "gone"]);
    eventually("the recovery window", || f.native("gone").is_none().then_some(()));

    let (runtime, load) = (runtime(), Arc::new(Load::default()));
    let clients = Clients::start(&runtime, &server, &load);
    load.goes_on(100);
    let begin = Timestamp::now();
    for (step, offset) in [HOUR, 0, -HOUR, 0, HOUR, -HOUR].into_iter().enumerate() {
        clock.set(offset);
        // Every answer of the load is a success, or its client ends the test.
        load.goes_on(200);
        let now = format!("strongroom.dev/rotate-now=step-{step}");
        f.kubectl(&[
            "-n",
            "shop",
            "annotate",
            "managedsecret",
            "rotated",
            "--overwrite",
            &now,
        ]);
        eventually("a rotation", || {
            (versions(&f, "rotated") == step + 2).then_some(())
        });
    }
    load.stop();
    let answered = clients.end(&runtime);

    // Killed in the past, and started in the present: its records do not end with their clock.
    strongroom.kill();
    clock.set(0);
    let mut strongroom = f.start_api_in(server.port, &environment);
    let on_record = audited_requests(&f);
    on_record.holds(&runtime, &server, &answered);
    let off = |hours: i64| {
        let off = SignedDuration::from_secs(hours * HOUR);
        on_record.times.iter().any(|time| {
            // Half an hour is far more than the load took.
            time.duration_since(begin + off).abs() < SignedDuration::from_mins(30)
        })
    };
    assert!(off(0) && off(1) && off(-1), "the clock did not jump");

    // What was deleted is as it was.
    let object = generated("gone").replace(
        "{name: gone, namespace: shop}",
        &format!(
            "{{name: gone, namespace: shop, annotations: {{strongroom.dev/restore: {}}}}}",
            gone.as_str().unwrap()
        ),
    );
    f.apply(&object);
    f.wait_ready("gone", "True", "Ready");
    assert_eq!(f.native("gone"), Some(native));
    chains_are_sound(&f, &mut strongroom);
}
