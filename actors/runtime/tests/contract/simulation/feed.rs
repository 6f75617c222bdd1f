//! A sensor of a feed that the outside world keeps: it falls silent, fails and panics, and goes on from
//! its position.

use std::time::Duration;

use perennial_runtime::{Sensor, SensorContext, SensorError};

use super::cell::{Act, Cell, Order, Told, Trouble, cell};
use super::client::CELLS;
use super::outside::Outside;

/// Items of the feed; item `n` is a note to one cell.
pub(crate) const ITEMS: u32 = 40;

pub(crate) struct Feed(pub(crate) Outside);

/// The cell that is told of an item.
fn to(item: u32) -> String {
    cell((item % u32::from(CELLS)) as u8)
}

fn order(item: u32) -> Order {
    Order { from: "feed".to_owned(), number: item, act: Act::Note, trouble: Trouble::None }
}

/// The keys of all orders that come of the feed.
pub(crate) fn keys() -> impl Iterator<Item = String> {
    (1..=ITEMS).map(|item| order(item).key(&to(item)))
}

impl Sensor for Feed {
    const NAME: &'static str = "feed";
    type Position = u32;

    fn stall_after(&self) -> Duration {
        Duration::from_secs(2)
    }

    async fn run(&self, context: SensorContext<u32>) -> Result<(), SensorError> {
        let mut position = *context.position();
        while position < ITEMS {
            let count = (1 + self.0.below(4) as u32).min(ITEMS - position);
            let mut emit = context.emit();
            for item in position + 1..=position + count {
                emit = emit.send::<Cell>(to(item), &Told::Order(order(item)));
            }
            position += count;
            emit.position(&position).commit().await?;
            match self.0.below(40) {
                0 => return Err("the feed broke off".into()),
                1 => std::panic::resume_unwind(Box::new("the feed is odd")),
                2 => std::future::pending().await,
                3..20 => tokio::time::sleep(Duration::from_millis(self.0.below(200))).await,
                _ => {}
            }
        }
        loop {
            context.alive();
            tokio::select! {
                biased;
                () = context.stopping() => return Ok(()),
                () = tokio::time::sleep(Duration::from_secs(1)) => {}
            }
        }
    }
}
