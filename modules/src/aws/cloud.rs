//! AWS, as the kinds reach it: one client for each service, made when the first of them is needed.
//!
//! The engine repeats calls, by class of error and within budgets; the SDK only does where that cannot do harm
//! (its module is `repeat`).
//! Regions, profiles, endpoints (`AWS_ENDPOINT_URL`, per service `AWS_ENDPOINT_URL_EKS`) and proxies are the SDK's affair.
//!
//! **Credentials.** They are read anew when they are about to expire, and when AWS says that they have ([`Cloud::renew`]):
//! a run outlasts the hour of a session, and whoever renews it in another terminal must not have to begin again.

use super::error::{Answer, is_expired};
use super::repeat::{Repeatable, TRIES};
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::identity::IdentityCache;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{self, ProvideCredentials, future};
use aws_sdk_ec2::config::SharedHttpClient;
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use forge_engine::kind::{ErrorClass, KindError};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};
use tokio::sync::{Mutex, OnceCell};

/// Credentials are read anew so long before they expire: longer than any call takes.
const EARLY: Duration = Duration::from_secs(300);
/// For how long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// For how long one call may take: RunInstances of a full gang is the slowest, with tens of seconds.
const CALL: Duration = Duration::from_secs(120);

/// An account in a region, and its services.
pub struct Cloud {
    region: Option<String>,
    /// Where all services are, if not where AWS has them.
    endpoint: Option<String>,
    credentials: Renewing,
    config: OnceCell<SdkConfig>,
    caller: OnceCell<Caller>,
    clients: Clients,
}

/// Who forge is to AWS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account's number.
    pub account: String,
    /// ARN of the user or of the session of a role.
    pub arn: String,
    /// The region.
    pub region: String,
}

macro_rules! clients {
    ($($name:ident: $sdk:ident),* $(,)?) => {
        #[derive(Default)]
        struct Clients { $($name: OnceCell<$sdk::Client>),* }

        impl Cloud {
            $(pub(super) async fn $name(&self) -> &$sdk::Client {
                let make = || async {
                    let config = $sdk::config::Builder::from(self.config().await).retry_classifier(Repeatable);
                    $sdk::Client::from_conf(config.build())
                };
                self.clients.$name.get_or_init(make).await
            })*
        }
    };
}

clients! {
    autoscaling: aws_sdk_autoscaling,
    ec2: aws_sdk_ec2,
    eks: aws_sdk_eks,
    fsx: aws_sdk_fsx,
    iam: aws_sdk_iam,
    s3: aws_sdk_s3,
    quotas: aws_sdk_servicequotas,
    sts: aws_sdk_sts,
}

