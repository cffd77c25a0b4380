//! The thread behind the log: fsyncs in batches, signs a checkpoint each second while there are entries, and
//! keeps the reserve filled. Must not write entries.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::ReadLogOptions;
use super::log::{LogState, SegmentLog};

/// A record waits for others at most so long before it is fsynced; what is left of 50 ms is for the fsync
/// itself.
const BATCH_DELAY: Duration = Duration::from_millis(30);
/// Between two attempts to fill the reserve.
const RESERVE_RETRY_DELAY: Duration = Duration::from_secs(1);

/// When the flusher did what, by the monotonic clock.
#[derive(Clone, Copy, Debug)]
struct LastRuns {
    checkpoint: Instant,
    reserve: Option<Instant>,
}

/// What is to be done next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Task {
    Flush,
    Checkpoint,
    Reserve,
    Stop,
    Wait(Option<Duration>),
}

/// Starts the thread.
pub(super) fn start(log: Arc<SegmentLog>) -> io::Result<JoinHandle<()>> {
    thread::Builder::new()
        .name("audit-flusher".to_owned())
        .spawn(move || run(&log))
}

fn run(log: &SegmentLog) {
    let mut done = LastRuns {
        checkpoint: Instant::now(),
        reserve: None,
    };
    loop {
        let mut state = log.lock();
        let task = loop {
            match next(&state, &log.options, &done, Instant::now()) {
                Task::Wait(None) => log.work.wait(&mut state),
                Task::Wait(Some(time)) => {
                    log.work.wait_for(&mut state, time);
                }
                task => break task,
            }
        };
        match task {
            Task::Flush => {
                drop(state);
                log.flush();
            }
            Task::Checkpoint => {
                done.checkpoint = Instant::now();
                // Where there is no room, appending says so to those who read; the next second tries again.
                let _ = log.checkpoint(&mut state);
            }
            Task::Reserve => {
                let segment = state.last_segment + 1;
                drop(state);
                let made = log.storage.create(segment, log.options.segment_bytes);
                let mut state = log.lock();
                if made.is_ok() {
                    done.reserve = None;
                    state.last_segment = state.last_segment.max(segment);
                } else {
                    done.reserve = Some(Instant::now());
                }
            }
            Task::Stop | Task::Wait(_) => return,
        }
    }
}

/// The next task, of what is known at `now`.
fn next(state: &LogState, options: &ReadLogOptions, done: &LastRuns, now: Instant) -> Task {
    if state.stopping {
        return Task::Stop;
    }
    let until = |at: Instant| at.saturating_duration_since(now);
    let flush = state.dirty.map(|since| {
        if state.waiting > 0 {
            Duration::ZERO
        } else {
            until(since + BATCH_DELAY)
        }
    });
    let checkpoint = state
        .unsigned
        .then(|| until(done.checkpoint + options.checkpoint_each));
    let reserve = SegmentLog::reserve_lacks(state, options).then(|| {
        done.reserve
            .map_or(Duration::ZERO, |tried| until(tried + RESERVE_RETRY_DELAY))
    });
    let tasks = [
        (flush, Task::Flush),
        (checkpoint, Task::Checkpoint),
        (reserve, Task::Reserve),
    ];
    let soonest = tasks
        .into_iter()
        .filter_map(|(time, task)| time.map(|time| (time, task)))
        .min_by_key(|(time, _)| *time);
    match soonest {
        Some((Duration::ZERO, task)) => task,
        Some((time, _)) => Task::Wait(Some(time)),
        None => Task::Wait(None),
    }
}
