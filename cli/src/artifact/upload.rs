//! `bp artifact upload`: initiate, put, complete, each as often as it takes.
//!
//! The `Idempotency-Key` is derived from the request itself. Whoever runs the command again, after it was killed or
//! on another day, finds the same upload and goes on where it is: no state is kept on this machine.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::door::{Piece, Put, Signed};
use super::file::{LocalFile, hex};
use super::parts::Cut;
use super::{FIRST, register};
use crate::api::{Api, Call, Reply};
use crate::context::{Context, key_value, put};
use crate::failure::Failure;
use crate::output::Output;
use crate::wait::{Deadline, back_off};
use crate::{progress, table};

/// How many uploads of the same file may have ended badly before a key of this moment is used.
const EDITIONS: u32 = 5;
/// How often the bytes are sent.
pub(super) const PUTS: u32 = 6;
/// How long to wait where the service does not say.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// What to upload.
#[derive(Debug, Args)]
pub(crate) struct UploadArgs {
    /// The file.
    file: PathBuf,
    /// The name under which it is downloaded; the file's own where none is given.
    #[arg(long)]
    name: Option<String>,
    /// The media type with which it is downloaded.
    #[arg(long)]
    content_type: Option<String>,
    /// A label; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = key_value)]
    labels: Vec<(String, String)>,
    /// Who may download it.
    #[arg(long, value_parser = ["public", "token"])]
    access: Option<String>,
    /// Use the bare upload URL, even where the store can check the digest itself.
    #[arg(long)]
    bare: bool,
    /// Send the file in parts, as files above 5 GiB always are: four at a time, each tried again by itself.
    #[arg(long, conflicts_with = "bare")]
    multipart: bool,
    /// How long to wait for the service to check the bytes, in seconds.
    #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
    timeout: u64,
}

/// Which way the bytes take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    /// The store checks the digest, where it can.
    ChecksumLocked,
    /// The documented bare `PUT`.
    Bare,
}

/// What is declared beside the bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Wish {
    pub(crate) name: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) labels: Option<Value>,
    pub(crate) access: Option<String>,
    /// In parts, however small it is.
    pub(crate) multipart: bool,
}

/// Uploads files.
#[derive(Debug)]
pub(crate) struct Uploader<'a> {
    pub(super) api: &'a Api,
    pub(super) out: Output,
    pub(super) http: reqwest::Client,
    door: Door,
    limit: Duration,
}

/// Runs the command.
pub(super) async fn run(context: &Context, args: UploadArgs) -> Result<(), Failure> {
    let file = LocalFile::read(context.out, args.file).await?;
    let door = if args.bare { Door::Bare } else { Door::ChecksumLocked };
    let wish = Wish {
        name: args.name.or_else(|| file.name.clone()),
        content_type: args.content_type,
        labels: register::labels(args.labels),
        access: args.access,
        multipart: args.multipart,
    };
    let uploader = Uploader::new(&context.api, context.out, door, Duration::from_secs(args.timeout))?;
    let artifact = uploader.upload(&file, &wish).await?;
    context.out.show(&artifact, |artifact| table::object(artifact, FIRST))
}

impl<'a> Uploader<'a> {
    pub(crate) fn new(api: &'a Api, out: Output, door: Door, limit: Duration) -> Result<Self, Failure> {
        let http = client::http_builder().build().map_err(client::ClientError::Tls)?;
        Ok(Self { api, out, http, door, limit })
    }

    /// Brings the file to the service and answers with the artifact.
    pub(crate) async fn upload(&self, file: &LocalFile, wish: &Wish) -> Result<Value, Failure> {
        let deadline = Deadline::after(self.limit);
        let mut upload = self.begin(&declaration(file, wish)).await?;
        let cut = Cut::of(&upload)?;
        if let (Some(cut), "INITIATED") = (cut, state(&upload)) {
            self.send_parts(&id(&upload)?, file, cut, &deadline).await?;
        } else if state(&upload) == "INITIATED"
            && let Some(artifact) = self.send(&mut upload, file, wish, &deadline).await?
        {
            return Ok(artifact);
        }
        self.complete_until_done(&id(&upload)?, file, &deadline).await
    }

