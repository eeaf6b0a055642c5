//! What can go wrong on the way, and when it does.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::name::{Dialect, Name};
use crate::ground::http::Answer;

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The program is killed before the call takes effect.
    KillBefore,
    /// The call takes effect, then the program is killed before it hears of it.
    KillAfter,
    /// The call takes effect; the connection is reset instead of an answer.
    AnswerLost,
    /// The connection is reset before the call takes effect.
    Reset,
    /// The call takes effect; the connection is reset halfway through the answer's body.
    ResetMidBody,
    /// The call takes effect; its answer comes so much later.
    Late(Duration),
    /// "We made a mistake", in the service's dialect.
    Status500,
    /// 503: `SlowDown` of S3, `ServiceUnavailable` of the others.
    SlowDown503,
    /// "Too many requests", in the service's dialect.
    Throttle,
    /// S3 answers 200 and an error.
    S3ErrorIn200,
    /// The caller may not do this.
    AccessDenied,
    /// The session has run out.
    ExpiredToken,
    /// Nobody has these credentials.
    InvalidToken,
    /// Something else is changing this bucket.
    OperationAborted,
    /// Any other error.
    Code {
        /// The status.
        status: u16,
        /// The error's code.
        code: &'static str,
        /// What it says.
        message: &'static str,
    },
    /// Any other answer.
    Body {
        /// The status.
        status: u16,
        /// What is in the body, be it well formed or not.
        body: Vec<u8>,
    },
}

impl Fault {
    /// The answer that stands in for the emulator's, where this fault has one.
    pub(crate) fn answer(&self, name: &Name) -> Option<Answer> {
        let (status, code, message) = match self {
            Self::KillBefore
            | Self::KillAfter
            | Self::AnswerLost
            | Self::Reset
            | Self::ResetMidBody
            | Self::Late(_) => {
                return None;
            }
            Self::Body { status, body } => {
                return Some(Answer::new(*status, content_type(name.dialect), body.clone()));
            }
            Self::S3ErrorIn200 => {
                let text = document(
                    name.dialect,
                    "InternalError",
                    "We encountered an internal error. Please try again.",
                );
                return Some(Answer::new(200, content_type(name.dialect), text));
            }
            Self::Status500 => internal_error(name),
            Self::SlowDown503 => match name.dialect {
                Dialect::S3 => (503, "SlowDown", "Please reduce your request rate."),
                Dialect::Json => (503, "ServiceUnavailableException", "The service is unavailable."),
                Dialect::Query => (503, "ServiceUnavailable", "The service is unavailable."),
            },
            Self::Throttle => match name.dialect {
                Dialect::S3 => (503, "SlowDown", "Please reduce your request rate."),
                Dialect::Json => (400, "ThrottlingException", "Rate exceeded"),
                Dialect::Query => (400, "Throttling", "Rate exceeded"),
            },
            Self::AccessDenied => return Some(access_denied(name)),
            Self::ExpiredToken => match name.dialect {
                Dialect::S3 => (400, "ExpiredToken", "The provided token has expired."),
                Dialect::Json => (400, "ExpiredTokenException", EXPIRED),
                Dialect::Query => (403, "ExpiredToken", EXPIRED),
            },
            Self::InvalidToken => match name.dialect {
                Dialect::S3 => (
                    403,
                    "InvalidAccessKeyId",
                    "The AWS Access Key Id you provided does not exist in our records.",
                ),
                Dialect::Json => (400, "UnrecognizedClientException", INVALID),
                Dialect::Query => (403, "InvalidClientTokenId", INVALID),
            },
            Self::OperationAborted => (409, "OperationAborted", CONFLICTING),
            Self::Code { status, code, message } => (*status, *code, *message),
        };
        Some(error(name.dialect, status, code, message))
    }
}

const EXPIRED: &str = "The security token included in the request is expired";
const INVALID: &str = "The security token included in the request is invalid";
const CONFLICTING: &str =
    "A conflicting conditional operation is currently in progress against this resource. Please try again.";

/// An error as a service of this dialect writes it.
pub(crate) fn error(dialect: Dialect, status: u16, code: &str, message: &str) -> Answer {
    let mut answer = Answer::new(status, content_type(dialect), document(dialect, code, message));
    let header = if dialect == Dialect::S3 { "x-amz-request-id" } else { "x-amzn-requestid" };
    answer.set(header, REQUEST_ID);
    answer
}

/// The id of every request that was answered here.
const REQUEST_ID: &str = "PROXYPROXYPROXY1";

fn content_type(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::S3 => "application/xml",
        Dialect::Json => "application/x-amz-json-1.1",
        Dialect::Query => "text/xml",
    }
}

