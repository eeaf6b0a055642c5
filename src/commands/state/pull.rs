//! `state pull STATE`: its bytes as they are, secrets and all. Reads only.

use super::super::interrupt::Interrupts;
use super::{CommandResult, Context, Errors, find, sites};
use crate::cli::state::PullArgs;
use crate::error::{CommandError, ExitStatus};
use crate::files::{Existing, write_private};
use crate::state::timeline::Pick;

pub(super) async fn run(context: &Context<'_>, args: &PullArgs) -> CommandResult {
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let reading = async {
        let sites = sites(context, &config).await?;
        let target = find(&sites, &args.which.state).await?;
        let pick = args.version.as_ref().unwrap_or(&Pick::Newest);
        Ok::<_, Errors>(target.read(pick).await?)
    };
    let (_, bytes) = interrupts.cut_short(Box::pin(reading)).await??;
    match &args.out {
        Some(path) => write_private(path, &bytes, Existing::Keep)?,
        None => context.ui.out_bytes(&bytes).map_err(CommandError::from)?,
    }
    Ok(ExitStatus::Success)
}
