//! The Monitor: one per container.
mod message;
pub use message::*;

use perennial_runtime::{Durable, Failure, Kind, Turn};
use serde::{Deserialize, Serialize};

/// The Monitor of one container.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Monitor {}

/// Configuration of the Monitor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Config {}

impl Durable for Monitor {
    const KIND: Kind = Kind::new("monitor");
    type Message = MonitorMessage;
    type Settings = Config;
    fn handle(&mut self, _: MonitorMessage, _: &mut Turn<'_, Self>) -> Result<(), Failure> {
        Ok(())
    }
}
