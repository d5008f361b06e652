//! A deployment in memory, or on one disk, with a clock moved by hand.

use std::{future::Future, sync::Arc, time::Duration};

use shared::{
    adapters::{
        metadata::{memory::MemoryItems, sqlite::SqliteItems},
        objects::{filesystem::FilesystemObjects, memory::MemoryObjects, signed_url::UrlKey},
    },
    app::{
        artifacts, audit,
        complete::{self, Completed},
        context::{Caller, Context, Gc, Settings},
        decisions::Decider,
        error::AppError,
        external::Checker,
        gc, keyset, products, register, releases, revoke,
        signing::{Mode, Plan, Signing},
        sweep::{Leases, sweep},
        uploads,
    },
    contract::objects::{Put, Store, body},
    domain::{
        artifact::{Artifact, Location},
        decide::Question,
        ids::{ArtifactId, ReleaseId, UploadId},
        names::ProductId,
        release::Release,
        upload::{ObjectKey, Upload},
    },
    ports::{
        clock::Clock,
        items::{Items, Write},
        objects::{ObjectError, Objects, Receiver},
        signer::Opened,
    },
    testing::{
        build::{self, msi},
        fetcher::ScriptedFetcher,
        items::FailingItems,
        objects::FailingObjects,
        signer::TestSigner,
        time::TestClock,
    },
};

/// When every test begins, Unix milliseconds.
pub(crate) const START: i64 = 1_700_000_000_000;
pub(crate) const SECOND: i64 = 1_000;
pub(crate) const HOUR: i64 = 3_600 * SECOND;
/// How long a lease lasts.
pub(crate) const LEASE: i64 = 120 * SECOND;
/// The product of every test.
pub(crate) const PRODUCT: &str = "editor";
/// The bytes that most tests store.
pub(crate) const CONTENT: &[u8] = b"the bytes of an installer";

/// One process of a deployment.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) items: Arc<FailingItems>,
    pub(crate) context: Context,
}

/// A deployment; `process` is the first of its processes.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Arc<TestClock>,
    pub(crate) process: Process,
    pub(crate) objects: Arc<FailingObjects>,
    pub(crate) fetcher: Arc<ScriptedFetcher>,
    pub(crate) caller: Caller,
    /// The object store itself, without trouble.
    pub(crate) store: Store,
    items: Arc<dyn Items>,
    signer: Arc<TestSigner>,
    settings: Settings,
    processes: u8,
    _folder: Option<tempfile::TempDir>,
}

fn url_key() -> UrlKey {
    UrlKey::from_bytes(&[7; 32])
}

impl World {
    /// Everything in memory.
    pub(crate) fn memory() -> Self {
        Self::with(build::settings())
    }

    /// Everything in memory, with these settings.
    pub(crate) fn with(settings: Settings) -> Self {
        let objects = Arc::new(MemoryObjects::new(&settings.base_url, url_key()));
        Self::over(Arc::new(MemoryItems::default()), Arc::clone(&objects) as _, objects, settings, None)
    }

    /// Everything on disk, as on one machine.
    pub(crate) fn embedded() -> Self {
        Self::embedded_with(build::settings())
    }

