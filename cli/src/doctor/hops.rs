//! From the first request to the last byte.

use std::{error::Error, io, time::Duration};

use reqwest::{
    Client, Method, RequestBuilder, Response,
    header::{ACCEPT_ENCODING, LOCATION, RANGE, RETRY_AFTER},
    redirect,
};
use sha2::Digest;
use shared::domain::external_url::{ExternalUrl, UrlRules};

use super::{DoctorArgs, Patient, Report};
use crate::failure::Failure;

/// How many redirects the service follows.
const MAX_REDIRECTS: usize = 5;
/// How long a host may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// Follows the redirects as the service does, then looks at what is there. The status, where the way ends at one that may
/// only mean that whoever asks has no credentials.
pub(super) async fn follow(
    patient: &Patient,
    client: &Client,
    url: &ExternalUrl,
    args: &DoctorArgs,
    report: &mut Report,
) -> Result<Option<u16>, Failure> {
    let mut url = url.clone();
    for hop in 0..=MAX_REDIRECTS {
        let answer = match head(client, &url).await {
            Ok(answer) => answer,
            Err(error) => {
                unanswered(&error, report);
                return Ok(None);
            }
        };
        if hop == 0 && url.scheme() == "https" {
            report.good("tls", "the certificate is trusted");
        }
        if !answer.status().is_redirection() {
            let status = answer.status().as_u16();
            if patient.offered.is_some() && matches!(status, 401 | 403 | 404) {
                return Ok(Some(status));
            }
            arrived(patient, client, &url, args, &answer, report).await?;
            return Ok(None);
        }
        let location =
            answer.headers().get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        match url.join(location, &UrlRules::default().private(true)) {
            Ok(next) => {
                report.good("redirect", format!("{} to {}", answer.status().as_u16(), next.without_query()));
                url = next;
            }
            Err(error) => {
                let fix = "the service follows https alone, to addresses that keep to the rules: register where it leads";
                report.bad("redirect", format!("{}: {error}", error.code()), fix);
                return Ok(None);
            }
        }
    }
    report.bad("redirect", "more than five", "register the URL at which the chain ends");
    Ok(None)
}

pub(super) fn client(args: &DoctorArgs) -> Result<Client, Failure> {
    let mut builder = Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(super::CONNECT)
        .read_timeout(SILENCE);
    if let Some(path) = &args.ca_file {
        let pem = std::fs::read(path).map_err(Failure::file(path))?;
        let unusable = |_| Failure::usage(format!("`{}` has no certificates in PEM", path.display()));
        builder = builder.tls_certs_merge(reqwest::Certificate::from_pem_bundle(&pem).map_err(unusable)?);
    }
    builder.build().map_err(|error| Failure::usage(error.to_string()))
}

/// The head, or where that is refused the first byte.
async fn head(client: &Client, url: &ExternalUrl) -> Result<Response, reqwest::Error> {
    let answer =
        client.request(Method::HEAD, url.as_str()).header(ACCEPT_ENCODING, "identity").send().await?;
    if !matches!(answer.status().as_u16(), 400 | 403 | 405 | 501) {
        return Ok(answer);
    }
    client.get(url.as_str()).header(ACCEPT_ENCODING, "identity").header(RANGE, "bytes=0-0").send().await
}

/// Why there was no answer: the certificate, or something else.
fn unanswered(error: &reqwest::Error, report: &mut Report) {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            let fix = "renew the certificate, or name its authority in `ca_file` of an entry of `repositories` (here --ca-file)";
            report.bad("tls", tls.to_string(), fix);
            return;
        }
        // What an error of the system carries is not its source, but itself.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = inner.map_or_else(|| error.source(), |inner| Some(inner));
    }
    report.bad(
        "answer",
        "the host says nothing that can be used",
        "ask the host's operator: is it HTTP/1.1?",
    );
}

/// What is at the end of the chain.
async fn arrived(
    patient: &Patient,
    client: &Client,
    url: &ExternalUrl,
    args: &DoctorArgs,
    answer: &Response,
    report: &mut Report,
) -> Result<(), Failure> {
    let status = answer.status().as_u16();
    if matches!(status, 200 | 206) {
        report.good("access", "it can be read without credentials");
        size(patient, answer, report);
        return read(patient, client.get(url.as_str()), args, report).await;
    }
    let wait = answer.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let wait = wait.map_or(String::new(), |wait| format!(", retry after {wait}"));
    shut(status, &wait, report);
    Ok(())
}

/// That it cannot be read, and what to do about it.
pub(super) fn shut(status: u16, wait: &str, report: &mut Report) {
    let fix = match status {
        401 | 403 => {
            "give the service `credentials` in an entry of `repositories`; a signed URL may have ended: sign a new one"
        }
        404 | 410 => "put the file back, or register where it is now",
        429 => "the host limits requests: the service waits as long as it asks",
        500.. => "the host has a bad day: the service tries again by itself for a day",
        _ => "the service takes nothing but 200",
    };
    report.bad("access", format!("status {status}{wait}"), fix);
}

/// The announced size against the declared one.
fn size(patient: &Patient, answer: &Response, report: &mut Report) {
    let text = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let whole = text("content-range").and_then(|range| range.rsplit_once('/')).map(|(_, whole)| whole);
    let announced: Option<u64> = whole.or_else(|| text("content-length")).and_then(|size| size.parse().ok());
    match (announced, patient.size_bytes) {
        (Some(found), Some(declared)) if found != declared => {
            let fix = "other bytes are there: put the right ones back, or register these as another artifact";
            report.bad("size", format!("{found} bytes, declared were {declared}"), fix);
        }
        (Some(found), _) => report.good("size", format!("{found} bytes")),
        (None, _) => report.notice(
            "size",
            "the host does not say",
            "the service reads until the end, and no further than declared",
        ),
    }
}

/// The bytes themselves.
pub(super) async fn read(
    patient: &Patient,
    request: RequestBuilder,
    args: &DoctorArgs,
    report: &mut Report,
) -> Result<(), Failure> {
    if args.no_read || report.ill {
        return Ok(());
    }
    let bad = |report: &mut Report| {
        report.bad(
            "digest",
            "the bytes break off",
            "ask the host's operator; the service tries again by itself",
        );
    };
    let Ok(mut answer) = request.header(ACCEPT_ENCODING, "identity").send().await else {
        bad(report);
        return Ok(());
    };
    let mut hash = sha2::Sha256::new();
    let (mut bytes, most) = (0_u64, patient.size_bytes.unwrap_or(u64::MAX));
    loop {
        match answer.chunk().await {
            Ok(Some(piece)) if bytes <= most => {
                bytes = bytes.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                hash.update(&piece);
            }
            Ok(_) => break,
            Err(_) => {
                bad(report);
                return Ok(());
            }
        }
    }
    let found = shared::domain::digest::Sha256::from_bytes(hash.finalize().into()).to_string();
    let fix = "other bytes are there: put the right ones back, or register these as another artifact";
    match &patient.sha256 {
        Some(declared) if !declared.eq_ignore_ascii_case(&found) => {
            report.bad("digest", format!("{found}, declared was {declared}"), fix);
        }
        Some(_) => report.good("digest", format!("{found}, as declared")),
        None => report.good("digest", found),
    }
    Ok(())
}
