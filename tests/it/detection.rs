//! What the Monitor and the Analyzer make of a fault, on a real engine: which faults are seen, what
//! they are called, what becomes of them, and what is no fault at all.

mod ends;
mod health;
mod host;
mod intent;
mod opinion;
mod resources;
mod scope;
mod story;
mod world;
