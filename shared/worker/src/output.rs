//! What an attempt prints: split in lines, masked, packed into messages.
//!
//! A line leaves only when it is whole, so that a secret that arrives in pieces is still seen as one.
//! Losing output never fails a task.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use chrono::Utc;
use slipway_bus::{Bus, LogStream, LogText};
use slipway_domain::id::{DeploymentId, TaskKey};
use tokio::sync::Notify;

use crate::mask::Masker;

const FLUSH_EVERY: Duration = Duration::from_millis(100);
const FLUSH_BYTES: usize = 64 * 1024;
/// A line longer than this is cut in several.
const LINE_BYTES: usize = 16 * 1024;
/// What may wait while the bus is away; beyond, lines are dropped and counted.
const WAITING_BYTES: usize = 8 * 1024 * 1024;
const TAIL_LINES: usize = 20;
const TAIL_LINE_CHARS: usize = 500;

/// Where a container printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

pub(crate) struct Output {
    bus: Bus,
    deployment: DeploymentId,
    task: TaskKey,
    attempt: u32,
    masker: OnceLock<Masker>,
    state: Mutex<State>,
    changed: Notify,
    full: Notify,
    sending: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    out: String,
    err: String,
    waiting: Vec<LogText>,
    waiting_bytes: usize,
    dropped: usize,
    tail: VecDeque<String>,
}

impl Output {
    pub(crate) fn new(bus: Bus, deployment: DeploymentId, task: TaskKey, attempt: u32) -> Self {
        Self {
            bus,
            deployment,
            task,
            attempt,
            masker: OnceLock::new(),
            state: Mutex::default(),
            changed: Notify::new(),
            full: Notify::new(),
            sending: tokio::sync::Mutex::new(()),
        }
    }

    /// From now on these secrets are masked. Once.
    pub(crate) fn hide(&self, masker: Masker) {
        let _ = self.masker.set(masker);
    }

    pub(crate) fn masker(&self) -> &Masker {
        static NOTHING: Masker = Masker::nothing();
        self.masker.get().unwrap_or(&NOTHING)
    }

    pub(crate) fn say(&self, text: &str) {
        let masker = self.masker();
        let mut state = self.lock();
        for line in masker.mask(text).lines() {
            state.push(LogStream::Slipway, line.to_owned());
        }
        self.announce(&state);
    }

    pub(crate) fn print(&self, stream: Stream, text: &str) {
        let masker = self.masker();
        let mut state = self.lock();
        state.pending(stream).push_str(text);
        state.take_lines(stream, masker);
        self.announce(&state);
    }

    pub(crate) fn tail(&self) -> Vec<String> {
        self.lock().tail.iter().cloned().collect()
    }

    /// Sends in the background, until dropped.
    pub(crate) async fn pump(self: Arc<Self>) {
        loop {
            self.changed.notified().await;
            tokio::select! { () = tokio::time::sleep(FLUSH_EVERY) => (), () = self.full.notified() => () }
            self.send().await;
        }
    }

    /// Sends what is left, also lines without an end.
    pub(crate) async fn finish(&self) {
        {
            let masker = self.masker();
            let mut state = self.lock();
            for stream in [Stream::Out, Stream::Err] {
                let rest = std::mem::take(state.pending(stream));
                if !rest.is_empty() {
                    state.printed(stream, masker.mask(&rest));
                }
            }
        }
        self.send().await;
    }

    async fn send(&self) {
        // One at a time, so that lines stay in order.
        let _turn = self.sending.lock().await;
        let lines = self.lock().take_waiting();
        if lines.is_empty() {
            return;
        }
        for batch in batches(&lines) {
            if let Err(error) = self.bus.log(self.deployment, &self.task, self.attempt, batch).await {
                tracing::warn!(%error, lines = batch.len(), "output of a step was lost");
            }
        }
    }

    fn announce(&self, state: &State) {
        if !state.waiting.is_empty() {
            self.changed.notify_one();
        }
        if state.waiting_bytes >= FLUSH_BYTES {
            self.full.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("invariant: nobody panics while holding the output lock")
    }
}

impl State {
    fn pending(&mut self, stream: Stream) -> &mut String {
        match stream {
            Stream::Out => &mut self.out,
            Stream::Err => &mut self.err,
        }
    }

