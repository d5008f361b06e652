//! `bp demo`: the whole way of a file, against a service of its own that is gone afterwards.
//!
//! Everything goes through HTTP, as it would from elsewhere. Each file is a product of its own.

mod kinds;
mod narrator;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use client::{Client, ProductQuestion, Question};
use decision::verify::Verified;
use serde_json::{Value, json};

use self::kinds::Kind;
use self::narrator::Narrator;
use crate::api::{Api, ApiToken, Call};
use crate::artifact::{Door, LocalFile, Uploader, Wish};
use crate::decisions::{self, facts, payload};
use crate::failure::Failure;
use crate::output::Output;
use crate::{clock, serve, table};

/// The version that the demo's clients have.
const INSTALLED: &str = "0.9.0";
/// The version that the demo publishes.
const PUBLISHED: &str = "1.0.0";
/// How long an upload may take.
const UPLOAD_LIMIT: Duration = Duration::from_secs(600);
/// What a verified decision went through, in the order of the checks.
const CHECKED: &str = "form, key, signature, issuer, question, times, nonce, epoch, offer";

/// Which files to show the way with.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// The files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// What the files are, where their names do not tell: platform/arch/type.
    #[arg(long = "as", value_name = "KIND", value_parser = kinds::written)]
    kind: Option<Kind>,
}

/// The service and what is known of it.
#[derive(Debug)]
struct Stage<'a> {
    api: &'a Api,
    client: Client,
    out: Output,
    folder: &'a Path,
}

/// One file on its way.
#[derive(Debug)]
struct Subject {
    product: String,
    file: LocalFile,
    kind: Kind,
}

/// Runs the demo.
pub(crate) async fn run(out: Output, args: DemoArgs) -> Result<(), Failure> {
    let subjects = subjects(out, args).await?;
    let folder = tempfile::tempdir().map_err(Failure::file(&std::env::temp_dir()))?;
    let mut narrator = Narrator::new(out);
    let starting = async {
        let data = folder.path().join("data");
        std::fs::create_dir(&data).map_err(Failure::file(&data))?;
        serve::start_throwaway(&data).await.map_err(|error| Failure::Service(error.into()))
    };
    let running =
        narrator.step("a throw-away service starts", starting, |running| running.base_url.clone()).await?;
    let base_url = running.base_url.clone();
    let api = Api::new(&base_url, Some(ApiToken::new(&running.admin_token)), out)?;
    // The client is anybody's: it has no token.
    let stage = Stage { api: &api, client: Client::new(&base_url)?, out, folder: folder.path() };
    let shown = show_all(&stage, &mut narrator, &subjects).await;
    running.stop().await;
    narrator.end(&base_url)?;
    shown
}

/// The files with what they are; all of them are looked at before anything starts.
async fn subjects(out: Output, args: DemoArgs) -> Result<Vec<Subject>, Failure> {
    let mut subjects = Vec::new();
    for (path, number) in args.files.into_iter().zip(1..) {
        let kind = args.kind.clone().or_else(|| kinds::kind(&path)).ok_or_else(|| {
            let known = kinds::endings();
            Failure::usage(format!(
                "what is `{}`? say --as platform/arch/type, or use {known}",
                path.display()
            ))
        })?;
        let file = LocalFile::read(out, path).await?;
        subjects.push(Subject { product: format!("demo-{number}"), file, kind });
    }
    Ok(subjects)
}

async fn show_all(stage: &Stage<'_>, narrator: &mut Narrator, subjects: &[Subject]) -> Result<(), Failure> {
    for (subject, number) in subjects.iter().zip(1_usize..) {
        let Subject { product, file, kind } = subject;
        let Kind { platform, arch, installer_type } = kind;
        let (path, size) = (file.path.display(), file.size_bytes);
        narrator.line(&format!("\n{product}: {path} ({platform}/{arch}/{installer_type}, {size} bytes)"))?;
        show(stage, narrator, subject, number == 1).await?;
    }
    narrator.line(&format!("\nall {} files came back as they were given", subjects.len()))
}

async fn show(
    stage: &Stage<'_>,
    narrator: &mut Narrator,
    subject: &Subject,
    both_doors: bool,
) -> Result<(), Failure> {
    publish(stage, narrator, subject, both_doors).await?;
    let product = ProductQuestion {
        installer_types: vec![subject.kind.installer_type.clone()],
        ..ProductQuestion::new(&subject.product, INSTALLED, &subject.kind.platform, &subject.kind.arch)
    };
    let question = Question::about(product.clone()).with_fresh_nonce()?;
    let asking = async {
        let answer = stage.client.ask(&question).await?;
        let token = answer.tokens.into_iter().next();
        token.ok_or_else(|| Failure::NotUnderstood("it has no decision".to_owned()))
    };
    let token = narrator.step("a client asks", asking, |token| decisions::abbreviated(token)).await?;
    let checking = verify(stage, &question, &product, &token);
    let verified = narrator.step("the decision is verified", checking, |_| String::new()).await?;
    let text = facts(&payload(&verified)?, &token, &format!("verified: {CHECKED}"));
    narrator.line(&format!("    {}", text.replace('\n', "\n    ")))?;
    bring_back(stage, narrator, subject, &verified).await
}

