//! Supervised, durable actors.
//!
//! A durable actor is a serializable struct with a synchronous, pure [`Durable::handle`]. What it
//! wants to happen it records on its [`Turn`]: messages, timers, rows, effects, a reply. A turn is
//! applied wholly or not at all. One committing thread merges the turns of all actors that wait into
//! one batch, makes it durable with one sync, and only then lets anything leave the node.
//!
//! The three principal types are [`Durable`] (what an engineer writes), [`Supervisor`] (what is
//! supervised by whom) and [`Runtime`] (the running whole). [`Effect`] and [`Performer`] reach out to
//! the world after a commit; a [`Sensor`] brings the world in. `examples/parcels.rs` shows them at work, and
//! `docs/actors.md` tells what to use for what.
//!
//! Objectives: nothing accepted is lost or done twice, whatever dies; actors that never wait for the
//! disk among themselves; one place for every guarantee. Non-objectives: replaying code (state is
//! kept, not history), asynchronous handlers, order between different senders.

mod activation;
mod address;
mod apply;
mod bell;
mod clock;
mod committer;
mod core;
mod dead_letters;
#[cfg(any(test, feature = "testing"))]
pub mod decoding;
mod draft;
mod driving;
mod durable;
mod effect;
mod emission;
mod ended;
mod error;
#[cfg(any(test, feature = "testing"))]
mod frozen;
mod gate;
mod housekeeping;
mod inbox;
mod inflight;
mod kind;
mod limiter;
mod limits;
mod loaded;
mod merge;
mod message;
mod migration;
mod outbox;
#[cfg(feature = "testing")]
mod play;
mod policy;
mod pool;
mod pool_actor;
mod quarantine;
mod quiet;
mod random;
mod receipts;
mod recovery;
mod reference;
mod runtime;
mod sensing;
mod sensor;
mod settling;
mod signal;
#[cfg(feature = "testing")]
mod simulation;
mod slice;
mod slot;
mod stats;
mod supervisor;
mod suspects;
mod table;
mod telling;
mod timers;
mod told;
mod tree;
mod turn;
mod window;

pub use address::{Address, Kind};
pub use clock::{Clock, ManualClock, SystemClock, instant};
pub use core::Observer;
pub use dead_letters::{DeadLetter, DeadLetters};
pub use durable::{Durable, Failure};
pub use effect::{
    Attempt, Effect, EffectError, EffectPolicy, Finished, IdempotencyKey, Performer,
    Reconciliation, Undone,
};
pub use error::{AskError, RuntimeError, SendError};
#[cfg(feature = "testing")]
pub use frozen::frozen;
pub use gate::{Receipt, SendOptions};
#[cfg(feature = "testing")]
pub use inflight::Slate;
pub use limits::Limits;
pub use perennial_store::{MessageId, StoreError, Timestamp, decode};
#[cfg(feature = "testing")]
pub use play::{Play, Recorded};
pub use policy::{Intensity, Restart, Strategy};
pub use reference::Reference;
pub use runtime::{Check, Options, Runtime};
pub use sensor::{Emit, Sensor, SensorContext, SensorError};
#[cfg(feature = "testing")]
pub use simulation::{
    Crash, Death, Disk, Faults, Seen, SimulatedClock, SimulatedStore, Simulation,
};
pub use table::{MigrateRow, RowKey, Table, TableReader, owner_prefix};
pub use tree::{Supervisor, TreeNode};
pub use turn::{Observation, TraceId, Turn};
