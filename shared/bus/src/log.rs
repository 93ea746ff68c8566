//! Step output: many small lines, packed into few messages. Losing some never fails a task.

use async_nats::header::HeaderMap;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use slipway_domain::{
    api::LogLine,
    id::{DeploymentId, TaskKey},
};
use std::{collections::VecDeque, time::Duration};

use crate::{
    Bus, BusError, envelope, stream, subject,
    tail::{CutTail, Item, Message, Source, Start, Tail},
};

/// Most lines in one message. A line's place is the message's sequence times this, plus its index,
/// so that reading can be resumed at any line.
pub const MAX_LINES: usize = 4096;

const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogStream {
    /// Standard output of what the step runs.
    Out,
    /// Its standard error.
    Err,
    /// What the holder itself says.
    Slipway,
}

impl LogStream {
    /// The word for it, as in [`LogLine::stream`].
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Err => "err",
            Self::Slipway => "slipway",
        }
    }
}

/// One line of output, masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogText {
    /// When it was printed.
    pub at: DateTime<Utc>,
    /// Where it came from.
    pub stream: LogStream,
    /// The text, without a line end.
    pub text: String,
}

impl Bus {
    /// Stores lines of one attempt, at most [`MAX_LINES`] at a time and 512 KB in all.
    pub async fn log(
        &self,
        deployment: DeploymentId,
        task: &TaskKey,
        attempt: u32,
        lines: &[LogText],
    ) -> Result<(), BusError> {
        let subject = subject::log(deployment, task, attempt);
        for lines in lines.chunks(MAX_LINES) {
            let refused = |reason| BusError::Refused { what: "step output".into(), reason };
            let json = serde_json::to_vec(lines).map_err(|e| refused(e.to_string()))?;
            let payload = envelope::compress(&json).map_err(|e| refused(e.to_string()))?;
            self.store(stream::LOGS, subject.clone(), HeaderMap::new(), payload).await?;
        }
        Ok(())
    }

    /// The output of a deployment from a line on, and what is still to come.
    pub fn logs(&self, deployment: DeploymentId, from_seq: u64) -> LogReader {
        let start = Start::Sequence(from_seq / MAX_LINES as u64);
        let filter = subject::logs(deployment);
        let source =
            Source { stream: stream::LOGS, filters: vec![filter], start, batch: 100, cut_tail: CutTail::Forgiven };
        LogReader { tail: Tail::new(self, source), from: from_seq, ready: VecDeque::new() }
    }

    /// The output of a deployment from a line on, as far as there is some now, at most `max` lines.
    pub async fn read_logs(
        &self,
        deployment: DeploymentId,
        from_seq: u64,
        max: usize,
    ) -> Result<Vec<LogLine>, BusError> {
        let mut reader = self.logs(deployment, from_seq);
        let mut lines = Vec::new();
        loop {
            let next = tokio::time::timeout(ANSWER_WITHIN, reader.tail.next()).await;
            let pending = match next.map_err(|_| BusError::NoAnswer { what: "a read of step output".into() })?? {
                Item::Opened { pending } => pending,
                Item::Broken => continue,
                Item::Message(message) => {
                    reader.take(&message);
                    lines.extend(reader.ready.drain(..));
                    message.pending
                }
            };
            if pending == 0 || lines.len() >= max {
                break;
            }
        }
        lines.truncate(max);
        Ok(lines)
    }
}

/// A reader of step output that survives reconnects and restarts of the server.
pub struct LogReader {
    tail: Tail,
    from: u64,
    ready: VecDeque<LogLine>,
}

impl LogReader {
    /// The next line. May be dropped while waiting and called again.
    pub async fn next(&mut self) -> LogLine {
        loop {
            if let Some(line) = self.ready.pop_front() {
                return line;
            }
            match self.tail.next().await {
                Ok(Item::Message(message)) => self.take(&message),
                Ok(Item::Opened { .. } | Item::Broken) => {}
                Err(error) => {
                    tracing::error!(%error, "step output can not be read");
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            }
        }
    }

    fn take(&mut self, message: &Message) {
        match lines(message) {
            Ok(lines) => self.ready.extend(lines.filter(|line| line.seq >= self.from)),
            Err(reason) => tracing::warn!(seq = message.seq, reason, "step output can not be read; left out"),
        }
    }
}

fn lines(message: &Message) -> Result<impl Iterator<Item = LogLine>, String> {
    let (task, attempt) = subject::parse_log(&message.body.subject).ok_or("its subject is none of the logs'")?;
    let texts: Vec<LogText> =
        envelope::decompressed(&message.body.payload, |json| serde_json::from_slice(json).map_err(|e| e.to_string()))?;
    let first = message.seq * MAX_LINES as u64;
    Ok(texts.into_iter().zip(first..).map(move |(text, seq)| LogLine {
        seq,
        at: text.at,
        step: task.step.clone(),
        target: task.target.clone(),
        attempt,
        stream: text.stream.as_str().to_owned(),
        text: text.text,
    }))
}
