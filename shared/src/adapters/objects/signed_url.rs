//! The upload URLs of stores without a server of their own: made here, and checked here when they come back.
//!
//! ```text
//! {base_url}/v1/objects/{key}?{claims}&signature={signature}
//!
//! claims, bare door:    expires={Unix ms}&content-length={bytes}[&content-type={media type}]&write=once
//! claims, locked door:  expires={Unix ms}&content-length={bytes}&sha256={64 hex digits}&write=once
//! claims, a part:       expires={Unix ms}&content-length={bytes}[&sha256={64 hex digits}]&write=again
//!
//! signature = base64url, unpadded, of HMAC-SHA256(url key,
//!     "big-picture object v1\nPUT\n{key}\n{claims}")
//! ```
//!
//! The claims are signed as the bytes they are, and read only after the signature was found good (in constant time):
//! a changed, moved, added or missing byte of the key or the query is refused, whatever it would have meant.
//!
//! What a claim asks of the request:
//! - `expires`: the first millisecond at which the URL takes nothing any more.
//! - `content-length`: the header must be there and equal, and as many bytes must come.
//! - `content-type`: the header must be equal. Without the claim any media type is taken, or none.
//! - `sha256`: the header `x-amz-checksum-sha256` must be the base64 of this digest, and so must the bytes be.
//!   Without the claim the header must be absent, since a checksum that nobody checks would be a false promise.
//! - `write=once`: bytes that are there already stay as they are. `write=again`: they are replaced.
//!
//! The bare door is open under `staging/` alone, the locked door under `objects/…/locked` alone, and parts go under
//! `parts/` alone; no URL puts anything under `objects/…/copy` or `objects/…/whole`.

use std::{collections::BTreeMap, fmt};

use base64::{Engine as _, engine::general_purpose};
use ring::hmac;
use url::form_urlencoded;

use crate::{
    domain::{digest::Sha256, upload::ObjectKey},
    ports::{
        large_objects::{PartDoor, PartDoors, PartsGrant, WantedPart},
        objects::{LockedDoor, ReceiveError, SignedPut, UploadDoors, UploadGrant},
    },
};

/// The header in which the locked door wants the digest, base64.
pub const CHECKSUM_HEADER: &str = "x-amz-checksum-sha256";

const SIGNATURE: &str = "&signature=";

/// The secret that signs upload URLs; `Debug` hides it.
#[derive(Clone)]
pub struct UrlKey(hmac::Key);

impl UrlKey {
    /// The key with these bytes, which must be secret, random, and used for nothing else.
    pub fn from_bytes(bytes: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }
}

impl fmt::Debug for UrlKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UrlKey(…)")
    }
}

/// Makes and checks upload URLs.
#[derive(Debug, Clone)]
pub struct SignedUrls {
    base_url: String,
    key: UrlKey,
}

/// What a good URL allows its bearer to put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowed {
    /// Where.
    pub key: ObjectKey,
    /// Exactly this many bytes.
    pub size_bytes: u64,
    /// Only bytes with this digest, at the locked door.
    pub sha256: Option<Sha256>,
}

impl Allowed {
    /// Compares what came with what was allowed.
    ///
    /// # Errors
    /// [`ReceiveError::WrongSize`] or [`ReceiveError::WrongDigest`].
    pub fn check(&self, size_bytes: u64, sha256: Sha256) -> Result<(), ReceiveError> {
        self.check_size(size_bytes)?;
        match self.sha256 {
            Some(declared) if declared != sha256 => {
                Err(ReceiveError::WrongDigest { declared, found: sha256 })
            }
            _ => Ok(()),
        }
    }

    fn check_size(&self, found: u64) -> Result<(), ReceiveError> {
        let declared = self.size_bytes;
        if found == declared { Ok(()) } else { Err(ReceiveError::WrongSize { declared, found }) }
    }

    /// Refuses once more bytes came than were allowed, so that nobody reads on for ever.
    ///
    /// # Errors
    /// [`ReceiveError::WrongSize`], with one byte more than declared: "at least that".
    pub fn check_room(&self, so_far: u64) -> Result<(), ReceiveError> {
        if so_far > self.size_bytes { self.check_size(self.size_bytes.saturating_add(1)) } else { Ok(()) }
    }
}

impl SignedUrls {
    /// URLs under `base_url`, such as `https://updates.example.com`, signed with `key`.
    pub fn new(base_url: &str, key: UrlKey) -> Self {
        Self { base_url: base_url.trim_end_matches('/').to_owned(), key }
    }

