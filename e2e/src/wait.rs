//! Waits for a condition, with a deadline. The only place of the tests that lets time pass.

use std::time::{Duration, Instant};

/// Asks until the answer is there, and for at most so long; the last thing that stood in its way otherwise.
///
/// # Errors
/// What `ask` said last.
pub async fn eventually<T, E>(
    patience: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    let deadline = Instant::now() + patience;
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(why) if Instant::now() >= deadline => return Err(why),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
