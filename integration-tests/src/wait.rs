//! Waiting for a condition, with a deadline. The only place of the tests that lets time pass.

use std::time::Duration;

use tokio::time::Instant;

/// Long enough for a slow machine; a condition that holds ends the wait at once.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// Looks every 50 ms until `look` gives a value. Panics with `what` and the last thing seen when the deadline passes.
pub async fn until<T, S: std::fmt::Debug, F>(what: &str, look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, S>>,
{
    until_within(PATIENCE, what, look).await
}

/// As [`until`], with another deadline.
pub async fn until_within<T, S: std::fmt::Debug, F>(deadline: Duration, what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, S>>,
{
    let end = Instant::now() + deadline;
    loop {
        let seen = match look().await {
            Ok(value) => return value,
            Err(seen) => seen,
        };
        assert!(Instant::now() < end, "not within {} s: {what}\nlast seen: {seen:#?}", deadline.as_secs());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
