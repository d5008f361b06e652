//! The receiving side of a store that has no server of its own: `PUT /v1/objects/{key}` with a signed query.

use std::{io, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{FromRef, Path, RawQuery, State},
    http::{HeaderMap, StatusCode, header},
    routing::put,
};
use bytes::Bytes;
use futures_util::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use tokio::time::timeout;

use super::{error::ApiError, text};
use crate::{
    app::context::Context,
    domain::upload::ObjectKey,
    ports::objects::{Receiver, SignedPut},
};

/// How long a sender may be silent.
const SILENCE: Duration = Duration::from_secs(60);

/// What this route needs.
#[derive(Debug, Clone)]
pub struct Ports {
    /// What every use case is given.
    pub context: Context,
    /// Who takes the bytes.
    pub receiver: Arc<dyn Receiver>,
}

impl FromRef<Ports> for Context {
    fn from_ref(ports: &Ports) -> Self {
        ports.context.clone()
    }
}

/// The route, for hosts that serve such a store.
pub fn router(ports: Ports) -> Router {
    Router::new().route("/v1/objects/{*key}", put(receive)).with_state(ports)
}

async fn receive(
    State(ports): State<Ports>,
    Path(key): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let key: ObjectKey = text::read_path(&key)?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let put = SignedPut {
        key,
        query: query.as_deref().unwrap_or_default(),
        content_length: text(header::CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok()),
        content_type: text(header::CONTENT_TYPE.as_str()),
        checksum: text("x-amz-checksum-sha256"),
        now: ports.context.clock.now_ms(),
    };
    let body = unless_silent(body.into_data_stream().map_err(io::Error::other), SILENCE);
    ports.receiver.receive(put, body).await?;
    Ok(StatusCode::OK)
}

/// The pieces of a body; where the next does not come in time, an error and the end.
fn unless_silent(
    pieces: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    silence: Duration,
) -> BoxStream<'static, io::Result<Bytes>> {
    let pieces = Box::pin(pieces);
    stream::unfold(Some(pieces), move |pieces| async move {
        let mut pieces = pieces?;
        match timeout(silence, pieces.next()).await {
            Ok(piece) => piece.map(|piece| (piece, Some(pieces))),
            Err(_) => Some((Err(io::ErrorKind::TimedOut.into()), None)),
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        adapters::objects::{memory::MemoryObjects, signed_url::UrlKey},
        domain::{digest::Sha256, ids::UploadId},
        ports::objects::{Objects, ReceiveError, UploadGrant},
    };

    fn sent() -> stream::Iter<std::vec::IntoIter<io::Result<Bytes>>> {
        stream::iter(vec![Ok(Bytes::from_static(b"fif")), Ok(Bytes::from_static(b"teen"))])
    }

    #[tokio::test]
    async fn a_body_that_keeps_coming_is_handed_on_whole() {
        let whole: Vec<_> = unless_silent(sent(), SILENCE).try_collect().await.unwrap();
        assert_eq!(whole, ["fif", "teen"]);
    }

    #[tokio::test]
    async fn a_silent_sender_is_given_up_and_nothing_is_kept() {
        let objects = MemoryObjects::new("https://updates.example.com", UrlKey::from_bytes(&[7; 32]));
        let upload_id = UploadId::from_parts(1, 1);
        let grant = UploadGrant {
            upload_id,
            size_bytes: 15,
            sha256: Sha256::from_bytes([0; 32]),
            content_type: None,
            now: 0,
            expires_in: Duration::from_secs(60),
        };
        let doors = objects.presign_upload(&grant).await.unwrap();
        let (_, query) = doors.upload_url.split_once('?').unwrap();
        let put = SignedPut {
            key: ObjectKey::Staging(upload_id),
            query,
            content_length: Some(15),
            content_type: None,
            checksum: None,
            now: 0,
        };
        let body = unless_silent(sent().chain(stream::pending()), Duration::from_millis(20));
        let given_up = timeout(Duration::from_secs(10), objects.receive(put, body)).await.unwrap();
        assert!(matches!(given_up, Err(ReceiveError::Interrupted)), "{given_up:?}");
        assert!(objects.stat(&ObjectKey::Staging(upload_id)).await.is_err());
    }
}
