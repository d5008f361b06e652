//! Credentials that are kept elsewhere: when they are read, and what becomes of a file while they cannot be.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use shared::{
    adapters::fetcher::{Credentials, Kind, SignedLinks, https::HttpsRepository},
    domain::secret::{Secret, SecretReference},
    ports::{
        fetcher::{FetchRequest, Fetcher},
        links::{LinkError, LinkRequest, Links},
        secrets::{SecretUnreadable, Secrets},
    },
};

use crate::{
    server::{Identity, Network, Server},
    world::{BODY, NOW, chain, fetcher, header, ok, read, repository, request, status},
};

/// A store with one secret, and when it was read.
#[derive(Debug, Default)]
struct Store {
    text: Mutex<Option<Secret>>,
    read_at: Mutex<Vec<i64>>,
}

impl Store {
    fn with(text: &str) -> Arc<Self> {
        Arc::new(Self { text: Mutex::new(Some(Secret::new(text.to_owned()))), ..Self::default() })
    }

    fn set(&self, text: Option<&str>) {
        *self.text.lock().unwrap() = text.map(|text| Secret::new(text.to_owned()));
    }

    fn readings(&self) -> usize {
        self.read_at.lock().unwrap().len()
    }
}

#[async_trait]
impl Secrets for Store {
    async fn read(&self, reference: &SecretReference, now: i64) -> Result<Secret, SecretUnreadable> {
        self.read_at.lock().unwrap().push(now);
        let text = self.text.lock().unwrap().clone();
        let failed = || SecretUnreadable { reference: reference.clone(), reason: "no such secret".into() };
        text.ok_or_else(failed)
    }
}

fn reference() -> SecretReference {
    SecretReference::parse("ssm:/releases/key").unwrap()
}

fn entry(store: &Arc<Store>) -> HttpsRepository {
    let credentials = Credentials::kept(Kind::Https, "", Arc::clone(store) as _, reference());
    HttpsRepository { credentials: Some(credentials), ..repository("https://pub.test/team") }
}

/// A host that takes one value of `Authorization`.
async fn host(takes: &Arc<Mutex<&'static str>>) -> Server {
    let takes = Arc::clone(takes);
    Server::start(Identity::Trusted, move |head| {
        let known = header(head, "authorization") == Some(*takes.lock().unwrap());
        if known { ok(BODY) } else { status("401 Unauthorized") }
    })
    .await
}

fn at(now: i64) -> FetchRequest {
    FetchRequest { now, ..request("https://pub.test/team/a") }
}

#[tokio::test]
async fn what_is_kept_is_read_when_it_is_needed_and_again_after_five_minutes() {
    let (store, takes) = (Store::with("one"), Arc::new(Mutex::new("one")));
    let server = host(&takes).await;
    let network = Arc::new(Network::to(&server));
    let fetcher = fetcher(&server, &network, vec![entry(&store)]);
    fetcher.fetch(&request("https://pub.test/public")).await.unwrap_err();
    assert_eq!(store.readings(), 0, "nobody needed it");
    for (later, readings) in [(0, 1), (299_000, 1), (301_000, 2), (302_000, 2), (-1_000, 3)] {
        assert!(read(&fetcher, &at(NOW + later)).await.unwrap().concealed);
        assert_eq!(store.readings(), readings, "{later}");
    }
}

#[tokio::test]
async fn what_was_changed_there_is_found_at_the_first_refusal() {
    let (store, takes) = (Store::with("old"), Arc::new(Mutex::new("old")));
    let server = host(&takes).await;
    let network = Arc::new(Network::to(&server));
    let fetcher = fetcher(&server, &network, vec![entry(&store)]);
    read(&fetcher, &at(NOW)).await.unwrap();
    store.set(Some("new"));
    *takes.lock().unwrap() = "new";
    read(&fetcher, &at(NOW + 60_000)).await.unwrap();
    assert_eq!((store.readings(), server.requests().len()), (2, 3));
    // One that stays wrong is not read, nor sent, again and again.
    *takes.lock().unwrap() = "another";
    for _ in 0..3 {
        let error = fetcher.fetch(&at(NOW + 90_000)).await.unwrap_err();
        assert_eq!((error.code(), error.definite()), ("UPSTREAM_STATUS", false));
    }
    assert_eq!((store.readings(), server.requests().len()), (3, 6));
}

