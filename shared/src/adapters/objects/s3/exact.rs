//! S3 itself, which lacks nothing: what functions are built for.
#![allow(clippy::unused_self, clippy::unused_async, reason = "another build looks, and asks the store")]

use super::{Lack, S3Objects};
use crate::{domain::ids::UploadId, ports::objects::ObjectError};

/// There is nothing to know.
pub(super) type Known = Option<std::convert::Infallible>;

impl S3Objects {
    pub(super) const fn lacks(&self, _: Lack) -> bool {
        false
    }

    pub(super) const fn may_lack(&self, _: Lack) -> bool {
        false
    }

    pub(super) const fn note(&self, _: Lack) {}

    pub(super) async fn refuses_other_bytes(&self, _: UploadId) -> Result<bool, ObjectError> {
        Ok(true)
    }
}
