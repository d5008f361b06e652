//! The deployment that `events/` speak of: what they name is there, under the very ids that they name.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use decision::jwk::{Jwk, PublicKey};
use shared::{
    adapters::{
        metadata::memory::MemoryItems,
        objects::{memory::MemoryObjects, signed_url::UrlKey},
    },
    app::{
        access,
        artifacts::{self, Intervention},
        complete::{self, Completed},
        context::{Caller, Context, Settings},
        decisions::Decider,
        external::Checker,
        keys,
        keyset::{self, Change, NewKey, Unlisted},
        products, register, releases,
        signing::{Mode, Plan, Signing},
        tokens::{self, NewToken},
        uploads::{self, Initiation},
    },
    contract::objects::{Put, Store, body},
    domain::{
        artifact::{Artifact, Location},
        ids::{ArtifactId, TokenId},
        release::ReleaseArtifact,
        token::{Scope, Token, TokenText},
        upload::{ObjectKey, Upload},
    },
    ports::{
        clock::{Clock, Entropy, Ids},
        signer::{Opened, Signer as _},
    },
    testing::{build, fetcher::ScriptedFetcher, items::FailingItems, signer::TestSigner, time::TestClock},
};

use crate::recorder::{Calls, RecordedItems, RecordedObjects, RecordedTasks};

/// When the events happen: a minute after the deployment was begun.
pub(crate) const NOW: i64 = 1_732_278_777_286;

/// The random part of every id that the events name; their times tell them apart.
const RANDOM: [u8; 10] = [0xa1, 0x34, 0x8c, 0x01, 0x85, 0x59, 0xea, 0x39, 0x85, 0xff];

const ADMIN: &str = "tok_01jd9xq2v6m4t8r0c5b7n3k1fz";
const PIPELINE: &str = "tok_01jd9xq3tem4t8r0c5b7n3k1fz";
/// The product's first day.
const PRODUCT: &str = "tok_01jd9xq4spm4t8r0c5b7n3k1fz";
pub(crate) const RELEASED: [&str; 2] = ["upl_01jd9xq5rym4t8r0c5b7n3k1fz", "art_01jd9xq6r6m4t8r0c5b7n3k1fz"];
const UNUSED: [&str; 2] = ["upl_01jd9xq9nym4t8r0c5b7n3k1fz", "art_01jd9xqan6m4t8r0c5b7n3k1fz"];
const WITHDRAWN: [&str; 2] = ["upl_01jd9xqbmem4t8r0c5b7n3k1fz", "art_01jd9xqckpm4t8r0c5b7n3k1fz"];
const STABLE: &str = "rel_01jd9xq7qem4t8r0c5b7n3k1fz";
const BETA: &str = "rel_01jd9xq8ppm4t8r0c5b7n3k1fz";
const OPEN: &str = "upl_01jd9xqfhem4t8r0c5b7n3k1fz";
pub(crate) const LOCKED: &str = "upl_01jd9xqggpm4t8r0c5b7n3k1fz";
/// An artifact whose bytes are still to be checked.
pub(crate) const EXTERNAL: &str = "art_01jd9xqej6m4t8r0c5b7n3k1fz";
/// An upload whose bytes come in parts.
const IN_PARTS: &str = "upl_01jd9xqkeem4t8r0c5b7n3k1fz";
/// An upload whose bytes are in staging, and that nobody has completed.
pub(crate) const STAGED: &str = "upl_01jd9xqhfym4t8r0c5b7n3k1fz";
/// An upload that was completed and left to a task.
pub(crate) const LARGE: &str = "upl_01jd9xqjf6m4t8r0c5b7n3k1fz";
/// An upload whose time is over.
pub(crate) const EXPIRED: &str = "upl_01jd4rxmv6m4t8r0c5b7n3k1fz";