#[tokio::test]
async fn while_it_cannot_be_read_nothing_is_asked_and_the_reason_names_no_secret() {
    let (store, takes) = (Store::with("one"), Arc::new(Mutex::new("one")));
    let server = host(&takes).await;
    let network = Arc::new(Network::to(&server));
    let fetcher = fetcher(&server, &network, vec![entry(&store)]);
    read(&fetcher, &at(NOW)).await.unwrap();
    store.set(None);
    let later = NOW + 301_000;
    for error in [
        fetcher.fetch(&at(later)).await.unwrap_err(),
        fetcher.probe(&at(later).url, later).await.unwrap_err(),
    ] {
        assert_eq!((error.code(), error.definite()), ("CREDENTIALS_UNREADABLE", false));
        assert!(error.retry_after().is_some(), "it says nothing about the artifact");
        assert!(!error.to_string().contains("ssm"), "{error}");
        assert!(chain(&error).contains("`ssm:/releases/key` cannot be read"), "the log has the reference");
    }
    assert_eq!(server.requests().len(), 1);
    store.set(Some("one"));
    read(&fetcher, &at(later)).await.unwrap();
}

#[tokio::test]
async fn what_is_kept_in_another_form_than_its_repository_needs_is_not_repeated() {
    let store = Store::with("s3cret-in-a-wrong-form");
    let credentials = Credentials::kept(Kind::S3, "eu-west-1", Arc::clone(&store) as _, reference());
    let said = credentials.check(NOW).await.unwrap_err();
    assert!(said.to_string().contains("ACCESS_KEY_ID:SECRET_ACCESS_KEY"), "{said}");
    assert!(!format!("{said:?} {said} {credentials:?}").contains("s3cret"), "{said:?}");
    let missing = Arc::new(Store::default());
    let credentials = Credentials::kept(Kind::S3, "eu-west-1", missing, reference());
    let said = credentials.check(NOW).await.unwrap_err().to_string();
    assert_eq!(said, "`ssm:/releases/key` cannot be read: no such secret");
}

#[tokio::test]
async fn links_are_signed_with_what_is_kept_and_are_worth_another_try_while_it_cannot_be_read() {
    let store = Store::with("AKIDEXAMPLE:s3cret");
    let kept = |kind| Credentials::kept(kind, "eu-west-1", Arc::clone(&store) as _, reference());
    assert!(SignedLinks::new(&kept(Kind::Jfrog)).is_none());
    let links = SignedLinks::new(&kept(Kind::S3)).unwrap();
    let url = request("https://releases.s3.amazonaws.com/a").url;
    let wanted = |now| LinkRequest { url: &url, validators: None, file_name: None, now };
    let link = links.link(&wanted(NOW)).await.unwrap();
    assert!(link.contains("X-Amz-Credential=AKIDEXAMPLE%2F") && link.contains("eu-west-1"), "{link}");
    store.set(Some("AKIDROTATED:s3cret"));
    assert!(links.link(&wanted(NOW + 1)).await.unwrap().contains("AKIDEXAMPLE"));
    assert!(links.link(&wanted(NOW + 301_000)).await.unwrap().contains("AKIDROTATED"));
    store.set(None);
    let error = links.link(&wanted(NOW + 900_000)).await.unwrap_err();
    assert!(matches!(error, LinkError::Unavailable { .. }), "{error:?}");
}

#[tokio::test]
async fn of_many_who_need_it_at_once_one_reads_it() {
    let (store, takes) = (Store::with("one"), Arc::new(Mutex::new("one")));
    let server = host(&takes).await;
    let network = Arc::new(Network::to(&server));
    let fetcher = fetcher(&server, &network, vec![entry(&store)]);
    let wanted = at(NOW);
    let all = futures_util::future::join_all((0..20).map(|_| read(&fetcher, &wanted))).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(store.readings(), 1);
}