    /// Everything on disk, with these settings.
    pub(crate) fn embedded_with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let items = SqliteItems::open(&folder.path().join("items.db")).unwrap();
        let objects =
            FilesystemObjects::open(folder.path().join("objects"), &settings.base_url, url_key()).unwrap();
        let objects = Arc::new(objects);
        Self::over(Arc::new(items), Arc::clone(&objects) as _, objects, settings, Some(folder))
    }

    fn over(
        items: Arc<dyn Items>,
        objects: Arc<dyn Objects>,
        receiver: Arc<dyn Receiver>,
        settings: Settings,
        folder: Option<tempfile::TempDir>,
    ) -> Self {
        let clock = Arc::new(TestClock::at(START));
        Self {
            process: process(&items, &clock, &settings, 1),
            objects: Arc::new(FailingObjects::new(Arc::clone(&objects))),
            fetcher: Arc::default(),
            caller: build::caller(),
            store: Store { objects, receiver },
            signer: Arc::new(TestSigner::fresh()),
            processes: 1,
            clock,
            items,
            settings,
            _folder: folder,
        }
    }

    /// One more process over the same stores.
    pub(crate) fn another(&mut self) -> Process {
        self.processes += 1;
        process(&self.items, &self.clock, &self.settings, self.processes)
    }

    pub(crate) fn context(&self) -> &Context {
        &self.process.context
    }

    pub(crate) fn items(&self) -> &FailingItems {
        &self.process.items
    }

    pub(crate) fn objects(&self) -> Arc<dyn Objects> {
        Arc::clone(&self.objects) as _
    }

    pub(crate) fn checker(&self) -> Checker {
        Checker { fetcher: Arc::clone(&self.fetcher) as _, objects: self.objects() }
    }

    /// A deployment whose store is marked as its own, as each is from its first minute on.
    pub(crate) async fn bound(self) -> Self {
        let never = Gc { interval_ms: 0, ..Gc::default() };
        let settings = Settings { gc: never, ..self.settings.clone() };
        let context = Context { settings: Arc::new(settings), ..self.context().clone() };
        gc::tick(&context, &self.objects()).await.unwrap();
        self
    }

    /// Lets go of the records: another set of them, which is empty, over the same store.
    pub(crate) fn without_records(&self) -> Self {
        let Store { objects, receiver } = &self.store;
        let (objects, receiver) = (Arc::clone(objects), Arc::clone(receiver));
        let other = Self::over(Arc::<MemoryItems>::default(), objects, receiver, self.settings.clone(), None);
        other.clock.set(self.now());
        other
    }

    pub(crate) async fn initiate(&self, content: &[u8]) -> Upload {
        let initiation = build::initiation(content);
        uploads::initiate(self.context(), &self.objects(), &self.caller, &initiation, None).await.unwrap().0
    }

    /// Sends bytes through the bare door of an upload.
    pub(crate) async fn put(&self, upload: &Upload, content: &[u8]) {
        let doors = uploads::doors(self.context(), &self.objects(), upload).await.unwrap().unwrap();
        let put = Put { now: self.clock.now_ms(), ..Put::bare(&doors, content.len()) };
        self.store.send(&put, body(content)).await.unwrap();
    }

    /// An upload whose bytes are in staging.
    pub(crate) async fn staged(&self, content: &[u8]) -> UploadId {
        let upload = self.initiate(content).await;
        self.put(&upload, content).await;
        upload.upload_id
    }

    pub(crate) async fn complete(&self, id: UploadId) -> Result<Artifact, AppError> {
        complete(&self.process, &self.objects(), &self.caller, id).await
    }

    /// Completes in a task of its own.
    pub(crate) fn completing(&self, id: UploadId) -> tokio::task::JoinHandle<Result<Artifact, AppError>> {
        let (process, objects, caller) = (self.process.clone(), self.objects(), self.caller.clone());
        tokio::spawn(async move { complete(&process, &objects, &caller, id).await })
    }

    pub(crate) async fn sweep(&self, leases: Leases) {
        sweep(self.context(), &self.objects(), leases).await.unwrap();
    }

    pub(crate) async fn upload(&self, id: UploadId) -> Upload {
        uploads::find(self.context(), &self.caller, id).await.unwrap().value
    }

    /// A managed artifact with this content.
    pub(crate) async fn managed(&self, content: &[u8]) -> ArtifactId {
        let id = self.staged(content).await;
        self.complete(id).await.unwrap().artifact_id
    }

    /// An external artifact with this content that is still to be checked.
    pub(crate) async fn registered(&self, content: &[u8]) -> ArtifactId {
        let url = format!("https://downloads.example.com/{}.msi", build::sha256(content));
        let registration = build::registration(content, &url);
        register::register(self.context(), &self.caller, &registration, None).await.unwrap().0.artifact_id
    }

    pub(crate) async fn artifact(&self, id: ArtifactId) -> Artifact {
        shared::app::access::artifact(self.context(), &self.caller, id).await.unwrap().value
    }

    pub(crate) async fn artifacts(&self) -> Vec<Artifact> {
        let filter = artifacts::Filter { limit: 1_000, ..artifacts::Filter::default() };
        artifacts::list(self.context(), &self.caller, &filter).await.unwrap().0
    }

    pub(crate) async fn intervene(&self, id: ArtifactId, what: artifacts::Intervention) {
        artifacts::intervene(self.context(), &self.caller, id, what, "a test").await.unwrap();
    }

    pub(crate) async fn try_intervene(
        &self,
        id: ArtifactId,
        what: artifacts::Intervention,
    ) -> Result<Artifact, AppError> {
        artifacts::intervene(self.context(), &self.caller, id, what, "a test").await
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now_ms()
    }

    /// Writes an item past all use cases.
    pub(crate) async fn raw(&self, write: Write) {
        self.items.commit(vec![write]).await.unwrap();
    }

    pub(crate) async fn product(&self) {
        let id: ProductId = PRODUCT.parse().unwrap();
        products::create(self.context(), &self.caller, (&id, None), &[], None).await.unwrap();
    }

    pub(crate) async fn try_publish(&self, version: &str, parts: &[ArtifactId]) -> Result<Release, AppError> {
        let new = new_release(version, parts);
        releases::create(self.context(), &self.caller, &new, None).await
    }

    pub(crate) async fn publish(&self, version: &str, parts: &[ArtifactId]) -> ReleaseId {
        self.try_publish(version, parts).await.unwrap().release_id
    }

    /// Publishes in a task of its own.
    pub(crate) fn publishing(
        &self,
        version: &str,
        parts: &[ArtifactId],
    ) -> tokio::task::JoinHandle<Result<Release, AppError>> {
        let (context, caller, new) =
            (self.context().clone(), self.caller.clone(), new_release(version, parts));
        tokio::spawn(async move { releases::create(&context, &caller, &new, None).await })
    }

    pub(crate) async fn release(&self, id: ReleaseId) -> Release {
        releases::find(self.context(), &self.caller, id).await.unwrap().value
    }

    pub(crate) async fn revoke(&self, process: &Process, id: ReleaseId) {
        let order = revoke::Order { reason: "a test".into(), allow_downgrade: false, all_channels: false };
        revoke::revoke(&process.context, &self.caller, id, &order).await.unwrap();
    }

    pub(crate) async fn decider(&self, process: &Process) -> Arc<Decider> {
        let plan = Plan { mode: Mode::Direct, unlisted: keyset::Unlisted::TakeUp, budget: None };
        let keys = Opened(Arc::clone(&self.signer) as _);
        let signing = Signing::new(process.context.clone(), vec![Arc::new(keys)], plan);
        signing.open().await.unwrap();
        Arc::new(Decider::new(process.context.clone(), signing))
    }

    /// Every audit entry of a kind, as subject and whether somebody asked for it.
    pub(crate) async fn told(&self, kind: &str) -> Vec<(String, bool)> {
        let filter = audit::Filter { kind: Some(kind.into()), limit: 1_000, ..audit::Filter::default() };
        let events = audit::list(self.context(), &filter).await.unwrap().0;
        events.into_iter().map(|event| (event.subject, event.actor.is_some())).collect()
    }

    /// The keys of an upload under which something is stored.
    pub(crate) async fn left_of(&self, id: UploadId) -> Vec<ObjectKey> {
        let mut left = Vec::new();
        for key in
            [ObjectKey::Staging(id), ObjectKey::Locked(id), ObjectKey::Copied(id), ObjectKey::Whole(id)]
        {
            match self.store.objects.stat(&key).await {
                Ok(_) => left.push(key),
                Err(ObjectError::NotFound(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
        left
    }

    /// What a download of a managed artifact gives.
    pub(crate) async fn served(&self, id: ArtifactId) -> Vec<u8> {
        let Location::Managed { key, .. } = self.artifact(id).await.location else {
            panic!("{id} is external")
        };
        self.store.read(key, None).await.unwrap()
    }
}

fn process(items: &Arc<dyn Items>, clock: &Arc<TestClock>, settings: &Settings, number: u8) -> Process {
    let items = Arc::new(FailingItems::new(Arc::clone(items)));
    let context = build::context(Arc::clone(&items) as _, clock, settings.clone(), number);
    Process { items, context }
}

pub(crate) fn new_release(version: &str, parts: &[ArtifactId]) -> releases::NewRelease {
    let mut artifacts: Vec<_> = parts.iter().map(|id| msi(*id)).collect();
    for (part, arch) in artifacts.iter_mut().zip(["x86_64", "arm64", "x86"]) {
        part.arch = arch.parse().unwrap();
    }
    build::release(PRODUCT, version, artifacts)
}

async fn complete(
    process: &Process,
    objects: &Arc<dyn Objects>,
    caller: &Caller,
    id: UploadId,
) -> Result<Artifact, AppError> {
    match complete::complete(&process.context, objects, caller, id, None).await? {
        Completed::Artifact(artifact) => Ok(*artifact),
        Completed::Later(upload) => panic!("{} is put off", upload.upload_id),
    }
}

/// Waits for what must come soon.
pub(crate) async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), work).await.expect("what must come soon did not come")
}

/// The payload of the decision about a question.
pub(crate) async fn ask(decider: &Decider, question: &Question) -> Result<serde_json::Value, AppError> {
    let signed = decider.answer(question, None, false).await?;
    Ok(serde_json::from_str(&signed.payload_json).unwrap())
}

/// The version that a client on this version is offered, or the reason for none.
pub(crate) async fn offered(decider: &Decider, version: &str) -> Result<String, AppError> {
    let payload = ask(decider, &build::question(PRODUCT, version)).await?;
    let offer = payload["release"]["version"].as_str().or(payload["reason"].as_str());
    Ok(offer.unwrap().to_owned())
}
