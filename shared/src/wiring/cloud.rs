//! The service as functions over AWS: each takes the ports that it uses, and nothing else is opened.

use std::sync::Arc;

use aws_types::SdkConfig;

use super::{WiringError, settings};
#[cfg(any(feature = "kms", feature = "s3", feature = "sqs"))]
use crate::adapters::aws::elsewhere;
use crate::{
    adapters::{
        aws::{AwsCredentials, AwsSettings, sdk_config},
        clock::{SystemClock, SystemEntropy},
        metadata::dynamodb::DynamoItems,
    },
    app::{
        context::{Context, Settings},
        store::Store,
    },
    config::{Aws, Config, Metadata},
    ports::clock::{Clock, Entropy, Ids},
};

/// How old a catalogue may be while the store answers, in milliseconds: a revocation holds within 30 seconds, of which
/// the rest is left to the answer.
const CATALOGUE_MAX_AGE_MS: i64 = 25_000;
/// The largest upload, in bytes, that is copied while its uploader waits: 256 MiB.
const COPY_AT_ONCE_MAX_BYTES: u64 = 256 << 20;
/// How long one invocation hashes before it leaves the rest to another: two thirds of its time.
const SLICE_BUDGET_MS: i64 = 600_000;

/// How long external bytes are read by one task: well within the 900 seconds that a function may run.
const READ_BUDGET: std::time::Duration = std::time::Duration::from_secs(600);

/// What a function is made from.
#[derive(Debug)]
#[cfg_attr(
    not(any(feature = "kms", feature = "s3", feature = "sqs")),
    allow(dead_code, reason = "with records alone nothing else is opened")
)]
pub struct Cloud {
    config: Config,
    sdk: SdkConfig,
    context: Context,
    #[cfg(feature = "fetcher-https")]
    repositories: super::opened::OpenRepositories,
}

impl Cloud {
    /// Puts together what every function has: records in DynamoDB, time and identifiers.
    ///
    /// # Errors
    /// [`WiringError::NotChosen`] where the configuration names another place for records.
    pub fn open(config: Config) -> Result<Self, WiringError> {
        let (Some(aws), Metadata::DynamoDb { table, endpoint }) = (&config.aws, &config.metadata) else {
            return Err(WiringError::NotChosen("metadata.type: dynamodb"));
        };
        let base_url = config.base_url.clone().ok_or(WiringError::NotChosen("base_url"))?;
        let sdk = sdk_config(&access(aws, endpoint.as_deref()));
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let entropy: Arc<dyn Entropy> = Arc::new(SystemEntropy::default());
        let max_age = config.catalogue_max_age_seconds;
        #[cfg_attr(not(feature = "fetcher-https"), expect(unused_mut, reason = "nothing is linked"))]
        let mut settings = Settings {
            catalogue_max_age_ms: max_age
                .map_or(CATALOGUE_MAX_AGE_MS, |seconds| seconds.saturating_mul(1_000)),
            copy_at_once_max_bytes: COPY_AT_ONCE_MAX_BYTES,
            read_budget: Some(READ_BUDGET),
            slice_budget_ms: SLICE_BUDGET_MS,
            ..settings(&config, &base_url)
        };
        #[cfg(feature = "fetcher-https")]
        let repositories = {
            let mut opened = super::opened::OpenRepositories::new(&config)?;
            opened.link(&config, &mut settings.repositories)?;
            settings.cdn = super::cdn::open(&config)?;
            opened
        };
        let context = Context {
            store: Store::new(Arc::new(DynamoItems::new(&sdk, table.clone()))),
            ids: Ids::new(Arc::clone(&clock), entropy),
            clock,
            settings: Arc::new(settings),
            tasks: None,
        };
        Ok(Self {
            config,
            sdk,
            context,
            #[cfg(feature = "fetcher-https")]
            repositories,
        })
    }

    /// What every use case is given.
    pub fn context(&self) -> Context {
        self.context.clone()
    }

    /// What the clients of other services are made of: all of a process have one pool of connections.
    #[cfg(any(feature = "kms", feature = "s3", feature = "sqs"))]
    fn sdk(&self, region: Option<&str>, endpoint: Option<&str>) -> SdkConfig {
        elsewhere(&self.sdk, region, endpoint)
    }

