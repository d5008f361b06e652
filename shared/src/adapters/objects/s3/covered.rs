//! Does the signature of a URL cover what the URL is handed out for? Read from the URL itself, not from what was meant.

use std::collections::{BTreeMap, BTreeSet};

use url::Url;

use crate::domain::upload::ObjectKey;

/// The signature does not cover this, or covers what no client was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a URL was not handed out: its signature does not hold for `{0}`")]
pub(super) struct Uncovered(String);

/// What a URL promises.
#[derive(Debug, Clone)]
pub(super) struct Promises {
    method: &'static str,
    key: ObjectKey,
    headers: BTreeMap<&'static str, String>,
    query: BTreeMap<&'static str, String>,
}

impl Promises {
    /// One method on one key, for so many seconds.
    pub(super) fn of(method: &'static str, key: ObjectKey, seconds: u64) -> Self {
        let query =
            [("X-Amz-Algorithm", "AWS4-HMAC-SHA256".to_owned()), ("X-Amz-Expires", seconds.to_string())];
        Self { method, key, headers: BTreeMap::new(), query: query.into() }
    }

    /// The request must have this header with this value.
    pub(super) fn header(&mut self, name: &'static str, value: String) -> &mut Self {
        self.headers.insert(name, value);
        self
    }

    /// The query, which is signed as a whole, has this parameter with this value.
    pub(super) fn query(&mut self, name: &'static str, value: &str) -> &mut Self {
        self.query.insert(name, value.to_owned());
        self
    }

    /// Holds a signed URL, and the headers it was signed with, to this.
    ///
    /// # Errors
    /// [`Uncovered`]: the first thing that does not hold.
    pub(super) fn check<'a>(
        &self,
        method: &str,
        url: &str,
        signed_with: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), Uncovered> {
        let url = Url::parse(url).map_err(|_| Uncovered("URL".to_owned()))?;
        holds(method == self.method, "method")?;
        holds(url.path().ends_with(&format!("/{}", self.key)), "key")?;
        let found = query_of(&url)?;
        for (name, value) in &self.query {
            holds(found.get(*name) == Some(value), name)?;
        }
        let signature = found.get("X-Amz-Signature").is_some_and(|text| is_signature(text));
        holds(signature, "X-Amz-Signature")?;
        self.check_headers(found.get("X-Amz-SignedHeaders"), signed_with)
    }

    /// Exactly the promised headers and `host` are signed: with fewer a promise is void, with more no client gets in.
    fn check_headers<'a>(
        &self,
        listed: Option<&String>,
        signed_with: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<(), Uncovered> {
        let listed: BTreeSet<&str> = listed.map(|list| list.split(';').collect()).unwrap_or_default();
        let promised: BTreeSet<&str> = self.headers.keys().copied().chain(["host"]).collect();
        if let Some(name) = promised.symmetric_difference(&listed).next() {
            return Err(Uncovered((*name).to_owned()));
        }
        let sent: BTreeMap<String, &str> =
            signed_with.map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        for (name, value) in &self.headers {
            holds(sent.get(*name) == Some(&value.as_str()), name)?;
        }
        Ok(())
    }
}

fn holds(holds: bool, what: &str) -> Result<(), Uncovered> {
    if holds { Ok(()) } else { Err(Uncovered(what.to_owned())) }
}

fn is_signature(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// The parameters of the query, none of them twice.
fn query_of(url: &Url) -> Result<BTreeMap<String, String>, Uncovered> {
    let mut query = BTreeMap::new();
    for (name, value) in url.query_pairs() {
        if let Some(twice) = query.insert(name.clone().into_owned(), value.into_owned()) {
            return Err(Uncovered(format!("{name}={twice}")));
        }
    }
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::UploadId;

    const HEADERS: [(&str, &str); 3] = [("Content-Length", "5"), ("content-type", "text/plain"), ("x", "y")];

    fn promises() -> Promises {
        let mut promises = Promises::of("PUT", ObjectKey::Staging(UploadId::from_parts(1, 2)), 60);
        promises
            .header("content-length", "5".to_owned())
            .header("content-type", "text/plain".to_owned())
            .query("If-None-Match", "*");
        promises
    }

    fn url() -> String {
        let (key, signature) = (ObjectKey::Staging(UploadId::from_parts(1, 2)), "0a".repeat(32));
        format!(
            "http://127.0.0.1/bucket/{key}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=60\
             &X-Amz-SignedHeaders=content-length%3Bcontent-type%3Bhost&If-None-Match=%2A\
             &X-Amz-Signature={signature}"
        )
    }

    #[track_caller]
    fn refused(url: &str) -> String {
        promises().check("PUT", url, HEADERS.into_iter()).unwrap_err().0
    }

    #[test]
    fn what_covers_everything_is_handed_out() {
        assert_eq!(promises().check("PUT", &url(), HEADERS.into_iter()), Ok(()));
    }

    #[test]
    fn each_missing_promise_is_named() {
        for (from, to, named) in [
            ("&If-None-Match=%2A", "", "If-None-Match"),
            ("If-None-Match=%2A", "If-None-Match=x", "If-None-Match"),
            ("content-length%3B", "", "content-length"),
            ("content-type%3B", "", "content-type"),
            ("%3Bhost", "", "host"),
            ("%3Bhost", "%3Bhost%3Bx-amz-sdk-checksum-algorithm", "x-amz-sdk-checksum-algorithm"),
            ("Expires=60", "Expires=61", "X-Amz-Expires"),
            ("Signature=0a", "Signature=0g", "X-Amz-Signature"),
            ("AWS4-HMAC", "AWS5-HMAC", "X-Amz-Algorithm"),
            ("/staging/", "/objects/", "key"),
            ("&If-None-Match=%2A", "&If-None-Match=%2A&If-None-Match=%2A", "If-None-Match=*"),
            ("http://", "", "URL"),
        ] {
            let changed = url().replace(from, to);
            assert_ne!(changed, url(), "{from}");
            assert_eq!(refused(&changed), named, "{from} -> {to}");
        }
    }

    #[test]
    fn a_header_that_was_signed_with_another_value_is_named() {
        let headers = [("content-length", "6"), ("content-type", "text/plain")];
        let refusal = promises().check("PUT", &url(), headers.into_iter()).unwrap_err();
        assert_eq!(refusal, Uncovered("content-length".to_owned()));
        let refusal = promises().check("GET", &url(), HEADERS.into_iter()).unwrap_err();
        assert_eq!(refusal, Uncovered("method".to_owned()));
    }
}
