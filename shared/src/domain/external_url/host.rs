//! Names of hosts: their shape, and the ones that belong to no public host.

use super::UrlError;

/// Endings that never lead to a public host.
///
/// From the IANA registry of special-use domain names (`local`, `localhost`, `invalid`, `onion`, `alt`, and `arpa` with
/// all below it), the names that ICANN will not delegate because networks use them inside (`internal`, `corp`, `home`,
/// `mail`), and what routers, container engines and clusters answer to. `example` and `test` are no trouble: they
/// resolve nowhere.
const CLOSED_ENDINGS: &[&str] = &[
    "alt",
    "arpa",
    "belkin",
    "cluster",
    "consul",
    "corp",
    "dhcp",
    "dmz",
    "docker",
    "domain",
    "exit",
    "gnu",
    "home",
    "homenet",
    "i2p",
    "internal",
    "intra",
    "intranet",
    "invalid",
    "lan",
    "local",
    "localdomain",
    "localdomain6",
    "localhost",
    "mail",
    "onion",
    "private",
    "router",
    "svc",
    "workgroup",
    "zkey",
];

/// Endings that stay closed under `allow_private` too: they are not names of DNS at all.
const NEVER_ENDINGS: &[&str] = &["alt", "arpa", "exit", "gnu", "i2p", "invalid", "onion", "zkey"];

/// Where cloud machines ask who they are and for credentials: closed for everyone, with everything below.
const METADATA_NAMES: &[&str] = &[
    "instance-data",
    "instance-data.ec2.internal",
    "metadata",
    "metadata.azure.com",
    "metadata.azure.internal",
    "metadata.goog",
    "metadata.google.internal",
    "metadata.packet.net",
    "metadata.platformequinix.com",
    "metadata.tencentyun.com",
];

/// The longest name, without a trailing dot.
const MAX_NAME: usize = 253;

/// Whether the name (lower-case A-labels, no trailing dot) may be a host.
pub(super) fn name_allowed(name: &str, allow_private: bool) -> bool {
    let is_below = |ending: &&str| {
        name.strip_suffix(*ending).is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    if METADATA_NAMES.iter().any(is_below) {
        return false;
    }
    if allow_private {
        return is_below(&"home.arpa") || !NEVER_ENDINGS.iter().any(is_below);
    }
    name.contains('.') && !CLOSED_ENDINGS.iter().any(is_below)
}

/// The labels are as DNS has them; an underscore is let pass, since hosts with one exist.
pub(super) fn check_labels(name: &str) -> Result<(), UrlError> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(UrlError::Invalid("the host is empty or longer than 253 characters"));
    }
    for label in name.split('.') {
        if label.is_empty() || label.len() > 63 {
            return Err(UrlError::Invalid("a label of the host is empty or longer than 63 characters"));
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err(UrlError::Invalid("a label of the host begins or ends with a hyphen"));
        }
        if !label.bytes().all(|letter| letter.is_ascii_alphanumeric() || matches!(letter, b'-' | b'_')) {
            return Err(UrlError::Invalid("the host has characters that no host name has"));
        }
    }
    Ok(())
}