fn document(dialect: Dialect, code: &str, message: &str) -> String {
    match dialect {
        Dialect::S3 => format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message>\
             <RequestId>{REQUEST_ID}</RequestId><HostId>proxy</HostId></Error>"
        ),
        Dialect::Json => serde_json::json!({ "__type": code, "message": message }).to_string(),
        Dialect::Query => format!(
            "<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>\
             <RequestId>{REQUEST_ID}</RequestId></ErrorResponse>"
        ),
    }
}

fn internal_error(name: &Name) -> (u16, &'static str, &'static str) {
    let message = "We encountered an internal error. Please try again.";
    match (name.dialect, name.service.as_str()) {
        (Dialect::S3, _) => (500, "InternalError", message),
        (Dialect::Json, "kms") => (500, "KMSInternalException", message),
        (Dialect::Json, _) => (500, "InternalServerError", message),
        (Dialect::Query, "iam") => (500, "ServiceFailure", message),
        (Dialect::Query, _) => (500, "InternalFailure", message),
    }
}

fn access_denied(name: &Name) -> Answer {
    let Name { operation, resource, dialect, .. } = name;
    let message = format!(
        "User: arn:aws:iam::123456789012:user/acme is not authorized to perform: {operation} on resource: {resource} \
         because no identity-based policy allows the {operation} action"
    );
    match dialect {
        Dialect::S3 => error(*dialect, 403, "AccessDenied", "Access Denied"),
        Dialect::Json => error(*dialect, 400, "AccessDeniedException", &message),
        Dialect::Query => error(*dialect, 403, "AccessDenied", &message),
    }
}

/// Which calls a fault is for.
#[derive(Debug, Clone)]
pub(crate) struct On {
    operation: String,
    resource: String,
    writes_only: bool,
    which: Which,
    limit: usize,
}

/// Which of the calls that fit.
#[derive(Debug, Clone, Copy)]
enum Which {
    Nth(usize),
    Every(usize),
}

impl On {
    /// Every call.
    pub(crate) fn any() -> Self {
        Self {
            operation: "*".to_owned(),
            resource: String::new(),
            writes_only: false,
            which: Which::Every(1),
            limit: usize::MAX,
        }
    }

    /// Every call that changes something.
    pub(crate) fn writes() -> Self {
        Self { writes_only: true, ..Self::any() }
    }

    /// Calls of this operation, such as `kms:CreateKey`; a `*` at its end stands for any rest.
    pub(crate) fn call(operation: &str) -> Self {
        Self { operation: operation.to_owned(), ..Self::any() }
    }

    /// Only where the resource contains `part`.
    pub(crate) fn resource(self, part: &str) -> Self {
        Self { resource: part.to_owned(), ..self }
    }

    /// Only the `n`th of them, from 1.
    pub(crate) fn nth(self, n: usize) -> Self {
        Self { which: Which::Nth(n), ..self }
    }

    /// Only every `n`th of them.
    pub(crate) fn every(self, n: usize) -> Self {
        Self { which: Which::Every(n), ..self }
    }

    /// So many times at most.
    pub(crate) fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    fn fits(&self, name: &Name) -> bool {
        let operation = match self.operation.strip_suffix('*') {
            Some(start) => name.operation.starts_with(start),
            None => name.operation == self.operation,
        };
        operation && name.resource.contains(&self.resource) && (name.mutating || !self.writes_only)
    }
}

/// How often a fault has struck.
#[derive(Debug, Clone, Default)]
pub(crate) struct Fired(Arc<AtomicUsize>);

impl Fired {
    /// So many times by now.
    pub(crate) fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// A fault in waiting.
#[derive(Debug)]
pub(crate) struct Rule {
    on: On,
    fault: Fault,
    seen: usize,
    fired: Fired,
}

impl Rule {
    /// `fault` for the calls that `on` describes.
    pub(crate) fn new(on: On, fault: Fault) -> Self {
        Self { on, fault, seen: 0, fired: Fired::default() }
    }

    /// What tells how often it struck.
    pub(crate) fn fired(&self) -> Fired {
        self.fired.clone()
    }

    /// Counts a call, and returns the fault that strikes it.
    pub(crate) fn strike(&mut self, name: &Name) -> Option<Fault> {
        if !self.on.fits(name) {
            return None;
        }
        self.seen += 1;
        let strikes = match self.on.which {
            Which::Nth(n) => self.seen == n,
            Which::Every(n) => self.seen.is_multiple_of(n),
        };
        if !strikes || self.fired.times() >= self.on.limit {
            return None;
        }
        self.fired.0.fetch_add(1, Ordering::SeqCst);
        Some(self.fault.clone())
    }
}
