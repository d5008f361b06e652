//! `bp serve`: the whole service in one process.

use std::path::Path;

use crate::args::ServeArgs;

/// A service that runs until it is stopped.
#[derive(Debug)]
pub(crate) struct Running {
    /// Where it is.
    pub(crate) base_url: String,
    /// A token with every scope.
    pub(crate) admin_token: String,
}

impl Running {
    /// Stops it.
    pub(crate) async fn stop(self) {}
}

/// Runs the service until it is told to stop.
pub(crate) async fn run(args: ServeArgs) -> Result<(), std::io::Error> {
    let ServeArgs { listen: _, data: _, config: _ } = args;
    Err(std::io::Error::other("not built yet"))
}

/// Starts a service on a free port of this machine, with its data under `data_dir`.
pub(crate) async fn start_throwaway(data_dir: &Path) -> Result<Running, std::io::Error> {
    Err(std::io::Error::other(format!("not built yet: {}", data_dir.display())))
}
