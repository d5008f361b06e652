//! A keyset in a file, on its way to the root keys that are to sign it. Nobody is asked.

use std::path::Path;

use decision::{
    jwk::PublicKey,
    keyset::{Keyset, KeysetKey},
};
use shared::http::views;

use crate::clock;
use crate::context::{Context, read_text};
use crate::failure::Failure;

/// How long a key is listed where nothing else is said, in seconds: five years.
const LIFETIME: i64 = 5 * 365 * 86_400;
/// For clients whose clocks are behind, in seconds.
const LATE: i64 = 300;
/// How long a key that retires is listed where nothing else is said, in seconds: a week. Its last decision ends two days
/// after another key was promoted at most, however the service is configured; the rest is for the ceremony.
const RETIREMENT: i64 = 7 * 86_400;

/// Makes an exported keyset the beginning of the next version, which is good for a year.
pub(super) fn begin(file: &Path) -> Result<(), Failure> {
    let mut keyset = read(file)?;
    keyset.version = keyset.version.saturating_add(1);
    keyset.expires = keyset.expires.max(clock::now().saturating_add(365 * 86_400));
    write(file, &keyset)
}

/// Lists a key.
pub(super) fn add(
    context: &Context,
    file: &Path,
    key: PublicKey,
    [not_before, expires_at]: [Option<&str>; 2],
    products: Vec<String>,
) -> Result<(), Failure> {
    let mut keyset = read(file)?;
    if keyset.get(&key.thumbprint()).is_some() {
        return Err(Failure::usage("the key is listed already"));
    }
    let now = clock::now();
    // As the service does: those that are over are of no use, and one that was revoked cannot come back.
    keyset.keys.retain(|key| key.revoked || key.exp > now);
    let nbf = time(not_before)?.unwrap_or_else(|| now.saturating_sub(LATE));
    let exp = time(expires_at)?.unwrap_or_else(|| now.saturating_add(LIFETIME));
    if exp <= now.max(nbf) {
        return Err(Failure::usage("--expires-at: expected a time to come, after --not-before"));
    }
    let products = if products.is_empty() { vec!["*".to_owned()] } else { products };
    keyset.keys.push(KeysetKey::new(key, nbf, exp, products));
    done(context, file, &keyset)
}

/// Lists a key until its last decision has ended, and no longer. Another one is to have been promoted before.
pub(super) fn retire(
    context: &Context,
    file: &Path,
    kid: &str,
    expires_at: Option<&str>,
) -> Result<(), Failure> {
    let (mut keyset, now) = (read(file)?, clock::now());
    let end = time(expires_at)?.unwrap_or_else(|| now.saturating_add(RETIREMENT));
    if end <= now {
        return Err(Failure::usage("--expires-at: expected a time to come"));
    }
    ends(listed(&mut keyset, kid)?, end)?;
    done(context, file, &keyset)
}

/// Has a key end, if it does not sooner.
fn ends(key: &mut KeysetKey, end: i64) -> Result<(), Failure> {
    if key.revoked {
        return Err(Failure::usage("the key is revoked"));
    }
    key.exp = key.exp.min(end);
    Ok(())
}

/// Revokes a key, and begins the next epoch.
pub(super) fn revoke(context: &Context, file: &Path, kid: &str) -> Result<(), Failure> {
    let mut keyset = read(file)?;
    let key = listed(&mut keyset, kid)?;
    if key.revoked {
        return Err(Failure::usage("the key is revoked already"));
    }
    key.revoked = true;
    keyset.epoch = keyset.epoch.saturating_add(1);
    done(context, file, &keyset)
}

/// Begins the next epoch.
pub(super) fn raise_epoch(context: &Context, file: &Path) -> Result<(), Failure> {
    let mut keyset = read(file)?;
    keyset.epoch = keyset.epoch.saturating_add(1);
    done(context, file, &keyset)
}

fn listed<'a>(keyset: &'a mut Keyset, kid: &str) -> Result<&'a mut KeysetKey, Failure> {
    let key = keyset.keys.iter_mut().find(|key| key.kid == kid);
    key.ok_or_else(|| Failure::usage(format!("the keyset does not list `{kid}`")))
}

fn done(context: &Context, file: &Path, keyset: &Keyset) -> Result<(), Failure> {
    write(file, keyset)?;
    let (version, epoch) = (keyset.version, keyset.epoch);
    context.out.show(&serde_json::json!({ "version": version, "epoch": epoch }), |_| {
        format!("`{}` has version {version} and epoch {epoch} of the keyset, to be signed", file.display())
    })
}

fn time(text: Option<&str>) -> Result<Option<i64>, Failure> {
    let read = |text: &str| views::read_time(text).map(|ms| ms.div_euclid(1_000));
    let wrong = |text: &str| Failure::usage(format!("`{text}` is no time such as `2030-01-31T12:00:00Z`"));
    text.map(|text| read(text).ok_or_else(|| wrong(text))).transpose()
}

fn read(file: &Path) -> Result<Keyset, Failure> {
    serde_json::from_str(&read_text(file)?)
        .map_err(|error| Failure::usage(format!("`{}` is no keyset: {error}", file.display())))
}

fn write(file: &Path, keyset: &Keyset) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(keyset).map_err(|error| Failure::usage(error.to_string()))?;
    std::fs::write(file, text + "\n").map_err(Failure::file(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_retires_ends_at_the_time_or_when_it_did_anyway_and_a_revoked_one_does_not_retire() {
        let mut key = KeysetKey::new(PublicKey::from_ed25519([9; 32]), 0, 1_000, vec!["*".into()]);
        ends(&mut key, 600).unwrap();
        assert_eq!(key.exp, 600);
        ends(&mut key, 900).unwrap();
        assert_eq!(key.exp, 600);
        key.revoked = true;
        assert!(ends(&mut key, 500).is_err());
        assert_eq!(key.exp, 600);
    }
}
