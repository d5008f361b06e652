//! The item layout: which record is where. Every key of the metadata store is made here.

use sha2::Digest;

use crate::{
    domain::{
        digest::Sha256,
        ids::{ArtifactId, EventId, ReleaseId, TokenId, UploadId},
        names::{ProductId, TenantId},
        version::Version,
    },
    ports::items::Key,
};

/// The partition of all artifacts.
pub const ARTIFACTS: &str = "artifacts";
/// The partition of all uploads.
pub const UPLOADS: &str = "uploads";
/// The partition of the uploads that the sweep has still to look at, in the order in which they are due.
pub const OPEN_UPLOADS: &str = "open_uploads";
/// The partition of the artifacts whose bytes are to be checked.
pub const VERIFYING: &str = "verifying";
/// The partition of the external artifacts that are looked at by schedule, in the order in which they are due.
pub const WATCHING: &str = "watching";
/// The partition of the hosts that have asked to be left alone.
pub const HOSTS: &str = "hosts";
/// The partition of all products.
pub const PRODUCTS: &str = "products";
/// The partition of all tenants with policies.
pub const TENANTS: &str = "tenants";
/// The partition of all tokens.
pub const TOKENS: &str = "tokens";
/// The partition of the audit log.
pub const AUDIT: &str = "audit";
/// The partition of the artifacts that no decision may name at the moment.
pub const UNAVAILABLE: &str = "unavailable";
/// The partition of the keyset's versions.
pub const KEYSETS: &str = "keysets";
/// The sort prefix of an artifact's uses.
pub const USE: &str = "use#";
/// The sort prefix of an artifact's checks.
pub const CHECK: &str = "check#";
/// The sort prefix of a product's releases.
pub const RELEASE: &str = "release#";

/// An artifact.
pub fn artifact(id: ArtifactId) -> Key {
    Key::new(ARTIFACTS, id.to_string())
}

/// The partition of what belongs to one artifact: its uses and its checks.
pub fn of_artifact(id: ArtifactId) -> String {
    format!("artifact#{id}")
}

/// That a release names an artifact.
pub fn artifact_use(artifact: ArtifactId, release: ReleaseId) -> Key {
    Key::new(of_artifact(artifact), format!("{USE}{release}"))
}

/// That a product-limited token registered bytes that were an artifact already: it sees the artifact, too.
pub fn registrant(artifact: ArtifactId, product: &ProductId) -> Key {
    Key::new(of_artifact(artifact), format!("registrant#{product}"))
}

/// One check of an artifact's bytes.
pub fn check(artifact: ArtifactId, event: EventId) -> Key {
    Key::new(of_artifact(artifact), format!("{CHECK}{event}"))
}

/// When an external artifact is looked at again, and what made it suspect.
pub fn watch(artifact: ArtifactId) -> Key {
    Key::new(of_artifact(artifact), "watch")
}

/// That an external artifact is due at this time (Unix milliseconds).
pub fn watching(artifact: ArtifactId, due: i64) -> Key {
    Key::new(WATCHING, format!("{:014}#{artifact}", due.max(0)))
}

/// That a host has asked to be left alone; it is named with its port, where that is not the usual one.
pub fn host(authority: &str) -> Key {
    Key::new(HOSTS, authority)
}

/// How far a reading of an artifact's bytes came that is to go on.
pub fn progress(artifact: ArtifactId) -> Key {
    Key::new(of_artifact(artifact), "progress")
}

/// The partition of the artifacts that have these bytes.
pub fn of_bytes(sha256: &Sha256) -> String {
    format!("sha256#{sha256}")
}

/// The managed artifact with these bytes.
pub fn managed_bytes(sha256: &Sha256) -> Key {
    Key::new(of_bytes(sha256), "managed")
}

/// The external artifact with these bytes at this URL.
pub fn external_bytes(sha256: &Sha256, url: &str) -> Key {
    let url = Sha256::from_bytes(sha2::Sha256::digest(url.as_bytes()).into());
    Key::new(of_bytes(sha256), format!("external#{url}"))
}

/// Who may download these bytes: the same for every artifact that has them.
pub fn access_of_bytes(sha256: &Sha256) -> Key {
    Key::new(of_bytes(sha256), "access")
}