    /// Makes the two doors of an upload.
    pub fn doors(&self, grant: &UploadGrant) -> UploadDoors {
        let lifetime = i64::try_from(grant.expires_in.as_millis()).unwrap_or(i64::MAX);
        let expires_at = grant.now.saturating_add(lifetime);
        let bare = Claims {
            expires_at,
            size_bytes: grant.size_bytes,
            content_type: grant.content_type.clone(),
            sha256: None,
            again: false,
        };
        let locked = Claims { content_type: None, sha256: Some(grant.sha256), ..bare.clone() };
        UploadDoors {
            upload_url: self.sign(ObjectKey::Staging(grant.upload_id), &bare),
            checksum_locked: Some(LockedDoor {
                url: self.sign(ObjectKey::Locked(grant.upload_id), &locked),
                headers: BTreeMap::from([(CHECKSUM_HEADER.to_owned(), checksum(&grant.sha256))]),
            }),
            expires_at,
        }
    }

    /// Makes the URLs of parts.
    pub fn parts(&self, grant: &PartsGrant) -> PartDoors {
        let lifetime = i64::try_from(grant.expires_in.as_millis()).unwrap_or(i64::MAX);
        let expires_at = grant.now.saturating_add(lifetime);
        let door = |part: &WantedPart| {
            let claims = Claims {
                expires_at,
                size_bytes: part.size_bytes,
                content_type: None,
                sha256: part.sha256,
                again: true,
            };
            let header = |sha256| (CHECKSUM_HEADER.to_owned(), checksum(sha256));
            PartDoor {
                part_number: part.part_number,
                url: self.sign(ObjectKey::Part(grant.large.upload_id, part.part_number), &claims),
                headers: part.sha256.iter().map(header).collect(),
            }
        };
        PartDoors { parts: grant.parts.iter().map(door).collect(), expires_at }
    }

    /// Checks signature, time, headers and length of a PUT, in this order, before any byte of its body is read.
    ///
    /// # Errors
    /// - [`ReceiveError::AccessDenied`]: the URL is not ours, was changed or has ended, or a header is not the signed
    ///   one.
    /// - [`ReceiveError::WrongSize`]: `Content-Length` is another than declared.
    pub fn verify(&self, put: &SignedPut<'_>) -> Result<Allowed, ReceiveError> {
        let claims =
            self.authentic(put).ok_or(ReceiveError::AccessDenied("the signature of the URL is not valid"))?;
        if put.now >= claims.expires_at {
            return Err(ReceiveError::AccessDenied("the URL has expired"));
        }
        if claims.content_type.is_some() && claims.content_type.as_deref() != put.content_type {
            return Err(ReceiveError::AccessDenied(
                "the `content-type` header is not the one that was signed",
            ));
        }
        if claims.sha256.as_ref().map(checksum).as_deref() != put.checksum {
            return Err(ReceiveError::AccessDenied(
                "the `x-amz-checksum-sha256` header is not the one that was signed",
            ));
        }
        let found =
            put.content_length.ok_or(ReceiveError::AccessDenied("the `content-length` header is missing"))?;
        let allowed = Allowed { key: put.key, size_bytes: claims.size_bytes, sha256: claims.sha256 };
        allowed.check_size(found)?;
        Ok(allowed)
    }

    fn sign(&self, key: ObjectKey, claims: &Claims) -> String {
        let claims = claims.write();
        let tag = hmac::sign(&self.key.0, signed_text(key, &claims).as_bytes());
        let signature = general_purpose::URL_SAFE_NO_PAD.encode(tag);
        format!("{}/v1/objects/{key}?{claims}{SIGNATURE}{signature}", self.base_url)
    }

    /// The claims of a query that we signed for this key.
    fn authentic(&self, put: &SignedPut<'_>) -> Option<Claims> {
        let (claims, signature) = put.query.rsplit_once(SIGNATURE)?;
        // The decoder takes one spelling alone: no padding, no stray bits in the last letter.
        let signature = general_purpose::URL_SAFE_NO_PAD.decode(signature).ok()?;
        hmac::verify(&self.key.0, signed_text(put.key, claims).as_bytes(), &signature).ok()?;
        let claims = Claims::read(claims)?;
        // INVARIANT: the door follows from the key, and nothing is ever put where proved copies are.
        let right_door = match put.key {
            ObjectKey::Staging(_) => claims.sha256.is_none() && !claims.again,
            ObjectKey::Locked(_) => claims.sha256.is_some() && !claims.again,
            ObjectKey::Part(..) => claims.again,
            ObjectKey::Copied(_) | ObjectKey::Whole(_) | ObjectKey::Escrow(..) | ObjectKey::Deployment(_) => {
                false
            }
        };
        right_door.then_some(claims)
    }
}

