//! `bp artifact doctor`: why an external artifact cannot be had, step by step, each with what to do about it.
//!
//! It looks from where it runs, as a client would, and says where the service sees it otherwise.

mod download;
mod hops;

use std::{net::IpAddr, path::PathBuf, time::Duration};

use clap::Args;
use serde_json::{Value, json};
use shared::domain::external_url::{Expiry, ExternalUrl, UrlRules, address_allowed, expiry};
use tokio::net::{TcpStream, lookup_host};

use crate::api::Call;
use crate::context::{Context, rows_as_table};
use crate::failure::Failure;
use crate::table::member;

/// How long a name, and a connection, are waited for.
const CONNECT: Duration = Duration::from_secs(10);

/// What is to be looked at.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// An external artifact, or a URL.
    #[arg(value_name = "ID|URL")]
    target: String,
    /// The SHA-256 it should have, where a URL is given.
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// How many bytes it should have, where a URL is given.
    #[arg(long, value_name = "N")]
    size_bytes: Option<u64>,
    /// Certificates (PEM) to trust beside the public ones, as the repository's `ca_file`.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Do not read the bytes.
    #[arg(long)]
    no_read: bool,
}

/// What is looked at, and what it should be.
#[derive(Debug)]
struct Patient {
    url: String,
    sha256: Option<String>,
    size_bytes: Option<u64>,
    /// What the service offers, where it says that it does.
    offered: Option<Offered>,
}

/// An artifact that the service says is whole.
#[derive(Debug)]
struct Offered {
    id: String,
    /// Whether clients are to bring credentials of their own.
    clients_authenticate: bool,
    /// Whether the service says that the original is lost, and gives its copy.
    is_copy: bool,
}

/// What came out of the steps.
#[derive(Debug, Default)]
struct Report {
    steps: Vec<Value>,
    ill: bool,
}

impl Report {
    fn good(&mut self, step: &str, found: impl Into<String>) {
        self.steps.push(json!({ "step": step, "result": "ok", "found": found.into() }));
    }

    fn notice(&mut self, step: &str, found: impl Into<String>, fix: &str) {
        self.steps.push(json!({ "step": step, "result": "warning", "found": found.into(), "fix": fix }));
    }

    fn bad(&mut self, step: &str, found: impl Into<String>, fix: &str) {
        self.ill = true;
        self.steps.push(json!({ "step": step, "result": "bad", "found": found.into(), "fix": fix }));
    }
}

/// Runs the command.
pub(crate) async fn run(context: &Context, args: DoctorArgs) -> Result<(), Failure> {
    let mut report = Report::default();
    let patient = patient(context, &args, &mut report).await?;
    examine(context, &patient, &args, &mut report).await?;
    let shown = patient.url.split('?').next().unwrap_or_default();
    let answer = json!({ "url": shown, "healthy": !report.ill, "steps": report.steps });
    context.out.show(&answer, |answer| {
        let steps = member(answer, "steps").as_array().cloned().unwrap_or_default();
        rows_as_table(&steps, &[("STEP", "step"), ("RESULT", "result"), ("FOUND", "found"), ("FIX", "fix")])
    })?;
    if report.ill {
        Err(Failure::negative("UNHEALTHY", "the artifact cannot be had as it is"))
    } else {
        Ok(())
    }
}

