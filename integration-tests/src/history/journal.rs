//! What was done outside: the journal of simulated effects, as `slipway-executor --simulate-journal` writes it, or
//! what a real Docker engine and a real database tell.

use std::path::Path;

use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use slipway_domain::id::{DeploymentId, TaskKey};
use uuid::Uuid;

/// Everything that simulated steps did, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Journal {
    /// The lines.
    pub lines: Vec<Line>,
    /// Lines that a dying process left unfinished.
    pub torn: usize,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Line {
    /// When.
    pub at: DateTime<Utc>,
    /// The process that wrote it.
    pub boot: Uuid,
    /// The deployment.
    pub deployment: DeploymentId,
    /// The task.
    pub task: TaskKey,
    /// The attempt.
    pub attempt: u32,
    /// The sequence of the attempt's claim.
    pub epoch: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What a line tells.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
pub enum What {
    /// An attempt begins.
    Start {
        /// Its step kind.
        kind: String,
    },
    /// Something happened outside.
    Effect(Effect),
    /// Something happened outside, and by whom is not told; the line names whom it happened to.
    #[serde(skip)]
    Seen(Effect),
    /// The attempt is over, but its end is not in the log yet.
    End {
        /// How.
        end: String,
    },
}

/// What happened outside.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "effect", rename_all = "kebab-case")]
pub enum Effect {
    /// A container was made.
    Create {
        /// Its id.
        container: String,
        /// Where containers follow one another.
        place: String,
    },
    /// It was started.
    Run {
        /// Its id.
        container: String,
        /// How it will end; 0 is well.
        code: i32,
    },
    /// It was ended and removed.
    Remove {
        /// Its id.
        container: String,
    },
    /// It was stopped and kept, or started again.
    Park {
        /// Its id.
        container: String,
        /// Whether it was stopped.
        parked: bool,
    },
    /// A migration was committed.
    Apply {
        /// Where.
        database: String,
        /// Which.
        file: String,
    },
    /// A server was called.
    Call {
        /// How.
        method: String,
    },
}

impl Journal {
    /// Reads a file; an absent one is empty.
    pub fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Self::default());
        }
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        let mut journal = Self::default();
        for line in text.lines() {
            match serde_json::from_str(line) {
                Ok(line) => journal.lines.push(line),
                Err(_) => journal.torn += 1,
            }
        }
        Ok(journal)
    }

    /// The lines that tell of effects.
    pub fn effects(&self) -> impl Iterator<Item = (&Line, &Effect)> {
        self.lines.iter().filter_map(|line| match &line.what {
            What::Effect(effect) | What::Seen(effect) => Some((line, effect)),
            _ => None,
        })
    }
}
