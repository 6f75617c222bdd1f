//! Sends dead letters again. What ended there once ends there again, so each stays one letter.

use std::time::Duration;

use perennial_runtime::{DeadLetter, Runtime};

use super::outside::Outside;

/// Letters sent again in one life.
const ROUNDS: u32 = 4;

/// The letter holds an order, which names itself in the error.
fn is_order(letter: &DeadLetter) -> bool {
    letter.effect.is_none() && letter.last_error.contains('>')
}

pub(crate) async fn run(runtime: Runtime, outside: Outside) {
    for _ in 0..ROUNDS {
        tokio::time::sleep(Duration::from_millis(50 + outside.below(400))).await;
        // The store may have failed; then this life is over soon.
        let held = runtime.dead_letters();
        let Ok(letters) = held.list(100) else { return };
        let orders: Vec<DeadLetter> = letters.into_iter().filter(is_order).collect();
        let Some(letter) = orders.get(outside.below(orders.len() as u64) as usize) else {
            continue;
        };
        // Twice at once: one of them finds nothing, or the fate of both is open.
        let again = (held.redrive(letter.id), held.redrive(letter.id));
        let (one, other) = tokio::join!(biased; again.0, again.1);
        if matches!((one, other), (Ok(true), Ok(true))) {
            outside.is_wrong(format!("letter {} was sent again twice", letter.id));
        }
    }
}
