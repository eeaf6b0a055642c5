//! Ctrl-C and SIGTERM: reading stops at once, writing ends what is in flight.

use std::future::Future;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{CommandError, ExitStatus};

/// The signals that ask the program to end.
pub(super) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// Begins to listen: from here on neither signal ends the program by itself.
    pub(super) fn listen() -> Result<Self, CommandError> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error: io::Error| CommandError::caused("failed to listen for signals", &error))
        };
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for a signal, and returns how the process has to end.
    pub(super) async fn next(&mut self) -> ExitStatus {
        tokio::select! {
            _ = self.interrupt.recv() => ExitStatus::Interrupted,
            _ = self.terminate.recv() => ExitStatus::Terminated,
        }
    }

    /// Runs what may be cut short anywhere, as it writes nothing.
    pub(super) async fn cut_short<T>(&mut self, reading: impl Future<Output = T>) -> Result<T, CommandError> {
        tokio::select! {
            result = reading => Ok(result),
            status = self.next() => Err(CommandError::new(status, "interrupted; nothing was changed")),
        }
    }
}
