//! The edge to AWS: clients, the caller's identity, errors and waits. Nothing here knows what a state backend is.

mod error;
mod gate;
mod session;
pub(crate) mod wait;

pub use error::{AwsError, Class};
pub(crate) use error::{During, Optional};
pub use session::{Caller, Clients, Network, Session, Timeouts};
