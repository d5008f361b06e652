//! The checks under way: each artifact at most once, many artifacts at a time, so that slow hosts do not hold up others.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use shared::{
    adapters::tasks::bell::Bell,
    app::{
        context::Context,
        external::{self, Checker, OF_A_HOST, Waiting, Which},
    },
    domain::ids::ArtifactId,
    wiring::Embedded,
};
use tokio::{
    task::{Id, JoinError, JoinSet},
    time::Instant,
};

/// How many checks are under way at most.
const MAX_CHECKS: usize = 64;
/// The longest time between two looks at what is due: a bell may ring in another process.
const LONGEST: Duration = Duration::from_secs(60);
/// How soon a look that failed is tried again.
const AGAIN: Duration = Duration::from_secs(5);

/// Makes the checks that are due, until it is dropped.
pub(super) async fn run(service: Arc<Embedded>) {
    let bell = Arc::clone(&service.bell);
    Checks::new(service.context.clone(), service.checker.clone(), MAX_CHECKS).run(&bell).await;
}

struct Checks {
    context: Context,
    checker: Checker,
    most: usize,
    tasks: JoinSet<Option<i64>>,
    /// Whose bytes each task looks at.
    under_way: HashMap<Id, Waiting>,
    busy: HashSet<ArtifactId>,
    /// Due, but not begun.
    queue: VecDeque<(Waiting, Which)>,
    /// Due again while they are being checked.
    again: HashSet<ArtifactId>,
    /// What the next look finds: all, until one has found them.
    which: Which,
    next_look: Instant,
}

impl Checks {
    fn new(context: Context, checker: Checker, most: usize) -> Self {
        Self {
            context,
            checker,
            most,
            tasks: JoinSet::new(),
            under_way: HashMap::new(),
            busy: HashSet::new(),
            queue: VecDeque::new(),
            again: HashSet::new(),
            which: Which::All,
            next_look: Instant::now(),
        }
    }

    /// Runs until it is dropped, and the checks under way with it.
    async fn run(mut self, bell: &Bell) {
        self.look().await;
        loop {
            self.begin();
            tokio::select! {
                // However often it rang: one look sees it all.
                () = bell.heard() => self.look().await,
                () = tokio::time::sleep_until(self.next_look) => self.look().await,
                Some(done) = self.tasks.join_next_with_id() => self.ended(done),
            }
        }
    }

    /// Finds what is due.
    async fn look(&mut self) {
        let wait = match external::waiting(&self.context, self.which).await {
            Ok((due, next)) => {
                self.enqueue(due);
                self.which = Which::Due;
                next.map_or(LONGEST, |at| self.until(at)).min(LONGEST)
            }
            Err(error) => {
                tracing::error!(error = %error, "what is to be checked could not be read");
                AGAIN
            }
        };
        self.next_look = Instant::now() + wait;
    }

    fn enqueue(&mut self, due: Vec<Waiting>) {
        let queued: HashSet<_> = self.queue.iter().map(|(waiting, _)| waiting.id).collect();
        for waiting in due {
            if self.busy.contains(&waiting.id) {
                self.again.insert(waiting.id);
            } else if !queued.contains(&waiting.id) {
                self.queue.push_back((waiting, self.which));
            }
        }
    }

    /// The first that may be begun: of one host a few at a time.
    fn next(&mut self) -> Option<(Waiting, Which)> {
        if self.tasks.len() >= self.most {
            return None;
        }
        let mut busy: HashMap<&str, usize> = HashMap::new();
        for host in self.under_way.values().filter_map(|waiting| waiting.host.as_deref()) {
            *busy.entry(host).or_default() += 1;
        }
        let free = |host: &str| busy.get(host).is_none_or(|busy| *busy < OF_A_HOST);
        let place = self.queue.iter().position(|(waiting, _)| waiting.host.as_deref().is_none_or(free))?;
        self.queue.remove(place)
    }

    /// Begins what there is room for.
    fn begin(&mut self) {
        while let Some((waiting, which)) = self.next() {
            let (context, checker, id) = (self.context.clone(), self.checker.clone(), waiting.id);
            let task = self.tasks.spawn(async move {
                external::check(&context, &checker, id, which).await.unwrap_or_else(|error| {
                    tracing::error!(artifact.id = %id, error = %error, "an artifact could not be checked");
                    None
                })
            });
            self.under_way.insert(task.id(), waiting);
            self.busy.insert(id);
        }
    }