    /// The same, with the queue that is told of work.
    ///
    /// # Errors
    /// [`WiringError::NotChosen`]
    #[cfg(feature = "sqs")]
    pub fn with_tasks(mut self) -> Result<Self, WiringError> {
        use crate::{adapters::tasks::sqs::SqsTasks, config::Queue};
        let Queue::Sqs { url, endpoint } = &self.config.queue else {
            return Err(WiringError::NotChosen("queue.type: sqs"));
        };
        let sdk = self.sdk(None, endpoint.as_deref());
        self.context.tasks = Some(Arc::new(SqsTasks::new(&sdk, url.clone())));
        Ok(self)
    }

    /// Managed bytes.
    ///
    /// # Errors
    /// [`WiringError::NotChosen`]
    #[cfg(feature = "s3")]
    pub fn objects(&self) -> Result<Arc<dyn crate::ports::objects::Objects>, WiringError> {
        Ok(Arc::new(self.s3()?))
    }

    #[cfg(feature = "s3")]
    fn s3(&self) -> Result<crate::adapters::objects::s3::S3Objects, WiringError> {
        use crate::{
            adapters::objects::s3::S3Objects,
            config::{Bucket, Storage},
        };
        let Storage::S3(bucket @ Bucket { credentials: None, .. }) = &self.config.storage else {
            return Err(WiringError::NotChosen("storage.type: s3"));
        };
        let sdk = self.sdk(bucket.region.as_deref(), bucket.endpoint.as_deref());
        let credentials = sdk.credentials_provider().ok_or(WiringError::NotChosen("AWS_ACCESS_KEY_ID"))?;
        Ok(S3Objects::open(&sdk, bucket.name.clone(), credentials, bucket.endpoint.is_some()))
    }

    /// What looks at bytes; its copies may take as long as a function of its own may run.
    ///
    /// # Errors
    /// [`WiringError`]
    #[cfg(all(feature = "s3", feature = "fetcher-https"))]
    pub fn checker(&mut self) -> Result<crate::app::external::Checker, WiringError> {
        const COPY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(780);
        let objects = self.s3()?.with_copy_timeout(COPY_TIMEOUT);
        let fetcher = self.repositories.fetcher(&self.config)?;
        Ok(crate::app::external::Checker { fetcher, objects: Arc::new(objects) })
    }

    /// Who answers questions. Nothing is asked of KMS before the first that needs a signature.
    ///
    /// # Errors
    /// [`WiringError::NotChosen`]
    #[cfg(feature = "kms")]
    pub fn decider(&self) -> Result<Arc<crate::app::decisions::Decider>, WiringError> {
        use crate::{
            adapters::signer::kms::KmsKeys,
            app::{
                decisions::Decider,
                keyset::Unlisted,
                signing::{Budget, Plan, Signing},
            },
            config,
        };
        let config::Signing::Kms { key_id, next_key_id, endpoint, take_up_new_key } = &self.config.signing
        else {
            return Err(WiringError::NotChosen("signing.type: kms"));
        };
        let sdk = self.sdk(None, endpoint.as_deref());
        let keys = [Some(key_id), next_key_id.as_ref()].into_iter().flatten();
        let keys = keys.map(|id| Arc::new(KmsKeys::new(sdk.clone(), id.clone())) as _).collect();
        let budget = self.config.signing_budget;
        let plan = Plan {
            mode: super::mode(self.config.signing_mode),
            unlisted: if *take_up_new_key { Unlisted::TakeUp } else { Unlisted::Refuse },
            budget: Some(Budget { per_second: budget.per_second, burst: budget.burst }),
        };
        let signing = Signing::new(self.context.clone(), keys, plan);
        Ok(Arc::new(Decider::new(self.context.clone(), signing)))
    }
}

fn access(aws: &Aws, endpoint: Option<&str>) -> AwsSettings {
    AwsSettings {
        region: aws.region.clone(),
        endpoint_url: endpoint.map(str::to_owned),
        credentials: AwsCredentials {
            access_key_id: aws.access_key_id.clone(),
            secret_access_key: aws.secret_access_key.clone(),
            session_token: aws.session_token.clone(),
        },
        ca_pem: aws.ca_pem.clone(),
    }
}
