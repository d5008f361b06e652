//! `bp serve`: the whole service in one process, over the filesystem or a bucket, SQLite and a local key.

use std::{
    fs::File,
    io,
    net::SocketAddr,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::Router;
use shared::{
    adapters::secret_file,
    app::{
        error::AppError,
        tokens::{self, Bootstrap},
    },
    config::{Config, ConfigError},
    domain::token::TokenText,
    http::{layer, objects},
    telemetry, wiring,
};
use tokio::{net::TcpListener, sync::watch, task::JoinHandle};

use self::connections::Limits;
use crate::args::ServeArgs;

mod background;
mod connections;
mod welcome;

/// How long requests that are under way at the end have to finish.
const GRACE: Duration = Duration::from_secs(30);

/// Why the service does not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The parts do not come together.
    #[error(transparent)]
    Wiring(#[from] wiring::WiringError),
    /// Another process uses the data.
    #[error("`{0}` is in use by another `bp serve`: stop that one, or name another folder with --data")]
    InUse(PathBuf),
    /// The data folder, a file in it, or the address cannot be used.
    #[error("`{what}` cannot be used")]
    Io {
        /// What cannot be used.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The first token could not be made.
    #[error("the first token could not be made")]
    Bootstrap(#[source] AppError),
}

/// A service that runs until it is stopped.
#[derive(Debug)]
pub(crate) struct Running {
    /// Where it is.
    pub(crate) base_url: String,
    /// A token with every scope.
    pub(crate) admin_token: String,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    background: JoinHandle<()>,
    /// Held while the data is in use.
    _lock: File,
}

impl Running {
    /// Stops it: no new requests, and those under way are finished.
    pub(crate) async fn stop(self) {
        // Nobody listens only where both have ended already.
        let _ = self.stop.send(true);
        if tokio::time::timeout(GRACE, self.server).await.is_err() {
            tracing::warn!("requests were still under way after 30 seconds and are cut off");
        }
        self.background.abort();
    }
}

/// Runs the service until SIGTERM or SIGINT.
pub(crate) async fn run(args: ServeArgs) -> Result<(), ServeError> {
    let config = Config::load(args.config.as_deref(), &args.data)?;
    telemetry::start(&config.log_level);
    let (running, fresh) = start(&config, args.listen, &args.data).await?;
    println!("listening on {}", running.base_url);
    if fresh {
        welcome::print(&running.base_url, &args.data);
    }
    stopped().await;
    running.stop().await;
    Ok(())
}

/// Starts a service on a free port of this machine, with its data under `data_dir`.
pub(crate) async fn start_throwaway(data_dir: &Path) -> Result<Running, ServeError> {
    let config = Config::read("", &std::collections::BTreeMap::new(), data_dir)?;
    let listen = SocketAddr::from(([127, 0, 0, 1], 0));
    Ok(start(&config, listen, data_dir).await?.0)
}

async fn start(config: &Config, listen: SocketAddr, data: &Path) -> Result<(Running, bool), ServeError> {
    let failed = |what: &Path| {
        let what = what.display().to_string();
        move |source| ServeError::Io { what, source }
    };
    // The records name URLs that open what they name: the folder is its owner's alone.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(failed(data))?;
    let lock = lock(data)?;
    let listener = TcpListener::bind(listen)
        .await
        .map_err(|source| ServeError::Io { what: listen.to_string(), source })?;
    let address =
        listener.local_addr().map_err(|source| ServeError::Io { what: listen.to_string(), source })?;
    let base_url = format!("http://{address}");
    let service = wiring::embedded(config, &base_url, data).await?;
    let (admin_token, fresh) = first_token(&service, data).await?;
    let (stop, stopping) = watch::channel(false);
    let router = router(&service);
    let background = tokio::spawn(background::run(service, stopping.clone()));
    let server = tokio::spawn(connections::serve(listener, router, Limits::default(), stopping));
    Ok((Running { base_url, admin_token, stop, server, background, _lock: lock }, fresh))
}

/// One process for one folder: what a crash left can then be taken over at once.
fn lock(data: &Path) -> Result<File, ServeError> {
    let path = data.join("lock");
    let failed = |source| ServeError::Io { what: path.display().to_string(), source };
    let file = File::options().write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(ServeError::InUse(data.to_owned())),
        Err(std::fs::TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// The token in `DATA/admin.token`: made where the deployment has none, written down before it is good.
async fn first_token(service: &wiring::Embedded, data: &Path) -> Result<(String, bool), ServeError> {
    let path = data.join("admin.token");
    let context = &service.context;
    let needed = tokens::bootstrap_needed(context).await.map_err(ServeError::Bootstrap)?;
    let written = secret_file::read(&path).ok().and_then(|text| String::from_utf8(text).ok());
    let written = written.map(|text| text.trim().to_owned());
    let usable = written.as_ref().and_then(|text| text.parse::<TokenText>().ok());
    let text = match (needed, usable) {
        (Bootstrap::Done, _) => return Ok((written.unwrap_or_default(), false)),
        (Bootstrap::First, Some(text)) => text,
        (Bootstrap::First | Bootstrap::Again, _) => {
            let text = tokens::new_text(context).map_err(ServeError::Bootstrap)?;
            let line = format!("{}\n", text.text.reveal());
            secret_file::create(&path, line.as_bytes())
                .map_err(|source| ServeError::Io { what: path.display().to_string(), source })?;
            text
        }
    };
    tokens::bootstrap(context, &text).await.map_err(ServeError::Bootstrap)?;
    Ok((text.text.reveal().to_owned(), true))
}

/// Every function's routes in one router.
fn router(service: &wiring::Embedded) -> Router {
    let context = service.context.clone();
    let managed = || (context.clone(), Arc::clone(&service.objects));
    let (initiate, complete, download, manage) = (managed(), managed(), managed(), managed());
    let mut router = Router::new()
        .merge(register::router(register::Ports { context: context.clone() }))
        .merge(initiate::router(initiate::Ports { context: initiate.0, objects: initiate.1 }))
        .merge(complete::router(complete::Ports { context: complete.0, objects: complete.1 }))
        .merge(download::router(download::Ports { context: download.0, objects: download.1 }))
        .merge(manage::router(manage::Ports { context: manage.0, objects: manage.1 }))
        .merge(decide::router(decide::Ports {
            context: context.clone(),
            decider: Arc::clone(&service.decider),
        }));
    if let Some(receiver) = &service.receiver {
        let ports = objects::Ports { context: context.clone(), receiver: Arc::clone(receiver) };
        router = router.merge(objects::router(ports));
    }
    layer::finish(router, context)
}

/// Waits for SIGTERM or SIGINT.
async fn stopped() {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be waited for: the service stops");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
