//! What clients are given of an artifact that nobody reads without credentials.

use reqwest::{Client, header::LOCATION};
use shared::domain::external_url::{ExternalUrl, UrlRules};

use super::{DoctorArgs, Patient, Report, hops};
use crate::context::Context;
use crate::failure::Failure;

const LINK: &str =
    "may the credentials of the repository sign links? the service's log says what it was told";

/// Goes the way of a client, where the file itself answers with this status to whoever has no credentials.
pub(super) async fn instead(
    context: &Context,
    patient: &Patient,
    client: &Client,
    url: &ExternalUrl,
    status: u16,
    args: &DoctorArgs,
    report: &mut Report,
) -> Result<(), Failure> {
    let Some(offered) = &patient.offered else { return Ok(()) };
    if offered.is_copy {
        hops::shut(status, "; the service gives its copy", report);
        return Ok(());
    }
    if offered.clients_authenticate {
        if status == 404 {
            hops::shut(status, "", report);
        } else {
            let fix =
                "nothing: clients bring credentials of their own, and the service has read it with its own";
            report.notice("access", format!("status {status} without credentials, as expected"), fix);
        }
        return Ok(());
    }
    let ask = || context.api.download(client, &offered.id);
    let Ok(answer) = ask().send().await else {
        report.bad("download", "the service does not answer", "`bp health` asks it");
        return Ok(());
    };
    let location = answer.headers().get(LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let found = answer.status().as_u16();
    // A store of the operator's own may be reached without TLS; whoever downloads from it compares the bytes.
    let rules = UrlRules::default().private(true).plain_http(true);
    match (found, location.map(|location| ExternalUrl::parse(&location, &rules))) {
        (302, Some(Ok(link))) if link == *url => hops::shut(status, "", report),
        (302, Some(Ok(link))) => {
            expected(status, report);
            report.good("download", format!("the service leads to {}", link.without_query()));
            // What a link answers is what a client gets: there is no other way left.
            let (sha256, size_bytes) = (patient.sha256.clone(), patient.size_bytes);
            let given = Patient { url: link.as_str().to_owned(), sha256, size_bytes, offered: None };
            hops::follow(&given, client, &link, args, report).await?;
        }
        (302, _) => report.bad("download", "the service leads to what is no URL", LINK),
        (200, _) => {
            expected(status, report);
            report.good("download", "the service gives its copy");
            drop(answer);
            hops::read(patient, ask(), args, report).await?;
        }
        (other, _) => report.bad("download", format!("the service answers with status {other}"), LINK),
    }
    Ok(())
}

fn expected(status: u16, report: &mut Report) {
    report.good(
        "access",
        format!("status {status} without credentials, as expected: clients go through the service"),
    );
}
