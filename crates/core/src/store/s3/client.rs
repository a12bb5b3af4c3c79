//! The SDK's client: transport, region, endpoint and the standard chain of credentials.

use super::S3Options;
use crate::error::{Context, Error, Kind, Result};
use crate::store::backoff::Backoff;
use crate::store::reactor;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{
    Builder, IdentityCache, ProvideCredentials, Region, RequestChecksumCalculation,
    ResponseChecksumValidation, SharedCredentialsProvider, SharedHttpClient, StalledStreamProtectionConfig,
};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use std::time::Duration;

/// A client whose credentials were found. It never retries by itself: our own loop does, and counts.
///
/// # Errors
/// Failed, with a hint, when there are no credentials.
pub(super) fn connect_client(options: &S3Options, backoff: Backoff) -> Result<Client> {
    reactor::wait_for(async {
        let http = make_transport();
        let credentials = find_credentials(&http, options).await?;
        let config = load_config(http, options, &credentials).await;
        let connect = backoff.attempt(0).min(Duration::from_secs(5));
        Ok(Client::from_conf(make_builder(&config, options, connect).build()))
    })?
}

/// rustls on ring with the machine's own authorities (or those of `SSL_CERT_FILE`).
fn make_transport() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

fn make_loader(http: SharedHttpClient, options: &S3Options) -> ConfigLoader {
    let region = RegionProviderChain::first_try(options.region.clone().map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(Region::new("us-east-1"));
    aws_config::defaults(BehaviorVersion::latest()).http_client(http).region(region)
}

async fn load_config(
    http: SharedHttpClient,
    options: &S3Options,
    credentials: &SharedCredentialsProvider,
) -> SdkConfig {
    // A `credential_process` may ask a vault or a person: the SDK's five seconds are too few.
    let cache = IdentityCache::lazy().load_timeout(PROCESS).build();
    make_loader(http, options).credentials_provider(credentials.clone()).identity_cache(cache).load().await
}

const PROCESS: Duration = Duration::from_secs(60);

/// Asked once here, so that "no credentials" is one clear line and not a failed request.
async fn find_credentials(http: &SharedHttpClient, options: &S3Options) -> Result<SharedCredentialsProvider> {
    let config = ProviderConfig::without_region().with_http_client(http.clone());
    let region = make_loader(http.clone(), options).no_credentials().load().await.region().cloned();
    let config = config.with_region(region);
    // One short try: on a machine that is not in EC2 this address leads nowhere.
    let imds = imds::Client::builder().configure(&config).max_attempts(1).operation_timeout(SHORT);
    let imds = imds.connect_timeout(Duration::from_secs(1)).read_timeout(SHORT).build();
    let chain = DefaultCredentialsChain::builder().configure(config).imds_client(imds).build().await;
    let chain = SharedCredentialsProvider::new(chain);
    let asked = tokio::time::timeout(PROCESS, chain.provide_credentials()).await;
    let late = |_| Error::retry("the credentials did not come within a minute");
    asked.map_err(late)?.map(|_| ()).doing(|| "find credentials for S3".into()).map_err(|e| {
        e.kind_as(Kind::Failed).hint(
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE with AWS_SHARED_CREDENTIALS_FILE, or give the machine a role",
        )
    })?;
    Ok(chain)
}

const SHORT: Duration = Duration::from_secs(2);

fn make_builder(config: &SdkConfig, options: &S3Options, connect: Duration) -> Builder {
    let mut builder = Builder::from(config)
        // Our loop repeats and counts: with a second one below it, an attempt whose answer was lost would be repeated
        // without our knowing, and its own object would be taken for another's. Checksums are sent where we set them:
        // many services do not know the newer ones that the SDK adds by itself.
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::builder().connect_timeout(connect).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(endpoint) = &options.endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    // Services of one's own rarely have a host name for each bucket.
    let named = |name| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    let custom = options.endpoint.is_some() || config.endpoint_url().is_some();
    builder.force_path_style(custom || named("AWS_ENDPOINT_URL_S3") || named("AWS_ENDPOINT_URL"))
}
