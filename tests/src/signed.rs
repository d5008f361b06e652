//! Whether a request to a bucket is signed as Amazon asks: version 4, in its headers or in its query. Written after what
//! Amazon has published, apart from the service, whose signatures it is to judge.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};
use time::{PrimitiveDateTime, macros::format_description};

use crate::{
    bucket::{hmac, now},
    bytes::hex,
};

/// The id of the key that buckets of tests take.
pub(crate) const KEY_ID: &str = "AKIDEXAMPLE";

fn decoded(text: &str) -> String {
    text.replace("%2F", "/").replace("%3B", ";")
}

/// What a signature says of itself.
struct Claim {
    credential: String,
    headers: String,
    signature: String,
    date: String,
    payload: String,
    /// The query without the signature.
    query: String,
    /// How many seconds it is good for.
    good_for: i64,
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

fn in_query(query: &str) -> Option<Claim> {
    let value = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(found, _)| *found == name).map(|(_, value)| decoded(value))
    };
    let mut pairs: Vec<&str> =
        query.split('&').filter(|pair| !pair.starts_with("X-Amz-Signature=")).collect();
    pairs.sort_unstable();
    Some(Claim {
        credential: value("X-Amz-Credential")?,
        headers: value("X-Amz-SignedHeaders")?,
        signature: value("X-Amz-Signature")?,
        date: value("X-Amz-Date")?,
        payload: "UNSIGNED-PAYLOAD".into(),
        query: pairs.join("&"),
        good_for: value("X-Amz-Expires")?.parse().ok()?,
    })
}

fn in_headers(head: &str, query: &str) -> Option<Claim> {
    let said = header(head, "authorization")?.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let value = |name: &str| {
        let mut pairs = said.split(',').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(found, _)| *found == name).map(|(_, value)| value.to_owned())
    };
    Some(Claim {
        credential: value("Credential")?,
        headers: value("SignedHeaders")?,
        signature: value("Signature")?,
        date: header(head, "x-amz-date")?.to_owned(),
        payload: header(head, "x-amz-content-sha256")?.to_owned(),
        query: query.to_owned(),
        good_for: 900,
    })
}

/// Whether whoever sent this head has the secret of [`KEY_ID`], and signed it for now.
pub(crate) fn is_signed(head: &str, secret: &str) -> bool {
    verdict(head, secret).unwrap_or(false)
}

fn verdict(head: &str, secret: &str) -> Option<bool> {
    let mut words = head.split_whitespace();
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let claim = in_query(query).or_else(|| in_headers(head, query))?;
    let (id, scope) = claim.credential.split_once('/')?;
    let [day, region, service, "aws4_request"] = scope.split('/').collect::<Vec<_>>()[..] else {
        return None;
    };
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    let date = PrimitiveDateTime::parse(&claim.date, format).ok()?.assume_utc();
    let age = (now() - date).whole_seconds();
    if id != KEY_ID
        || service != "s3"
        || !claim.date.starts_with(day)
        || !(-60..claim.good_for).contains(&age)
    {
        return Some(false);
    }
    let names: Vec<&str> = claim.headers.split(';').collect();
    // What is not signed says nothing.
    if !names.contains(&"host") {
        return Some(false);
    }
    let mut lines = String::new();
    for name in &names {
        writeln!(lines, "{name}:{}", header(head, name)?.trim()).expect("text");
    }
    let canonical =
        format!("{method}\n{path}\n{}\n{lines}\n{}\n{}", claim.query, claim.headers, claim.payload);
    let text =
        format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", claim.date, hex(&Sha256::digest(canonical.as_bytes())));
    let mut key = hmac(format!("AWS4{secret}").as_bytes(), day);
    for part in [region, service, "aws4_request"] {
        key = hmac(&key, part);
    }
    Some(hex(&hmac(&key, &text)) == claim.signature)
}

#[cfg(test)]
mod tests {
    use super::{hmac, is_signed};
    use crate::bytes::hex;

    #[test]
    fn it_computes_what_the_vectors_of_rfc_4231_say() {
        let found = hmac(b"Jefe", "what do ya want for nothing?");
        assert_eq!(hex(&found), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    #[test]
    fn nothing_and_anything_are_no_signatures() {
        for head in [
            "GET /a HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /a?X-Amz-Signature=00 HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: h\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/x\r\n\r\n",
        ] {
            assert!(!is_signed(head, "s3cret"), "{head}");
        }
    }
}
