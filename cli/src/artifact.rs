//! `bp artifact`.

mod door;
mod download;
mod file;
mod parts;
mod register;
mod upload;

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::{Value, json};

pub(crate) use self::file::LocalFile;
pub(crate) use self::upload::{Door, Uploader, Wish};
use crate::api::Call;
use crate::context::{Context, Page};
use crate::failure::Failure;
use crate::table;

/// The members of an artifact that people look for first.
const FIRST: &[&str] =
    &["artifact_id", "state", "verification", "reason", "file_name", "size_bytes", "sha256"];
/// The columns of the list.
const COLUMNS: &[(&str, &str)] = &[
    ("ARTIFACT", "artifact_id"),
    ("STATE", "state"),
    ("SOURCE", "source_type"),
    ("SIZE", "size_bytes"),
    ("FILE", "file_name"),
    ("CREATED", "created_at"),
];

/// What can be done with artifacts.
#[derive(Debug, Subcommand)]
pub(crate) enum ArtifactCommand {
    /// Upload a file; the same command goes on where a broken one stopped.
    Upload(upload::UploadArgs),
    /// Register a file that stays where it is.
    Register(register::RegisterArgs),
    /// List artifacts.
    List {
        /// Only those with this digest.
        #[arg(long, value_name = "HEX")]
        sha256: Option<String>,
        /// Only those in this state.
        #[arg(long, value_parser = ["VERIFYING", "AVAILABLE", "QUARANTINED", "REJECTED", "REVOKED"])]
        state: Option<String>,
        /// Only those with this label.
        #[arg(long, value_name = "KEY=VALUE", value_parser = crate::context::key_value)]
        label: Option<(String, String)>,
        #[command(flatten)]
        page: Page,
    },
    /// Show one artifact.
    Show { artifact_id: String },
    /// Show every check that was made of its bytes.
    Verification { artifact_id: String },
    /// Check its bytes again now.
    Verify { artifact_id: String },
    /// Find out why an external artifact cannot be had, from here, and what to do about it.
    Doctor(crate::doctor::DoctorArgs),
    /// Withhold it, and every release with it.
    Quarantine {
        artifact_id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// End a quarantine.
    Restore {
        artifact_id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Withdraw it for good.
    Revoke {
        artifact_id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Delete it.
    Delete { artifact_id: String },
    /// Download it, checking size and SHA-256 before the file appears.
    Download(download::DownloadArgs),
    /// Show how far an upload is.
    UploadStatus { upload_id: String },
    /// Abort an upload.
    Abort { upload_id: String },
    /// Only print a file's size and SHA-256.
    Hash { file: PathBuf },
}

/// Runs the command.
pub(crate) async fn run(context: &Context, command: ArtifactCommand) -> Result<(), Failure> {
    match command {
        ArtifactCommand::Upload(args) => upload::run(context, args).await,
        ArtifactCommand::Register(args) => register::run(context, args).await,
        ArtifactCommand::Download(args) => download::run(context, args).await,
        ArtifactCommand::Doctor(args) => crate::doctor::run(context, args).await,
        ArtifactCommand::Hash { file } => hash(context, file).await,
        ArtifactCommand::List { sha256, state, label, page } => {
            let label = label.map(|(key, value)| format!("{key}:{value}"));
            let call = Call::get(&["v1", "artifacts"]);
            let call = call.query("sha256", sha256).query("state", state).query("label", label);
            context.list(call, &page, "artifacts", COLUMNS).await
        }
        ArtifactCommand::Show { artifact_id } => {
            context.show(Call::get(&["v1", "artifacts", &artifact_id]), FIRST).await
        }
        ArtifactCommand::Verification { artifact_id } => verification(context, &artifact_id).await,
        ArtifactCommand::Verify { artifact_id } => {
            let call = Call::post_nothing(&["v1", "artifacts", &artifact_id, "verify"]).repeatable();
            context.show(call, FIRST).await
        }
        ArtifactCommand::Quarantine { artifact_id, reason } => {
            change(context, &artifact_id, "quarantine", reason).await
        }
        ArtifactCommand::Restore { artifact_id, reason } => {
            change(context, &artifact_id, "restore", reason).await
        }
        ArtifactCommand::Revoke { artifact_id, reason } => {
            change(context, &artifact_id, "revoke", reason).await
        }
        ArtifactCommand::Delete { artifact_id } => {
            let call = Call::delete(&["v1", "artifacts", &artifact_id]);
            context.act(call, &format!("{artifact_id} is deleted")).await
        }
        ArtifactCommand::UploadStatus { upload_id } => {
            let call = Call::get(&["v1", "artifacts", "uploads", &upload_id]);
            let upload = context.api.json(call).await?;
            context.out.show(&upload, upload_facts)
        }
        ArtifactCommand::Abort { upload_id } => {
            let call = Call::delete(&["v1", "artifacts", "uploads", &upload_id]);
            context.act(call, &format!("{upload_id} is aborted")).await
        }
    }
}

async fn change(context: &Context, artifact_id: &str, verb: &str, reason: String) -> Result<(), Failure> {
    let call = Call::post(&["v1", "artifacts", artifact_id, verb], json!({ "reason": reason }));
    context.show(call, FIRST).await
}

async fn verification(context: &Context, artifact_id: &str) -> Result<(), Failure> {
    let call = Call::get(&["v1", "artifacts", artifact_id, "verification"]);
    let answer = context.api.json(call).await?;
    let columns = [
        ("CHECKED", "checked_at"),
        ("MEANS", "means"),
        ("RESULT", "result"),
        ("CODE", "code"),
        ("MESSAGE", "message"),
    ];
    let in_progress = table::member(&answer, "in_progress");
    if let (Some(read), Some(all)) =
        (table::member(in_progress, "bytes_read").as_u64(), table::member(in_progress, "size_bytes").as_u64())
    {
        context.out.note(&format!("a check is under way: {read} of {all} bytes"));
    }
    context.out.show(&answer, |answer| {
        let checks = table::member(answer, "checks").as_array().cloned().unwrap_or_default();
        crate::context::rows_as_table(&checks, &columns)
    })
}

async fn hash(context: &Context, path: PathBuf) -> Result<(), Failure> {
    let file = LocalFile::read(context.out, path).await?;
    let answer = json!({ "sha256": file.sha256, "size_bytes": file.size_bytes });
    context.out.show(&answer, |answer| table::object(answer, &[]))
}

/// An upload without its URLs: whoever reads along could use them.
fn upload_facts(upload: &Value) -> String {
    let mut shown = upload.clone();
    if let Value::Object(members) = &mut shown {
        for name in ["upload_url", "checksum_locked", "multipart"] {
            members.remove(name);
        }
    }
    table::object(&shown, &["upload_id", "state", "artifact_id", "reason"])
}
