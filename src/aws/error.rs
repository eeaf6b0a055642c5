//! What AWS answered, sorted: one error type, and one table of codes that decides what an answer means.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// A call to AWS that failed.
#[derive(Debug, Clone)]
pub struct AwsError {
    /// The call by IAM's prefix and the API's name, such as `s3:PutBucketPolicy`.
    pub operation: &'static str,
    /// What the answer means.
    pub class: Class,
    /// AWS's own code, where there was an answer with one.
    pub code: Option<String>,
    /// AWS's own words, where there were some.
    pub message: Option<String>,
    /// The status of the answer, where there was one.
    pub status: Option<u16>,
    /// The id to quote to AWS's support.
    pub request_id: Option<String>,
    /// The region that S3 says the bucket is in, where it was asked in another.
    pub bucket_region: Option<String>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What an answer means to us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The thing asked for, or the part of it, is not there.
    NotFound,
    /// The thing to be created is there, whoever made it.
    AlreadyExists,
    /// Another change to the same thing is under way.
    Conflict,
    /// The caller lacks a permission, or something denies it.
    AccessDenied,
    /// Too many calls, after all retries.
    Throttled,
    /// There are no credentials, or they are wrong or have expired.
    Credentials,
    /// The thing lives in another region.
    WrongRegion,
    /// A quota of the thing or of the account is used up.
    LimitExceeded,
    /// No answer: the endpoint can't be reached, the connection broke, or a time limit ran out.
    Unreachable,
    /// The answer can't be read, or lacks what AWS promises.
    Garbled,
    /// What was about to be replaced is not what the plan was made for.
    ChangedMeanwhile,
    /// What was waited for did not come about.
    TimedOut,
    /// Everything else; the code and the message tell.
    Other,
}

/// Codes of all services that we call, in one table: the same word means the same thing everywhere.
const CODES: &[(Class, &[&str])] = &[
    (
        Class::NotFound,
        &[
            "NoSuchBucket",
            "NoSuchBucketPolicy",
            "NoSuchEntity",
            "NoSuchKey",
            "NoSuchLifecycleConfiguration",
            "NoSuchPublicAccessBlockConfiguration",
            "NoSuchTagSet",
            "NotFound",
            "NotFoundException",
            "ObjectLockConfigurationNotFoundError",
            "OwnershipControlsNotFoundError",
            "ResourceNotFoundException",
            "ServerSideEncryptionConfigurationNotFoundError",
            "TableNotFoundException",
        ],
    ),
    (
        Class::AlreadyExists,
        &[
            "AlreadyExistsException",
            "BucketAlreadyExists",
            "BucketAlreadyOwnedByYou",
            "EntityAlreadyExists",
            "ResourceInUseException",
        ],
    ),
    (
        Class::Conflict,
        &[
            "ConcurrentModification",
            "ConcurrentModificationException",
            "ConditionalRequestConflict",
            "ContinuousBackupsUnavailableException",
            "OperationAborted",
        ],
    ),
    (
        Class::AccessDenied,
        &["AccessDenied", "AccessDeniedException", "AllAccessDisabled", "Forbidden", "UnauthorizedAccess"],
    ),
    (
        Class::Throttled,
        &[
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "RequestThrottled",
            "SlowDown",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        ],
    ),
    (
        Class::Credentials,
        &[
            "AuthFailure",
            "ExpiredToken",
            "ExpiredTokenException",
            "IncompleteSignature",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "InvalidToken",
            "MissingAuthenticationToken",
            "NotAuthorized",
            "RequestExpired",
            "RequestTimeTooSkewed",
            "SignatureDoesNotMatch",
            "TokenRefreshRequired",
            "UnrecognizedClientException",
        ],
    ),
    (
        Class::WrongRegion,
        &["AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"],
    ),
    (
        Class::LimitExceeded,
        &["LimitExceeded", "LimitExceededException", "ServiceQuotaExceededException", "TooManyBuckets"],
    ),
];

impl AwsError {
    /// Makes the error for an answer that lacks a field which AWS promises.
    pub(crate) fn missing(operation: &'static str, field: &str) -> Self {
        Self::own(operation, Class::Garbled, format!("the answer has no `{field}`"))
    }

    /// Makes the error for an answer that can't be understood.
    pub(crate) fn garbled(operation: &'static str, message: String) -> Self {
        Self::own(operation, Class::Garbled, message)
    }

