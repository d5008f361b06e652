//! A download that is killed at any byte goes on from there, and what comes out is what was signed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use client::Limits;
use tokio::sync::Notify;

use crate::downloads::Job;
use crate::mirror::{Mirror, Reply, Then};
use crate::world::{Chance, bytes, sha256};

const KILLS: usize = 200;
const SIZE: usize = 150_000;

#[tokio::test]
async fn killed_at_a_random_byte_two_hundred_times_it_resumes_and_verifies() {
    let wanted = bytes(2_026, SIZE);
    let (served, stop_at) = (wanted.clone(), Arc::new(AtomicUsize::new(usize::MAX)));
    let stop = stop_at.clone();
    let mirror = Mirror::start(move |asked| {
        let rest = stop.load(Ordering::SeqCst).saturating_sub(asked.from.unwrap_or(0));
        let good = Reply::good(asked, &served, "\"e\"");
        if rest < good.body.len() { good.cut(rest, Then::Stall) } else { good }
    })
    .await;
    let job = Job::new(&mirror.url(), &wanted, Limits::default()).await;
    let checked = job.updater.check().await.unwrap();
    let (offer, path) = (checked.offer().unwrap(), job.path());
    let part = job.folder.path().join(format!(".editor.deb.{}.part", &sha256(&wanted)[..16]));
    let (mut chance, mut kills, mut finished) = (Chance(7), 0, 0);
    while kills < KILLS {
        // One download: killed one to five times, each time further on, then left alone.
        let mut there = 0;
        for _ in 0..=chance.below(5) {
            let at = there + chance.below(SIZE - there);
            stop_at.store(at, Ordering::SeqCst);
            let reached = Notify::new();
            let seen = |progress: client::Progress| {
                if progress.bytes >= u64::try_from(at).unwrap() {
                    reached.notify_one();
                }
            };
            tokio::select! {
                ended = job.updater.download(offer, &path, seen) => panic!("seed 7, kill {kills}: {ended:?}"),
                () = reached.notified() => {}
            }
            assert!(!path.exists(), "kill {kills} at {at}: a name appeared");
            assert_eq!(std::fs::read(&part).unwrap_or_default(), wanted[..at], "kill {kills} at {at}");
            (there, kills) = (at, kills + 1);
        }
        stop_at.store(usize::MAX, Ordering::SeqCst);
        job.updater.download(offer, &path, |_| ()).await.unwrap();
        let from = mirror.asked().last().unwrap().from;
        assert_eq!(from, Some(there).filter(|there| *there > 0), "kill {kills}: it did not go on");
        assert_eq!(std::fs::read(&path).unwrap(), wanted);
        assert_eq!(job.left(), ["editor.deb"]);
        std::fs::remove_file(&path).unwrap();
        finished += 1;
    }
    assert!(finished > 40, "{finished} downloads");
}
