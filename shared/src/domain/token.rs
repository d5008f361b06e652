//! API tokens: their form, what they may do, and what is stored of them.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::{
    digest::Sha256,
    ids::TokenId,
    names::{ProductId, TenantId},
    platform::{WordError, word_type},
    secret::Secret,
};

word_type!(
    /// What a token may do.
    Scope {
        ArtifactsRead = "artifacts:read", ArtifactsWrite = "artifacts:write", ArtifactsDownload = "artifacts:download",
        DecisionsRestricted = "decisions:restricted", CiWrite = "ci:write", AdminRead = "admin:read",
        AdminWrite = "admin:write",
    }
);

/// A token as it is stored: never the token itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its id, which is part of the token's text.
    pub token_id: TokenId,
    /// What people call it.
    pub name: String,
    /// SHA-256 of the token's text. 256 random bits need no slow hash.
    pub hash: Sha256,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Limited to this tenant's routes.
    #[serde(default)]
    pub tenant_id: Option<TenantId>,
    /// Limited to this product.
    #[serde(default)]
    pub product_id: Option<ProductId>,
    /// When it was made, Unix milliseconds.
    pub created_at: i64,
    /// When it ends, Unix milliseconds.
    #[serde(default)]
    pub expires_at: Option<i64>,
    /// With which token it was made; `None` for the bootstrap token.
    #[serde(default)]
    pub created_by: Option<TokenId>,
}

/// The text is no token of this service: a typing error, or somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not one of this service's")]
pub struct TokenTextError;

/// The text of a token: `bp_<id>_<32 random bytes in base 62>_<check>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenText {
    /// The id in the text.
    pub token_id: TokenId,
    /// The whole text.
    pub text: Secret,
}

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const SECRET_DIGITS: usize = 43;
const CHECK_DIGITS: usize = 6;

/// Writes a big-endian number in base 62, the last `digits` digits of it.
fn base62(number: &[u8], digits: usize) -> String {
    let mut number = number.to_vec();
    let mut text = Vec::with_capacity(digits);
    for _ in 0..digits {
        let mut remainder = 0_u16;
        for byte in &mut number {
            let value = (remainder << 8) | u16::from(*byte);
            *byte = u8::try_from(value / 62).unwrap_or(0);
            remainder = value % 62;
        }
        text.push(ALPHABET.get(usize::from(remainder)).copied().unwrap_or(b'0'));
    }
    text.reverse();
    String::from_utf8(text).unwrap_or_default()
}

fn check_of(text: &str) -> String {
    base62(&sha2::Sha256::digest(text.as_bytes()), CHECK_DIGITS)
}

impl TokenText {
    /// Makes the text of a token from its id and 32 random bytes.
    pub fn make(token_id: TokenId, random: &[u8; 32]) -> Self {
        let id = token_id.to_string();
        let id = id.strip_prefix(TokenId::PREFIX).unwrap_or(&id);
        let start = format!("bp_{id}_{}", base62(random, SECRET_DIGITS));
        Self { token_id, text: Secret::new(format!("{start}_{}", check_of(&start))) }
    }

    /// What is stored of it.
    pub fn hash(&self) -> Sha256 {
        Sha256::from_bytes(sha2::Sha256::digest(self.text.reveal().as_bytes()).into())
    }
}

impl FromStr for TokenText {
    type Err = TokenTextError;

    fn from_str(text: &str) -> Result<Self, TokenTextError> {
        let (start, check) = text.rsplit_once('_').ok_or(TokenTextError)?;
        let (id, secret) =
            start.strip_prefix("bp_").and_then(|rest| rest.split_once('_')).ok_or(TokenTextError)?;
        let good = secret.len() == SECRET_DIGITS
            && secret.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && check == check_of(start);
        let token_id = format!("{}{id}", TokenId::PREFIX).parse().map_err(|_| TokenTextError)?;
        if good { Ok(Self { token_id, text: Secret::new(text.into()) }) } else { Err(TokenTextError) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_reads_back_and_a_typing_error_is_seen_without_a_look_up() {
        let token = TokenText::make(TokenId::from_parts(1, 2), &[7; 32]);
        let text = token.text.reveal().to_owned();
        assert_eq!(text.parse::<TokenText>(), Ok(token));
        for at in 0..text.len() {
            let mut wrong = text.clone().into_bytes();
            wrong[at] = if wrong[at] == b'x' { b'y' } else { b'x' };
            assert!(String::from_utf8(wrong).unwrap().parse::<TokenText>().is_err(), "changed at {at}");
        }
    }

    #[test]
    fn nothing_printable_holds_the_secret() {
        let token = TokenText::make(TokenId::from_parts(1, 2), &[7; 32]);
        let secret = token.text.reveal().get(30..60).unwrap();
        assert!(!format!("{token:?}").contains(secret));
    }
}
