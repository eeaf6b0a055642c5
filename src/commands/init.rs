//! `init`: writes the configuration of a new project. Never overwrites.

use std::io;
use std::str::FromStr;

use super::{CommandResult, Context};
use crate::cli::{EngineName, InitArgs, Lock};
use crate::config::{Engine, LockMode, Starter};
use crate::error::{CommandError, ExitStatus};
use crate::files::{Existing, write_whole};
use crate::names::{AccountId, EnvironmentName, InvalidName};

/// The environments of a project that does not say which.
const DEFAULT_ENVIRONMENTS: &str = "dev, staging, prod";

pub(super) fn run(context: &Context<'_>, args: &InitArgs) -> CommandResult {
    let path = &context.global.config;
    let refuse = || {
        CommandError::refused(format!("`{}` is there already; nothing was written", path.display()))
            .hinted("Edit it, or name another file with `--config`.")
    };
    if path.symlink_metadata().is_ok() {
        return Err(refuse().into());
    }
    let starter = answers(context, args)?;
    match write_whole(path, starter.to_string().as_bytes(), Existing::Keep) {
        Err(error) if error.source.kind() == io::ErrorKind::AlreadyExists => return Err(refuse().into()),
        written => written.map_err(CommandError::from)?,
    }
    let note = format!("Wrote `{}`. `underpin plan` shows what has to be made.", path.display());
    context.reporter.note(&note).map_err(CommandError::from)?;
    Ok(ExitStatus::Success)
}

fn answers(context: &Context<'_>, args: &InitArgs) -> Result<Starter, CommandError> {
    let can_ask = context.ui.can_ask();
    let project = given_or_asked(context, args.project.as_ref(), "--project", "Name of the project:")?;
    let region = given_or_asked(context, args.region.as_ref(), "--region", "AWS region, such as eu-west-1:")?;
    let account_id = match &args.account_id {
        None if can_ask => {
            ask(context, "Account id, to refuse every other account (empty: any):", optional_account)?
        }
        given => given.clone(),
    };
    let mut environments = match args.environments.as_slice() {
        [] if can_ask => {
            ask(context, &format!("Environments (empty: {DEFAULT_ENVIRONMENTS}):"), environment_names)?
        }
        [] => environment_names("").map_err(|error| invalid("--environment", &error))?,
        given => given.to_vec(),
    };
    let unlisted: Vec<_> =
        args.sandboxes.iter().filter(|name| !environments.contains(name)).cloned().collect();
    environments.extend(unlisted);
    let mark = |name: EnvironmentName| {
        let sandbox = args.sandboxes.contains(&name);
        (name, sandbox)
    };
    Ok(Starter {
        project,
        region,
        account_id,
        lock: args.lock.into(),
        environments: environments.into_iter().map(mark).collect(),
        engine: args.engine.into(),
    })
}

/// Returns what a flag says, or the answer of a person; without either, an error that names the flag.
fn given_or_asked<T>(
    context: &Context<'_>,
    given: Option<&T>,
    flag: &str,
    question: &str,
) -> Result<T, CommandError>
where
    T: FromStr<Err = InvalidName> + Clone,
{
    match given {
        Some(given) => Ok(given.clone()),
        None if context.ui.can_ask() => ask(context, question, str::parse),
        None => Err(CommandError::new(ExitStatus::Usage, format!("`{flag}` is not given"))
            .hinted("There is no terminal to ask at: give `--project` and `--region`.")),
    }
}

/// Asks until the answer can be used.
fn ask<T>(
    context: &Context<'_>,
    question: &str,
    read: impl Fn(&str) -> Result<T, InvalidName>,
) -> Result<T, CommandError> {
    loop {
        let answer =
            context.ui.ask(question).map_err(|error| CommandError::caused("failed to ask", &error))?;
        let Some(answer) = answer else {
            return Err(CommandError::refused("not answered; nothing was written"));
        };
        match read(&answer) {
            Ok(value) => return Ok(value),
            Err(error) => context.ui.warn(error),
        }
    }
}

fn optional_account(answer: &str) -> Result<Option<AccountId>, InvalidName> {
    if answer.is_empty() { Ok(None) } else { answer.parse().map(Some) }
}

/// Reads names divided by commas or spaces.
fn environment_names(answer: &str) -> Result<Vec<EnvironmentName>, InvalidName> {
    let answer = if answer.is_empty() { DEFAULT_ENVIRONMENTS } else { answer };
    let mut names: Vec<EnvironmentName> = Vec::new();
    for name in answer.split([',', ' ']).filter(|name| !name.is_empty()) {
        let name = name.parse()?;
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

fn invalid(flag: &str, error: &InvalidName) -> CommandError {
    CommandError::new(ExitStatus::Usage, format!("`{flag}`: {error}"))
}

impl From<Lock> for LockMode {
    fn from(lock: Lock) -> Self {
        match lock {
            Lock::Dynamodb => Self::DynamoDb,
            Lock::S3 => Self::S3,
            Lock::Both => Self::Both,
        }
    }
}

impl From<EngineName> for Engine {
    fn from(name: EngineName) -> Self {
        match name {
            EngineName::Terraform => Self::Terraform,
            EngineName::Opentofu => Self::OpenTofu,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn environments_are_divided_by_commas_or_spaces_and_named_once() {
        let names = |answer| -> Vec<String> {
            environment_names(answer).unwrap().iter().map(ToString::to_string).collect()
        };

        assert_eq!(names(""), ["dev", "staging", "prod"]);
        assert_eq!(names("one,two  three, one"), ["one", "two", "three"]);
        assert!(environment_names("dev, Prod").is_err());
    }
}
