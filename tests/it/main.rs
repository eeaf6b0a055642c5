//! The built program, against an AWS that nobody here wrote.
//!
//! One binary, because each further one would link the SDK again. `common` is what the tests are written with; every other
//! file is about one command or one promise.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test, what can't be fails the test"
)]

mod apply;
mod bad_input;
mod boundaries;
mod common;
mod depth;
mod documents;
mod drift;
mod faults;
mod ground_stands;
mod init;
mod json;
mod locks;
mod locks_terraform;
mod races;
mod refusals;
mod render;
mod signals;
mod state;
mod state_terraform;
mod terraform;
mod waits;

#[path = "../ground/mod.rs"]
mod ground;
