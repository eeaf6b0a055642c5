//! How many calls to one service are under way at once.
//!
//! KMS and S3 publish their rates and IAM does not, so a fan-out over many environments is bounded where every attempt
//! passes: between the SDK and its HTTP client. A retry waits its turn like a first attempt.

use std::sync::Arc;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::connector_metadata::ConnectorMetadata;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::{RuntimeComponents, RuntimeComponentsBuilder};
use aws_smithy_types::config_bag::ConfigBag;
use tokio::sync::Semaphore;

/// An HTTP client that lets a number of requests through at once.
#[derive(Debug, Clone)]
pub(crate) struct Gate {
    client: SharedHttpClient,
    places: Arc<Semaphore>,
}

impl Gate {
    /// Puts a gate of `width` in front of `client`.
    pub(crate) fn new(client: SharedHttpClient, width: usize) -> Self {
        Self { client, places: Arc::new(Semaphore::new(width)) }
    }
}

impl HttpClient for Gate {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(GatedConnector {
            connector: self.client.http_connector(settings, components),
            places: self.places.clone(),
        })
    }

    fn validate_base_client_config(
        &self,
        components: &RuntimeComponentsBuilder,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.client.validate_base_client_config(components, config)
    }

    fn validate_final_config(
        &self,
        components: &RuntimeComponents,
        config: &ConfigBag,
    ) -> Result<(), BoxError> {
        self.client.validate_final_config(components, config)
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.client.connector_metadata()
    }
}

#[derive(Debug)]
struct GatedConnector {
    connector: SharedHttpConnector,
    places: Arc<Semaphore>,
}

impl HttpConnector for GatedConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (connector, places) = (self.connector.clone(), self.places.clone());
        HttpConnectorFuture::new(async move {
            let _place =
                places.acquire().await.map_err(|closed| ConnectorError::other(closed.into(), None))?;
            connector.call(request).await
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
    use aws_smithy_runtime_api::client::http::http_client_fn;
    use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
    use aws_smithy_types::body::SdkBody;
    use futures_util::future::try_join_all;

    use super::super::Timeouts;
    use super::*;

    /// An endpoint that takes its time for every answer.
    #[derive(Debug)]
    struct Slow(Duration);

    impl HttpConnector for Slow {
        fn call(&self, _request: HttpRequest) -> HttpConnectorFuture {
            let time = self.0;
            HttpConnectorFuture::new(async move {
                tokio::time::sleep(time).await;
                Ok(HttpResponse::new(200.try_into().unwrap(), SdkBody::empty()))
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_attempt_runs_out_of_time_while_it_waits_for_its_turn() {
        let timeouts = Timeouts {
            connect: Duration::from_secs(5),
            attempt: Duration::from_secs(30),
            total: Duration::from_mins(2),
        };
        let endpoint = http_client_fn(|_, _| SharedHttpConnector::new(Slow(Duration::from_secs(25))));
        let config = aws_sdk_kms::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("eu-west-1"))
            .credentials_provider(Credentials::new("id", "secret", None, None, "test"))
            .http_client(Gate::new(endpoint, 1))
            .timeout_config(timeouts.limits())
            .stalled_stream_protection(timeouts.stalls())
            .build();
        let kms = aws_sdk_kms::Client::from_conf(config);

        let begun = tokio::time::Instant::now();
        let calls = try_join_all((0..3).map(|_| kms.enable_key().key_id("a-key").send())).await;

        // Had one been sent twice, it would have been longer.
        assert!(calls.is_ok(), "{calls:?}");
        assert_eq!(begun.elapsed().as_secs(), 75);
    }
}
