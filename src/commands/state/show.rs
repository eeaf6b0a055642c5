//! `state show STATE`: what is in it, without its secrets. Reads only.

use super::super::interrupt::Interrupts;
use super::{
    CommandResult, Context, Errors, Target, content, find, find_key_or_go_without, lies_under, may_show,
    sites,
};
use crate::cli::state::ShowArgs;
use crate::error::{CommandError, ExitStatus};
use crate::report::{ShownState, StatesTold};
use crate::state::StateStore as _;
use crate::state::diff::{Difference, Secrets};
use crate::state::document::{Document, State, Unreadable};
use crate::state::timeline::Pick;

pub(super) async fn run(context: &Context<'_>, args: &ShowArgs) -> CommandResult {
    let are_shown = may_show(context, args.show_sensitive)?;
    let config = context.config()?;
    let mut interrupts = Interrupts::listen()?;
    let reading = async {
        let sites = sites(context, &config).await?;
        let target = find(&sites, &args.which.state).await?;
        read(context, &target, args.version.as_ref().unwrap_or(&Pick::Newest), are_shown).await
    };
    let shown = interrupts.cut_short(Box::pin(reading)).await??;
    context.reporter.states(&StatesTold::Show(&shown)).map_err(CommandError::from)?;
    Ok(ExitStatus::Success)
}

async fn read(
    context: &Context<'_>,
    target: &Target<'_, '_>,
    pick: &Pick,
    are_shown: bool,
) -> Result<ShownState, Errors> {
    let (version, bytes) = target.read(pick).await?;
    let facts = target.states.facts(&target.state, Some(&version.id)).await;
    let facts =
        facts.map_err(|error| target.error("read", &error))?.ok_or_else(|| target.no_version(pick))?;
    let key = find_key_or_go_without(context, target.site).await?;
    let parsed = Document::parse(&bytes);
    let plain = parsed.as_ref().ok().and_then(Document::plain);
    let outputs = plain.map(|state| outputs(state, are_shown)).transpose();
    Ok(ShownState {
        backend: target.site.backend.name.clone(),
        state: target.state.clone(),
        lies_under: lies_under(&facts.encryption, key.as_ref()),
        facts,
        content: content(&parsed),
        resources: plain
            .iter()
            .flat_map(|state| state.instances())
            .map(|(address, _)| address.to_string())
            .collect(),
        outputs: outputs.map_err(|error| target.unreadable(&version.id, &error))?.unwrap_or_default(),
    })
}

/// Returns the outputs of a state, as if all of them were new.
fn outputs(state: &State<'_>, are_shown: bool) -> Result<Difference, Unreadable> {
    let secrets = if are_shown { Secrets::shown() } else { Secrets::of(&[state])? };
    Difference::of_outputs(state, &secrets)
}
