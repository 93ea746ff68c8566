//! What simulated steps did: a file of JSON lines that stands for Docker engines and databases.
//!
//! Several executors may share it. Each look and each effect happens under the file's lock, after
//! everything that others wrote was read, so a name is taken by one and a migration applied once,
//! as Docker's 409 and a database's history table make sure in earnest.

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use slipway_domain::id::{DeploymentId, TaskKey};
use uuid::Uuid;

use super::script::Part;

/// Who writes a line: an attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct By {
    pub deployment: DeploymentId,
    pub task: TaskKey,
    pub attempt: u32,
    pub epoch: u64,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Line {
    at: DateTime<Utc>,
    /// The process that wrote it.
    boot: Uuid,
    #[serde(flatten)]
    by: By,
    #[serde(flatten)]
    entry: Entry,
}

/// What a line tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub enum Entry {
    /// An attempt begins.
    Start { kind: String, adopt: bool, stop: bool },
    /// Something happened outside.
    Effect(Effect),
    /// The attempt is over; its end is about to be written to the log.
    End { end: String },
}

/// What happens outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub enum Effect {
    /// A container was made.
    Create { container: String, place: String },
    /// It was started, will run for so long and end so, or become healthy if the code is 0.
    Run { container: String, millis: i64, code: i32 },
    /// It was ended and removed.
    Remove { container: String },
    /// It was stopped and kept, or started again.
    Park { container: String, parked: bool },
    /// A migration was committed.
    Apply { database: String, file: String },
    /// A server was called.
    Call { method: String },
}

/// A container that exists.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    pub id: String,
    pub deployment: DeploymentId,
    pub task: TaskKey,
    pub place: String,
    /// Its maker's.
    pub epoch: u64,
    pub life: Life,
    /// Stopped, and kept for the case that it is needed again.
    pub parked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Life {
    Created,
    Started { at: DateTime<Utc>, millis: i64, code: i32 },
}

impl Container {
    pub fn was_started(&self) -> bool {
        matches!(self.life, Life::Started { .. })
    }
}

/// The journal, for all attempts of a process.
pub struct Journal {
    ledger: Mutex<Ledger>,
}

/// The journal while nobody else can write it.
pub struct Ledger {
    file: Option<File>,
    boot: Uuid,
    read: u64,
    /// Tasks have one container at a time: its name exists once.
    containers: HashMap<(DeploymentId, TaskKey), Container>,
    applied: BTreeSet<(String, String)>,
}

impl Journal {
    /// Opens the file, or remembers in memory only.
    pub fn open(path: Option<&Path>) -> io::Result<Arc<Self>> {
        let open = |path| File::options().read(true).append(true).create(true).open(path);
        let file = path.map(open).transpose()?;
        let (boot, containers, applied) = (Uuid::new_v4(), HashMap::new(), BTreeSet::new());
        Ok(Arc::new(Self { ledger: Mutex::new(Ledger { file, boot, read: 0, containers, applied }) }))
    }

    /// Does something with it that no other process can come between. Once begun it is done, even if nobody waits
    /// for it any more, as with a call to a Docker engine.
    pub async fn act<T: Send + 'static>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut Ledger) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let journal = Arc::clone(self);
        let acting = tokio::task::spawn_blocking(move || {
            let mut ledger = journal.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(file) = &ledger.file {
                file.lock()?;
            }
            let result = ledger.catch_up().and_then(|()| act(&mut ledger));
            if let Some(file) = &ledger.file {
                file.unlock()?;
            }
            result
        });
        acting.await.map_err(io::Error::other)?
    }
}

