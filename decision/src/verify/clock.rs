//! When a token says that it was issued, for telling a wrong clock from a bad token.

use super::signer::Window;
use super::{Expected, steps_1_to_5, verify};
use crate::json::{self, Value};
use crate::keyset::Keyset;

/// The time at which a token that is refused now would be accepted, if there is one: when it says it was issued.
///
/// Only a token that is refused for the time has one, and only once its size was found right and its signature to
/// hold; of any other no payload is read here either. Every check passes at the time that is answered, and only the
/// clock is against it. Where the token carries the nonce that was just sent, it was made just now, and so the client's
/// clock is wrong. Nothing else follows: the token stays refused.
pub fn accepted_when_issued(token: &str, keyset: &Keyset, expected: &Expected) -> Option<i64> {
    let refusal = verify(token, keyset, expected).err()?;
    if !refusal.is_about_time() {
        return None;
    }
    // The window of a delegation is what the clock may be against: without it the signatures can be checked.
    let (_, payload) = steps_1_to_5(token, keyset, expected, Window::Any).ok()?;
    let payload = json::parse_object(&payload).ok()?;
    let Some(Value::Integer(issued)) = payload.get("iat") else { return None };
    let then = Expected { now: *issued, ..expected.clone() };
    verify(token, keyset, &then).ok().map(|_| *issued)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delegation::Delegation;
    use crate::keyset::KeysetKey;
    use crate::sign::LocalKey;
    use crate::{Alg, Version, json::READ, jws};

    const NOW: i64 = 1_767_225_600;
    const TEN_YEARS: i64 = 315_576_000;
    const ISSUER: &str = "https://updates.example.com";

    fn new_key() -> LocalKey {
        LocalKey::from_pkcs8_der(&LocalKey::generate(Alg::EdDsa).unwrap()).unwrap()
    }

    fn expected(now: i64) -> Expected {
        Expected {
            now,
            issuer: ISSUER.to_owned(),
            product_id: "acme".to_owned(),
            channel: "stable".to_owned(),
            platform: "linux".to_owned(),
            arch: "x86_64".to_owned(),
            tenant_id: None,
            installed_version: Version::parse("1.4.0").unwrap(),
            nonce: None,
            stored: None,
            max_artifact_bytes: 1_000,
            allow_loopback_http: false,
            installer_types: Vec::new(),
        }
    }

    fn payload(padding: usize) -> String {
        format!(
            r#"{{"v":1,"iss":"{ISSUER}","jti":"dec_1","iat":{NOW},"exp":{},"product_id":"acme","channel":"stable",
            "platform":"linux","arch":"x86_64","from_version":"1.4.0","epoch":1,"seq":1,"action":"NONE",
            "reason":"UP_TO_DATE","padding":"{}"}}"#,
            NOW + 3_600,
            "x".repeat(padding)
        )
    }

    fn signed(key: &LocalKey, input: String) -> String {
        let signature = key.sign(input.as_bytes()).unwrap();
        jws::compact(input, &signature)
    }

    #[test]
    fn no_payload_is_read_before_its_size_and_its_signature_are_found_right() {
        let (key, process) = (new_key(), new_key());
        let trusted = KeysetKey::new(*key.public(), NOW - 9_000, NOW + 9_000, vec!["*".to_owned()]);
        let (expires, keys) = (NOW + 9_000, vec![trusted]);
        let keyset = Keyset { v: 1, version: 1, epoch: 1, expires, nonces: false, keys };
        let delegation = Delegation::new(ISSUER.into(), process.public(), NOW - 60, NOW + 3_540).unwrap();
        let dlg = signed(&key, delegation.signing_input(Alg::EdDsa, key.kid()).unwrap());
        let direct = jws::encode_header(Alg::EdDsa, key.kid(), None);
        let delegated = jws::encode_header(Alg::EdDsa, process.kid(), Some(&dlg));
        let good = payload(0);
        let cases = [
            (signed(&key, jws::signing_input(&direct, good.as_bytes())), &good, true),
            (signed(&process, jws::signing_input(&delegated, good.as_bytes())), &good, true),
            (signed(&new_key(), jws::signing_input(&direct, good.as_bytes())), &good, false),
            (signed(&new_key(), jws::signing_input(&delegated, good.as_bytes())), &good, false),
            (signed(&key, jws::signing_input(&delegated, good.as_bytes())), &good, false),
            (signed(&key, jws::signing_input(&direct, payload(60_000).as_bytes())), &payload(60_000), false),
        ];
        for (number, (token, payload, is_read)) in cases.iter().enumerate() {
            for now in [NOW - TEN_YEARS, NOW, NOW + TEN_YEARS] {
                READ.take();
                let issued = accepted_when_issued(token, &keyset, &expected(now));
                assert_eq!(issued, (*is_read && now != NOW).then_some(NOW), "{number} {now}");
                let read = READ.take().iter().any(|read| read == payload.as_bytes());
                assert_eq!(read, *is_read, "{number} {now}");
            }
        }
    }
}
