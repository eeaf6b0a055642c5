//! The account as a test sees it: clients to look and to meddle with, and a dump of all that is there.

mod dump;
mod xml;

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::{AppName, BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use tokio::runtime::Handle;

use super::proxy::Proxy;

/// The account's number.
pub(crate) const ACCOUNT_ID: &str = "123456789012";

/// Where a test's clients are, unless it says otherwise.
pub(crate) const HOME_REGION: &str = "eu-west-1";

/// Clients of one region.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) kms: aws_sdk_kms::Client,
    pub(crate) iam: aws_sdk_iam::Client,
    pub(crate) sts: aws_sdk_sts::Client,
    url: String,
    runtime: Handle,
}

impl Account {
    /// The account behind `proxy`, past its log and faults.
    pub(super) fn new(proxy: &Proxy) -> Self {
        Self::at(&proxy.back_url(), HOME_REGION, proxy.runtime())
    }

    /// Clients that call `url`.
    pub(super) fn at(url: &str, region: &str, runtime: Handle) -> Self {
        Self::with_name(url, region, runtime, None)
    }

    /// The same clients, called by the name of an application.
    #[cfg(test)]
    pub(super) fn named(&self, application: &str) -> Self {
        let name = AppName::new(application.to_owned()).expect("a name");
        Self::with_name(&self.url, HOME_REGION, self.runtime.clone(), Some(name))
    }

    fn with_name(url: &str, region: &str, runtime: Handle, name: Option<AppName>) -> Self {
        let mut config = aws_config::SdkConfig::builder();
        config.set_app_name(name);
        let config = config
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .endpoint_url(url)
            .retry_config(RetryConfig::disabled())
            .credentials_provider(SharedCredentialsProvider::new(Credentials::for_tests()))
            .build();
        Self {
            s3: aws_sdk_s3::Client::new(&config),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            kms: aws_sdk_kms::Client::new(&config),
            iam: aws_sdk_iam::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            url: url.to_owned(),
            runtime,
        }
    }

    /// Whether these clients and those call the same address.
    #[cfg(test)]
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.url == other.url
    }

    /// The same account in another region.
    pub(crate) fn in_region(&self, region: &str) -> Self {
        Self::at(&self.url, region, self.runtime.clone())
    }

    /// Waits for what a client was asked.
    pub(crate) fn wait<F: IntoFuture>(&self, asked: F) -> F::Output {
        let asked = asked.into_future();
        self.runtime.block_on(asked)
    }
}
