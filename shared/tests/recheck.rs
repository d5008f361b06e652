//! Checking stored bytes again: on a store that streams, the bytes themselves; on one that redirects, its checksum.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests panic as tests do")]

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use shared::{
    adapters::{
        metadata::memory::MemoryItems,
        objects::{filesystem::FilesystemObjects, signed_url::UrlKey},
    },
    app::{
        access, artifacts, complete,
        context::Context,
        external::{self, Check, CheckResult, Checker, Which},
        register, uploads,
    },
    contract::objects::{Put, Store, body},
    domain::{
        artifact::{Artifact, ArtifactState, Location, Validators, Verification},
        external_url::ExternalUrl,
        ids::{ArtifactId, UploadId},
        upload::ObjectKey,
    },
    ports::{
        fetcher::{FetchError, FetchRequest, Fetcher, Reading},
        objects::{
            Area, Download, DownloadRequest, Listing, ObjectError, ObjectStat, Objects, UploadDoors,
            UploadGrant,
        },
    },
    testing::{
        build,
        fetcher::{Line, ScriptedFetcher},
        gate::Gate,
        time::TestClock,
    },
};

const CONTENT: &[u8] = b"the bytes of an installer";

/// One artifact in a folder.
struct World {
    context: Context,
    objects: Arc<dyn Objects>,
    id: ArtifactId,
    folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(TestClock::at(1_700_000_000_000));
        let context = build::context(Arc::new(MemoryItems::default()), &clock, build::settings(), 1);
        let url = &context.settings.base_url;
        let store = FilesystemObjects::open(folder.path().into(), url, UrlKey::from_bytes(&[7; 32])).unwrap();
        let store = Arc::new(store);
        let objects: Arc<dyn Objects> = Arc::clone(&store) as _;
        let caller = build::caller();
        let initiation = build::initiation(CONTENT);
        let (upload, _) = uploads::initiate(&context, &objects, &caller, &initiation, None).await.unwrap();
        let doors = uploads::doors(&context, &objects, &upload).await.unwrap().unwrap();
        let put = Put { now: context.clock.now_ms(), ..Put::bare(&doors, CONTENT.len()) };
        let sent = Store { objects: Arc::clone(&objects), receiver: store };
        sent.send(&put, body(CONTENT)).await.unwrap();
        complete::complete(&context, &objects, &caller, upload.upload_id, None).await.unwrap();
        let (all, _) = artifacts::list(
            &context,
            &caller,
            &artifacts::Filter { limit: 10, ..artifacts::Filter::default() },
        )
        .await
        .unwrap();
        assert_eq!(all.len(), 1);
        Self { context, objects, id: all[0].artifact_id, folder }
    }

    async fn artifact(&self) -> Artifact {
        access::artifact(&self.context, &build::caller(), self.id).await.unwrap().value
    }

    /// The file with the bytes.
    async fn data(&self) -> PathBuf {
        let Location::Managed { key, .. } = self.artifact().await.location else { unreachable!() };
        self.folder.path().join(key.to_string()).join("data")
    }

    /// Asks for a check, has it made, and tells what it found.
    async fn checked(&self, objects: Arc<dyn Objects>) -> Check {
        artifacts::verify_again(&self.context, &build::caller(), self.id).await.unwrap();
        let checker = Checker { fetcher: Arc::new(ScriptedFetcher::default()), objects };
        external::run(&self.context, &checker, Which::Due).await.unwrap();
        let mut checks = artifacts::checks(&self.context, &build::caller(), self.id).await.unwrap();
        checks.pop().unwrap()
    }
}

#[tokio::test]
async fn a_streaming_store_is_checked_by_reading_the_bytes() {
    let world = World::new().await;
    assert_eq!(world.artifact().await.verification, Some(Verification::StoreChecksum));
    let check = world.checked(Arc::clone(&world.objects)).await;
    assert_eq!((check.result, check.means), (CheckResult::Match, Verification::Fetched));
    let artifact = world.artifact().await;
    assert_eq!(artifact.state, ArtifactState::Available);
    assert_eq!(artifact.verification, Some(Verification::Fetched));
}

#[tokio::test]
async fn bytes_that_changed_on_disk_under_an_unchanged_size_quarantine_the_artifact() {
    let world = World::new().await;
    let other: Vec<u8> = CONTENT.iter().map(|byte| byte ^ 1).collect();
    std::fs::write(world.data().await, other).unwrap();
    let check = world.checked(Arc::clone(&world.objects)).await;
    assert_eq!((check.result, check.means), (CheckResult::Mismatch, Verification::Fetched));
    assert_eq!(check.code.as_deref(), Some("CHECKSUM_MISMATCH"));
    let artifact = world.artifact().await;
    assert_eq!(artifact.state, ArtifactState::Quarantined);
    assert!(artifact.reason.is_some_and(|reason| reason.starts_with("DRIFT: ")));
    // The right bytes are back.
    std::fs::write(world.data().await, CONTENT).unwrap();
    world.checked(Arc::clone(&world.objects)).await;
    assert_eq!(world.artifact().await.state, ArtifactState::Available);
}

