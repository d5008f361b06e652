//! A fetcher that reads from a script.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::gate::Gate;
use crate::ports::fetcher::{FetchError, FetchRequest, Fetched, Fetcher};

/// What becomes of one fetch.
#[derive(Debug)]
pub enum Line {
    /// The bytes are the declared ones.
    Matches,
    /// They are not, or cannot be had.
    Fails(FetchError),
    /// It waits, and the bytes are the declared ones.
    MatchesAfter(Gate),
}

/// A fetcher that does what its script says, line by line; beyond the end nothing is reachable.
#[derive(Debug, Default)]
pub struct ScriptedFetcher {
    lines: Mutex<VecDeque<Line>>,
    asked: Mutex<Vec<FetchRequest>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScriptedFetcher {
    /// Adds a line to the script.
    pub fn then(&self, line: Line) {
        locked(&self.lines).push_back(line);
    }

    /// What was to be fetched so far.
    pub fn asked(&self) -> Vec<FetchRequest> {
        locked(&self.asked).clone()
    }
}

#[async_trait]
impl Fetcher for ScriptedFetcher {
    async fn fetch(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        locked(&self.asked).push(request.clone());
        let line = locked(&self.lines).pop_front();
        match line {
            Some(Line::Matches) => {}
            Some(Line::MatchesAfter(gate)) => gate.pass().await,
            Some(Line::Fails(error)) => return Err(error),
            None => return Err(FetchError::Unreachable("the script has ended".into())),
        }
        Ok(Fetched {
            etag: None,
            last_modified: None,
            final_url_host: "downloads.example.com".into(),
            bytes_read: request.declared_size,
            concealed: false,
        })
    }
}
