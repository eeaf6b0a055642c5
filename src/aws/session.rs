//! Clients for one account and region, and who calls.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_config::retry::RetryConfig;
use aws_config::stalled_stream_protection::StalledStreamProtectionConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region as SdkRegion, SdkConfig};
use aws_smithy_http_client::ConnectorBuilder;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::interceptors::Intercept;
use aws_smithy_runtime_api::client::interceptors::context::FinalizerInterceptorContextRef;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;

use super::gate::Gate;
use crate::aws::{AwsError, During};
use crate::names::{AccountId, Partition, Region};

/// Attempts for one call, the first included. Throttling and lost connections are retried, with jitter between them.
///
/// The SDK's adaptive mode is not used: beside pausing it spaces all further calls of a service out, so that one throttled
/// call in three turns seconds into minutes. The gates bound what is under way.
const MAX_ATTEMPTS: u32 = 6;
/// The most that is paused before the second attempt; doubled for each further one.
const FIRST_BACKOFF: Duration = Duration::from_millis(250);
/// The longest pause between two attempts.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// How many calls to one service are under way at once, over all backends of a run. S3 and KMS publish high rates; IAM
/// publishes none and throttles early.
const S3_AT_ONCE: usize = 64;
const DYNAMODB_AT_ONCE: usize = 32;
const KMS_AT_ONCE: usize = 32;
const IAM_AT_ONCE: usize = 16;

/// Time limits of every call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// For one attempt, from when it is sent.
    pub attempt: Duration,
    /// For a call with all its attempts, and what it waits between and before them.
    pub total: Duration,
}

impl Timeouts {
    /// Returns the limits as the SDK takes them.
    ///
    /// The attempt's limit is the connection's, which begins behind the [`Gate`]: the SDK's own limit of an attempt runs
    /// while the call waits there, and would end calls that were never sent.
    pub(super) fn limits(self) -> TimeoutConfig {
        TimeoutConfig::builder()
            .connect_timeout(self.connect)
            .read_timeout(self.attempt)
            .operation_timeout(self.total)
            .build()
    }

    /// Returns how long the body of an answer may stand still. That of a request is within the attempt's limit, and the
    /// SDK's watch over it does not know the [`Gate`] either.
    pub(super) fn stalls(self) -> StalledStreamProtectionConfig {
        StalledStreamProtectionConfig::enabled().upload_enabled(false).grace_period(self.attempt).build()
    }
}

/// What everything in a run shares: open connections, the environment's proxy, and a gate for each service.
#[derive(Debug, Clone)]
pub struct Network {
    client: SharedHttpClient,
    s3: Gate,
    dynamodb: Gate,
    kms: Gate,
    iam: Gate,
}

impl Network {
    /// Makes ready to connect. Nothing is connected yet.
    pub fn new() -> Self {
        let client =
            aws_smithy_http_client::Builder::new().build_with_connector_fn(|settings, components| {
                let mut connector =
                    ConnectorBuilder::default().tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc));
                connector.set_connector_settings(settings.cloned());
                connector.set_proxy_config(Some(ProxyConfig::from_env()));
                if let Some(components) = components {
                    connector.set_sleep_impl(components.sleep_impl());
                }
                connector.build()
            });
        Self {
            s3: Gate::new(client.clone(), S3_AT_ONCE),
            dynamodb: Gate::new(client.clone(), DYNAMODB_AT_ONCE),
            kms: Gate::new(client.clone(), KMS_AT_ONCE),
            iam: Gate::new(client.clone(), IAM_AT_ONCE),
            client,
        }
    }
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

/// What all clients of a profile share: how to get credentials, and the time limits.
#[derive(Debug, Clone)]
pub struct Session {
    config: SdkConfig,
    network: Network,
    began: SystemTime,
    calls: Calls,
}

/// Tells every attempt of every call to whoever wants to see them.
#[derive(Clone)]
struct Calls(Arc<dyn Fn(&str) + Send + Sync>);

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calls")
    }
}

