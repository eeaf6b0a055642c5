//! How a command ends: its exit status, and for an error the hints. Every room's own error becomes a [`CommandError`]
//! here, and only here are hints chosen.

use std::error::Error;
use std::io;
use std::process::ExitCode;

use crate::aws::{AwsError, Caller, Class};
use crate::config::{ConfigError, Mistakes, UnknownName};
use crate::engine::{Executed, Failure, FailureKind, ReadError};
use crate::files::WriteError;
use crate::names::BackendName;
use crate::render::{FileError, NeighbourError, RenderError, TemplateError};
use crate::resource::Refusal;
use crate::state::archive::ArchiveError;

/// How a command ends. The numbers are documented and stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExitStatus {
    /// Done, or nothing to do.
    Success,
    /// There are differences, and the command was asked to tell.
    Differences,
    /// An error.
    Failure,
    /// A guard refused, or the person did.
    Refused,
    /// The command line is wrong. Not clap's own 2, which reads as "changes pending" wherever Terraform runs.
    Usage,
    /// SIGINT.
    Interrupted,
    /// SIGTERM.
    Terminated,
}

impl ExitStatus {
    /// Returns the number.
    pub fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Differences => 2,
            Self::Refused => 3,
            Self::Usage => 64,
            Self::Interrupted => 130,
            Self::Terminated => 143,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

/// Why a command ended without doing what it was asked for.
#[derive(Debug)]
pub struct CommandError {
    /// How the process ends.
    pub status: ExitStatus,
    /// What failed.
    pub message: String,
    /// Why, the nearest cause first.
    pub causes: Vec<String>,
    /// What to do about it, as full sentences.
    pub hints: Vec<String>,
    /// Mistakes of the configuration, drawn as they are shown.
    pub mistakes: Option<Box<Mistakes>>,
}

impl CommandError {
    /// Makes an error of a message alone.
    pub fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), causes: Vec::new(), hints: Vec::new(), mistakes: None }
    }

    /// Makes the error for something that a guard refuses.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Refused, message)
    }

    /// Makes an error of an error and its causes.
    pub fn caused(message: impl Into<String>, source: &(dyn Error + 'static)) -> Self {
        let mut error = Self::new(ExitStatus::Failure, message);
        let mut next = Some(source);
        while let Some(source) = next {
            let text = source.to_string();
            // Some of the SDK's errors repeat their source.
            if error.causes.last() != Some(&text) {
                error.causes.push(text);
            }
            next = source.source();
        }
        error
    }

    /// Makes an error of an error that says by itself what failed.
    pub fn of_error(error: &(dyn Error + 'static)) -> Self {
        match error.source() {
            Some(source) => Self::caused(error.to_string(), source),
            None => Self::new(ExitStatus::Failure, error.to_string()),
        }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Makes the error for an identity that STS did not tell.
    pub fn of_identity(backend: &BackendName, error: &AwsError) -> Self {
        let mut command =
            Self::caused(format!("failed to find out who calls, for backend `{backend}`"), error);
        command.hints.extend(hint_for(error, None, "the caller itself"));
        command
    }

    /// Makes the error for resources that could not be read.
    pub fn of_reads(backend: &BackendName, errors: &[ReadError], caller: Option<&Caller>) -> Self {
        // Credentials and connections fail for all alike: one of them says it.
        let [first, others @ ..] = errors else {
            return Self::new(ExitStatus::Failure, format!("failed to plan backend `{backend}`"));
        };
        let mut command = Self::caused(format!("failed to plan backend `{backend}`"), first);
        let alike = |error: &&ReadError| {
            (&error.source.class, &error.source.code) == (&first.source.class, &first.source.code)
                && error.source.class != Class::AccessDenied
        };
        for other in others.iter().filter(|other| !alike(other)) {
            command.causes.push(format!("{other}: {}", other.source));
        }
        for error in errors {
            command.hint_once(hint_for(&error.source, caller, &error.address.to_string()));
        }
        command
    }

    /// Makes the error for a plan that was not performed to its end.
    pub fn of_execution(backend: &BackendName, executed: &Executed, caller: Option<&Caller>) -> Self {
        let refused = executed.failures.iter().any(|failure| matches!(failure.kind, FailureKind::Refused(_)));
        let status = if refused { ExitStatus::Refused } else { ExitStatus::Failure };
        let mut command = Self::new(status, format!("failed to apply backend `{backend}`"));
        for Failure { address, kind } in &executed.failures {
            match kind {
                FailureKind::Step(step, error) => {
                    command.causes.push(format!("failed to {} ({address})", step.line.summary));
                    command.add_chain(error);
                    // A step may read before it writes: then the denial is about that reading.
                    let hint = if error.class == Class::AccessDenied && error.operation == step.operation {
                        Some(denied_hint(caller, &step.permissions.join("`, `"), &address.to_string()))
                    } else {
                        hint_for(error, caller, &address.to_string())
                    };
                    command.hint_once(hint);
                }
                FailureKind::Read(error) => {
                    command.causes.push(format!("failed to read {address} again"));
                    command.add_chain(error);
                    command.hint_once(hint_for(error, caller, &address.to_string()));
                }
                FailureKind::Refused(refusals) => {
                    for Refusal { found, cure } in refusals {
                        command.causes.push(found.clone());
                        command.hint_once(Some(cure.clone()));
                    }
                }
                FailureKind::DidNotConverge(steps, limit) => {
                    let settings: Vec<&str> = steps.iter().map(|step| step.line.setting).collect();
                    command.causes.push(format!(
                        "{address} does not show what was written within {} seconds: {}",
                        limit.as_secs(),
                        settings.join(", ")
                    ));
                    command.hint_once(Some("`underpin plan` shows what differs by now.".to_owned()));
                }
            }
        }
        command
    }

    /// Makes the error for one call that failed; `doing` reads after "failed to".
    pub fn of_call(doing: &str, error: &AwsError, caller: Option<&Caller>) -> Self {
        let mut command = Self::caused(format!("failed to {doing}"), error);
        command.hint_once(hint_for(error, caller, "this resource"));
        if error.class == Class::NotFound {
            command.hint_once(Some(
                "`underpin plan` shows what is missing; `underpin apply` makes it.".to_owned(),
            ));
        }
        command
    }

    fn add_chain(&mut self, error: &AwsError) {
        let chain = Self::caused(String::new(), error);
        self.causes.extend(chain.causes);
    }

    fn hint_once(&mut self, hint: Option<String>) {
        if let Some(hint) = hint
            && !self.hints.contains(&hint)
        {
            self.hints.push(hint);
        }
    }
}

fn denied_hint(caller: Option<&Caller>, permission: &str, on: &str) -> String {
    let caller =
        caller.map_or_else(|| "The caller".to_owned(), |caller| format!("The caller `{}`", caller.arn));
    format!("{caller} needs `{permission}` on {on}.")
}

fn hint_for(error: &AwsError, caller: Option<&Caller>, on: &str) -> Option<String> {
    match error.class {
        Class::AccessDenied => Some(denied_hint(caller, error.permission(), on)),
        Class::Credentials => Some(
            "Check the credentials: `aws sts get-caller-identity` must work with the same environment and profile."
                .to_owned(),
        ),
        Class::Unreachable => Some(
            "Check the network, a proxy, and `AWS_ENDPOINT_URL` if it is set; `--connect-timeout`, \
             `--attempt-timeout` and `--total-timeout` set the limits."
                .to_owned(),
        ),
        Class::Throttled | Class::Conflict | Class::TimedOut => {
            Some("Run the command again in a while: it goes on where it stopped.".to_owned())
        }
        Class::LimitExceeded => {
            Some("A quota of the account is used up: remove what is not needed, or ask AWS to raise it.".to_owned())
        }
        Class::ChangedMeanwhile => Some("`underpin plan` shows what is there now.".to_owned()),
        Class::NotFound | Class::AlreadyExists | Class::WrongRegion | Class::Garbled | Class::Other => None,
    }
}

impl From<io::Error> for CommandError {
    fn from(error: io::Error) -> Self {
        Self::caused("failed to write the output", &error)
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        match error {
            ConfigError::Unreadable { ref source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Self::caused(error.to_string(), source)
                    .hinted("`underpin init` writes one; `--config` names another file.")
            }
            ConfigError::Unreadable { ref source, .. } => Self::caused(error.to_string(), source),
            ConfigError::Mistaken(mistakes) => {
                let mut error = Self::new(ExitStatus::Failure, mistakes.to_string());
                error.mistakes = Some(mistakes);
                error
            }
        }
    }
}

impl From<UnknownName> for CommandError {
    fn from(unknown: UnknownName) -> Self {
        let hint = match unknown.likeliest() {
            Some(name) => format!("Did you mean `{name}`?"),
            None => format!("The configuration has {}.", unknown.known.join(", ")),
        };
        Self::new(ExitStatus::Failure, unknown.to_string()).hinted(hint)
    }
}

impl From<TemplateError> for CommandError {
    fn from(error: TemplateError) -> Self {
        Self::of_error(&error)
            .hinted("`templates/README.md` of underpin lists the variables and the helpers.")
    }
}

impl From<RenderError> for CommandError {
    fn from(error: RenderError) -> Self {
        match error {
            RenderError::Template(error) => error.into(),
            RenderError::UnknownBackend { .. } => Self::of_error(&error),
        }
    }
}

impl From<NeighbourError> for CommandError {
    fn from(error: NeighbourError) -> Self {
        Self::of_error(&error)
    }
}

impl From<FileError> for CommandError {
    fn from(error: FileError) -> Self {
        let hint = match &error {
            FileError::Write(error) => error.cure(),
            FileError::Changed { .. } => Some("Run the command again.".to_owned()),
            FileError::Read { .. } => None,
        };
        let mut command = Self::of_error(&error);
        command.hints.extend(hint);
        command
    }
}

impl From<ArchiveError> for CommandError {
    fn from(error: ArchiveError) -> Self {
        match error {
            ArchiveError::Write(error) => error.into(),
            ArchiveError::Damaged { .. } => {
                Self::of_error(&error).hinted("`underpin state backup --verify` looks at every copy.")
            }
            ArchiveError::Read { .. } | ArchiveError::Manifest { .. } => Self::of_error(&error),
        }
    }
}

impl From<WriteError> for CommandError {
    fn from(error: WriteError) -> Self {
        FileError::Write(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Address;

    #[test]
    fn the_worst_status_of_several_is_the_greatest() {
        let statuses = [ExitStatus::Failure, ExitStatus::Success, ExitStatus::Refused];
        assert_eq!(statuses.into_iter().max(), Some(ExitStatus::Refused));
    }

    #[test]
    fn a_denied_reading_names_the_action_and_the_resource() {
        let mut source = AwsError::garbled("s3:GetBucketEncryption", String::new());
        source.class = Class::AccessDenied;
        let address = Address { kind: "s3_bucket", name: "acme-tfstate".to_owned() };

        let error = CommandError::of_reads(&"main".parse().unwrap(), &[ReadError { address, source }], None);

        assert_eq!(
            error.hints,
            ["The caller needs `s3:GetEncryptionConfiguration` on s3_bucket.acme-tfstate."]
        );
    }

    #[test]
    fn the_chain_is_told_once() {
        let inner = io::Error::other("inner");
        let outer = io::Error::other(inner);
        let error = CommandError::caused("failed", &outer);
        assert_eq!(error.causes, ["inner"]);
    }
}
