//! Reading JSON bodies strictly: of the right media type and size, no duplicate and no unknown members.

use std::{fmt, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::{FromRequest, Request},
    http::{HeaderMap, StatusCode, header},
};
use bytes::BytesMut;
use futures_util::StreamExt;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use super::error::ApiError;

/// The largest JSON body, in bytes.
pub const MAX_BODY: usize = 1024 * 1024;
/// How much of a larger body is read before the answer, in bytes.
const MAX_DRAINED: usize = 16 * 1024 * 1024;
/// How long the whole of a JSON body may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A body, read whole and not yet understood: the idempotency of a request depends on its bytes.
#[derive(Debug, Clone)]
pub struct JsonBytes(pub Bytes);

impl<S: Send + Sync> FromRequest<S> for JsonBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = read_by(DEADLINE, &parts.headers, body).await?;
        if bytes.is_empty() {
            return Err(ApiError::bad_request("a JSON body is needed"));
        }
        check_media_type(&parts.headers)?;
        Ok(Self(bytes))
    }
}

/// A body that may be left out.
#[derive(Debug, Clone)]
pub struct OptionalJsonBytes(pub Option<Bytes>);

impl<S: Send + Sync> FromRequest<S> for OptionalJsonBytes {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = read_by(DEADLINE, &parts.headers, body).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        check_media_type(&parts.headers)?;
        Ok(Self(Some(bytes)))
    }
}

async fn read_by(deadline: Duration, headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let late = || ApiError::bad_request(format!("the body did not arrive in {} seconds", deadline.as_secs()));
    tokio::time::timeout(deadline, read(headers, body)).await.map_err(|_| late())?
}

async fn read(headers: &HeaderMap, body: Body) -> Result<Bytes, ApiError> {
    let too_large =
        || ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", "a JSON body has at most 1 MiB");
    let declared =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let mut stream = body.into_data_stream();
    let mut kept = BytesMut::new();
    let mut total = 0_usize;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| ApiError::bad_request("the body ended early"))?;
        total = total.saturating_add(chunk.len());
        // A caller in the middle of sending hears no answer, so a little more than is allowed is read and dropped.
        if total > MAX_DRAINED {
            return Err(too_large());
        }
        if total <= MAX_BODY {
            kept.extend_from_slice(&chunk);
        }
    }
    if total > MAX_BODY || declared.is_some_and(|length| length > MAX_BODY) {
        return Err(too_large());
    }
    Ok(kept.freeze())
}

fn check_media_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = media.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let message = "the body is to be JSON: send `Content-Type: application/json`";
    Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", message))
}

/// Reads a body as a value of a type whose members are all known.
///
/// # Errors
/// 400 for what is no JSON, has duplicate, unknown or missing members, or members of another type.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiError> {
    value(bytes)?;
    // serde would read an array as the members of a type in their order.
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
        return Err(ApiError::bad_request("the body is to be an object"));
    }
    serde_json::from_slice(bytes).map_err(|error| ApiError::bad_request(readable(&error)))
}

/// Reads a body as any JSON that names no member of an object twice.
///
/// # Errors
/// 400.
pub fn value(bytes: &[u8]) -> Result<Value, ApiError> {
    serde_json::from_slice::<Distinct>(bytes)
        .map(|Distinct(value)| value)
        .map_err(|error| ApiError::bad_request(readable(&error)))
}

/// serde's sentence, in the words of JSON and without the names of Rust's types.
fn readable(error: &serde_json::Error) -> String {
    let text = error.to_string();
    for (rust, json) in [
        ("invalid type: unit value", "invalid type: null"),
        ("invalid type: map", "invalid type: object"),
        ("invalid type: sequence", "invalid type: array"),
        (", expected i64", ", expected an integer"),
        (", expected struct ", ", expected the object "),
    ] {
        if text.contains(rust) {
            return format!("the body cannot be read: {}", text.replace(rust, json));
        }
    }
    format!("the body cannot be read: {text}")
}

/// Any JSON without duplicate members.
struct Distinct(Value);

impl<'de> Deserialize<'de> for Distinct {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DistinctVisitor).map(Self)
    }
}

struct DistinctVisitor;

impl<'de> Visitor<'de> for DistinctVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(Distinct(item)) = items.next_element()? {
            read.push(item);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if read.contains_key(&name) {
                return Err(A::Error::custom(format!("duplicate field `{name}`")));
            }
            let Distinct(value) = members.next_value()?;
            read.insert(name, value);
        }
        Ok(Value::Object(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_body_that_does_not_arrive_is_not_waited_for() {
        let first = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"{"))]);
        let body = Body::from_stream(first.chain(futures_util::stream::pending()));
        let late = read_by(Duration::from_millis(20), &HeaderMap::new(), body).await.unwrap_err();
        assert_eq!((late.status, late.code), (StatusCode::BAD_REQUEST, "BAD_REQUEST"));
        assert!(late.message.contains("did not arrive"), "{}", late.message);
        let whole = read_by(DEADLINE, &HeaderMap::new(), Body::from("{}")).await.unwrap();
        assert_eq!(whole, "{}");
    }

    #[test]
    fn duplicate_members_are_refused_at_every_level_however_they_are_spelled() {
        for text in [r#"{"a":1,"a":2}"#, r#"{"x":[{"a":1,"b":{},"a":2}]}"#, r#"{"a":1,"\u0061":2}"#] {
            assert!(value(text.as_bytes()).unwrap_err().message.contains("duplicate"), "{text}");
        }
        let text = r#"{"a":{"a":1},"b":[1,-1,1.5,null,true,"x",18446744073709551615]}"#;
        assert_eq!(value(text.as_bytes()).unwrap(), serde_json::from_str::<Value>(text).unwrap());
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["", "{", "nul", "{}x", "\u{feff}{}"] {
            assert_eq!(value(text.as_bytes()).unwrap_err().code, "BAD_REQUEST", "{text}");
        }
        let deep = "[".repeat(100_000);
        assert_eq!(value(deep.as_bytes()).unwrap_err().code, "BAD_REQUEST");
    }
}
