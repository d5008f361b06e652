//! An upload in parts: four at a time, each hashed, put and tried again by itself.
//!
//! Which parts are missing is the service's to say: completing is refused with their numbers. So whoever runs the command
//! again sends only those, and no state is kept on this machine.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use super::door::{Piece, Put, Signed};
use super::file::LocalFile;
use super::upload::{PUTS, Uploader, is_busy};
use crate::api::Call;
use crate::failure::Failure;
use crate::wait::{Deadline, back_off};
use crate::{progress, table};

/// How many parts are sent at a time.
const AT_A_TIME: usize = 4;
/// How often the missing parts are asked for: an answer names a thousand at most, and there are ten thousand at most.
const ROUNDS: u32 = 16;

/// How an upload is cut into parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cut {
    part_size_bytes: u64,
}

impl Cut {
    /// How the upload is cut; `None` for one that takes its bytes at once.
    pub(super) fn of(upload: &Value) -> Result<Option<Self>, Failure> {
        let cut = table::member(upload, "multipart");
        if cut.is_null() {
            return Ok(None);
        }
        let size = table::member(cut, "part_size_bytes").as_u64().filter(|size| *size > 0);
        let bad = || Failure::NotUnderstood("the upload does not say how large its parts are".to_owned());
        Ok(Some(Self { part_size_bytes: size.ok_or_else(bad)? }))
    }

    /// Where a part lies in a file of that size.
    fn piece(self, number: u64, size_bytes: u64) -> Piece {
        let from = number.saturating_sub(1).saturating_mul(self.part_size_bytes).min(size_bytes);
        Piece { from, length: self.part_size_bytes.min(size_bytes - from) }
    }
}

impl Uploader<'_> {
    /// Sends the parts that are missing until none is, and has the upload completed.
    pub(super) async fn send_parts(
        &self,
        id: &str,
        file: &LocalFile,
        cut: Cut,
        deadline: &Deadline,
    ) -> Result<(), Failure> {
        let bar = progress::bytes(self.out, "uploading", file.size_bytes);
        for _ in 0..ROUNDS {
            let refusal = match self.complete(id, file).await {
                Ok(_) => return Ok(()),
                Err(failure) if is_busy(&failure) => return Ok(()),
                Err(failure) => failure,
            };
            let Some(missing) = missing(&refusal) else { return Err(refusal) };
            let left: u64 = missing.iter().map(|number| cut.piece(*number, file.size_bytes).length).sum();
            bar.set_position(file.size_bytes.saturating_sub(left));
            stream::iter(missing)
                .map(|number| {
                    self.send_part(id, file, number, cut.piece(number, file.size_bytes), &bar, deadline)
                })
                .buffer_unordered(AT_A_TIME)
                .try_collect::<()>()
                .await?;
        }
        Err(Failure::negative("UPLOAD_FAILED", format!("the store still lacks parts after {ROUNDS} rounds")))
    }

    /// Sends one part, as often as it takes, each time with a fresh URL.
    async fn send_part(
        &self,
        id: &str,
        file: &LocalFile,
        number: u64,
        piece: Piece,
        bar: &ProgressBar,
        deadline: &Deadline,
    ) -> Result<(), Failure> {
        let sha256 = file.hash_piece(piece.from, piece.length).await?;
        for attempt in 1..=PUTS {
            let wanted = json!({ "parts": [{ "part_number": number, "sha256": sha256 }] });
            let call = Call::post(&["v1", "artifacts", "uploads", id, "parts"], wanted).repeatable();
            let doors = self.api.json(call).await?;
            let door = table::member(&doors, "parts").get(0).cloned().unwrap_or_default();
            if matches!(Signed::of_part(&door)?.put(&self.http, file, piece, bar).await?, Put::There) {
                return Ok(());
            }
            deadline.pause(back_off(attempt), &format!("part {number} is still not in the store")).await?;
        }
        let message = format!("the store did not take part {number} in {PUTS} attempts");
        Err(Failure::negative("UPLOAD_FAILED", message))
    }
}

/// The parts that a refusal names as missing; `None` where it is about something else.
fn missing(refusal: &Failure) -> Option<Vec<u64>> {
    let Failure::Refused { code, details: Some(details), .. } = refusal else { return None };
    if code != "OBJECT_NOT_UPLOADED" {
        return None;
    }
    let parts = table::member(details, "missing_parts").as_array()?;
    parts.iter().map(Value::as_u64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_piece_may_be_smaller_and_none_leaves_the_file() {
        let cut = Cut::of(&json!({"multipart": {"part_size_bytes": 10, "part_count": 3}})).unwrap().unwrap();
        assert_eq!(cut.piece(1, 21), Piece { from: 0, length: 10 });
        assert_eq!(cut.piece(3, 21), Piece { from: 20, length: 1 });
        assert_eq!(cut.piece(4, 21), Piece { from: 21, length: 0 });
    }

    #[test]
    fn an_upload_without_a_cut_is_sent_at_once_and_a_senseless_one_is_not_understood() {
        assert_eq!(Cut::of(&json!({"multipart": null})).unwrap(), None);
        assert!(Cut::of(&json!({"multipart": {"part_size_bytes": 0}})).is_err());
        assert!(Cut::of(&json!({"multipart": {}})).is_err());
    }
}
