//! Signature version 4, in Amazon's dialect (HMAC) and in Google's (RSA): one canonical request, two keys.

use std::fmt::{self, Write as _};

use base64::{Engine, engine::general_purpose::STANDARD};
use ring::{hmac, rand::SystemRandom, rsa, signature::RSA_PKCS1_SHA256};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, macros::format_description};

use crate::domain::{external_url::ExternalUrl, secret::Secret};

/// What stands for the digest of a body that is not signed.
const UNSIGNED: &str = "UNSIGNED-PAYLOAD";
/// The header with the digest of a body that is signed, in Google's dialect.
const SIGNED: &str = "x-goog-content-sha256";

/// A key that signs requests.
pub(super) enum Key {
    /// Of Amazon, or of whoever speaks S3.
    Aws { id: String, secret: Secret, session_token: Option<Secret>, region: String, service: &'static str },
    /// Of a service account of Google.
    Google { email: String, key: Box<rsa::KeyPair> },
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

/// The text is no key. What it is is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is no access key.
    #[error(
        "the credentials are to be `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, and `:SESSION_TOKEN` where there is one"
    )]
    AccessKey,
    /// It is no key file of a service account.
    #[error("the credentials are to be the JSON key file of a service account, with a PKCS#8 key of RSA")]
    ServiceAccount,
}

/// The parts of a service account's key file that count.
#[derive(Deserialize)]
struct ServiceAccount {
    client_email: String,
    private_key: String,
}

/// A request that is to be signed.
pub(super) struct Request<'a> {
    pub(super) method: &'a str,
    pub(super) url: &'a ExternalUrl,
    /// Parameters beside those of the URL.
    pub(super) query: &'a [(&'a str, &'a str)],
    /// Headers that are sent and are to be covered; names in lower case.
    pub(super) headers: &'a [(&'a str, &'a str)],
    /// Unix milliseconds.
    pub(super) now: i64,
}

impl Key {
    /// `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, and `:SESSION_TOKEN` where there is one.
    pub(super) fn aws(text: &Secret, region: &str) -> Result<Self, KeyError> {
        let mut parts = text.reveal().splitn(3, ':').map(str::trim);
        let (id, secret) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let session_token = parts.next().map(|token| Secret::new(token.to_owned()));
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain(id) || !plain(secret) || !session_token.as_ref().is_none_or(|token| plain(token.reveal())) {
            return Err(KeyError::AccessKey);
        }
        let secret = Secret::new(secret.to_owned());
        Ok(Self::Aws { id: id.to_owned(), secret, session_token, region: region.to_owned(), service: "s3" })
    }

    /// The key file of a service account, as Google hands it out.
    pub(super) fn google(text: &Secret) -> Result<Self, KeyError> {
        let account: ServiceAccount =
            serde_json::from_str(text.reveal()).map_err(|_| KeyError::ServiceAccount)?;
        let lines = account.private_key.lines().filter(|line| !line.starts_with("-----"));
        let der = STANDARD
            .decode(lines.map(str::trim).collect::<String>())
            .map_err(|_| KeyError::ServiceAccount)?;
        let key = rsa::KeyPair::from_pkcs8(&der).map_err(|_| KeyError::ServiceAccount)?;
        Ok(Self::Google { email: account.client_email, key: Box::new(key) })
    }

    /// The path and query that carry the signature, good for so many seconds; nothing where the time cannot be said.
    pub(super) fn in_query(&self, request: &Request<'_>, seconds: u32) -> Option<String> {
        let unsigned = match self {
            Self::Aws { id, session_token, .. } => {
                let scope = self.scope(&date(request.now)?)?;
                let token = session_token.as_ref().map(|token| ("X-Amz-Security-Token", token.reveal()));
                Unsigned::new(
                    ("X-Amz", "AWS4-HMAC-SHA256"),
                    &format!("{id}/{scope}"),
                    token,
                    request,
                    seconds,
                )?
            }
            Self::Google { email, .. } => Unsigned::google(email, request, seconds)?,
        };
        Some(unsigned.signed(&self.sign(unsigned.text(), &unsigned.date)?))
    }

    /// The path and query in the spelling that was signed, and the headers that carry the signature and cover the body:
    /// Amazon's dialect alone.
    pub(super) fn in_headers(
        &self,
        request: &Request<'_>,
        body: &[u8],
    ) -> Option<(String, Vec<(&'static str, String)>)> {
        let Self::Aws { id, session_token, .. } = self else { return None };
        let algorithm = "AWS4-HMAC-SHA256";
        let date = date(request.now)?;
        let scope = self.scope(&date)?;
        let payload = hex(&Sha256::digest(body));
        let mut sent = vec![("x-amz-content-sha256", payload.clone()), ("x-amz-date", date.clone())];
        if let Some(token) = session_token {
            sent.push(("x-amz-security-token", token.reveal().to_owned()));
        }
        let mut headers = covered(request, request.url.authority());
        headers.extend(sent.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        headers.sort();
        let mut query = query_of(request);
        query.sort();
        let (path, query) = (encode(decode(request.url.path()), true), joined(&query));
        let text = to_sign(request.method, &path, &query, &headers, &payload, algorithm, &date, &scope);
        let signature = hex(&self.sign(&text, &date)?);
        let names = names(&headers);
        let value =
            format!("{algorithm} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}");
        sent.push(("authorization", value));
        Some((if query.is_empty() { path } else { format!("{path}?{query}") }, sent))
    }

    fn scope(&self, date: &str) -> Option<String> {
        Some(match self {
            Self::Aws { region, service, .. } => {
                format!("{}/{region}/{service}/aws4_request", date.get(..8)?)
            }
            Self::Google { .. } => google_scope(date)?,
        })
    }

    fn sign(&self, text: &str, date: &str) -> Option<Vec<u8>> {
        match self {
            Self::Aws { secret, region, service, .. } => {
                let first = format!("AWS4{}", secret.reveal());
                let parts = [date.get(..8)?, region, service, "aws4_request"];
                let key = parts.iter().fold(first.into_bytes(), |key, part| mac(&key, part.as_bytes()));
                Some(mac(&key, text.as_bytes()))
            }
            Self::Google { key, .. } => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).ok()?;
                Some(signature)
            }
        }
    }
}