    /// The upload of this declaration that is still good for something: an earlier one, or a new one.
    async fn begin(&self, declaration: &Value) -> Result<Value, Failure> {
        for edition in 1..=EDITIONS {
            let initiated = match self.initiate(declaration, key(declaration, self.door, edition)).await {
                Err(failure) if is_over(&failure) => continue,
                answer => answer?,
            };
            match self.look(&id(&initiated)?).await {
                Ok(upload) if matches!(state(&upload), "FAILED" | "EXPIRED" | "ABORTED") => {}
                Err(failure) if is_over(&failure) => {}
                answer => return answer,
            }
        }
        let key = format!("bp-{}", client::fresh_nonce()?);
        let initiated = self.initiate(declaration, key).await?;
        self.look(&id(&initiated)?).await
    }

    async fn initiate(&self, declaration: &Value, key: String) -> Result<Value, Failure> {
        let call = Call::post(&["v1", "artifacts", "uploads"], declaration.clone()).idempotency_key(key);
        self.api.json(call).await
    }

    /// The upload as it is now, with fresh URLs while bytes are awaited.
    async fn look(&self, id: &str) -> Result<Value, Failure> {
        self.api.json(Call::get(&["v1", "artifacts", "uploads", id])).await
    }

    /// Sends the bytes; an attempt that broke off may have arrived all the same, which completing tells.
    async fn send(
        &self,
        upload: &mut Value,
        file: &LocalFile,
        wish: &Wish,
        deadline: &Deadline,
    ) -> Result<Option<Value>, Failure> {
        let bar = progress::bytes(self.out, "uploading", file.size_bytes);
        for attempt in 1..=PUTS {
            let door = self.choose(upload, wish)?;
            let whole = Piece { from: 0, length: file.size_bytes };
            if matches!(door.put(&self.http, file, whole, &bar).await?, Put::There) {
                bar.finish_and_clear();
                return Ok(None);
            }
            deadline.pause(back_off(attempt), "the bytes are still not in the store").await?;
            let id = id(upload)?;
            match self.complete(&id, file).await {
                Err(Failure::Refused { code, .. }) if code == "OBJECT_NOT_UPLOADED" => {}
                Err(failure) if is_busy(&failure) => return Ok(None),
                Err(failure) => return Err(failure),
                Ok(reply) if reply.status == 200 => return Ok(Some(reply.json()?)),
                Ok(_) => return Ok(None),
            }
            *upload = self.look(&id).await?;
        }
        Err(Failure::negative(
            "UPLOAD_FAILED",
            format!("the store did not take the bytes in {PUTS} attempts"),
        ))
    }

    fn choose(&self, upload: &Value, wish: &Wish) -> Result<Signed, Failure> {
        if self.door == Door::ChecksumLocked
            && let Some(door) = Signed::checksum_locked(upload)?
        {
            return Ok(door);
        }
        Signed::bare(upload, wish.content_type.as_deref())
    }

    pub(super) async fn complete(&self, id: &str, file: &LocalFile) -> Result<Reply, Failure> {
        let body = json!({ "checksum": file.sha256 });
        self.api.send(Call::post(&["v1", "artifacts", "uploads", id, "complete"], body).repeatable()).await
    }