/// Where the price list is served; the prices are those of every region (AWS Billing User Guide, "Using the AWS Price List
/// Query API").
const PRICE_LIST: &str = "us-east-1";

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Cloud {
    /// The account of whoever runs this, in a region; the SDK's own when none is given. Nothing is asked yet.
    #[must_use]
    pub fn new(region: Option<&str>) -> Arc<Self> {
        Self::with_profile(region, None)
    }

    /// The same with the credentials and settings of a profile of `~/.aws/config`.
    #[must_use]
    pub fn with_profile(region: Option<&str>, profile: Option<&str>) -> Arc<Self> {
        let known = Known { profile: profile.map(str::to_owned), ..Known::default() };
        Arc::new(Self::with(region, None, known))
    }

    /// An emulated account: all services at one address, with credentials that nobody checks.
    #[must_use]
    pub fn at(region: &str, endpoint: &str) -> Arc<Self> {
        let credentials = Credentials::new("emulated", "emulated", None, None, "emulator");
        let known = Known { credentials: Mutex::new(Some(credentials)), ..Known::default() };
        Arc::new(Self::with(Some(region), Some(endpoint), known))
    }

    fn with(region: Option<&str>, endpoint: Option<&str>, known: Known) -> Self {
        Self {
            region: region.map(str::to_owned),
            endpoint: endpoint.map(str::to_owned),
            credentials: Renewing(Arc::new(known)),
            config: OnceCell::new(),
            caller: OnceCell::new(),
            clients: Clients::default(),
        }
    }

    async fn config(&self) -> &SdkConfig {
        self.config.get_or_init(|| self.load()).await
    }

    async fn load(&self) -> SdkConfig {
        let http: SharedHttpClient =
            aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        // Loaded once: nothing else sets it.
        let _ = self.credentials.0.http.set(http.clone());
        let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(CALL).build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .http_client(http)
            .retry_config(RetryConfig::standard().with_max_attempts(TRIES))
            .timeout_config(timeouts)
            .identity_cache(IdentityCache::no_cache())
            .credentials_provider(self.credentials.clone());
        if let Some(profile) = &self.credentials.0.profile {
            loader = loader.profile_name(profile);
        }
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        loader.load().await
    }

    /// Whether there are credentials; AWS itself is not asked.
    pub async fn has_credentials(&self) -> bool {
        self.config().await;
        self.credentials.current().await.is_ok()
    }

    /// Takes notice of a code with which AWS has refused a call. After one that says that the credentials have expired, the
    /// next call reads them anew.
    pub(super) fn notice(&self, code: &str) {
        if !is_expired(code) {
            return;
        }
        self.credentials.0.refused.store(true, Ordering::Relaxed);
    }

    /// The region; asked of nobody, it is in the configuration.
    ///
    /// # Errors
    /// When there is none.
    pub(super) async fn region(&self) -> Result<&str, KindError> {
        self.config().await.region().map(Region::as_ref).ok_or_else(|| {
            KindError::terminal("no AWS region is said").help("Write `aws: { region: us-west-2 }` in the blueprint.")
        })
    }

    /// The price list, which is not in every region. Asked rarely, so it is made anew each time.
    pub(super) async fn pricing(&self) -> aws_sdk_pricing::Client {
        let config = aws_sdk_pricing::config::Builder::from(self.config().await).region(Region::new(PRICE_LIST));
        aws_sdk_pricing::Client::from_conf(config.build())
    }

    /// Who forge is to AWS; asked once.
    ///
    /// # Errors
    /// When AWS does not say so.
    pub async fn caller(&self) -> Result<&Caller, KindError> {
        self.caller
            .get_or_try_init(|| async {
                const CALL: &str = "sts:GetCallerIdentity";
                let region = self.region().await?.to_owned();
                let answer = self.sts().await.get_caller_identity().send().await.of(self, CALL)?;
                let said = |text: Option<String>| text.ok_or_else(|| empty(CALL));
                Ok(Caller { account: said(answer.account)?, arn: said(answer.arn)?, region })
            })
            .await
    }
}

/// An answer that lacks what it must have.
pub(super) fn empty(call: &str) -> KindError {
    KindError {
        class: ErrorClass::Transient,
        message: format!("{call}: the answer lacks what it must have"),
        help: None,
        source: None,
    }
}

/// Credentials that are read anew when they have to be. Clones are the same.
#[derive(Debug, Clone, Default)]
struct Renewing(Arc<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Locked while they are read: those who come meanwhile wait for the same.
    credentials: Mutex<Option<Credentials>>,
    refused: AtomicBool,
    profile: Option<String>,
    http: OnceLock<SharedHttpClient>,
}

impl Renewing {
    async fn current(&self) -> provider::Result {
        let Known { credentials, refused, profile, http } = &*self.0;
        let mut credentials = credentials.lock().await;
        let refused = refused.swap(false, Ordering::Relaxed);
        let lasts = |known: &&Credentials| known.expiry().is_none_or(|expiry| SystemTime::now() + EARLY < expiry);
        if let Some(known) = credentials.as_ref().filter(|_| !refused).filter(lasts) {
            return Ok(known.clone());
        }
        let mut provider = ProviderConfig::default();
        if let Some(http) = http.get() {
            provider = provider.with_http_client(http.clone());
        }
        // A chain of its own each time: chains keep what they have read.
        let mut chain = DefaultCredentialsChain::builder().configure(provider.load_default_region().await);
        if let Some(profile) = profile {
            chain = chain.profile_name(profile);
        }
        let read = chain.build().await.provide_credentials().await?;
        *credentials = Some(read.clone());
        Ok(read)
    }
}

impl ProvideCredentials for Renewing {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.current())
    }
}
