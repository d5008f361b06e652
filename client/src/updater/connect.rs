//! The connections of an updater: TLS everywhere, through every redirect.

use reqwest::redirect::{Action, Attempt, Policy};
use reqwest::{Certificate, Url};

use crate::{ClientError, MAX_REDIRECTS, SILENCE_TIMEOUT, http_builder};

/// Whether an updater may speak to a URL at all.
pub(super) fn may_speak_to(url: &Url, allow_loopback_http: bool) -> bool {
    match url.scheme() {
        "https" => true,
        "http" => allow_loopback_http && is_loopback(url),
        _ => false,
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// An HTTP client that follows no redirect to where it may not speak.
pub(super) fn http(
    allow_loopback_http: bool,
    roots: Vec<Certificate>,
) -> Result<reqwest::Client, ClientError> {
    let follow = move |attempt: Attempt<'_>| -> Action {
        let leaves_tls = attempt.url().scheme() != "https"
            && attempt.previous().iter().any(|previous| previous.scheme() == "https");
        if leaves_tls || !may_speak_to(attempt.url(), allow_loopback_http) {
            attempt.error("redirected to plain http")
        } else if attempt.previous().len() > MAX_REDIRECTS {
            attempt.error("too many redirects")
        } else {
            attempt.follow()
        }
    };
    let builder = http_builder().read_timeout(SILENCE_TIMEOUT).redirect(Policy::custom(follow));
    let builder = if roots.is_empty() { builder } else { builder.tls_certs_merge(roots) };
    builder.build().map_err(ClientError::Tls)
}