    fn ended(&mut self, done: Result<(Id, Option<i64>), JoinError>) {
        let (task, next) = match done {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(error = %error, "a check broke down");
                (error.id(), None)
            }
        };
        if let Some(at) = next {
            self.next_look = self.next_look.min(Instant::now() + self.until(at));
        }
        let Some(waiting) = self.under_way.remove(&task) else { return };
        self.busy.remove(&waiting.id);
        if self.again.remove(&waiting.id) {
            self.queue.push_back((waiting, Which::Due));
        }
    }

    fn until(&self, at: i64) -> Duration {
        let wait = at.saturating_sub(self.context.clock.now_ms());
        Duration::from_millis(u64::try_from(wait).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;

    use shared::{
        adapters::{
            metadata::memory::MemoryItems,
            objects::{memory::MemoryObjects, signed_url::UrlKey},
        },
        app::{artifacts, register},
        domain::artifact::ArtifactState,
        testing::{
            build,
            fetcher::{Line, ScriptedFetcher},
            gate::Gate,
            time::TestClock,
        },
    };
    use tokio::task::JoinHandle;

    use super::*;

    struct World {
        context: Context,
        bell: Arc<Bell>,
        fetcher: Arc<ScriptedFetcher>,
    }

    impl World {
        fn new() -> Self {
            let clock = Arc::new(TestClock::at(1_700_000_000_000));
            let bell = Arc::new(Bell::default());
            let items = Arc::new(MemoryItems::default());
            let tasks = Some(Arc::clone(&bell) as _);
            let context = Context { tasks, ..build::context(items, &clock, build::settings(), 1) };
            Self { context, bell, fetcher: Arc::default() }
        }

        fn start(&self, most: usize) -> JoinHandle<()> {
            let objects = MemoryObjects::new("https://updates.example.com", UrlKey::from_bytes(&[7; 32]));
            let checker = Checker { fetcher: Arc::clone(&self.fetcher) as _, objects: Arc::new(objects) };
            let (checks, bell) = (Checks::new(self.context.clone(), checker, most), Arc::clone(&self.bell));
            tokio::spawn(async move { checks.run(&bell).await })
        }

        async fn registered(&self, name: &str) -> ArtifactId {
            let registration =
                build::registration(name.as_bytes(), &format!("https://downloads.example.com/{name}.msi"));
            let made = register::register(&self.context, &build::caller(), &registration, None).await;
            made.unwrap().0.artifact_id
        }

        async fn available(&self) -> usize {
            let filter = artifacts::Filter { limit: 100, ..artifacts::Filter::default() };
            let (all, _) = artifacts::list(&self.context, &build::caller(), &filter).await.unwrap();
            all.iter().filter(|artifact| artifact.state == ArtifactState::Available).count()
        }
    }

    async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
        let waiting = async {
            while !holds().await {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("it comes to hold");
    }

    #[tokio::test]
    async fn slow_hosts_hold_up_nobody_else_and_no_bell_begins_a_check_twice() {
        let (world, gates) = (World::new(), [(); 3].map(|()| Gate::default()));
        for (name, gate) in ["a", "b", "c"].iter().zip(&gates) {
            world.registered(name).await;
            world.fetcher.then(Line::MatchesAfter(gate.clone()));
        }
        let checks = world.start(8);
        until(|| async { world.fetcher.asked().len() == 3 }).await;
        for name in ["d", "e"] {
            world.fetcher.then(Line::Matches);
            world.registered(name).await;
            world.bell.ring();
        }
        until(|| async { world.available().await == 2 }).await;
        gates.iter().for_each(Gate::open);
        until(|| async { world.available().await == 5 }).await;
        assert_eq!(world.fetcher.asked().len(), 5);
        checks.abort();
    }

    #[tokio::test]
    async fn no_more_checks_than_allowed_are_under_way_and_the_others_follow() {
        let (world, gates) = (World::new(), [(); 4].map(|()| Gate::default()));
        for (name, gate) in ["a", "b", "c", "d"].iter().zip(&gates) {
            world.registered(name).await;
            world.fetcher.then(Line::MatchesAfter(gate.clone()));
        }
        let checks = world.start(2);
        until(|| async { world.fetcher.asked().len() == 2 }).await;
        world.bell.ring();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(world.fetcher.asked().len(), 2);
        gates.iter().for_each(Gate::open);
        until(|| async { world.available().await == 4 }).await;
        checks.abort();
    }

    #[tokio::test]
    async fn of_one_host_a_few_checks_are_under_way_and_other_hosts_do_not_wait() {
        let (world, gates) = (World::new(), [(); OF_A_HOST].map(|()| Gate::default()));
        for gate in &gates {
            world.fetcher.then(Line::MatchesAfter(gate.clone()));
        }
        for number in 0..20 {
            world.registered(&format!("a{number}")).await;
        }
        let checks = world.start(64);
        until(|| async { world.fetcher.asked().len() == OF_A_HOST }).await;
        world.fetcher.then(Line::Matches);
        let other = build::registration(b"other", "https://other.example.com/b.msi");
        register::register(&world.context, &build::caller(), &other, None).await.unwrap();
        until(|| async { world.available().await == 1 }).await;
        assert_eq!(world.fetcher.asked().len(), OF_A_HOST + 1);
        for _ in OF_A_HOST..20 {
            world.fetcher.then(Line::Matches);
        }
        gates.iter().for_each(Gate::open);
        until(|| async { world.available().await == 21 }).await;
        checks.abort();
    }

    #[tokio::test]
    async fn what_is_asked_for_during_its_check_is_checked_again() {
        let (world, gate) = (World::new(), Gate::default());
        let id = world.registered("a").await;
        world.fetcher.then(Line::MatchesAfter(gate.clone()));
        let checks = world.start(8);
        until(|| async { world.fetcher.asked().len() == 1 }).await;
        artifacts::verify_again(&world.context, &build::caller(), id).await.unwrap();
        // The loop has looked, and knows of the request, when it has begun a check that was asked for later.
        world.fetcher.then(Line::Matches);
        world.registered("b").await;
        until(|| async { world.available().await == 1 }).await;
        assert_eq!(world.fetcher.asked().len(), 2);
        world.fetcher.then(Line::Matches);
        gate.open();
        until(|| async { world.fetcher.asked().len() == 3 && world.available().await == 2 }).await;
        checks.abort();
    }
}