impl Intercept for Calls {
    fn name(&self) -> &'static str {
        "underpin"
    }

    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _components: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let call = config
            .load::<Metadata>()
            .map(|call| format!("{}:{}", call.service().to_lowercase(), call.name()))
            .unwrap_or_default();
        let answer = match context.response() {
            Some(response) => response.status().as_u16().to_string(),
            None => "no answer".to_owned(),
        };
        (self.0)(&format!("{call}: {answer}"));
        Ok(())
    }
}

/// The clients for one account and region.
#[derive(Debug, Clone)]
pub struct Clients {
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) kms: aws_sdk_kms::Client,
    pub(crate) iam: aws_sdk_iam::Client,
    pub(crate) sts: aws_sdk_sts::Client,
    /// When the run began.
    pub(crate) began: SystemTime,
}

/// Who calls, as STS says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account that the calls act on.
    pub account_id: AccountId,
    /// The caller's own ARN.
    pub arn: String,
    /// The partition in that ARN.
    pub partition: Partition,
}

impl Session {
    /// Resolves where credentials come from: the default chain, or `profile` of the AWS configuration files.
    ///
    /// `calls` is told the name and the status of every attempt; `now` is when the run begins.
    pub async fn load(
        network: &Network,
        profile: Option<&str>,
        timeouts: Timeouts,
        now: SystemTime,
        calls: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(network.client.clone())
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(MAX_ATTEMPTS)
                    .with_initial_backoff(FIRST_BACKOFF)
                    .with_max_backoff(LONGEST_BACKOFF),
            )
            .timeout_config(timeouts.limits())
            .stalled_stream_protection(timeouts.stalls());
        // The name is a constant of ours and valid; the SDK's type can't be made without the check.
        if let Ok(name) = AppName::new("underpin") {
            loader = loader.app_name(name);
        }
        if let Some(profile) = profile {
            loader = loader.profile_name(profile);
        }
        Self {
            config: loader.load().await,
            network: network.clone(),
            began: now,
            calls: Calls(Arc::new(calls)),
        }
    }

    /// Makes the clients for `region`.
    pub fn clients(&self, region: &Region) -> Clients {
        let config = self.config.to_builder().region(SdkRegion::new(region.as_str().to_owned())).build();
        let Network { client, s3, dynamodb, kms, iam } = self.network.clone();
        /// Makes a service's client that tells its calls, with what it is connected through.
        macro_rules! client {
            ($sdk:ident, $through:expr) => {
                $sdk::Client::from_conf(
                    $sdk::config::Builder::from(&config)
                        .http_client($through)
                        .interceptor(self.calls.clone())
                        .build(),
                )
            };
        }
        Clients {
            s3: client!(aws_sdk_s3, s3),
            dynamodb: client!(aws_sdk_dynamodb, dynamodb),
            kms: client!(aws_sdk_kms, kms),
            iam: client!(aws_sdk_iam, iam),
            sts: client!(aws_sdk_sts, client),
            began: self.began,
        }
    }
}

impl Clients {
    /// Makes clients that can reach nothing, for tests that replace the ones they call.
    #[cfg(test)]
    pub(crate) fn unconnected() -> Self {
        let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).build();
        Self {
            s3: aws_sdk_s3::Client::new(&config),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            kms: aws_sdk_kms::Client::new(&config),
            iam: aws_sdk_iam::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            began: SystemTime::UNIX_EPOCH,
        }
    }

    /// Asks STS who calls. Needs no permission.
    pub async fn caller(&self) -> Result<Caller, AwsError> {
        const CALL: &str = "sts:GetCallerIdentity";
        let answer = self.sts.get_caller_identity().send().await.during(CALL)?;
        let arn = answer.arn.ok_or_else(|| AwsError::missing(CALL, "Arn"))?;
        let account_id = answer.account.ok_or_else(|| AwsError::missing(CALL, "Account"))?;
        let account_id = account_id
            .parse()
            .map_err(|_| AwsError::garbled(CALL, format!("`{account_id}` is no account id")))?;
        let partition = arn
            .split(':')
            .nth(1)
            .and_then(|partition| partition.parse().ok())
            .ok_or_else(|| AwsError::garbled(CALL, format!("`{arn}` is no ARN")))?;
        Ok(Caller { account_id, arn, partition })
    }
}
