//! Waiting for a condition, never for a duration.

use std::fmt::Debug;
use std::time::Duration;

use perennial_runtime::instant;
use tokio::time::sleep;

/// How long [`eventually`] waits between two looks.
const INTERVAL: Duration = Duration::from_millis(10);

/// Calls `probe` until it returns `Ok`, and returns that value.
///
/// `probe` reports what it saw instead as `Err`: the last such value is part of the panic when
/// `within` has passed. `awaited` completes "waited for …".
pub(crate) async fn eventually<T, E: Debug>(
    awaited: &str,
    within: Duration,
    mut probe: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let give_up = instant() + within;
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(seen) if instant() >= give_up => {
                panic!("waited {within:?} for {awaited}; last seen: {seen:?}")
            }
            Err(_) => sleep(INTERVAL).await,
        }
    }
}