/// That these bytes were revoked.
pub fn revoked_bytes(sha256: &Sha256) -> Key {
    Key::new(of_bytes(sha256), "revoked")
}

/// An upload.
pub fn upload(id: UploadId) -> Key {
    Key::new(UPLOADS, id.to_string())
}

/// That the sweep is to look at an upload at this time (Unix milliseconds); an upload may have several.
pub fn open_upload(id: UploadId, due: i64) -> Key {
    Key::new(OPEN_UPLOADS, format!("{:014}#{id}", due.max(0)))
}

/// When the sweep is to look at which upload.
pub fn read_open_upload(sort: &str) -> Option<(i64, UploadId)> {
    let (due, id) = sort.split_once('#')?;
    Some((due.parse().ok()?, id.parse().ok()?))
}

/// That an artifact's bytes are to be checked.
pub fn verifying(id: ArtifactId) -> Key {
    Key::new(VERIFYING, id.to_string())
}

/// A product: its own record, its policy and the head of its catalogue. Its revision is a part of `seq`.
pub fn product(id: &ProductId) -> Key {
    Key::new(PRODUCTS, id.as_str())
}

/// The partition of a product's releases and versions.
pub fn of_product(id: &ProductId) -> String {
    format!("product#{id}")
}

/// That a product has a release.
pub fn product_release(product: &ProductId, release: ReleaseId) -> Key {
    Key::new(of_product(product), format!("{RELEASE}{release}"))
}

/// What a version of a product is made of; build metadata does not count.
pub fn version(product: &ProductId, version: &Version) -> Key {
    Key::new(of_product(product), format!("version#{}", version.without_build()))
}

/// A release.
pub fn release(id: ReleaseId) -> Key {
    Key::new("releases", id.to_string())
}

/// The partition of a product's catalogue pages.
pub fn catalogue(product: &ProductId) -> String {
    format!("catalogue#{product}")
}

/// One page of a product's catalogue.
pub fn catalogue_page(product: &ProductId, page: u32) -> Key {
    Key::new(catalogue(product), format!("{page:08}"))
}

/// A tenant's policies. Its revision is a part of `seq`.
pub fn tenant(id: &TenantId) -> Key {
    Key::new(TENANTS, id.as_str())
}

/// Which products and tenants exist, and the global policy. Its revision is a part of `seq`.
pub fn deployment() -> Key {
    Key::new("deployment", "head")
}

/// That the deployment had its first token.
pub fn bootstrap() -> Key {
    Key::new("deployment", "bootstrap")
}

/// Which deployment this is, and whether its store is marked as its own.
pub fn binding() -> Key {
    Key::new("deployment", "store")
}

/// The head of [`UNAVAILABLE`]. Its revision is a part of `seq`.
pub fn unavailable_head() -> Key {
    Key::new("deployment", "unavailable")
}

/// Whether this is one of the items whose revisions make up `seq`.
pub fn is_decisive(key: &Key) -> bool {
    matches!(key.partition.as_str(), PRODUCTS | TENANTS) || *key == deployment() || *key == unavailable_head()
}

/// That no decision may name an artifact at the moment.
pub fn unavailable(id: ArtifactId) -> Key {
    Key::new(UNAVAILABLE, id.to_string())
}

/// A token.
pub fn token(id: TokenId) -> Key {
    Key::new(TOKENS, id.to_string())
}

/// An audit entry.
pub fn event(id: EventId) -> Key {
    Key::new(AUDIT, id.to_string())
}

/// What became of the first request with an idempotency key.
pub fn idempotency(token: TokenId, method: &str, path: &str, key: &str) -> Key {
    let digest = sha2::Sha256::digest(format!("{method}\n{path}\n{key}").as_bytes());
    Key::new(format!("idempotency#{token}"), Sha256::from_bytes(digest.into()).to_string())
}

/// The cleaning up that was begun last.
pub fn gc() -> Key {
    Key::new("gc", "run")
}

/// A version of the keyset.
pub fn keyset(version: u64) -> Key {
    Key::new(KEYSETS, format!("{version:010}"))
}

/// The file in which root keys have signed a version of the keyset.
pub fn signed_keyset(version: u64) -> Key {
    Key::new("signed_keysets", format!("{version:010}"))
}
