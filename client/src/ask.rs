//! Asking for decisions and for the keyset.

use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Deserialize;

use crate::retry::retry_after_seconds;
use crate::{Client, ClientError, Question};

/// More than the longest answer: 20 tokens of 64 KiB with their mirrors.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;
/// More than any keyset.
const MAX_KEYSET_BYTES: usize = 1024 * 1024;
/// As much of a refusal as is worth reading.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;

/// Signed decisions, not verified yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// One token (JWS compact) for each product of the question, in its order.
    pub tokens: Vec<String>,
}

#[derive(Deserialize)]
struct Decisions {
    decisions: Vec<Signed>,
}

/// The mirror beside the signature is for people: it is not even read.
#[derive(Deserialize)]
struct Signed {
    signature: String,
}

#[derive(Default, Deserialize)]
struct Refusal {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    request_id: Option<String>,
}

impl Client {
    /// Asks for decisions; verify each token before believing a word of it.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], [`ClientError::Refused`], or [`ClientError::NotUnderstood`] where the answer is
    /// empty, too long, or has not one token for each product. No error means "no update".
    pub async fn ask(&self, question: &Question) -> Result<Answer, ClientError> {
        let url = format!("{}/v1/decision", self.base_url);
        let body = self.read(&url, self.http.post(&url).json(question), MAX_ANSWER_BYTES).await?;
        let not_understood = |what: String| ClientError::NotUnderstood { url: url.clone(), what };
        let answer: Decisions =
            serde_json::from_slice(&body).map_err(|error| not_understood(error.to_string()))?;
        let (asked, answered) = (question.products.len(), answer.decisions.len());
        if asked != answered {
            return Err(not_understood(format!("{answered} decisions for {asked} questions")));
        }
        Ok(Answer { tokens: answer.decisions.into_iter().map(|signed| signed.signature).collect() })
    }

    /// The keyset as the deployment serves it now, as bytes for [`decision::keyset::Keyset::parse`].
    ///
    /// A keyset from the network proves what TLS proves and nothing more. An updater pins its keyset; this is for
    /// people and tools that look.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], [`ClientError::Refused`], or [`ClientError::NotUnderstood`] where it is too long.
    pub async fn unpinned_keyset(&self) -> Result<Vec<u8>, ClientError> {
        let url = format!("{}/v1/keyset", self.base_url);
        self.read(&url, self.http.get(&url), MAX_KEYSET_BYTES).await
    }

    /// The signed keyset of this version as bytes for [`decision::root::Walk::step`]; nothing where there is none.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], [`ClientError::Refused`], or [`ClientError::NotUnderstood`] where it is too long.
    pub async fn signed_keyset(&self, version: u64) -> Result<Option<Vec<u8>>, ClientError> {
        let url = format!("{}/v1/keyset/{version}.keyset", self.base_url);
        match self.read(&url, self.http.get(&url), MAX_KEYSET_BYTES).await {
            Ok(file) => Ok(Some(file)),
            Err(ClientError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The whole body of a good answer, at most `most` bytes.
    async fn read(&self, url: &str, request: RequestBuilder, most: usize) -> Result<Vec<u8>, ClientError> {
        let request = request.timeout(self.answer_within);
        let mut response =
            self.authorized(url, request).send().await.map_err(|source| unreachable(url, source))?;
        if response.status() != StatusCode::OK {
            return Err(refused(url, &mut response).await);
        }
        let body = body(url, &mut response, most).await?;
        if body.is_empty() {
            return Err(ClientError::NotUnderstood { url: url.to_owned(), what: "it is empty".to_owned() });
        }
        Ok(body)
    }
}

async fn body(url: &str, response: &mut Response, most: usize) -> Result<Vec<u8>, ClientError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|source| unreachable(url, source))? {
        if body.len().saturating_add(chunk.len()) > most {
            let what = format!("it has more than {most} bytes");
            return Err(ClientError::NotUnderstood { url: url.to_owned(), what });
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The error that an answer other than a good one stands for.
pub(crate) async fn refused(url: &str, response: &mut Response) -> ClientError {
    let status = response.status().as_u16();
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after_seconds = retry_after_seconds(response.headers());
    let logged_as = header("x-request-id").map(str::to_owned);
    let said = body(url, response, MAX_REFUSAL_BYTES).await.unwrap_or_default();
    let Refusal { code, message, request_id } = serde_json::from_slice(&said).unwrap_or_default();
    let request_id = request_id.or(logged_as);
    ClientError::Refused { url: url.to_owned(), status, code, message, request_id, retry_after_seconds }
}

/// Wraps a transport error; its own text would show the whole URL, signature and all.
pub(crate) fn unreachable(url: &str, source: reqwest::Error) -> ClientError {
    ClientError::Unreachable { url: url.to_owned(), source: source.without_url() }
}