/// Finds out what is to be looked at: of an artifact, what the service knows of it.
async fn patient(context: &Context, args: &DoctorArgs, report: &mut Report) -> Result<Patient, Failure> {
    if args.target.contains("://") {
        let (sha256, size_bytes) = (args.sha256.clone(), args.size_bytes);
        return Ok(Patient { url: args.target.clone(), sha256, size_bytes, offered: None });
    }
    let artifact = context.api.json(Call::get(&["v1", "artifacts", &args.target])).await?;
    let text = |name: &str| member(&artifact, name).as_str().map(str::to_owned);
    let Some(url) = text("external_url") else {
        return Err(Failure::usage("its bytes are in managed storage: `bp artifact verify` checks them"));
    };
    let state = text("state").unwrap_or_default();
    let seen = [Some(state.clone()), text("verification"), text("reason")];
    let seen = seen.into_iter().flatten().collect::<Vec<_>>().join(", ");
    match state.as_str() {
        "AVAILABLE" => report.good("service", seen),
        "VERIFYING" => {
            report.notice("service", seen, "it is being checked: `bp artifact verification` tells how far");
        }
        "REVOKED" => report.bad("service", seen, "revoked for good: build and register other bytes"),
        "QUARANTINED" | "REJECTED" => {
            report.bad("service", seen, "mend what is bad below, then `bp artifact verify`");
        }
        _ => report.notice("service", seen, "this state is unknown here: is `bp` older than the service?"),
    }
    if text("access").is_some_and(|access| access != "public") {
        report.notice(
            "url",
            "the service shows it without its query",
            "where there is one, give the whole URL instead of the id",
        );
    }
    let offered = (state == "AVAILABLE").then(|| Offered {
        id: args.target.clone(),
        clients_authenticate: text("access").is_some_and(|access| access == "client_authenticates"),
        is_copy: member(member(&artifact, "escrow"), "original").is_string(),
    });
    let size_bytes = member(&artifact, "size_bytes").as_u64();
    Ok(Patient { url, sha256: text("sha256"), size_bytes, offered })
}

/// Goes through the steps until one of them makes the others pointless.
async fn examine(
    context: &Context,
    patient: &Patient,
    args: &DoctorArgs,
    report: &mut Report,
) -> Result<(), Failure> {
    let loose = UrlRules::default().private(true).plain_http(true);
    let url = match ExternalUrl::parse(&patient.url, &loose) {
        Ok(url) => url,
        Err(error) => {
            report.bad("url", format!("{}: {error}", error.code()), "correct the URL");
            return Ok(());
        }
    };
    match ExternalUrl::parse(&patient.url, &UrlRules::default()) {
        Ok(_) => report.good("url", "it keeps to the rules"),
        Err(error) => report.notice(
            "url",
            format!("{}: {error}", error.code()),
            "publish it at a public https address, or open it with an entry of `repositories` that has `allow_private`",
        ),
    }
    life(&url, report);
    if !reachable(&url, report).await {
        return Ok(());
    }
    let client = hops::client(args)?;
    let Some(status) = hops::follow(patient, &client, &url, args, report).await? else { return Ok(()) };
    download::instead(context, patient, &client, &url, status, args, report).await
}

/// What the URL says of its own end.
#[expect(clippy::disallowed_methods, reason = "an expiry is compared with the time at which somebody asks")]
fn life(url: &ExternalUrl, report: &mut Report) {
    const FIX: &str = "decisions end with the URL: register one without an expiry, or sign a new one in time";
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    match expiry(url) {
        Expiry::Never => report.good("expiry", "the URL carries none"),
        Expiry::At(end) if end <= now => {
            report.bad(
                "expiry",
                format!("it ended {} seconds ago", now.saturating_sub(end)),
                "sign a new URL",
            );
        }
        Expiry::At(end) => {
            report.notice("expiry", format!("it ends in {} seconds", end.saturating_sub(now)), FIX);
        }
        Expiry::Unreadable => report.bad("expiry", "it carries one that cannot be read", FIX),
    }
}

/// Whether its name leads anywhere, and somebody answers there.
async fn reachable(url: &ExternalUrl, report: &mut Report) -> bool {
    let found = tokio::time::timeout(CONNECT, lookup_host((url.host(), url.port()))).await;
    let addresses: Vec<_> = match found {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => {
            report.bad(
                "dns",
                error.to_string(),
                "is the name spelled right, and public? the service resolves it itself",
            );
            return false;
        }
        Err(_) => {
            report.bad("dns", "no answer within 10 seconds", "ask the resolver of this machine");
            return false;
        }
    };
    let named = addresses.iter().map(|address| address.ip().to_string()).collect::<Vec<_>>().join(" ");
    let inside = |address: IpAddr| !address_allowed(address, false);
    if addresses.iter().any(|address| inside(address.ip())) {
        report.notice(
            "dns",
            named,
            "not all are public: the service refuses it unless an entry of `repositories` has `allow_private`",
        );
    } else {
        report.good("dns", named);
    }
    for address in &addresses {
        if let Ok(Ok(_)) = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await {
            report.good("connect", format!("{address} answers"));
            return true;
        }
    }
    let fix = "is the host up, and does a firewall let this machine through? the service needs the same way";
    report.bad("connect", format!("nobody answers at port {}", url.port()), fix);
    false
}
