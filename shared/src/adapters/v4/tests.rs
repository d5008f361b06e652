//! Signatures against what Google and Amazon have published.

use serde_json::Value;
use time::format_description::well_known::Rfc3339;

use super::*;
use crate::domain::external_url::UrlRules;

fn url(text: &str) -> ExternalUrl {
    ExternalUrl::parse(text, &UrlRules::widest().plain_http(true)).unwrap()
}

/// The key of Amazon's published examples.
fn amazon() -> Key {
    let text = "AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
    Key::aws(&Secret::new(text.into()), "us-east-1").unwrap()
}

const EXAMPLE: &str = "https://examplebucket.s3.amazonaws.com/test.txt";
/// 2013-05-24T00:00:00Z, the time of Amazon's examples.
const THEN: i64 = 1_369_353_600_000;

/// The parameters of a URL, and the signature apart from them.
fn parts(url: &str) -> (Vec<String>, String) {
    let (path, query) = url.split_once('?').unwrap();
    let (mut rest, mut signature) = (vec![path.to_owned()], String::new());
    for pair in query.split('&') {
        match pair.split_once("-Signature=") {
            Some((_, found)) => signature = found.to_owned(),
            None => rest.push(pair.to_owned()),
        }
    }
    rest.sort();
    (rest, signature)
}

#[test]
fn every_case_of_googles_conformance_vectors_gets_its_url() {
    let file: Value = serde_json::from_str(include_str!("google.json")).unwrap();
    let key = Key::google(&Secret::new(file["account"].to_string())).unwrap();
    let cases = file["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 29);
    for case in cases {
        // The port of the scheme is not written out here.
        let expected = case["expectedUrl"].as_str().unwrap().replace(":443/", "/");
        let bare = url(expected.split_once('?').unwrap().0);
        let query = case["query"].as_object().unwrap();
        let query: Vec<_> =
            query.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
        let at = OffsetDateTime::parse(case["timestamp"].as_str().unwrap(), &Rfc3339).unwrap();
        let now = at.unix_timestamp() * 1000;
        let headers = case["headers"].as_object().into_iter().flatten();
        let headers: Vec<_> =
            headers.map(|(name, value)| (name.to_ascii_lowercase(), value.as_str().unwrap())).collect();
        let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        let method = case["method"].as_str().unwrap_or("GET");
        let request = Request { method, url: &bare, query: &query, headers: &headers, now };
        let seconds = u32::try_from(case["expiration"].as_u64().unwrap()).unwrap();
        let signed = key.in_query(&request, seconds).unwrap();
        let signed = format!("{}://{}{signed}", bare.scheme(), bare.authority());
        assert_eq!(parts(&signed), parts(&expected), "{}", case["description"]);
    }
}

#[test]
fn amazons_example_of_a_presigned_url_gets_its_signature() {
    let request = Request { method: "GET", url: &url(EXAMPLE), query: &[], headers: &[], now: THEN };
    let signed = amazon().in_query(&request, 86_400).unwrap();
    assert!(
        signed.ends_with("&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"),
        "{signed}"
    );
    assert!(signed.starts_with("/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&"));
}

#[test]
fn amazons_example_of_a_signed_header_gets_its_signature() {
    let headers = [("range", "bytes=0-9")];
    let request = Request { method: "GET", url: &url(EXAMPLE), query: &[], headers: &headers, now: THEN };
    let (target, headers) = amazon().in_headers(&request, b"").unwrap();
    assert_eq!(target, "/test.txt");
    let (_, authorization) = headers.iter().find(|(name, _)| *name == "authorization").unwrap();
    assert_eq!(
        authorization,
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, \
         SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, \
         Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    );
}

#[test]
fn amazons_example_with_parameters_gets_its_signature() {
    let listed = url("https://examplebucket.s3.amazonaws.com/?prefix=J&max-keys=2");
    let request = Request { method: "GET", url: &listed, query: &[], headers: &[], now: THEN };
    let (target, headers) = amazon().in_headers(&request, b"").unwrap();
    assert_eq!(target, "/?max-keys=2&prefix=J");
    let (_, authorization) = headers.iter().find(|(name, _)| *name == "authorization").unwrap();
    assert!(
        authorization.ends_with("34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7"),
        "{authorization}"
    );
}

#[test]
fn the_token_of_a_session_is_covered_and_no_secret_is_printed() {
    let key = Key::aws(&Secret::new("AKID:secret:a-session".into()), "eu-central-1").unwrap();
    let request = Request { method: "HEAD", url: &url(EXAMPLE), query: &[], headers: &[], now: THEN };
    let (_, headers) = key.in_headers(&request, b"").unwrap();
    assert!(headers.contains(&("x-amz-security-token", "a-session".into())));
    assert!(headers.iter().any(|(_, value)| value.contains(";x-amz-security-token, ")), "{headers:?}");
    assert!(key.in_query(&request, 60).unwrap().contains("X-Amz-Security-Token=a-session"));
    assert_eq!(format!("{key:?}"), "Key(…)");
}

#[test]
fn what_is_no_key_is_refused_without_being_repeated() {
    for text in ["", "AKID", "AKID:", ":secret", "AKID:sec ret", "AKID:secret:"] {
        assert_eq!(Key::aws(&Secret::new(text.into()), "x").unwrap_err(), KeyError::AccessKey, "{text}");
    }
    for text in ["", "{}", r#"{"client_email":"a@b","private_key":"AAAA"}"#] {
        let error = Key::google(&Secret::new(text.into())).unwrap_err();
        assert_eq!(error, KeyError::ServiceAccount, "{text}");
    }
}

#[test]
fn a_path_is_signed_in_one_spelling_however_it_was_written() {
    let signed = |text: &str| {
        let request = Request { method: "GET", url: &url(text), query: &[], headers: &[], now: THEN };
        amazon().in_query(&request, 60).unwrap()
    };
    let plain = signed("https://b.example.com/a/(b)+c~d.msi");
    assert!(plain.starts_with("/a/%28b%29%2Bc~d.msi?"), "{plain}");
    assert_eq!(plain, signed("https://b.example.com/a/%28b%29%2Bc%7Ed.msi"));
}
