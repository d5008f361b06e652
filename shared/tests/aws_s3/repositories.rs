//! Buckets as repositories of external artifacts: our own signatures and readings, against a server that speaks S3.

use aws_sdk_s3::types::ChecksumAlgorithm;
use shared::{
    adapters::fetcher::{
        Credentials, Kind, SignedLinks,
        https::{FetchLimits, HttpsFetcher, HttpsRepository},
    },
    contract::objects::{CONTENT, digest},
    domain::{
        artifact::Verification,
        external_url::{ExternalUrl, RepositoryPrefix, UrlRules},
        secret::Secret,
    },
    ports::{
        fetcher::{FetchError, FetchRequest, Fetcher as _, Reading},
        links::{LinkRequest, Links as _},
    },
};

use crate::{
    wire::{bytes_at, get},
    world::{World, now},
};

/// A key whose spelling in a path and in what is signed are two things.
const KEY: &str = "releases/editor (1)+é~'!.msi";

struct Repository {
    world: World,
    credentials: Credentials,
    fetcher: HttpsFetcher,
}

impl Repository {
    /// A bucket with [`CONTENT`] at [`KEY`], put with a checksum or without.
    async fn with(checksum: bool) -> Self {
        let world = World::with_versions(false).await;
        let repository = Self::over(world, None);
        repository.put(CONTENT, checksum).await;
        repository
    }

    fn over(world: World, secret: Option<&str>) -> Self {
        let (id, own) = world.keys.split_once(':').unwrap();
        let text = format!("{id}:{}", secret.unwrap_or(own));
        let credentials = Credentials::of(Kind::S3, &Secret::new(text), "us-east-1").unwrap();
        let entry = HttpsRepository {
            name: "bucket".into(),
            kind: Kind::S3,
            url_prefix: RepositoryPrefix::parse(&format!("{}/{}", world.endpoint, world.bucket)).unwrap(),
            credentials: Some(credentials.clone()),
            allow_private: true,
            ca_file: None,
            products: Vec::new(),
        };
        let fetcher = HttpsFetcher::new(vec![entry], UrlRules::widest(), FetchLimits::default()).unwrap();
        Self { world, credentials, fetcher }
    }

    async fn put(&self, content: &[u8], checksum: bool) {
        let put = self.world.client.put_object().bucket(&self.world.bucket).key(KEY);
        let algorithm = if checksum { ChecksumAlgorithm::Sha256 } else { ChecksumAlgorithm::Crc32 };
        put.checksum_algorithm(algorithm).body(content.to_vec().into()).send().await.unwrap();
    }

    fn url(&self, key: &str) -> ExternalUrl {
        let text = format!("{}/{}/{}", self.world.endpoint, self.world.bucket, key.replace(' ', "%20"));
        ExternalUrl::parse(&text.replace('é', "%C3%A9"), &UrlRules::widest()).unwrap()
    }

    async fn fetch(&self) -> Result<Reading, FetchError> {
        let request = FetchRequest {
            url: self.url(KEY),
            declared_sha256: digest(CONTENT),
            declared_size: CONTENT.len() as u64,
            now: now(),
            resume: None,
            budget: None,
            keep: None,
        };
        self.fetcher.fetch(&request).await
    }

    async fn means(&self) -> (Verification, u64) {
        match self.fetch().await.unwrap() {
            Reading::Whole(fetched) => (fetched.verification, fetched.bytes_read),
            Reading::Part(part) => panic!("{part:?}"),
        }
    }
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn an_object_is_proved_by_the_checksum_of_its_bucket() {
    assert_eq!(Repository::with(true).await.means().await, (Verification::Repository, 0));
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn an_object_without_a_checksum_is_read() {
    let read = (Verification::Fetched, CONTENT.len() as u64);
    assert_eq!(Repository::with(false).await.means().await, read);
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn an_object_that_was_replaced_is_seen() {
    let other = [CONTENT, b"!"].concat();
    for checksum in [true, false] {
        let repository = Repository::with(checksum).await;
        let before = repository.fetcher.probe(&repository.url(KEY), now()).await.unwrap();
        let again = repository.fetcher.probe(&repository.url(KEY), now()).await.unwrap();
        assert!(!before.differ(&again));
        repository.put(&other, checksum).await;
        let after = repository.fetcher.probe(&repository.url(KEY), now()).await.unwrap();
        assert!(before.differ(&after), "{before:?} {after:?}");
        assert_eq!(after.sha256, checksum.then(|| digest(&other)));
        assert!(matches!(repository.fetch().await.unwrap_err(), FetchError::Differs));
    }
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn an_object_that_is_gone_is_not_found() {
    let repository = Repository::with(true).await;
    let error = repository.fetcher.probe(&repository.url("nothing"), now()).await.unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 404, .. }), "{error:?}");
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn a_signed_link_opens_the_object_and_no_other() {
    let repository = Repository::with(true).await;
    let links = SignedLinks::new(&repository.credentials).unwrap();
    let link = async |at: i64| {
        let url = repository.url(KEY);
        let request = LinkRequest { url: &url, validators: None, file_name: Some("editor.msi"), now: at };
        links.link(&request).await.unwrap()
    };
    let answer = get(&link(now()).await, None).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["content-disposition"], "attachment; filename=\"editor.msi\"");
    assert_eq!(bytes_at(&link(now()).await).await, CONTENT);
    assert_eq!(get(&link(now() - 3_600_000).await, None).await.status(), 403, "it has ended");
    assert_eq!(
        get(&link(now()).await.replace("editor%20", "other%20"), None).await.status(),
        403,
        "another object"
    );
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn another_secret_opens_nothing() {
    let Repository { world, .. } = Repository::with(true).await;
    let error = Repository::over(world, Some("not-the-secret")).fetch().await.unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 403, .. }), "{error:?}");
}