    fn take_lines(&mut self, stream: Stream, masker: &Masker) {
        let mut rest = std::mem::take(self.pending(stream));
        let mut start = 0;
        while let Some(length) = rest[start..].find('\n') {
            let line = rest[start..start + length].trim_end_matches('\r');
            self.printed(stream, masker.mask(line));
            start += length + 1;
        }
        rest.drain(..start);
        while rest.len() > LINE_BYTES {
            let cut = masker.safe_cut(&rest, LINE_BYTES);
            if cut == 0 {
                break;
            }
            self.printed(stream, masker.mask(&rest[..cut]));
            rest.drain(..cut);
        }
        *self.pending(stream) = rest;
    }

    fn printed(&mut self, stream: Stream, line: String) {
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line.chars().take(TAIL_LINE_CHARS).collect());
        let stream = match stream {
            Stream::Out => LogStream::Out,
            Stream::Err => LogStream::Err,
        };
        for part in parts(&line) {
            self.push(stream, part.to_owned());
        }
    }

    fn push(&mut self, stream: LogStream, text: String) {
        if self.waiting_bytes + text.len() > WAITING_BYTES {
            self.dropped += 1;
            return;
        }
        self.waiting_bytes += text.len();
        self.waiting.push(LogText { at: Utc::now(), stream, text });
    }

    fn take_waiting(&mut self) -> Vec<LogText> {
        self.waiting_bytes = 0;
        let mut lines = std::mem::take(&mut self.waiting);
        let dropped = std::mem::take(&mut self.dropped);
        if dropped > 0 {
            let text = format!("{dropped} lines were dropped: they came faster than they could be stored");
            lines.push(LogText { at: Utc::now(), stream: LogStream::Slipway, text });
        }
        lines
    }
}

/// A masked line in pieces that a message can hold.
fn parts(line: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = line;
    while rest.len() > LINE_BYTES {
        let cut = (1..=LINE_BYTES).rev().find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
        let (part, more) = rest.split_at(cut);
        parts.push(part);
        rest = more;
    }
    parts.push(rest);
    parts
}

/// Lines in messages of a good size.
fn batches(lines: &[LogText]) -> Vec<&[LogText]> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (index, line) in lines.iter().enumerate() {
        if bytes > 0 && (bytes + line.text.len() > FLUSH_BYTES || index - start == slipway_bus::MAX_LINES) {
            batches.push(&lines[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += line.text.len().max(1);
    }
    if start < lines.len() {
        batches.push(&lines[start..]);
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(chunks: &[&str], secrets: &[&str]) -> (State, Masker) {
        let masker = Masker::new(secrets.iter().copied());
        let mut state = State::default();
        for chunk in chunks {
            state.pending(Stream::Out).push_str(chunk);
            state.take_lines(Stream::Out, &masker);
        }
        (state, masker)
    }

    fn texts(state: &State) -> Vec<&str> {
        state.waiting.iter().map(|line| line.text.as_str()).collect()
    }

    #[test]
    fn a_secret_that_comes_in_pieces_is_masked() {
        let (state, _) = printed(&["pass is hun", "ter2-", "and more\r\nnext", " line\npart"], &["hunter2"]);
        assert_eq!(texts(&state), ["pass is ***-and more", "next line"]);
        assert_eq!(state.out, "part");
    }

    #[test]
    fn a_line_without_end_is_cut_but_not_within_a_secret() {
        let long = "x".repeat(LINE_BYTES - 3);
        let (state, masker) = printed(&[&long, "hunt", "er2", &long], &["hunter2"]);
        let all = texts(&state).concat() + &masker.mask(&state.out);
        assert!(all.contains("***") && !all.contains("hunt"), "{}", all.len());
        assert!(state.waiting.iter().all(|line| line.text.len() <= LINE_BYTES));
    }

    #[test]
    fn the_tail_is_the_last_twenty_lines() {
        let text: String = (1..=30).map(|n| format!("{n}\n")).collect();
        let (state, _) = printed(&[&text], &[]);
        let tail: Vec<_> = state.tail.iter().map(String::as_str).collect();
        assert_eq!((tail.len(), tail[0], tail[19]), (20, "11", "30"));
    }

    #[test]
    fn what_waits_is_bounded_and_says_so() {
        let line = "y".repeat(1024) + "\n";
        let (mut state, _) = printed(&[&line.repeat(9 * 1024)], &[]);
        let lines = state.take_waiting();
        assert!(lines.len() <= 8 * 1024 + 1);
        assert!(lines.last().unwrap().text.contains("lines were dropped"));
        let batches = batches(&lines);
        assert_eq!(batches.iter().map(|b| b.len()).sum::<usize>(), lines.len());
    }
}
