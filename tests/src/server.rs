//! The real program, started as users start it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::api::Api;
use crate::settings;
use crate::stack::Stack;

/// A running service with a data folder of its own; it ends when this is dropped.
///
/// It is `bp serve`, or the functions under Lambda's emulator where the tests run over those. What is about the process
/// `bp serve` panics there: such tests are left out of that run, by name.
#[derive(Debug)]
pub struct Server {
    running: Running,
    base: String,
    folder: TempDir,
}

#[derive(Debug)]
enum Running {
    Process(Child),
    Functions(Stack),
    /// It was there before and stays.
    Deployed {
        token: String,
    },
}

impl Server {
    /// Starts a server with the defaults.
    pub fn start() -> Self {
        Self::start_with("")
    }

    /// Starts a server with a configuration file of this content; `{DATA}` stands for the data folder.
    pub fn start_with(configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let data = folder.path().join("data");
        let configuration = configuration.replace("{DATA}", &data.display().to_string());
        match settings::stack() {
            settings::Stack::Serve => {}
            settings::Stack::Functions => {
                let stack = Stack::start(&configuration, &data, &folder.path().join("server.log"));
                let base = stack.base().to_owned();
                return Self { running: Running::Functions(stack), base, folder };
            }
            settings::Stack::Deployed { base, token } => {
                assert!(configuration.is_empty(), "a deployed stack has the configuration that it has");
                return Self { running: Running::Deployed { token }, base, folder };
            }
        }
        if !configuration.is_empty() {
            fs::write(folder.path().join("bp.yaml"), configuration).expect("a file");
        }
        let (child, base) = spawn(folder.path(), "127.0.0.1:0");
        Self { running: Running::Process(child), base, folder }
    }

    /// The server that tests share when their names keep them apart.
    pub fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let server = Arc::new(Self::start());
            *shared = Arc::downgrade(&server);
            server
        })
    }

    /// Where it answers, without a slash at the end.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// A client with the bootstrap token.
    pub fn admin(&self) -> Api {
        Api::new(&self.base, Some(&self.admin_token()))
    }

    /// A client without a token.
    pub fn anonymous(&self) -> Api {
        Api::new(&self.base, None)
    }

    /// The bootstrap token.
    pub fn admin_token(&self) -> String {
        if let Running::Deployed { token } = &self.running {
            return token.clone();
        }
        let file = self.data().join("admin.token");
        let token = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        token.trim().to_owned()
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Everything that the server has written to its standard output and error.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("server.log")).expect("a log")
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        match &self.running {
            Running::Process(child) => child.id(),
            Running::Functions(_) | Running::Deployed { .. } => panic!("functions are no one process"),
        }
    }

    fn child(&mut self) -> &mut Child {
        match &mut self.running {
            Running::Process(child) => child,
            Running::Functions(_) | Running::Deployed { .. } => panic!("functions are no one process"),
        }
    }

    /// Ends the process without a word of warning (SIGKILL on Unix).
    pub fn kill(&mut self) {
        self.child().kill().expect("a killed server");
        self.child().wait().expect("an ended server");
    }

    /// Ends the processes of functions, as Lambda does with those that are idle: the next answers come from cold ones.
    pub fn cool_down(&self) {
        match &self.running {
            Running::Functions(stack) => stack.cool_down(),
            Running::Process(_) | Running::Deployed { .. } => panic!("these are no functions of this run"),
        }
    }

    /// Asks the process to end (SIGTERM), and leaves it to it when.
    pub fn ask_to_stop(&self) {
        let asked = Command::new("kill").args(["-TERM", &self.pid().to_string()]).status().expect("kill");
        assert!(asked.success(), "{asked}");
    }

    /// How the process ended; nothing while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child().try_wait().expect("a child")
    }

    /// What the next start is to read as its configuration; `{DATA}` stands for the data folder.
    pub fn configure(&self, configuration: &str) {
        self.pid();
        let data = self.data().display().to_string();
        fs::write(self.folder.path().join("bp.yaml"), configuration.replace("{DATA}", &data))
            .expect("a file");
    }

    /// Starts another process over the same data, which is to refuse; answers with what it says.
    pub fn refused_start(&self) -> String {
        self.pid();
        let output = command(self.folder.path(), "127.0.0.1:0").output().expect("an ended process");
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(!output.status.success(), "it ended with {}:\n{said}", output.status);
        assert!(address(&said).is_none(), "it has listened:\n{said}");
        said
    }

    /// Starts again on the same data and address; answers how long it took until a request was answered.
    pub fn restart(&mut self) -> Duration {
        self.pid();
        let started = Instant::now();
        let address = self.base.trim_start_matches("http://").to_owned();
        let (child, base) = spawn(self.folder.path(), &address);
        (self.running, self.base) = (Running::Process(child), base);
        started.elapsed()
    }

    /// The most memory that the process has ever had resident, in KiB.
    #[cfg(target_os = "linux")]
    pub fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Running::Process(child) = &mut self.running {
            // An error means that it has ended already.
            _ = child.kill();
            _ = child.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("the end of the server's log:\n{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        }
    }
}

fn command(folder: &Path, listen: &str) -> Command {
    let mut command = Command::new(settings::program());
    command.args(["serve", "--listen", listen, "--data"]).arg(folder.join("data"));
    let configuration = folder.join("bp.yaml");
    if configuration.is_file() {
        command.arg("--config").arg(configuration);
    }
    // Nothing of the environment that runs the tests may steer the server.
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command
}

fn spawn(folder: &Path, listen: &str) -> (Child, String) {
    let log = folder.join("server.log");
    let before = fs::metadata(&log).map_or(0, |meta| usize::try_from(meta.len()).expect("a small log"));
    let open = || -> io::Result<File> { File::options().create(true).append(true).open(&log) };
    let mut child = command(folder, listen)
        .stdout(open().expect("a log"))
        .stderr(open().expect("a log"))
        .spawn()
        .expect("a started server");
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let text = fs::read_to_string(&log).unwrap_or_default();
        let said = text.get(before..).unwrap_or_default();
        if let Some(base) = address(said) {
            return (child, base);
        }
        if let Some(status) = child.try_wait().expect("a child") {
            panic!("the server ended with {status}:\n{said}");
        }
        if Instant::now() > deadline {
            _ = child.kill();
            panic!("the server did not say `listening on http://…` within 30 s:\n{said}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The address in a whole line `listening on http://127.0.0.1:PORT`.
fn address(said: &str) -> Option<String> {
    let (_, rest) = said.split_once("listening on http://")?;
    let end = rest.find(|letter: char| letter.is_whitespace() || letter == '"')?;
    Some(format!("http://{}", rest.get(..end)?.trim_end_matches('/')))
}
