//! Processes that outlive the command: started in a session of their own, found again by a file
//! with pid and start time, so that another program with the same pid is never taken for ours.

use std::{
    fs::File,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use slipway_domain::text::sha256_hex;

use super::ready::Probe;
use crate::{
    failure::{Failure, Result},
    settings::write_private,
};

const POLL: Duration = Duration::from_millis(50);
/// Lines of a log that are shown.
const TAIL: usize = 15;

/// How a process is started.
pub struct Spec {
    pub name: &'static str,
    pub program: PathBuf,
    pub arguments: Vec<String>,
    pub variables: Vec<(&'static str, String)>,
    pub unset: Vec<&'static str>,
    pub probe: Probe,
}

impl Spec {
    /// Differs when the process has to be started anew to be as wanted.
    pub fn fingerprint(&self) -> String {
        let all = format!("{:?} {:?} {:?} {}", self.program, self.arguments, self.variables, self.probe.address());
        sha256_hex(all.as_bytes())
    }
}

/// Where a process is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It does not run.
    Stopped,
    /// It runs, started with what has this fingerprint.
    Running { pid: i32, fingerprint: String },
    /// It runs, but its program was replaced since.
    Outdated { pid: i32 },
}

/// The processes of one folder.
pub struct Processes {
    pids: PathBuf,
    logs: PathBuf,
}

/// The content of a pid file.
struct Known {
    pid: i32,
    started: u64,
    fingerprint: String,
}

impl Processes {
    pub fn new(pids: PathBuf, logs: PathBuf) -> Self {
        Self { pids, logs }
    }

    /// The log of a process.
    pub fn log(&self, name: &str) -> PathBuf {
        self.logs.join(format!("{name}.log"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.pids.join(format!("{name}.pid"))
    }

    fn known(&self, name: &str) -> Option<Known> {
        let text = std::fs::read_to_string(self.file(name)).ok()?;
        let mut lines = text.lines();
        Some(Known {
            pid: lines.next()?.trim().parse().ok()?,
            started: lines.next()?.trim().parse().ok()?,
            fingerprint: lines.next().unwrap_or_default().trim().to_owned(),
        })
    }

    /// Where a process is; a pid that now belongs to another program counts as stopped.
    pub fn state(&self, name: &str) -> State {
        let Some(known) = self.known(name).filter(|known| start_time(known.pid) == Some(known.started)) else {
            return State::Stopped;
        };
        let program = std::fs::read_link(format!("/proc/{}/exe", known.pid));
        let replaced = program.is_ok_and(|path| path.to_string_lossy().ends_with(" (deleted)"));
        if replaced {
            State::Outdated { pid: known.pid }
        } else {
            State::Running { pid: known.pid, fingerprint: known.fingerprint }
        }
    }

    /// Starts a process; its output is appended to its log.
    pub fn spawn(&self, spec: &Spec) -> Result<i32> {
        let failed = |e: &dyn std::fmt::Display| {
            Failure::failed(format!("{} can not be started ({}): {e}", spec.name, spec.program.display()))
        };
        std::fs::create_dir_all(&self.logs).map_err(|e| failed(&e))?;
        let path = self.log(spec.name);
        let log = File::options().create(true).append(true).open(&path).map_err(|e| failed(&e))?;
        let mut command = match on_path("setsid") {
            Some(setsid) => {
                let mut command = Command::new(setsid);
                command.arg(&spec.program);
                command
            }
            None => {
                let mut command = Command::new(&spec.program);
                command.process_group(0);
                command
            }
        };
        for name in &spec.unset {
            command.env_remove(name);
        }
        command.args(&spec.arguments).envs(spec.variables.iter().map(|(name, value)| (name, value)));
        let errors = log.try_clone().map_err(|e| failed(&e))?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let child = command.spawn().map_err(|e| failed(&e))?;
        let pid = i32::try_from(child.id()).map_err(|e| failed(&e))?;
        let started = start_time(pid).ok_or_else(|| failed(&format!("it ended at once; see {}", path.display())))?;
        let content = format!("{pid}\n{started}\n{}\n", spec.fingerprint());
        write_private(&self.file(spec.name), content.as_bytes())?;
        Ok(pid)
    }

    /// Sends a signal to a process if it runs.
    pub fn signal(&self, name: &str, signal: Signal) -> Result<()> {
        let (State::Running { pid, .. } | State::Outdated { pid }) = self.state(name) else { return Ok(()) };
        match kill(Pid::from_raw(pid), signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(e) => Err(Failure::failed(format!("{name} (pid {pid}) does not take {signal}: {e}"))),
        }
    }

    /// Waits until a process that was told to end has ended, and kills it when it takes too long. Tells how it
    /// ended; none if it was not there.
    pub async fn stopped(&self, name: &str, within: Duration) -> Result<Option<&'static str>> {
        if self.known(name).is_none() {
            return Ok(None);
        }
        let started = Instant::now();
        let mut how = if self.state(name) == State::Stopped { None } else { Some("stopped") };
        while self.state(name) != State::Stopped {
            if started.elapsed() > within && how != Some("killed") {
                self.signal(name, Signal::SIGKILL)?;
                how = Some("killed");
            }
            if started.elapsed() > within + Duration::from_secs(10) {
                return Err(Failure::failed(format!("{name} does not end, not even when killed")));
            }
            tokio::time::sleep(POLL).await;
        }
        let _ = std::fs::remove_file(self.file(name));
        // A process that ended within the first look was stopped as well.
        Ok(Some(how.unwrap_or("stopped")))
    }

    /// The last lines of a process's log, without the frames of stack traces, which would be all of them.
    pub fn tail(&self, name: &str) -> String {
        let bytes = std::fs::read(self.log(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines = without_traces(&text);
        lines[lines.len().saturating_sub(TAIL)..].iter().map(|line| format!("    | {line}\n")).collect()
    }
}

/// The lines of a log without stack traces: what is indented below `Stack backtrace:`.
fn without_traces(text: &str) -> Vec<&str> {
    let mut in_trace = false;
    text.lines()
        .filter(|line| {
            if line.eq_ignore_ascii_case("stack backtrace:") {
                in_trace = true;
            } else if !line.starts_with(' ') {
                in_trace = false;
            }
            !in_trace
        })
        .collect()
}

/// When a process was started, in the kernel's ticks; none if it is not there or has ended.
fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the state is the first field after it.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

/// A program on the PATH.
pub fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(seconds: &str) -> Spec {
        Spec {
            name: "sleeper",
            program: on_path("sleep").unwrap(),
            arguments: vec![seconds.to_owned()],
            variables: Vec::new(),
            unset: Vec::new(),
            probe: Probe::Http("127.0.0.1:1".to_owned()),
        }
    }

    #[tokio::test]
    async fn a_process_is_found_again_and_stopped() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::new(dir.path().join("pids"), dir.path().join("logs"));
        assert_eq!(processes.state("sleeper"), State::Stopped);
        assert_eq!(processes.stopped("sleeper", Duration::ZERO).await.unwrap(), None);
        let pid = processes.spawn(&spec("600")).unwrap();
        let again = Processes::new(dir.path().join("pids"), dir.path().join("logs"));
        assert_eq!(again.state("sleeper"), State::Running { pid, fingerprint: spec("600").fingerprint() });
        assert_ne!(spec("600").fingerprint(), spec("601").fingerprint());
        again.signal("sleeper", Signal::SIGTERM).unwrap();
        assert_eq!(again.stopped("sleeper", Duration::from_secs(20)).await.unwrap(), Some("stopped"));
        assert_eq!(again.state("sleeper"), State::Stopped);
    }

    #[test]
    fn the_end_of_a_log_is_shown_without_stack_frames() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::new(dir.path().to_owned(), dir.path().to_owned());
        let log = "Error: no database\n\nCaused by:\n    0: refused\n    at home: none\n\nStack backtrace:\n   0: core::panic\n             at /x.rs:1:2\n";
        std::fs::write(processes.log("sleeper"), log).unwrap();
        let tail = processes.tail("sleeper");
        assert!(
            tail.contains("| Error: no database")
                && tail.contains("0: refused")
                && !tail.contains("core::panic")
                && !tail.contains("x.rs"),
            "{tail}"
        );
    }

    #[tokio::test]
    async fn the_pid_of_another_program_is_not_taken_for_ours() {
        let dir = tempfile::tempdir().unwrap();
        let processes = Processes::new(dir.path().to_owned(), dir.path().to_owned());
        let own = std::process::id();
        write_private(&dir.path().join("sleeper.pid"), format!("{own}\n1\nx\n").as_bytes()).unwrap();
        assert_eq!(processes.state("sleeper"), State::Stopped);
        processes.signal("sleeper", Signal::SIGKILL).unwrap();
        assert_eq!(processes.stopped("sleeper", Duration::ZERO).await.unwrap(), Some("stopped"));
    }
}