/// The next key, which the keyset lists and nobody has promoted.
const NEXT_KEY: &str = "O4VnOOqzHMcse2wlbCbzPM02Mu-T10XU31IwrjRbeFo";

/// More bytes than are copied while somebody waits.
const COPIED_AT_ONCE: u64 = 60;
const LARGE_BYTES: &[u8] = b"bytes that are more than are copied while somebody waits for it";
const STAGED_BYTES: &[u8] = b"bytes that wait in staging, sent through the bare door";
const LOCKED_BYTES: &[u8] = b"bytes that came through the locked door";

/// Randomness that is told what to be, and counts once nobody tells it any more.
#[derive(Debug, Default)]
struct Dictated(AtomicU64);

impl Entropy for Dictated {
    fn fill(&self, buffer: &mut [u8]) -> bool {
        let count = self.0.load(Ordering::SeqCst);
        let counting = count.to_be_bytes();
        let bytes = if count == 0 { RANDOM.as_slice() } else { counting.as_slice() };
        buffer.iter_mut().zip(bytes.iter().cycle()).for_each(|(place, byte)| *place = *byte);
        if count > 0 {
            self.0.store(count + 1, Ordering::SeqCst);
        }
        true
    }
}

/// A deployment in memory.
pub(crate) struct World {
    pub(crate) context: Context,
    pub(crate) calls: Arc<Calls>,
    pub(crate) fetcher: Arc<ScriptedFetcher>,
    items: Arc<RecordedItems>,
    objects: Arc<RecordedObjects>,
    store: Store,
    clock: Arc<TestClock>,
    entropy: Arc<Dictated>,
    caller: Caller,
    signer: Arc<TestSigner>,
}

impl World {
    /// The deployment that the events speak of, at the time of the events.
    pub(crate) async fn of_events() -> Self {
        let world = Self::empty();
        world.fill().await;
        world.clock.set(NOW);
        world.entropy.0.store(1, Ordering::SeqCst);
        world.calls.take();
        world
    }

    /// A deployment that nobody has used yet.
    pub(crate) fn empty() -> Self {
        let settings = Settings { copy_at_once_max_bytes: COPIED_AT_ONCE, ..build::settings() };
        let calls = Arc::new(Calls::default());
        let clock = Arc::new(TestClock::at(NOW));
        let entropy = Arc::new(Dictated::default());
        let items = Arc::new(RecordedItems(MemoryItems::default(), Arc::clone(&calls)));
        let bytes = Arc::new(MemoryObjects::new(&settings.base_url, UrlKey::from_bytes(&[7; 32])));
        let objects = Arc::new(RecordedObjects(Arc::clone(&bytes), Arc::clone(&calls)));
        let mut context = build::context(Arc::clone(&items) as _, &clock, settings, 1);
        context.ids = Ids::new(Arc::clone(&clock) as _, Arc::clone(&entropy) as _);
        context.tasks = Some(Arc::new(RecordedTasks(Arc::clone(&calls))));
        let store = Store { objects: Arc::clone(&objects) as _, receiver: bytes };
        let (caller, signer) = (build::caller(), Arc::new(TestSigner::fresh()));
        Self {
            context,
            calls,
            fetcher: Arc::default(),
            items,
            objects,
            store,
            clock,
            entropy,
            caller,
            signer,
        }
    }

    /// Makes it so late that what is made now gets this id.
    fn at(&self, id: &str) {
        let (_, ulid) = id.split_once('_').unwrap();
        let id: TokenId = format!("tok_{ulid}").parse().unwrap();
        self.clock.set(i64::try_from(id.unix_ms()).unwrap());
    }

