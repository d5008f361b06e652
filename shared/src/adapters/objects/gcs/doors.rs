//! The URLs: the door of an upload, the parts of one, and the way to a download.

use std::{collections::BTreeMap, time::Duration};

use super::{GcsObjects, access::SigningError};
use crate::{
    adapters::v4::Request,
    domain::{
        external_url::{ExternalUrl, UrlRules},
        upload::ObjectKey,
    },
    ports::{
        large_objects::{PartDoor, PartDoors, PartsGrant, WantedPart},
        objects::{DownloadRequest, UploadDoors, UploadGrant},
    },
};

/// How long a download URL lives; the download itself may take longer.
const DOWNLOAD_LIFETIME: Duration = Duration::from_secs(300);
/// The media type of what has none.
const OCTETS: &str = "application/octet-stream";
/// The header by which a body of another digest is refused.
const DIGEST: &str = "x-goog-content-sha256";

/// From when to when a URL holds, in whole seconds: Google knows no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Validity {
    now: i64,
    seconds: u32,
}

impl Validity {
    fn new(now: i64, asked: Duration, longest: u64) -> Result<Self, SigningError> {
        let seconds = u32::try_from(asked.as_secs().min(longest))?;
        if seconds == 0 { Err("no time was asked for".into()) } else { Ok(Self { now, seconds }) }
    }

    /// The end, Unix milliseconds; never later than told, since the beginning is cut to its second.
    fn ends_at(self) -> i64 {
        let begins = self.now.div_euclid(1000);
        begins.saturating_add(i64::from(self.seconds)).saturating_mul(1000)
    }
}

impl GcsObjects {
    fn validity(&self, now: i64, asked: Duration) -> Result<Validity, SigningError> {
        Validity::new(now, asked, self.access.longest())
    }

    async fn url(
        &self,
        method: &str,
        key: ObjectKey,
        query: &[(&str, &str)],
        headers: &[(&str, &str)],
        validity: Validity,
    ) -> Result<String, SigningError> {
        let bare = format!("{}/{}/{key}", self.endpoint, self.bucket);
        let bare = ExternalUrl::parse(&bare, &UrlRules::widest())?;
        let request = Request { method, url: &bare, query, headers, now: validity.now };
        let target = self.access.sign(&request, validity.seconds).await?;
        Ok(format!("{}://{}{target}", bare.scheme(), bare.authority()))
    }

    /// A plain PUT to staging. Length and media type are signed headers that every client sends anyway; a condition would
    /// have to be a header as well, which no client would send by itself.
    pub(super) async fn doors(&self, grant: &UploadGrant) -> Result<UploadDoors, SigningError> {
        let validity = self.validity(grant.now, grant.expires_in)?;
        let length = grant.size_bytes.to_string();
        let mut headers = vec![("content-length", length.as_str())];
        headers.extend(grant.content_type.as_deref().map(|media| ("content-type", media)));
        let key = ObjectKey::Staging(grant.upload_id);
        Ok(UploadDoors {
            upload_url: self.url("PUT", key, &[], &headers, validity).await?,
            checksum_locked: None,
            expires_at: validity.ends_at(),
        })
    }

    pub(super) async fn part_doors(&self, grant: &PartsGrant) -> Result<PartDoors, SigningError> {
        let validity = self.validity(grant.now, grant.expires_in)?;
        let mut parts = Vec::with_capacity(grant.parts.len());
        for part in &grant.parts {
            let key = ObjectKey::Part(grant.large.upload_id, part.part_number);
            parts.push(self.part_door(key, part, validity).await?);
        }
        Ok(PartDoors { parts, expires_at: validity.ends_at() })
    }

    /// A PUT of one part of its exact length, whose digest is in the place of the body in what is signed, where there is
    /// one.
    async fn part_door(
        &self,
        key: ObjectKey,
        part: &WantedPart,
        validity: Validity,
    ) -> Result<PartDoor, SigningError> {
        let length = part.size_bytes.to_string();
        let digest = part.sha256.map(|sha256| sha256.to_string());
        let mut headers = vec![("content-length", length.as_str())];
        headers.extend(digest.as_deref().map(|digest| (DIGEST, digest)));
        let url = self.url("PUT", key, &[], &headers, validity).await?;
        let sent = digest.iter().map(|digest| (DIGEST.to_owned(), digest.clone()));
        Ok(PartDoor { part_number: part.part_number, url, headers: sent.collect::<BTreeMap<_, _>>() })
    }

    /// A GET of exactly the proved generation, as an attachment; the client asks for ranges by itself.
    pub(super) async fn download_url(&self, wanted: &DownloadRequest) -> Result<String, SigningError> {
        let validity = self.validity(wanted.now, DOWNLOAD_LIFETIME)?;
        let disposition = disposition(wanted.file_name.as_deref());
        let media = wanted.content_type.as_deref().unwrap_or(OCTETS);
        let mut query =
            vec![("response-content-disposition", disposition.as_str()), ("response-content-type", media)];
        query.extend(wanted.version.as_deref().map(|generation| ("generation", generation)));
        self.url("GET", wanted.key, &query, &[], validity).await
    }
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

    const NOW: i64 = 1_700_000_000_999;

    #[test]
    fn a_url_ends_no_later_than_told_and_never_lives_longer_than_its_signature() {
        let hour = Validity::new(NOW, Duration::from_secs(3600), 604_800).unwrap();
        assert_eq!((hour.seconds, hour.ends_at()), (3600, 1_700_003_600_000));
        let long = Validity::new(NOW, Duration::from_secs(u64::MAX), 43_200).unwrap();
        assert_eq!((long.seconds, long.ends_at()), (43_200, 1_700_043_200_000));
    }

    #[test]
    fn where_no_second_is_left_nothing_is_signed() {
        for asked in [Duration::ZERO, Duration::from_millis(999)] {
            assert!(Validity::new(NOW, asked, 604_800).is_err());
        }
    }

    #[test]
    fn a_name_cannot_leave_its_quotes() {
        assert_eq!(disposition(None), "attachment");
        assert_eq!(disposition(Some("\r\n\"")), "attachment");
        assert_eq!(disposition(Some("Setup 1.0+x.msi")), "attachment; filename=\"Setup 1.0+x.msi\"");
        assert_eq!(disposition(Some("a\"; x=\"\\é\r\n.msi")), "attachment; filename=\"a; x=.msi\"");
    }
}
