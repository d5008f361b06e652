//! The URLs: both doors of an upload, and the way to a download.

use aws_sdk_s3::{config::http::HttpRequest, presigning::PresignedRequest};
use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    DOWNLOAD_LIFETIME, OCTETS, S3Objects,
    covered::Promises,
    signing::{Signing, SigningError},
};
use crate::{
    domain::upload::ObjectKey,
    ports::objects::{DownloadRequest, LockedDoor, UploadDoors, UploadGrant},
};

pub(super) const CHECKSUM: &str = "x-amz-checksum-sha256";
const IF_NONE_MATCH: &str = "if-none-match";

impl S3Objects {
    /// Both doors, or the bare one alone, each checked against what it promises.
    pub(super) async fn doors(&self, grant: &UploadGrant, locks: bool) -> Result<UploadDoors, SigningError> {
        let signing = self.signing(grant.now, grant.expires_in).await?;
        Ok(UploadDoors {
            upload_url: self.bare(&signing, grant).await?,
            checksum_locked: if locks { Some(self.locked(&signing, grant).await?) } else { None },
            expires_at: signing.validity.ends_at(),
        })
    }

    /// A plain PUT: length and media type are signed headers, which every client sends anyway; write-once is in the
    /// query, since no client would send that header by itself.
    async fn bare(&self, signing: &Signing, grant: &UploadGrant) -> Result<String, SigningError> {
        let key = ObjectKey::Staging(grant.upload_id);
        let request = self.client.put_object().bucket(&self.bucket).key(key.to_string());
        let request = request
            .content_length(i64::try_from(grant.size_bytes)?)
            .set_content_type(grant.content_type.clone())
            .customize()
            .config_override(signing.config())
            .mutate_request(write_once)
            .presigned(signing.time()?)
            .await?;
        let mut promises = Promises::of("PUT", key, signing.validity.seconds());
        promises.header("content-length", grant.size_bytes.to_string()).query("If-None-Match", "*");
        if let Some(media) = &grant.content_type {
            promises.header("content-type", media.clone());
        }
        checked(&request, &promises)
    }

    /// A PUT that S3 itself compares with the digest.
    async fn locked(&self, signing: &Signing, grant: &UploadGrant) -> Result<LockedDoor, SigningError> {
        let key = ObjectKey::Locked(grant.upload_id);
        let checksum = STANDARD.encode(grant.sha256.as_bytes());
        let request = self.client.put_object().bucket(&self.bucket).key(key.to_string());
        let request = request
            .content_length(i64::try_from(grant.size_bytes)?)
            // Without `checksum_algorithm`, which would have the SDK hash the empty body it signs.
            .checksum_sha256(&checksum)
            .if_none_match("*")
            .customize()
            .config_override(signing.config())
            .presigned(signing.time()?)
            .await?;
        let mut promises = Promises::of("PUT", key, signing.validity.seconds());
        promises
            .header("content-length", grant.size_bytes.to_string())
            .header(CHECKSUM, checksum.clone())
            .header(IF_NONE_MATCH, "*".to_owned());
        let headers = [(CHECKSUM, checksum.as_str()), (IF_NONE_MATCH, "*")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(LockedDoor { url: checked(&request, &promises)?, headers: headers.into() })
    }

    /// A GET of exactly the proved version, as an attachment; the client asks for ranges by itself.
    pub(super) async fn download_url(&self, wanted: &DownloadRequest) -> Result<String, SigningError> {
        let signing = self.signing(wanted.now, DOWNLOAD_LIFETIME).await?;
        let disposition = disposition(wanted.file_name.as_deref());
        let media = wanted.content_type.as_deref().unwrap_or(OCTETS);
        let request = self.client.get_object().bucket(&self.bucket).key(wanted.key.to_string());
        let request = request
            .set_version_id(wanted.version.clone())
            .response_content_disposition(&disposition)
            .response_content_type(media)
            .response_content_encoding("identity")
            .customize()
            .config_override(signing.config())
            .presigned(signing.time()?)
            .await?;
        let mut promises = Promises::of("GET", wanted.key, signing.validity.seconds());
        promises
            .query("response-content-disposition", &disposition)
            .query("response-content-type", media)
            .query("response-content-encoding", "identity");
        if let Some(version) = &wanted.version {
            promises.query("versionId", version);
        }
        checked(&request, &promises)
    }
}

/// The URL, if its signature covers what it promises and asks of the client nothing more.
pub(super) fn checked(request: &PresignedRequest, promises: &Promises) -> Result<String, SigningError> {
    promises.check(request.method(), request.uri(), request.headers())?;
    Ok(request.uri().to_owned())
}

/// Puts the condition into the query, before it is signed.
fn write_once(request: &mut HttpRequest) {
    let uri = request.uri();
    let with = if uri.contains('?') { '&' } else { '?' };
    let conditional = format!("{uri}{with}If-None-Match=%2A");
    // If that is no URI, it stays as it was, and the check refuses it.
    drop(request.set_uri(conditional));
}

/// An attachment of this name; what cannot stand in a quoted string is left out.
fn disposition(file_name: Option<&str>) -> String {
    let plain = |letter: &char| matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\');
    let name: String = file_name.unwrap_or_default().chars().filter(plain).collect();
    if name.is_empty() { "attachment".to_owned() } else { format!("attachment; filename=\"{name}\"") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(disposition(None), "attachment");
        assert_eq!(disposition(Some("\r\n\"")), "attachment");
        assert_eq!(disposition(Some("Setup 1.0+x.msi")), "attachment; filename=\"Setup 1.0+x.msi\"");
        assert_eq!(disposition(Some("a\"; x=\"\\é\r\n.msi")), "attachment; filename=\"a; x=.msi\"");
    }
}