    async fn fill(&self) {
        let context = &self.context;
        self.tokens().await;
        self.keys().await;
        self.at(PRODUCT);
        products::create(context, &self.caller, (&"editor".parse().unwrap(), None), &[], None).await.unwrap();
        let released = self.artifact(RELEASED, b"an editor").await;
        self.publish(STABLE, "1.4.1", "stable", released).await;
        self.publish(BETA, "1.5.0", "beta", released).await;
        self.artifact(UNUSED, b"a viewer").await;
        let withdrawn = self.artifact(WITHDRAWN, b"a player").await;
        self.clock.advance(1_000);
        let why = "the vendor withdrew this build";
        artifacts::intervene(context, &self.caller, withdrawn, Intervention::Quarantine, why).await.unwrap();
        self.at(EXTERNAL);
        let external = build::registration(b"elsewhere", "https://downloads.example.com/editor.msi");
        let made = register::register(context, &self.caller, &external, None).await.unwrap().0;
        assert_eq!(made.artifact_id.to_string(), EXTERNAL);
        self.uploads().await;
    }

    async fn tokens(&self) {
        self.at(ADMIN);
        tokens::bootstrap(&self.context, &TokenText::make(ADMIN.parse().unwrap(), &[7; 32])).await.unwrap();
        self.at(PIPELINE);
        let new = NewToken {
            name: "release pipeline".into(),
            scopes: vec![Scope::CiWrite],
            tenant_id: None,
            product_id: None,
            expires_at: None,
        };
        let (token, _) = tokens::create(&self.context, &self.caller, &new).await.unwrap();
        assert_eq!(token.token_id.to_string(), PIPELINE);
    }

    /// A keyset with the key that signs and the next one, made by processes that did not delegate.
    async fn keys(&self) {
        let (context, key) = (&self.context, *self.signer.public_key());
        self.clock.advance(100);
        keyset::ensure(context, &key, Unlisted::Refuse, false).await.unwrap();
        self.clock.advance(100);
        keyset::promote(context, &self.caller, &key.thumbprint(), None).await.unwrap();
        self.clock.advance(100);
        let jwk = serde_json::json!({ "kty": "OKP", "crv": "Ed25519", "x": NEXT_KEY, "alg": "EdDSA" });
        let jwk: Jwk = serde_json::from_value(jwk).unwrap();
        let exp = Some(NOW / 1_000 + 100_000_000);
        let key = PublicKey::try_from(&jwk).unwrap();
        let next = Change::Add(NewKey { key, nbf: None, exp, products: Vec::new() });
        keyset::change(context, &self.caller, &next).await.unwrap();
    }

    /// Uploads in every state that an event finds one in.
    async fn uploads(&self) {
        self.initiate(EXPIRED, b"bytes that never came").await;
        self.initiate(OPEN, b"bytes that may still come").await;
        let locked = self.initiate(LOCKED, LOCKED_BYTES).await;
        self.send(&locked, LOCKED_BYTES, Put::locked).await;
        let staged = self.initiate(STAGED, STAGED_BYTES).await;
        self.send(&staged, STAGED_BYTES, Put::bare).await;
        let large = self.initiate(LARGE, LARGE_BYTES).await;
        self.send(&large, LARGE_BYTES, Put::bare).await;
        let objects = self.objects();
        self.at(IN_PARTS);
        let parts = Initiation { multipart: true, ..build::initiation(b"bytes that come in parts") };
        uploads::initiate(&self.context, &objects, &self.caller, &parts, None).await.unwrap();
        let later = complete::complete(&self.context, &objects, &self.caller, large.upload_id, None).await;
        assert!(matches!(later, Ok(Completed::Later(_))), "{later:?}");
    }

    async fn initiate(&self, id: &str, content: &[u8]) -> Upload {
        self.at(id);
        let (objects, wanted) = (self.objects(), build::initiation(content));
        let made = uploads::initiate(&self.context, &objects, &self.caller, &wanted, None).await.unwrap().0;
        assert_eq!(made.upload_id.to_string(), id);
        made
    }

