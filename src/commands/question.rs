//! Questions at the terminal, which a signal may cut short.

use std::sync::Arc;

use super::Context;
use super::interrupt::Interrupts;
use crate::error::{CommandError, ExitStatus};

/// Asks, and returns the answer; `None` at the end of the input.
pub(super) async fn ask(
    context: &Context<'_>,
    question: String,
    interrupts: &mut Interrupts,
) -> Result<Option<String>, CommandError> {
    let ui = Arc::clone(context.ui);
    // Reading from a terminal can't be interrupted, so it waits elsewhere.
    let answer = tokio::task::spawn_blocking(move || ui.ask(&question));
    interrupts
        .cut_short(answer)
        .await?
        .map_err(|error| CommandError::caused("failed to ask", &error))?
        .map_err(|error| CommandError::caused("failed to ask", &error))
}

/// Returns once someone has said `yes`; `otherwise` says what to give where there is nobody to ask.
pub(super) async fn approve(
    context: &Context<'_>,
    question: String,
    otherwise: &str,
    interrupts: &mut Interrupts,
) -> Result<(), CommandError> {
    if !context.ui.can_ask() {
        return Err(CommandError::new(ExitStatus::Failure, "there is no terminal to ask for approval at")
            .hinted(otherwise));
    }
    match ask(context, question, interrupts).await?.as_deref() {
        Some("yes" | "y") => Ok(()),
        _ => Err(CommandError::refused("not approved; nothing was changed")),
    }
}
