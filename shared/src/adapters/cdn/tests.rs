//! What `CloudFront` would find in an address.

use std::sync::atomic::{AtomicU64, Ordering};

use decision::{der::der_to_fixed, pem::to_pem, sign::LocalKey};

use super::*;
use crate::ports::secrets::SecretUnreadable;

const NOW: i64 = 1_767_290_100_500;
const BASE: &str = "https://d111111abcdef8.cloudfront.net";

fn fresh(alg: Alg) -> (Secret, LocalKey) {
    let der = LocalKey::generate(alg).unwrap();
    (Secret::new(to_pem(&der)), LocalKey::from_pkcs8_der(&der).unwrap())
}

fn staged() -> ObjectKey {
    ObjectKey::Copied("upl_01jd9xqfhem4t8r0c5b7n3k1fz".parse().unwrap())
}

/// The address that is asked for, what `CloudFront` takes for itself, and whether the signature is good for it.
fn judged(url: &str, key: &LocalKey) -> (String, i64, bool) {
    let (rest, tail) = url.split_once("Expires=").unwrap();
    let asked = rest.trim_end_matches(['?', '&']).to_owned();
    let members: Vec<&str> = tail.split('&').collect();
    let [ends, signature, id, hash] = members[..] else { panic!("{url}") };
    assert_eq!((id, hash), ("Key-Pair-Id=K2JCJMDEHXQW5F", "Hash-Algorithm=SHA256"));
    let signature = signature.strip_prefix("Signature=").unwrap();
    let signature = signature.replace('-', "+").replace('_', "=").replace('~', "/");
    let signature = der_to_fixed(&STANDARD.decode(signature).unwrap()).unwrap();
    let ends = ends.parse().unwrap();
    let good = key.public().verify(policy(&asked, ends).as_bytes(), &signature).is_ok();
    (asked, ends, good)
}

#[tokio::test]
async fn an_address_is_signed_with_its_version_for_five_minutes() {
    let (text, key) = fresh(Alg::Es256);
    let cdn = CloudFront::new(BASE.into(), "K2JCJMDEHXQW5F".into(), CdnKey::given(&text).unwrap());
    for (version, query) in
        [(None, ""), (Some("3.a_b-C"), "?versionId=3.a_b-C"), (Some("a/b+c"), "?versionId=a%2Fb%2Bc")]
    {
        let url = cdn.url(&staged(), version, NOW).await.unwrap();
        let asked = format!("{BASE}/objects/upl_01jd9xqfhem4t8r0c5b7n3k1fz/copy{query}");
        assert_eq!(judged(&url, &key), (asked, 1_767_290_400, true));
        let (other, other_key) = (url.replace("/copy", "/locked"), fresh(Alg::Es256).1);
        assert!(!judged(&other, &key).2 && !judged(&url, &other_key).2);
    }
    assert!(!format!("{cdn:?}").contains("PRIVATE"));
}

#[test]
fn the_policy_is_the_documented_one() {
    let expected = r#"{"Statement":[{"Resource":"https://a.cloudfront.net/b","Condition":{"DateLessThan":{"AWS:EpochTime":1767290400}}}]}"#;
    assert_eq!(policy("https://a.cloudfront.net/b", 1_767_290_400), expected);
}

#[tokio::test]
async fn an_open_cdn_is_asked_for_the_version_too() {
    let cdn = OpenCdn::new("https://cdn.example.com".into());
    let url = cdn.url(&staged(), Some("v1"), NOW).await.unwrap();
    assert_eq!(url, "https://cdn.example.com/objects/upl_01jd9xqfhem4t8r0c5b7n3k1fz/copy?versionId=v1");
}

#[test]
fn a_signature_is_written_as_short_as_can_be() {
    let mut signature = [0; 64];
    signature[31] = 0x7f;
    signature[63] = 0x80;
    assert_eq!(der(&signature), [0x30, 7, 2, 1, 0x7f, 2, 2, 0, 0x80]);
    for (first, second) in [(0xff, 0xff), (0x01, 0x80), (0x80, 0x01)] {
        let mut signature = [first; 64];
        signature[32..].fill(second);
        assert_eq!(der_to_fixed(&der(&signature)).unwrap(), signature);
    }
}

#[test]
fn keys_of_other_kinds_sign_no_address() {
    let (ed25519, _) = fresh(Alg::EdDsa);
    assert!(CdnKey::given(&ed25519).is_err() && CdnKey::given(&Secret::new("AKIDEXAMPLE:x".into())).is_err());
}

/// A secret that is another each time it is read, until it cannot be read any more.
#[derive(Debug, Default)]
struct Rotated(AtomicU64);

#[async_trait]
impl Secrets for Rotated {
    async fn read(&self, reference: &SecretReference, _: i64) -> Result<Secret, SecretUnreadable> {
        if self.0.fetch_add(1, Ordering::SeqCst) > 1 {
            return Err(SecretUnreadable { reference: reference.clone(), reason: "gone".into() });
        }
        Ok(fresh(Alg::Es256).0)
    }
}

#[tokio::test]
async fn a_key_that_is_kept_elsewhere_is_read_when_it_is_needed_and_again_after_five_minutes() {
    let secrets = Arc::new(Rotated::default());
    let reference = SecretReference::parse("secretsmanager:arn").unwrap();
    let key = CdnKey::kept(Arc::clone(&secrets) as _, reference);
    let cdn = CloudFront::new(BASE.into(), "K2JCJMDEHXQW5F".into(), key);
    for (now, reads) in [(NOW, 1), (NOW + FRESH_MS - 1, 1), (NOW + FRESH_MS, 2)] {
        cdn.url(&staged(), None, now).await.unwrap();
        assert_eq!(secrets.0.load(Ordering::SeqCst), reads);
    }
    cdn.url(&staged(), None, NOW + 2 * FRESH_MS).await.unwrap_err();
}