    async fn send(
        &self,
        upload: &Upload,
        content: &[u8],
        door: fn(&shared::ports::objects::UploadDoors, usize) -> Put,
    ) {
        let doors = uploads::doors(&self.context, &self.objects(), upload).await.unwrap();
        let put = Put { now: self.clock.now_ms(), ..door(doors.as_ref().unwrap(), content.len()) };
        self.store.send(&put, body(content)).await.unwrap();
    }

    async fn artifact(&self, [upload, artifact]: [&str; 2], content: &[u8]) -> ArtifactId {
        let begun = self.initiate(upload, content).await;
        self.send(&begun, content, Put::locked).await;
        self.at(artifact);
        let objects = self.objects();
        let done = complete::complete(&self.context, &objects, &self.caller, begun.upload_id, None).await;
        let Ok(Completed::Artifact(made)) = done else { panic!("{done:?}") };
        assert_eq!(made.artifact_id.to_string(), artifact);
        made.artifact_id
    }

    async fn publish(&self, id: &str, version: &str, channel: &str, artifact: ArtifactId) {
        self.at(id);
        let parts = vec![ReleaseArtifact { requires_admin: true, ..build::msi(artifact) }];
        let mut new = build::release("editor", version, parts);
        new.channel = channel.parse().unwrap();
        new.release_notes = Some("Opens large files faster.".into());
        let made = releases::create(&self.context, &self.caller, &new, None).await.unwrap();
        assert_eq!(made.release_id.to_string(), id);
    }

    pub(crate) fn objects(&self) -> Arc<dyn shared::ports::objects::Objects> {
        Arc::clone(&self.objects) as _
    }

    pub(crate) fn checker(&self) -> Checker {
        Checker { fetcher: Arc::clone(&self.fetcher) as _, objects: self.objects() }
    }

    /// A decider whose key is opened when it is needed.
    pub(crate) fn decider(&self) -> Arc<Decider> {
        let plan = Plan { mode: Mode::Delegated, unlisted: Unlisted::Refuse, budget: None };
        let keys = Opened(Arc::clone(&self.signer) as _);
        let signing = Signing::new(self.context.clone(), vec![Arc::new(keys)], plan);
        Arc::new(Decider::new(self.context.clone(), signing))
    }

    /// Somebody who may do everything.
    pub(crate) fn caller(&self) -> &Caller {
        &self.caller
    }

    /// From now on, records over a connection that fails when it is told to.
    pub(crate) fn failing(&mut self) -> Arc<FailingItems> {
        let items = Arc::new(FailingItems::new(Arc::clone(&self.items) as _));
        self.context.store = shared::app::store::Store::new(Arc::clone(&items) as _);
        items
    }

    /// An upload as it is stored.
    pub(crate) async fn upload(&self, id: &str) -> Upload {
        let key = keys::upload(id.parse().unwrap());
        self.context.store.get(key).await.unwrap().unwrap().value
    }

    /// Bytes that nothing refers to any more, on a later day.
    pub(crate) async fn leftover(&self) -> ObjectKey {
        let id = WITHDRAWN[1].parse().unwrap();
        let Location::Managed { key, .. } = self.artifact_now(WITHDRAWN[1]).await.location else {
            panic!("{id}")
        };
        let nowhere = MemoryObjects::new("https://updates.example.com", UrlKey::from_bytes(&[7; 32]));
        let nowhere: Arc<dyn shared::ports::objects::Objects> = Arc::new(nowhere);
        artifacts::delete(&self.context, &nowhere, &self.caller, id).await.unwrap();
        self.clock.set(NOW + 7 * 86_400_000);
        key
    }

    /// A token as it is stored.
    pub(crate) async fn token(&self, id: &str) -> Option<Token> {
        let key = keys::token(id.parse().unwrap());
        self.context.store.get(key).await.unwrap().map(|found| found.value)
    }

    /// An artifact.
    pub(crate) async fn artifact_now(&self, id: &str) -> Artifact {
        access::artifact(&self.context, &self.caller, id.parse().unwrap()).await.unwrap().value
    }
}
