//! `bp artifact download`.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::api::Call;
use crate::context::Context;
use crate::failure::Failure;
use crate::table;

/// What to download, and where to.
#[derive(Debug, Args)]
pub(crate) struct DownloadArgs {
    /// The artifact.
    artifact_id: String,
    /// Where to put it; its own file name in the current directory where none is given.
    #[arg(long, short)]
    output: Option<PathBuf>,
    /// Its SHA-256; asked of the service where it is not given, which needs `artifacts:read`.
    #[arg(long, value_name = "HEX", requires = "size_bytes")]
    sha256: Option<String>,
    /// Its size.
    #[arg(long, value_name = "N", requires = "sha256")]
    size_bytes: Option<u64>,
}

/// Runs the command.
pub(super) async fn run(context: &Context, args: DownloadArgs) -> Result<(), Failure> {
    let id = args.artifact_id;
    let (sha256, size_bytes, name) = match (args.sha256, args.size_bytes) {
        (Some(sha256), Some(size_bytes)) => (sha256.to_ascii_lowercase(), size_bytes, None),
        _ => facts(context, &id).await?,
    };
    let name = name.unwrap_or_else(|| id.clone());
    let output = args.output.unwrap_or_else(|| PathBuf::from(name));
    let url = format!("{}/v1/artifacts/{id}/download", context.api.base_url());
    let artifact = client::Artifact { url, size_bytes, sha256 };
    context.api.client()?.download(&artifact, &output).await?;
    let shown = output.display().to_string();
    let answer =
        json!({ "artifact_id": id, "path": shown, "size_bytes": size_bytes, "sha256": artifact.sha256 });
    context.out.show(&answer, |answer| table::object(answer, &["path"]))
}

/// What the service says of the artifact: digest, size, file name.
async fn facts(context: &Context, id: &str) -> Result<(String, u64, Option<String>), Failure> {
    let artifact = context.api.json(Call::get(&["v1", "artifacts", id])).await?;
    let text = |name: &str| table::member(&artifact, name).as_str().map(str::to_owned);
    let missing = |name: &str| Failure::NotUnderstood(format!("the artifact has no `{name}`"));
    let size_bytes = table::member(&artifact, "size_bytes").as_u64().ok_or_else(|| missing("size_bytes"))?;
    // INVARIANT: the name of a file that is written here holds no separator, whatever the service says.
    let name = text("file_name").filter(|name| !name.contains(['/', '\\', '\0']) && !name.starts_with('.'));
    Ok((text("sha256").ok_or_else(|| missing("sha256"))?, size_bytes, name))
}
