//! Private keys as text: PKCS#8 in PEM (RFC 7468), as `openssl genpkey` writes it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::sign::{LocalKey, SignError};

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
/// How many characters a line has.
const LINE: usize = 64;

/// A PKCS#8 document as PEM.
pub fn to_pem(pkcs8_der: &[u8]) -> String {
    let text = STANDARD.encode(pkcs8_der);
    let mut pem = format!("{BEGIN}\n");
    for (index, letter) in text.chars().enumerate() {
        if index > 0 && index.is_multiple_of(LINE) {
            pem.push('\n');
        }
        pem.push(letter);
    }
    pem.push('\n');
    pem.push_str(END);
    pem.push('\n');
    pem
}

/// Reads a key from an unencrypted PKCS#8 document in PEM.
///
/// # Errors
/// [`SignError::NoKey`] where it is anything else.
pub fn from_pem(pem: &str) -> Result<LocalKey, SignError> {
    let (_, rest) = pem.split_once(BEGIN).ok_or(SignError::NoKey)?;
    let (body, _) = rest.split_once(END).ok_or(SignError::NoKey)?;
    let text: String = body.split_whitespace().collect();
    LocalKey::from_pkcs8_der(&STANDARD.decode(text).map_err(|_| SignError::NoKey)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Alg;

    #[test]
    fn a_key_written_and_read_is_the_same() {
        for alg in [Alg::Es256, Alg::EdDsa] {
            let der = LocalKey::generate(alg).unwrap();
            let pem = to_pem(&der);
            assert!(pem.lines().all(|line| line.len() <= LINE) && pem.ends_with("KEY-----\n"), "{pem}");
            let kid = LocalKey::from_pkcs8_der(&der).unwrap().kid().to_owned();
            assert_eq!(from_pem(&pem).unwrap().kid(), kid);
            assert_eq!(from_pem(&format!("a note\n{}", pem.replace('\n', "\r\n"))).unwrap().kid(), kid);
        }
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let pem = to_pem(&LocalKey::generate(Alg::EdDsa).unwrap());
        let public = pem.replace("PRIVATE", "PUBLIC");
        let half: String = pem.chars().take(pem.len() / 2).collect();
        for bad in ["", BEGIN, &half, &public, &to_pem(b"x"), &pem.replace('M', "*")] {
            assert_eq!(from_pem(bad).unwrap_err(), SignError::NoKey, "{bad}");
        }
    }
}