/// A URL that lacks its signature.
pub(super) struct Unsigned {
    path: String,
    query: String,
    text: String,
    date: String,
    prefix: &'static str,
}

impl Unsigned {
    /// In Google's dialect, for whoever signs as this service account.
    pub(super) fn google(email: &str, request: &Request<'_>, seconds: u32) -> Option<Self> {
        let credential = format!("{email}/{}", google_scope(&date(request.now)?)?);
        Self::new(("X-Goog", "GOOG4-RSA-SHA256"), &credential, None, request, seconds)
    }

    fn new(
        (prefix, algorithm): (&'static str, &str),
        credential: &str,
        more: Option<(&str, &str)>,
        request: &Request<'_>,
        seconds: u32,
    ) -> Option<Self> {
        let date = date(request.now)?;
        let (_, scope) = credential.split_once('/')?;
        // Google's hosts are without their ports in what is signed, Amazon's with them.
        let host = if prefix == "X-Goog" { request.url.host() } else { request.url.authority() };
        let headers = covered(request, host);
        let mut query = query_of(request);
        let mut add = |name: &str, value: &str| query.push((encode(name, false), encode(value, false)));
        add(&format!("{prefix}-Algorithm"), algorithm);
        add(&format!("{prefix}-Credential"), credential);
        add(&format!("{prefix}-Date"), &date);
        add(&format!("{prefix}-Expires"), &seconds.to_string());
        add(&format!("{prefix}-SignedHeaders"), &names(&headers));
        if let Some((name, value)) = more {
            add(name, value);
        }
        query.sort();
        let (path, query) = (encode(decode(request.url.path()), true), joined(&query));
        let payload = headers.iter().find(|(name, _)| name == SIGNED).map_or(UNSIGNED, |(_, value)| value);
        let text = to_sign(request.method, &path, &query, &headers, payload, algorithm, &date, scope);
        Some(Self { path, query, text, date, prefix })
    }

    /// What is to be signed.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The path and query with this signature of the text.
    pub(super) fn signed(&self, signature: &[u8]) -> String {
        let Self { path, query, prefix, .. } = self;
        format!("{path}?{query}&{prefix}-Signature={}", hex(signature))
    }
}

fn google_scope(date: &str) -> Option<String> {
    Some(format!("{}/auto/storage/goog4_request", date.get(..8)?))
}

#[expect(
    clippy::too_many_arguments,
    reason = "they are the lines of the text that is signed, in their order"
)]
fn to_sign(
    method: &str,
    path: &str,
    query: &str,
    headers: &[(String, String)],
    payload: &str,
    algorithm: &str,
    date: &str,
    scope: &str,
) -> String {
    let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    let (lines, names) = (lines.join("\n"), names(headers));
    let canonical = format!("{method}\n{path}\n{query}\n{lines}\n\n{names}\n{payload}");
    format!("{algorithm}\n{date}\n{scope}\n{}", hex(&Sha256::digest(canonical.as_bytes())))
}

/// The headers that are covered, in their order.
fn covered(request: &Request<'_>, host: &str) -> Vec<(String, String)> {
    // Space at the ends does not count, and within as one space.
    let plain = |value: &str| value.split_whitespace().collect::<Vec<_>>().join(" ");
    let own = request.headers.iter().map(|(name, value)| ((*name).to_owned(), plain(value)));
    let mut headers: Vec<_> = own.collect();
    headers.push(("host".into(), host.to_owned()));
    headers.sort();
    headers
}

fn names(headers: &[(String, String)]) -> String {
    headers.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(";")
}

/// The parameters of the URL and those beside them, each encoded in the one way that is signed.
fn query_of(request: &Request<'_>) -> Vec<(String, String)> {
    let raw = request.url.path_and_query().split_once('?').map_or("", |(_, query)| query);
    let own = raw.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let read = |text: &str| encode(decode(&text.replace('+', " ")), false);
        (read(name), read(value))
    });
    let more = request.query.iter().map(|(name, value)| (encode(name, false), encode(value, false)));
    own.chain(more).collect()
}

fn joined(query: &[(String, String)]) -> String {
    query.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

fn date(now: i64) -> Option<String> {
    let time = OffsetDateTime::from_unix_timestamp(now.div_euclid(1000)).ok()?;
    time.format(format_description!("[year][month][day]T[hour][minute][second]Z")).ok()
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Encodes everything but unreserved characters, and slashes where they are kept.
fn encode(text: impl AsRef<[u8]>, slashes: bool) -> String {
    text.as_ref().iter().fold(String::new(), |mut out, byte| {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        if plain || (slashes && *byte == b'/') {
            out.push(char::from(*byte));
        } else {
            // Writing into a string does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

/// Undoes the encoding of a URL; what is no escape stays.
fn decode(text: &str) -> Vec<u8> {
    let mut pieces = text.split('%');
    let mut out = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let (escape, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        match u8::from_str_radix(escape, 16) {
            Ok(byte) if escape.len() == 2 && !escape.starts_with('+') => out.push(byte),
            Ok(_) | Err(_) => {
                out.push(b'%');
                out.extend_from_slice(escape.as_bytes());
            }
        }
        out.extend_from_slice(rest.as_bytes());
    }
    out
}

#[cfg(test)]
mod tests;