    /// Completes, and waits where the service has to read the bytes first.
    async fn complete_until_done(
        &self,
        id: &str,
        file: &LocalFile,
        deadline: &Deadline,
    ) -> Result<Value, Failure> {
        let waiting = progress::waiting(self.out, "checking");
        let reading = progress::bytes(self.out, "checking", file.size_bytes);
        let what = format!("the bytes of `{id}` are still being checked");
        loop {
            let pause = match self.complete(id, file).await {
                Ok(reply) if reply.status == 200 => {
                    waiting.finish_and_clear();
                    reading.finish_and_clear();
                    return reply.json();
                }
                Ok(reply) => reply.retry_after().unwrap_or(LOOK_AGAIN),
                Err(failure) if is_busy(&failure) => LOOK_AGAIN,
                Err(failure) => return Err(failure),
            };
            loop {
                waiting.tick();
                deadline.pause(pause, &what).await?;
                let upload = self.look(id).await?;
                if state(&upload) != "COMPLETING" {
                    break;
                }
                if let Some(verified) = table::member(&upload, "verified_bytes").as_u64() {
                    waiting.finish_and_clear();
                    reading.set_position(verified);
                }
            }
        }
    }
}

/// The body of initiate.
fn declaration(file: &LocalFile, wish: &Wish) -> Value {
    let mut body = Map::new();
    put(&mut body, "size_bytes", Some(file.size_bytes));
    put(&mut body, "sha256", Some(file.sha256.clone()));
    put(&mut body, "file_name", wish.name.clone());
    put(&mut body, "content_type", wish.content_type.clone());
    put(&mut body, "labels", wish.labels.clone());
    put(&mut body, "access", wish.access.clone());
    put(&mut body, "multipart", wish.multipart.then_some(true));
    Value::Object(body)
}

/// The key under which the upload of this declaration is found again; an edition that ended badly is left behind.
fn key(declaration: &Value, door: Door, edition: u32) -> String {
    let digest = hex(&Sha256::digest(declaration.to_string().as_bytes()));
    let door = match door {
        Door::ChecksumLocked => "locked",
        Door::Bare => "bare",
    };
    format!("bp-upload-{digest}-{door}-{edition}")
}

fn id(upload: &Value) -> Result<String, Failure> {
    let id = table::member(upload, "upload_id").as_str().map(str::to_owned);
    id.ok_or_else(|| Failure::NotUnderstood("the upload has no `upload_id`".to_owned()))
}

fn state(upload: &Value) -> &str {
    table::member(upload, "state").as_str().unwrap_or_default()
}

/// Whether an earlier upload is gone, so that a new one is in order.
fn is_over(failure: &Failure) -> bool {
    let word = failure.code();
    matches!(word, "NOT_FOUND" | "UPLOAD_FAILED" | "UPLOAD_EXPIRED" | "UPLOAD_ABORTED")
}

/// Whether somebody else is completing the upload.
pub(super) fn is_busy(failure: &Failure) -> bool {
    failure.code() == "UPLOAD_IN_PROGRESS"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> LocalFile {
        LocalFile { path: "a.msi".into(), name: None, size_bytes: 15, sha256: "51bc".to_owned() }
    }

    #[test]
    fn the_same_declaration_finds_the_same_upload() {
        let (one, other) = (declaration(&file(), &Wish::default()), declaration(&file(), &Wish::default()));
        assert_eq!(key(&one, Door::Bare, 1), key(&other, Door::Bare, 1));
        assert!(key(&one, Door::Bare, 1).len() <= 255);
    }

    #[test]
    fn another_declaration_or_edition_is_another_upload() {
        let named = Wish { name: Some("a.msi".to_owned()), ..Wish::default() };
        let (one, other) = (declaration(&file(), &Wish::default()), declaration(&file(), &named));
        assert_ne!(key(&one, Door::Bare, 1), key(&other, Door::Bare, 1));
        assert_ne!(key(&one, Door::Bare, 1), key(&one, Door::Bare, 2));
    }

    #[test]
    fn a_declaration_says_only_what_was_wished() {
        let expected = json!({"size_bytes": 15, "sha256": "51bc"});
        assert_eq!(declaration(&file(), &Wish::default()), expected);
    }
}