/// Product, artifact, release.
async fn publish(
    stage: &Stage<'_>,
    narrator: &mut Narrator,
    subject: &Subject,
    both_doors: bool,
) -> Result<(), Failure> {
    let name = |member: &'static str| move |answer: &Value| table::cell(table::member(answer, member));
    let creating = stage.api.json(Call::post(&["v1", "products"], json!({ "product_id": subject.product })));
    narrator.step("the product is created", creating, name("product_id")).await?;
    if both_doors {
        let sending = upload(stage, subject, Door::Bare);
        narrator.step("the bytes go through the bare door", sending, name("artifact_id")).await?;
    }
    let sending = upload(stage, subject, Door::ChecksumLocked);
    let artifact =
        narrator.step("the bytes go through the checksum-locked door", sending, name("artifact_id")).await?;
    let release = json!({
        "product_id": subject.product,
        "version": PUBLISHED,
        "channel": "stable",
        "artifacts": [{
            "artifact_id": table::member(&artifact, "artifact_id"),
            "platform": subject.kind.platform,
            "arch": subject.kind.arch,
            "installer_type": subject.kind.installer_type,
        }],
        "release_notes": "Published by `bp demo`.",
    });
    let creating = async {
        let release = stage.api.json(Call::post(&["v1", "releases"], release)).await?;
        match table::member(&release, "status").as_str() {
            Some("published") => Ok(release),
            other => Err(Failure::NotUnderstood(format!("the release is {}", other.unwrap_or("nothing")))),
        }
    };
    narrator.step("the release is published", creating, name("release_id")).await?;
    Ok(())
}

async fn upload(stage: &Stage<'_>, subject: &Subject, door: Door) -> Result<Value, Failure> {
    let wish = Wish { name: subject.file.name.clone(), ..Wish::default() };
    Uploader::new(stage.api, stage.out, door, UPLOAD_LIMIT)?.upload(&subject.file, &wish).await
}

async fn verify(
    stage: &Stage<'_>,
    question: &Question,
    product: &ProductQuestion,
    token: &str,
) -> Result<Verified, Failure> {
    let keyset = decisions::keyset(&stage.client.unpinned_keyset().await?)?;
    let mut expected = stage.client.expected(question, product, clock::now())?;
    expected.allow_loopback_http = true;
    let verified = decisions::verified(token, &keyset, &expected)?;
    match &verified.payload.artifact {
        Some(_) => Ok(verified),
        None => Err(Failure::negative("NO_OFFER", format!("no offer: {}", verified.payload.reason))),
    }
}

/// Downloads what the decision names, and compares it with what was given.
async fn bring_back(
    stage: &Stage<'_>,
    narrator: &mut Narrator,
    subject: &Subject,
    verified: &Verified,
) -> Result<(), Failure> {
    let offer = verified.payload.artifact.as_ref();
    let offer = offer.ok_or_else(|| Failure::negative("NO_OFFER", "the decision offers nothing"))?;
    let artifact = client::Artifact {
        url: offer.url.to_string(),
        size_bytes: offer.size_bytes,
        sha256: offer.sha256.to_string(),
    };
    let path = stage.folder.join(&subject.product);
    let downloading = async { stage.client.download(&artifact, &path).await.map_err(Failure::from) };
    let size = format!("{} bytes, size and SHA-256 as signed", artifact.size_bytes);
    narrator.step("the artifact is downloaded", downloading, |()| size).await?;
    let comparing = async {
        if same_bytes(&subject.file.path, &path).map_err(Failure::file(&path))? {
            Ok(())
        } else {
            Err(Failure::negative("BYTES_DIFFER", "the downloaded bytes are not the given ones"))
        }
    };
    narrator.step("the bytes are the given ones", comparing, |()| String::new()).await
}

/// Whether two files hold the same bytes.
fn same_bytes(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut one, mut other) = (BufReader::new(one).bytes(), BufReader::new(other).bytes());
    loop {
        match (one.next().transpose()?, other.next().transpose()?) {
            (None, None) => return Ok(true),
            (left, right) if left != right => return Ok(false),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_the_same_only_byte_for_byte() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let given = write("given", b"abc");
        assert!(same_bytes(&given, &write("same", b"abc")).unwrap());
        assert!(!same_bytes(&given, &write("other", b"abx")).unwrap());
        assert!(!same_bytes(&given, &write("longer", b"abcd")).unwrap());
    }
}
