//! `state pin` and `state unpin`: keeping a version for good, or no longer than others.

use super::super::interrupt::Interrupts;
use super::{CommandResult, Context, Errors, find, sites, writable};
use crate::cli::state::PinArgs;
use crate::error::{CommandError, ExitStatus};
use crate::report::{Kept, StatesTold};
use crate::state::timeline::{self, Pick};
use crate::state::{Pin, StateStore as _};

pub(super) async fn pin(context: &Context<'_>, args: &PinArgs) -> CommandResult {
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let sites = interrupts.cut_short(Box::pin(sites(context, &config))).await??;
    let reading = async {
        let target = find(&sites, &args.which.state).await?;
        let found = timeline::find(&target.states, &target.state, &args.version).await;
        let version = found
            .map_err(|error| target.error("find a version of", &error))?
            .ok_or_else(|| target.no_version(&args.version))?;
        let beginning = target.states.beginning(&target.state, &version).await;
        let beginning = beginning.map_err(|error| target.error("read", &error))?.unwrap_or_default();
        let states = writable(target.site).await?;
        Ok::<_, Errors>((target, states, version, beginning))
    };
    let (target, states, version, beginning) = interrupts.cut_short(Box::pin(reading)).await??;
    let pinned = states.pin(&target.state, &version, &beginning).await;
    pinned.map_err(|error| target.error("pin a version of", &error))?;
    let kept = Kept { state: target.state.clone(), version: version.id, is_pinned: true };
    context.reporter.states(&StatesTold::Kept(&kept)).map_err(CommandError::from)?;
    Ok(ExitStatus::Success)
}

pub(super) async fn unpin(context: &Context<'_>, args: &PinArgs) -> CommandResult {
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let sites = interrupts.cut_short(Box::pin(sites(context, &config))).await??;
    let reading = async {
        let target = find(&sites, &args.which.state).await?;
        let id = match &args.version {
            // The version itself may be gone by now.
            Pick::Id(id) => id.clone(),
            pick => {
                let found = timeline::find(&target.states, &target.state, pick).await;
                let found = found.map_err(|error| target.error("find a version of", &error))?;
                found.ok_or_else(|| target.no_version(pick))?.id
            }
        };
        let pins = target.states.pins(&target.state).await;
        let pins = pins.map_err(|error| target.error("find pins of", &error))?;
        let pin = pins.into_iter().find(|pin| pin.version == id).ok_or_else(|| {
            let message = format!("version `{id}` of `{}` is not pinned", target.state);
            CommandError::new(ExitStatus::Failure, message)
        })?;
        Ok::<_, Errors>((target, pin))
    };
    let (target, pin) = interrupts.cut_short(Box::pin(reading)).await??;
    target.states.unpin(&pin).await.map_err(|error| target.error("unpin a version of", &error))?;
    let Pin { version, .. } = pin;
    let kept = Kept { state: target.state.clone(), version, is_pinned: false };
    context.reporter.states(&StatesTold::Kept(&kept)).map_err(CommandError::from)?;
    Ok(ExitStatus::Success)
}