fn signed_text(key: ObjectKey, claims: &str) -> String {
    format!("big-picture object v1\nPUT\n{key}\n{claims}")
}

fn checksum(digest: &Sha256) -> String {
    general_purpose::STANDARD.encode(digest.as_bytes())
}

/// What the query says; nobody believes it before the signature was checked.
#[derive(Clone)]
struct Claims {
    expires_at: i64,
    size_bytes: u64,
    content_type: Option<String>,
    sha256: Option<Sha256>,
    /// Whether bytes that are there already are replaced.
    again: bool,
}

impl Claims {
    fn write(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("expires", &self.expires_at.to_string());
        query.append_pair("content-length", &self.size_bytes.to_string());
        if let Some(content_type) = &self.content_type {
            query.append_pair("content-type", content_type);
        }
        if let Some(sha256) = &self.sha256 {
            query.append_pair("sha256", &sha256.to_string());
        }
        query.append_pair("write", if self.again { "again" } else { "once" }).finish()
    }

    fn read(text: &str) -> Option<Self> {
        let mut values: BTreeMap<_, _> = form_urlencoded::parse(text.as_bytes()).collect();
        let claims = Self {
            expires_at: values.remove("expires")?.parse().ok()?,
            size_bytes: values.remove("content-length")?.parse().ok()?,
            content_type: values.remove("content-type").map(String::from),
            sha256: values.remove("sha256").map(|hex| hex.parse()).transpose().ok()?,
            again: match values.remove("write")?.as_ref() {
                "once" => false,
                "again" => true,
                _ => return None,
            },
        };
        values.is_empty().then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::UploadId;

    #[test]
    fn the_signature_is_the_documented_one() {
        let key = ObjectKey::Staging(UploadId::from_parts(1_700_000_000_000, 7));
        let claims = Claims {
            expires_at: 1_700_000_900_000,
            size_bytes: 42,
            content_type: Some("application/x-msi".to_owned()),
            sha256: None,
            again: false,
        };
        let url = SignedUrls::new("https://u.example.com/", UrlKey::from_bytes(&[7; 32])).sign(key, &claims);
        let query = "expires=1700000900000&content-length=42&content-type=application%2Fx-msi&write=once";
        // Made with Python's hmac module from the text at the top of this file.
        let signature = "J9HPa5bg4DhEADrq_GdO5Yu5zWE-nLJ2-hT7EVvMiQQ";
        assert_eq!(url, format!("https://u.example.com/v1/objects/{key}?{query}&signature={signature}"));
    }

    #[test]
    fn what_is_served_is_never_put_and_no_door_is_written_again_even_with_a_signature() {
        let urls = SignedUrls::new("https://u.example.com", UrlKey::from_bytes(&[7; 32]));
        let id = UploadId::from_parts(1, 2);
        for (key, again, taken) in [
            (ObjectKey::Copied(id), false, false),
            (ObjectKey::Copied(id), true, false),
            (ObjectKey::Whole(id), false, false),
            (ObjectKey::Whole(id), true, false),
            (ObjectKey::Staging(id), true, false),
            (ObjectKey::Staging(id), false, true),
            (ObjectKey::Part(id, 1), true, true),
            (ObjectKey::Part(id, 1), false, false),
        ] {
            let claims = Claims { expires_at: 9, size_bytes: 1, content_type: None, sha256: None, again };
            let url = urls.sign(key, &claims);
            let query = url.split_once('?').unwrap().1;
            let put =
                SignedPut { key, query, content_length: Some(1), content_type: None, checksum: None, now: 1 };
            assert_eq!(urls.verify(&put).is_ok(), taken, "{key} {again}");
        }
    }

    #[test]
    fn the_key_is_not_printed() {
        let urls = SignedUrls::new("https://u.example.com", UrlKey::from_bytes(&[0xAB; 32]));
        assert_eq!(format!("{urls:?}"), "SignedUrls { base_url: \"https://u.example.com\", key: UrlKey(…) }");
    }
}