    /// Makes the error for an answer whose body stopped coming.
    pub(crate) fn broken_body(operation: &'static str, error: &(dyn Error + 'static)) -> Self {
        Self { class: Class::Unreachable, ..Self::own(operation, Class::Unreachable, error.to_string()) }
    }

    /// Makes the error for a part of a call that was not done, as the answer to the whole call says.
    pub(crate) fn refused_in_answer(
        operation: &'static str,
        code: Option<String>,
        message: Option<String>,
    ) -> Self {
        let class = classify(operation, code.as_deref(), None);
        Self { code, message, ..Self::own(operation, class, String::new()) }
    }

    /// Returns whether the answer began and its body stopped coming.
    pub(crate) fn is_broken_body(&self) -> bool {
        self.class == Class::Unreachable && self.source.is_none()
    }

    /// Makes the error for something that did not come about within its limit.
    pub(crate) fn timed_out(operation: &'static str, message: String) -> Self {
        Self::own(operation, Class::TimedOut, message)
    }

    /// Makes the error for a write that was not made, since `what` is no longer what was read.
    pub(crate) fn changed_meanwhile(operation: &'static str, what: &str) -> Self {
        let message = format!("not called: {what} was changed by someone else since the plan was made");
        Self::own(operation, Class::ChangedMeanwhile, message)
    }

    fn own(operation: &'static str, class: Class, message: String) -> Self {
        let message = Some(message);
        Self {
            operation,
            class,
            code: None,
            message,
            status: None,
            request_id: None,
            bucket_region: None,
            source: None,
        }
    }

    /// Adds what else the answer may mean.
    pub(crate) fn with_doubt(mut self, doubt: &str) -> Self {
        self.message = Some(match self.message {
            Some(message) => format!("{message}; {doubt}"),
            None => doubt.to_owned(),
        });
        self
    }

    /// Returns whether the call may have taken effect all the same: its answer was lost, or the fault is the service's.
    pub(crate) fn may_have_taken_effect(&self) -> bool {
        matches!(self.class, Class::Unreachable | Class::Garbled)
            || self.status.is_some_and(|status| status >= 500)
    }

    /// Returns the IAM action that the call needs: the API's own name, but for some of S3's.
    /// <https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html>
    pub fn permission(&self) -> &'static str {
        match self.operation {
            "s3:CopyObject" => "s3:PutObject",
            "s3:DeleteObjects" => "s3:DeleteObjectVersion",
            "s3:GetBucketEncryption" => "s3:GetEncryptionConfiguration",
            "s3:GetBucketLifecycleConfiguration" => "s3:GetLifecycleConfiguration",
            "s3:GetObjectLockConfiguration" => "s3:GetBucketObjectLockConfiguration",
            "s3:GetPublicAccessBlock" => "s3:GetBucketPublicAccessBlock",
            "s3:HeadBucket" | "s3:ListObjectsV2" => "s3:ListBucket",
            "s3:HeadObject" => "s3:GetObject",
            "s3:ListBuckets" => "s3:ListAllMyBuckets",
            "s3:ListObjectVersions" => "s3:ListBucketVersions",
            "s3:PutBucketEncryption" => "s3:PutEncryptionConfiguration",
            "s3:PutBucketLifecycleConfiguration" => "s3:PutLifecycleConfiguration",
            "s3:PutPublicAccessBlock" => "s3:PutBucketPublicAccessBlock",
            operation => operation,
        }
    }

    /// Returns whether AWS answered with this very code.
    pub fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

/// Names the call that a result came from.
pub(crate) trait During<T> {
    /// Turns the SDK's error into ours, `operation` being the call's name.
    fn during(self, operation: &'static str) -> Result<T, AwsError>;
}

impl<T, E> During<T> for Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    fn during(self, operation: &'static str) -> Result<T, AwsError> {
        self.map_err(|error| from_sdk(operation, error))
    }
}

/// Turns "not found" into `None`.
pub(crate) trait Optional<T> {
    /// Returns `None` where the error says that the thing is not there.
    fn optional(self) -> Result<Option<T>, AwsError>;
}