#[tokio::test]
async fn bytes_that_are_gone_quarantine_the_artifact() {
    let world = World::new().await;
    std::fs::remove_file(world.data().await).unwrap();
    let check = world.checked(Arc::clone(&world.objects)).await;
    assert_eq!((check.result, check.code.as_deref()), (CheckResult::Mismatch, Some("UPLOAD_FAILED")));
    assert_eq!(world.artifact().await.state, ArtifactState::Quarantined);
}

/// The same store, as one that sends callers elsewhere for the bytes.
#[derive(Debug)]
struct Redirecting {
    inner: Arc<dyn Objects>,
    has_checksums: bool,
}

#[async_trait]
impl Objects for Redirecting {
    async fn stat(&self, key: &ObjectKey) -> Result<ObjectStat, ObjectError> {
        let stat = self.inner.stat(key).await?;
        let sha256 = stat.sha256.filter(|_| self.has_checksums);
        Ok(ObjectStat { sha256, ..stat })
    }

    async fn presign_upload(&self, grant: &UploadGrant) -> Result<UploadDoors, ObjectError> {
        self.inner.presign_upload(grant).await
    }

    async fn promote(&self, upload_id: UploadId) -> Result<ObjectStat, ObjectError> {
        self.inner.promote(upload_id).await
    }

    async fn download(&self, _: &DownloadRequest) -> Result<Download, ObjectError> {
        Ok(Download::Redirect("https://bucket.example.com/signed".into()))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        self.inner.delete(key).await
    }

    async fn list(&self, area: Area, after: Option<&str>, limit: usize) -> Result<Listing, ObjectError> {
        self.inner.list(area, after, limit).await
    }
}

#[tokio::test]
async fn a_redirecting_store_is_taken_on_its_own_checksum() {
    let world = World::new().await;
    for (has_checksums, result) in [(true, CheckResult::Match), (false, CheckResult::Error)] {
        let store = Redirecting { inner: Arc::clone(&world.objects), has_checksums };
        let check = world.checked(Arc::new(store)).await;
        assert_eq!((check.result, check.means), (result, Verification::StoreChecksum));
        assert_eq!(world.artifact().await.state, ArtifactState::Available);
    }
}

/// Finds other bytes, once it is let through the gate.
#[derive(Debug)]
struct Late(Gate);

#[async_trait]
impl Fetcher for Late {
    async fn fetch(&self, _: &FetchRequest) -> Result<Reading, FetchError> {
        self.0.pass().await;
        Err(FetchError::Differs)
    }

    async fn probe(&self, _: &ExternalUrl, _: i64) -> Result<Validators, FetchError> {
        Err(FetchError::Differs)
    }
}

#[tokio::test]
async fn a_check_asked_for_during_another_is_made_and_alone_may_reject() {
    let world = World::new().await;
    let registration = build::registration(b"external bytes", "https://downloads.example.com/a.msi");
    let made = register::register(&world.context, &build::caller(), &registration, None).await.unwrap();
    let id = made.0.artifact_id;
    let gate = Gate::default();
    let late = Checker { fetcher: Arc::new(Late(gate.clone())), objects: Arc::clone(&world.objects) };
    let context = world.context.clone();
    let checking = tokio::spawn(async move { external::check(&context, &late, id, Which::Due).await });
    gate.reached().await;
    artifacts::verify_again(&world.context, &build::caller(), id).await.unwrap();
    gate.open();
    let next = checking.await.unwrap().unwrap();
    assert_eq!(next, Some(world.context.clock.now_ms()), "the other one is due");
    let state = async || access::artifact(&world.context, &build::caller(), id).await.unwrap().value.state;
    assert_eq!(state().await, ArtifactState::Verifying);
    let fetcher = ScriptedFetcher::default();
    fetcher.then(Line::Matches);
    let checker = Checker { fetcher: Arc::new(fetcher), objects: Arc::clone(&world.objects) };
    assert_eq!(waiting(&world).await, (vec![id], None));
    assert_eq!(external::check(&world.context, &checker, id, Which::Due).await.unwrap(), None);
    assert_eq!(state().await, ArtifactState::Available);
    assert_eq!(waiting(&world).await, (vec![], None));
    assert_eq!(external::check(&world.context, &checker, id, Which::All).await.unwrap(), None);
}

async fn waiting(world: &World) -> (Vec<ArtifactId>, Option<i64>) {
    let (due, next) = external::waiting(&world.context, Which::Due).await.unwrap();
    (due.into_iter().map(|waiting| waiting.id).collect(), next)
}
