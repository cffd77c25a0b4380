//! Every fuzz target for a bounded time on the stable toolchain: its seeds as they are, then seeds that were
//! changed a little.
//!
//! `STRONGROOM_FUZZ_SECONDS` is the time for each target, 5 by default. The number that all changes follow
//! from is printed with a failure and taken from `STRONGROOM_FUZZ_SEED`. The input that failed is kept where
//! `cargo fuzz run` takes it.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot set up must stop"
)]

mod mutation;
mod seeds;

use std::fs;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use strongroom_fuzz::{TARGETS, Target};

/// No input may keep a target busy for so long, on however slow a machine.
const HANG_TIMEOUT: Duration = Duration::from_secs(120);

fn knob(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

fn target(name: &str) -> Target {
    TARGETS.into_iter().find(|target| target.name == name).unwrap()
}

/// Keeps an input that broke a promise.
fn keep(target: Target, input: &[u8]) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("artifacts")
        .join(target.name);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(format!("bounded-{:016x}", mutation::fingerprint(input)));
    fs::write(&path, input).unwrap();
    path
}

/// The input under way, and since when.
type CurrentInput = Mutex<Option<(Instant, Vec<u8>)>>;

/// Ends the process, with the input that is to blame, where one takes for ever. Returns once `done`.
fn watch(target: Target, under_way: &CurrentInput, done: &std::sync::mpsc::Receiver<()>) {
    use std::sync::mpsc::RecvTimeoutError;
    while done.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
        let Some((since, input)) = under_way.lock().clone() else {
            continue;
        };
        if since.elapsed() > HANG_TIMEOUT {
            eprintln!("{}: {} hangs it", target.name, keep(target, &input).display());
            std::process::abort();
        }
    }
}

fn run_bounded(name: &str) {
    let target = target(name);
    let seeds = seeds::for_target(name);
    let number = knob("STRONGROOM_FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
    let time = Duration::from_secs(knob("STRONGROOM_FUZZ_SECONDS").unwrap_or(5));
    let under_way = CurrentInput::default();
    let (finish, done) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let under_way = &under_way;
        scope.spawn(move || watch(target, under_way, &done));
        // Dropped at the end and by a panic: the watch ends with it.
        let _finish = finish;
        let run = |input: &[u8]| {
            *under_way.lock() = Some((Instant::now(), input.to_vec()));
            if catch_unwind(|| (target.run)(input)).is_err() {
                let path = keep(target, input);
                panic!(
                    "{name}: {} broke a promise; STRONGROOM_FUZZ_SEED={number}",
                    path.display()
                );
            }
        };
        seeds.iter().for_each(|seed| run(seed));
        let mut mutator = mutation::Mutator::new(number, &seeds);
        let deadline = Instant::now() + time;
        let mut inputs = 0_u64;
        while Instant::now() < deadline {
            run(&mutator.next());
            inputs += 1;
        }
        println!(
            "{name}: {} seeds, {inputs} inputs in {time:?}, STRONGROOM_FUZZ_SEED={number}",
            seeds.len()
        );
        assert!(inputs > 0, "{name}: no input was run");
    });
}

macro_rules! bounded {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            run_bounded(stringify!($name));
        })*

        #[test]
        fn every_target_is_run() {
            let run = [$(stringify!($name)),*];
            assert_eq!(run.to_vec(), TARGETS.map(|target| target.name).to_vec());
        }
    };
}

bounded! { record seal_file audit_log backup template pem manifest admin anchor token hello name query ram_policy }
