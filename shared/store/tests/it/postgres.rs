//! A Postgres server of its own for each test: made, started, and stopped with the value.
//!
//! Needs Debian's `postgresql` package (deploy/test installs it). As root the server is run as the
//! user `postgres`, since it refuses root.

use std::{
    fs,
    net::TcpListener,
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::Command,
};

pub struct Server {
    bin: PathBuf,
    folder: tempfile::TempDir,
    port: u16,
}

/// First port that is tried; below the range that the system hands out by itself.
const FIRST_PORT: u16 = 21_000;

impl Server {
    pub fn start() -> Self {
        let server = Self { bin: binaries(), folder: tempfile::tempdir().unwrap(), port: free_port() };
        let root = server.folder.path();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755)).unwrap();
        let home = root.join("home");
        fs::create_dir(&home).unwrap();
        if is_root() {
            let (user, group) = postgres_user();
            chown(&home, Some(user), Some(group)).unwrap();
        }
        let data = server.data();
        server.call("initdb", &["-D", &data, "-U", "slipway", "-A", "trust", "--no-sync", "-E", "UTF8"]);
        let options =
            format!("-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off", server.port);
        let log = home.join("log").display().to_string();
        server.call("pg_ctl", &["-D", &data, "-l", &log, "-o", &options, "-w", "-t", "60", "start"]);
        server
    }

    pub fn url(&self) -> String {
        format!("postgres://slipway@127.0.0.1:{}/postgres", self.port)
    }

    fn data(&self) -> String {
        self.folder.path().join("home/data").display().to_string()
    }

    fn call(&self, program: &str, arguments: &[&str]) {
        let program = self.bin.join(program);
        let mut command = if is_root() {
            let mut command = Command::new("setpriv");
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(&program);
            command
        } else {
            Command::new(&program)
        };
        let home = self.folder.path().join("home");
        let output = command.args(arguments).current_dir(&home).env("HOME", &home).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{} failed: {said}", program.display());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let data = self.data();
        self.call("pg_ctl", &["-D", &data, "-m", "immediate", "-w", "stop"]);
    }
}

fn binaries() -> PathBuf {
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.flatten().map(|entry| entry.path().join("bin")).collect())
        .unwrap_or_default();
    versions.sort();
    let on_path =
        std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    versions
        .into_iter()
        .rev()
        .chain(on_path)
        .find(|folder| folder.join("initdb").exists() && folder.join("pg_ctl").exists())
        .expect("Postgres is not installed: apt-get install postgresql")
}

/// Each test process begins elsewhere, so that tests that run side by side do not meet.
fn free_port() -> u16 {
    let start = FIRST_PORT + u16::try_from(std::process::id() % 5_000).unwrap();
    (start..start + 500).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("a free port")
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    fs::metadata("/proc/self").unwrap().uid() == 0
}

fn postgres_user() -> (u32, u32) {
    let users = fs::read_to_string(Path::new("/etc/passwd")).unwrap();
    let line = users.lines().find(|line| line.starts_with("postgres:")).expect("the user `postgres` exists");
    let mut fields = line.split(':').skip(2).map(|field| field.parse().unwrap());
    (fields.next().unwrap(), fields.next().unwrap())
}