impl<T> Optional<T> for Result<T, AwsError> {
    fn optional(self) -> Result<Option<T>, AwsError> {
        match self {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.class == Class::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn from_sdk<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> AwsError
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    let status = error.raw_response().map(|response| response.status().as_u16());
    let request_id = error.raw_response().and_then(|response| {
        ["x-amzn-requestid", "x-amz-request-id", "x-amzn-request-id"]
            .iter()
            .find_map(|name| response.headers().get(*name))
            .map(str::to_owned)
    });
    let bucket_region = error
        .raw_response()
        .and_then(|response| response.headers().get("x-amz-bucket-region"))
        .map(str::to_owned);
    let (code, message) = match error.as_service_error() {
        Some(service) => (service.code().map(str::to_owned), service.message().map(shortened)),
        None => (None, None),
    };
    // An answer of success that can't be read is a service error to the SDK, and has no code.
    let unread = code.is_none() && status.is_some_and(|status| (200..300).contains(&status));
    let class = match &error {
        SdkError::ServiceError(_) if unread => Class::Garbled,
        SdkError::ServiceError(_) => classify(operation, code.as_deref(), status),
        SdkError::ResponseError(_) => Class::Garbled,
        SdkError::DispatchFailure(failure) if failure.is_user() => Class::Credentials,
        _ if has_cause::<CredentialsError>(&error) => Class::Credentials,
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => Class::Unreachable,
        _ => Class::Other,
    };
    // The service's own error says nothing beyond code and message; the others carry the reason in their chain.
    let source = match error {
        SdkError::ServiceError(_) if !unread => None,
        other => other.into_source().ok().map(Arc::from),
    };
    AwsError { operation, class, code, message, status, request_id, bucket_region, source }
}

/// The SDK has no variant of its own for "no credentials": they hide in the chain of the dispatch error.
fn has_cause<C: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    std::iter::successors(Some(error), |&error| error.source()).any(<dyn Error + 'static>::is::<C>)
}

fn classify(operation: &str, code: Option<&str>, status: Option<u16>) -> Class {
    let by_code =
        code.and_then(|code| CODES.iter().find(|(_, codes)| codes.contains(&code)).map(|(class, _)| *class));
    // An answer to HEAD has no body, so no code: only its status tells. Any other answer without a code comes from
    // something in between, and says nothing about the thing.
    let head = operation.starts_with("s3:Head");
    by_code.unwrap_or(match (code, status) {
        (None, Some(404)) if head => Class::NotFound,
        (None, Some(403)) if head => Class::AccessDenied,
        (_, Some(301 | 307)) => Class::WrongRegion,
        (_, Some(429)) => Class::Throttled,
        _ => Class::Other,
    })
}

/// Keeps what a person can read of a message: a server in between may answer with a page of megabytes.
fn shortened(message: &str) -> String {
    const LONGEST: usize = 500;
    match message.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{} ...", message.get(..end).unwrap_or_default()),
        None => message.to_owned(),
    }
}

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operation, class, code, message, status: _, request_id, bucket_region: _, source: _ } =
            self;
        write!(f, "{operation} failed")?;
        let code = code.as_deref().or(match class {
            Class::NotFound => Some("not found"),
            Class::AccessDenied => Some("access denied"),
            Class::WrongRegion => Some("another region"),
            _ => None,
        });
        match (code, request_id) {
            (Some(code), Some(id)) => write!(f, " ({code}, request {id})")?,
            (Some(code), None) => write!(f, " ({code})")?,
            (None, Some(id)) => write!(f, " (request {id})")?,
            (None, None) => {}
        }
        match message {
            Some(message) => write!(f, ": {}", message.trim()),
            None => Ok(()),
        }
    }
}

impl Error for AwsError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "s3:HeadBucket";
    const GET: &str = "s3:GetBucketPolicy";

    #[test]
    fn a_code_decides_before_the_status() {
        assert_eq!(classify(GET, Some("NoSuchBucketPolicy"), Some(404)), Class::NotFound);
        assert_eq!(classify(GET, Some("ExpiredToken"), Some(403)), Class::Credentials);
        assert_eq!(classify(GET, Some("SomethingNew"), Some(404)), Class::Other);
    }

    #[test]
    fn without_a_code_the_status_decides_of_head_alone() {
        assert_eq!(classify(HEAD, None, Some(404)), Class::NotFound);
        assert_eq!(classify(HEAD, None, Some(403)), Class::AccessDenied);
        assert_eq!(classify(HEAD, None, Some(301)), Class::WrongRegion);
        assert_eq!(classify(GET, None, Some(404)), Class::Other);
        assert_eq!(classify(GET, None, Some(500)), Class::Other);
    }

    #[test]
    fn a_page_for_a_message_is_cut() {
        assert_eq!(shortened("brief"), "brief");
        assert!(shortened(&"x".repeat(10_000_000)).len() < 600);
    }

    #[test]
    fn no_code_stands_in_two_classes() {
        let mut codes: Vec<&str> = CODES.iter().flat_map(|(_, codes)| codes.iter().copied()).collect();
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all);
    }
}
