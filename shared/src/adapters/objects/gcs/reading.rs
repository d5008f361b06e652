//! Reading one generation, with Google's own library: it goes on by itself where a connection breaks, and compares what
//! was read whole with the store's CRC32C.

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use google_cloud_storage::{model_ext::ReadRange, read_object::ReadObjectResponse};
use tokio::time::timeout;

use super::{GcsObjects, unavailable};
use crate::{
    domain::upload::ObjectKey,
    ports::{large_objects::Bytestream, objects::ObjectError},
};

/// How long the store may be silent, tries of the library included.
const SILENCE: Duration = Duration::from_secs(60);
/// The longest chunk, in bytes.
const LONGEST: usize = 1 << 20;

impl GcsObjects {
    pub(super) async fn bytes(
        &self,
        key: ObjectKey,
        version: Option<&str>,
        from: u64,
    ) -> Result<Bytestream, ObjectError> {
        let bucket = format!("projects/_/buckets/{}", self.bucket);
        let mut request = self.storage.read_object(bucket, key.to_string());
        if let Some(version) = version {
            request = request.set_generation(version.parse::<i64>().map_err(unavailable)?);
        }
        if from > 0 {
            request = request.set_read_range(ReadRange::offset(from));
        }
        let opened = timeout(SILENCE, request.send()).await.map_err(unavailable)?;
        match opened {
            Ok(response) => Ok(chunks(response)),
            Err(error) => match error.http_status_code() {
                Some(404) => Err(ObjectError::NotFound(key)),
                // There is nothing after the last byte.
                Some(416) => Ok(stream::empty().boxed()),
                _ => Err(unavailable(error)),
            },
        }
    }
}

/// The bytes as they come, in chunks of bounded size.
fn chunks(response: ReadObjectResponse) -> Bytestream {
    let next = |(mut response, mut rest): (ReadObjectResponse, Bytes)| async move {
        while rest.is_empty() {
            rest = match timeout(SILENCE, response.next()).await {
                Err(_) => return Some((Err(io::ErrorKind::TimedOut.into()), (response, Bytes::new()))),
                Ok(None) => return None,
                Ok(Some(Err(error))) => {
                    return Some((Err(io::Error::other(error)), (response, Bytes::new())));
                }
                Ok(Some(Ok(bytes))) => bytes,
            };
        }
        let piece = rest.split_to(rest.len().min(LONGEST));
        Some((Ok(piece), (response, rest)))
    };
    stream::unfold((response, Bytes::new()), next).boxed()
}
