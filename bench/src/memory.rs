//! Memory that a process has resident over time.

use std::time::Duration;

use crate::Outcome;
use crate::cluster::resident;

/// Between two looks.
const STEP: Duration = Duration::from_millis(250);
/// Looks at a process that has nothing to do.
const LOOKS: usize = 20;

/// Megabytes at each look, over five seconds.
pub(crate) async fn at_rest(pid: u32) -> Outcome<Vec<f64>> {
    let mut samples = Vec::new();
    for _ in 0..LOOKS {
        tokio::time::sleep(STEP).await;
        samples.push(resident(pid)?);
    }
    Ok(samples)
}

/// What the work comes to, and megabytes at each look while it is done.
pub(crate) async fn during<T>(pid: u32, work: impl Future<Output = Outcome<T>>) -> Outcome<(T, Vec<f64>)> {
    let mut samples = Vec::new();
    let mut looks = tokio::time::interval(STEP);
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Ok((done?, samples)),
            _ = looks.tick() => samples.push(resident(pid)?),
        }
    }
}