impl Ledger {
    /// Takes in what others wrote. A line that a dying process left unfinished never happened.
    fn catch_up(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut new = Vec::new();
        file.seek(SeekFrom::Start(self.read))?;
        file.read_to_end(&mut new)?;
        if new.is_empty() {
            return Ok(());
        }
        if new.last() != Some(&b'\n') {
            file.write_all(b"\n")?;
            new.push(b'\n');
        }
        self.read += new.len() as u64;
        for line in new.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            if let Ok(line) = serde_json::from_slice(line) {
                self.take(&line);
            }
        }
        Ok(())
    }

    fn take(&mut self, line: &Line) {
        let key = (line.by.deployment, line.by.task.clone());
        match &line.entry {
            Entry::Start { .. } | Entry::End { .. } | Entry::Effect(Effect::Call { .. }) => {}
            Entry::Effect(Effect::Create { container, place }) => {
                let made = Container {
                    id: container.clone(),
                    deployment: line.by.deployment,
                    task: line.by.task.clone(),
                    place: place.clone(),
                    epoch: line.by.epoch,
                    life: Life::Created,
                    parked: false,
                };
                self.containers.insert(key, made);
            }
            Entry::Effect(Effect::Run { container, millis, code }) => {
                if let Some(there) = self.containers.get_mut(&key).filter(|there| there.id == *container) {
                    there.life = Life::Started { at: line.at, millis: *millis, code: *code };
                }
            }
            Entry::Effect(Effect::Remove { container }) => self.containers.retain(|_, there| there.id != *container),
            Entry::Effect(Effect::Park { container, parked }) => {
                let there = self.containers.values_mut().find(|there| there.id == *container);
                there.into_iter().for_each(|there| there.parked = *parked);
            }
            Entry::Effect(Effect::Apply { database, file }) => {
                self.applied.insert((database.clone(), file.clone()));
            }
        }
    }

    /// Appends a line.
    pub fn write(&mut self, by: &By, entry: Entry) -> io::Result<()> {
        let line = Line { at: Utc::now(), boot: self.boot, by: by.clone(), entry };
        if let Some(file) = &mut self.file {
            let mut text = serde_json::to_vec(&line)?;
            text.push(b'\n');
            file.write_all(&text)?;
            self.read += text.len() as u64;
        }
        self.take(&line);
        Ok(())
    }

    /// The container that a task has.
    pub fn of(&self, by: &By) -> Option<Container> {
        self.containers.get(&(by.deployment, by.task.clone())).cloned()
    }

    /// Containers of a place that other deployments made, the oldest first.
    pub fn others(&self, by: &By, place: &str) -> Vec<Container> {
        let mut others: Vec<_> =
            self.containers.values().filter(|c| c.place == place && c.deployment != by.deployment).cloned().collect();
        others.sort_by_key(|other| other.epoch);
        others
    }

    /// Stops a container to keep it, or starts it again.
    pub fn park(&mut self, by: &By, id: &str, parked: bool) -> io::Result<()> {
        if !self.containers.values().any(|there| there.id == id) {
            return Ok(());
        }
        self.write(by, Entry::Effect(Effect::Park { container: id.to_owned(), parked }))
    }

    /// Makes a container under the task's name; the one that has the name if it is taken.
    pub fn create(&mut self, by: &By, place: &str) -> io::Result<Result<String, Container>> {
        if let Some(other) = self.of(by) {
            return Ok(Err(other));
        }
        let container = format!("{}-{}-{}", by.deployment, by.task, by.epoch);
        let effect = Effect::Create { container: container.clone(), place: place.to_owned() };
        self.write(by, Entry::Effect(effect))?;
        Ok(Ok(container))
    }

    /// Starts a container; none if it is gone.
    pub fn start(&mut self, by: &By, id: &str, part: Part) -> io::Result<Option<Container>> {
        if self.of(by).is_none_or(|there| there.id != id) {
            return Ok(None);
        }
        let millis = i64::try_from(part.lasts.as_millis()).unwrap_or(i64::MAX);
        let effect = Effect::Run { container: id.to_owned(), millis, code: i32::from(part.fails) };
        self.write(by, Entry::Effect(effect))?;
        Ok(self.of(by))
    }

    /// Removes a container that is there.
    pub fn remove(&mut self, by: &By, id: &str) -> io::Result<()> {
        if !self.containers.values().any(|there| there.id == id) {
            return Ok(());
        }
        self.write(by, Entry::Effect(Effect::Remove { container: id.to_owned() }))
    }

    /// Whether a database's history has a file.
    pub fn is_applied(&self, database: &str, file: &str) -> bool {
        self.applied.contains(&(database.to_owned(), file.to_owned()))
    }

    /// Commits a file; false if its history has it already.
    pub fn apply(&mut self, by: &By, database: &str, file: &str) -> io::Result<bool> {
        if self.is_applied(database, file) {
            return Ok(false);
        }
        self.write(by, Entry::Effect(Effect::Apply { database: database.to_owned(), file: file.to_owned() }))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
