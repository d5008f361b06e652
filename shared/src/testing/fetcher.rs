//! A fetcher that reads from a script.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::gate::Gate;
use crate::{
    domain::{
        artifact::{Validators, Verification},
        external_url::ExternalUrl,
    },
    ports::fetcher::{FetchError, FetchRequest, Fetched, Fetcher, Keep, Progress, Reading},
};

/// What becomes of one fetch.
#[derive(Debug)]
pub enum Line {
    /// The bytes are the declared ones.
    Matches,
    /// They are not, or cannot be had.
    Fails(FetchError),
    /// It waits, and the bytes are the declared ones.
    MatchesAfter(Gate),
    /// The bytes are the declared ones by these means, and this is said of them.
    Proves(Verification, Validators),
    /// The time is over after a part.
    Stops(Progress),
    /// The bytes are these, which are the declared ones.
    Sends(Vec<u8>),
}

/// A fetcher that does what its script says, line by line; beyond the end nothing is reachable.
#[derive(Debug, Default)]
pub struct ScriptedFetcher {
    lines: Mutex<VecDeque<Line>>,
    asked: Mutex<Vec<FetchRequest>>,
    looks: Mutex<VecDeque<Result<Validators, FetchError>>>,
    probed: Mutex<Vec<String>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScriptedFetcher {
    /// Adds a line to the script.
    pub fn then(&self, line: Line) {
        locked(&self.lines).push_back(line);
    }

    /// Adds an answer to the probes.
    pub fn then_says(&self, look: Result<Validators, FetchError>) {
        locked(&self.looks).push_back(look);
    }

    /// The URLs that were probed so far.
    pub fn probed(&self) -> Vec<String> {
        locked(&self.probed).clone()
    }

    /// What was to be fetched so far.
    pub fn asked(&self) -> Vec<FetchRequest> {
        locked(&self.asked).clone()
    }
}

#[async_trait]
impl Fetcher for ScriptedFetcher {
    async fn fetch(&self, request: &FetchRequest) -> Result<Reading, FetchError> {
        locked(&self.asked).push(request.clone());
        let line = locked(&self.lines).pop_front();
        let (verification, validators) = match line {
            Some(Line::Matches) => (Verification::Fetched, Validators::default()),
            Some(Line::MatchesAfter(gate)) => {
                gate.pass().await;
                (Verification::Fetched, Validators::default())
            }
            Some(Line::Proves(verification, validators)) => (verification, validators),
            Some(Line::Sends(bytes)) => {
                if let Some(Keep(sink)) = &request.keep {
                    let cause = |error: std::io::Error| FetchError::Unreachable(error.into());
                    sink.begin().await.map_err(cause)?;
                    for piece in bytes.chunks(7) {
                        sink.take(bytes::Bytes::copy_from_slice(piece)).await.map_err(cause)?;
                    }
                }
                (Verification::Fetched, Validators::default())
            }
            Some(Line::Stops(progress)) => return Ok(Reading::Part(progress)),
            Some(Line::Fails(error)) => return Err(error),
            None => return Err(FetchError::Unreachable("the script has ended".into())),
        };
        Ok(Reading::Whole(Fetched {
            verification,
            validators,
            final_url_host: "downloads.example.com".into(),
            bytes_read: request.declared_size,
            concealed: false,
        }))
    }

    async fn probe(&self, url: &ExternalUrl, _: i64) -> Result<Validators, FetchError> {
        locked(&self.probed).push(url.as_str().to_owned());
        let look = locked(&self.looks).pop_front();
        look.unwrap_or_else(|| Err(FetchError::Unreachable("the script has ended".into())))
    }
}
