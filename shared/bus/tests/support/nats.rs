//! A real nats-server for one test: own port, own store, killed at the end, killed -9 and started
//! again on demand. Found by `SLIPWAY_TEST_NATS_SERVER`, else in PATH.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use slipway_bus::{Bus, BusConfig};
use slipway_domain::presence::Role;

const START_WITHIN: Duration = Duration::from_secs(20);

/// Longest that a test waits for a condition.
pub const DEADLINE: Duration = Duration::from_secs(30);

pub struct Nats {
    pub port: u16,
    dir: tempfile::TempDir,
    child: Child,
}

impl Nats {
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with("", "")
    }

    /// With more lines for the file, and for its `jetstream` block.
    pub fn start_with(extra: &str, jetstream: &str) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir()?;
        let deadline = Instant::now() + START_WITHIN;
        while Instant::now() < deadline {
            let port = free_port()?;
            let store = dir.path().join("store");
            fs::write(
                dir.path().join("nats.conf"),
                format!(
                    "listen: \"127.0.0.1:{port}\"\njetstream {{\n store_dir: \"{}\"\n sync_interval: always\n {jetstream}\n}}\n{extra}\n",
                    store.display()
                ),
            )?;
            let mut child = spawn(dir.path())?;
            if answers(port, &mut child) {
                return Ok(Self { port, dir, child });
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        bail!("nats-server did not start; see {}", dir.path().join("log").display())
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// SIGKILL, and gone when this returns.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again with the same port and store.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + START_WITHIN;
        while Instant::now() < deadline {
            self.child = spawn(self.dir.path())?;
            if answers(self.port, &mut self.child) {
                return Ok(());
            }
            self.kill9();
        }
        bail!("nats-server did not start again")
    }

    /// Forgets everything stored. Only while it is down.
    pub fn wipe(&self) -> anyhow::Result<()> {
        Ok(fs::remove_dir_all(self.dir.path().join("store"))?)
    }

    pub fn config(&self, role: Role, id: &str) -> BusConfig {
        BusConfig { url: self.url(), creds: None, role, id: id.to_owned() }
    }

    /// A connection with all streams in place.
    pub async fn bus(&self) -> anyhow::Result<Bus> {
        let bus = Bus::connect(&self.config(Role::Planner, "planner-1")).await?;
        bus.ensure_streams(1).await?;
        Ok(bus)
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Waits for a future, but not for ever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("not within {DEADLINE:?}: {what}"),
    }
}

fn spawn(dir: &Path) -> anyhow::Result<Child> {
    let program = std::env::var_os("SLIPWAY_TEST_NATS_SERVER").unwrap_or_else(|| "nats-server".into());
    Command::new(&program)
        .arg("-c")
        .arg(dir.join("nats.conf"))
        .arg("-l")
        .arg(dir.join("log"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| {
            format!(
                "cannot start {}: put nats-server in PATH or name it in SLIPWAY_TEST_NATS_SERVER",
                program.display()
            )
        })
}

#[expect(clippy::disallowed_methods, reason = "a test has nothing else to do before its server is there")]
fn answers(port: u16, child: &mut Child) -> bool {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        if child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    false
}

/// Below the range from which the kernel takes ports for outgoing connections.
fn free_port() -> anyhow::Result<u16> {
    let mut port = 18_000 + (uuid::Uuid::new_v4().as_u128() % 14_000) as u16;
    for _ in 0..1000 {
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
        port = 18_000 + (port - 18_000 + 1) % 14_000;
    }
    bail!("no free port")
}
