//! What a container prints, followed line by line for as long as somebody listens.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bollard::{container::LogOutput, query_parameters::LogsOptionsBuilder};
use chrono::{DateTime, Utc};
use futures::{StreamExt, stream::BoxStream};
use slipway_worker::Stream;

use super::Engine;

/// A line longer than this is given on in pieces.
const LONGEST_LINE: usize = 16 << 10;
/// Pause before a broken stream is opened again.
const REOPEN: Duration = Duration::from_millis(500);

/// How far the output of each container was heard. Kept over broken streams, so that no line is given on twice.
#[derive(Debug, Clone, Default)]
pub struct Heard(Arc<Mutex<HashMap<String, Mark>>>);

/// The time of the last line, and how many lines so far had that time: clocks are not as fine as lines come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    at: DateTime<Utc>,
    lines: usize,
}

impl Heard {
    fn until(&self, id: &str) -> Option<Mark> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }

    /// What a chunk says behind its time; nothing if it was heard before. `again` is how far it was heard when the stream
    /// was opened, less what came again since.
    fn take<'a>(&self, id: &str, again: &mut Option<Mark>, chunk: &'a [u8]) -> Option<&'a [u8]> {
        let space = chunk.iter().position(|byte| *byte == b' ').unwrap_or(chunk.len());
        let at = std::str::from_utf8(&chunk[..space]).ok().and_then(|text| text.parse::<DateTime<Utc>>().ok());
        let Some(at) = at else { return Some(chunk) };
        match again {
            Some(before) if at < before.at => return None,
            Some(before) if at == before.at && before.lines > 0 => {
                before.lines -= 1;
                return None;
            }
            _ => {}
        }
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mark = heard.entry(id.to_owned()).or_insert(Mark { at, lines: 0 });
        *mark = Mark { at, lines: if mark.at == at { mark.lines + 1 } else { 1 } };
        Some(&chunk[(space + 1).min(chunk.len())..])
    }
}

type Chunks = BoxStream<'static, Result<LogOutput, bollard::errors::Error>>;

/// The output of one container.
pub struct Output {
    engine: Engine,
    id: String,
    chunks: Chunks,
    heard: Heard,
    /// What of the present stream was heard before.
    again: Option<Mark>,
    out: Line,
    err: Line,
}

impl Engine {
    /// Follows a container's output, beginning with its last `lines` lines (all if none) that were not heard before.
    pub fn output(&self, id: &str, lines: Option<u32>, heard: Heard) -> Output {
        let tail = lines.map_or("all".to_owned(), |lines| lines.to_string());
        Output {
            chunks: self.chunks(id, &tail, &heard),
            engine: self.clone(),
            id: id.to_owned(),
            again: heard.until(id),
            heard,
            out: Line::default(),
            err: Line::default(),
        }
    }

    fn chunks(&self, id: &str, tail: &str, heard: &Heard) -> Chunks {
        // Whole seconds; what is told twice is told apart by its time.
        let since = heard.until(id).map_or(0, |mark| i32::try_from(mark.at.timestamp()).unwrap_or(0));
        let options = LogsOptionsBuilder::new().follow(true).stdout(true).stderr(true).timestamps(true);
        let options = options.tail(tail).since(since);
        self.docker.logs(id, Some(options.build())).boxed()
    }
}

impl Output {
    /// Gives on line by line, until the container has ended and said everything.
    pub async fn follow(&mut self, mut line: impl FnMut(Stream, &str)) {
        loop {
            while let Some(Ok(chunk)) = self.chunks.next().await {
                let (stream, buffer) = match &chunk {
                    LogOutput::StdErr { .. } => (Stream::Err, &mut self.err),
                    _ => (Stream::Out, &mut self.out),
                };
                if let Some(words) = self.heard.take(&self.id, &mut self.again, chunk.as_ref()) {
                    buffer.feed(words, |text| line(stream, text));
                }
            }
            // The stream also ends when the engine restarts; the container may go on.
            tokio::time::sleep(REOPEN).await;
            if !matches!(self.engine.inspect(&self.id).await, Ok(Some(seen)) if seen.life.is_live()) {
                break;
            }
            self.again = self.heard.until(&self.id);
            self.chunks = self.engine.chunks(&self.id, "all", &self.heard);
        }
        self.flush(line);
    }

    /// Gives on what is there already, for at most this time.
    pub async fn drain(&mut self, at_most: Duration, mut line: impl FnMut(Stream, &str)) {
        let _ = tokio::time::timeout(at_most, self.follow(&mut line)).await;
        self.flush(line);
    }

    fn flush(&mut self, mut line: impl FnMut(Stream, &str)) {
        self.out.flush(|text| line(Stream::Out, text));
        self.err.flush(|text| line(Stream::Err, text));
    }
}

/// Puts lines together from chunks that end anywhere.
#[derive(Default)]
struct Line(Vec<u8>);

impl Line {
    fn feed(&mut self, chunk: &[u8], mut line: impl FnMut(&str)) {
        for piece in chunk.split_inclusive(|byte| *byte == b'\n') {
            self.0.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.0.len() > LONGEST_LINE {
                self.flush(&mut line);
            }
        }
    }

    fn flush(&mut self, mut line: impl FnMut(&str)) {
        if !self.0.is_empty() {
            let text = String::from_utf8_lossy(&self.0);
            line(text.trim_end_matches(['\n', '\r']));
            self.0.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The chunks that are given on, of a stream that is opened now.
    fn told(heard: &Heard, id: &str, chunks: &[&'static str]) -> Vec<String> {
        let mut again = heard.until(id);
        let take = |chunk: &&'static str| heard.take(id, &mut again, chunk.as_bytes()).map(String::from_utf8_lossy);
        chunks.iter().filter_map(take).map(std::borrow::Cow::into_owned).collect()
    }

    #[test]
    fn what_was_heard_is_not_told_again() {
        let heard = Heard::default();
        let first = ["2026-11-27T14:46:42.693518534Z one\n", "2026-11-27T14:46:42.693518535Z \n"];
        assert_eq!(told(&heard, "a", &first), ["one\n", "\n"]);
        let again = [&first[..], &["2026-11-27T14:46:43Z two\n", "no time at all\n"]].concat();
        assert_eq!(told(&heard, "a", &again), ["two\n", "no time at all\n"]);
        assert_eq!(told(&heard, "b", &["2026-11-27T14:46:42Z another container\n"]), ["another container\n"]);
    }

    #[test]
    fn lines_of_one_moment_are_all_told_and_each_once() {
        let heard = Heard::default();
        let moment = ["2026-11-27T14:46:42Z one\n", "2026-11-27T14:46:42Z two\n", "2026-11-27T14:46:42Z three"];
        assert_eq!(told(&heard, "a", &moment[..2]), ["one\n", "two\n"]);
        assert_eq!(told(&heard, "a", &moment), ["three"]);
        assert_eq!(told(&heard, "a", &moment), [""; 0]);
    }

    #[test]
    fn lines_are_put_together_from_chunks() {
        let mut seen = Vec::new();
        let mut line = Line::default();
        for chunk in ["one\ntw", "o\r\n", "\n", "three"] {
            line.feed(chunk.as_bytes(), |text| seen.push(text.to_owned()));
        }
        line.flush(|text| seen.push(text.to_owned()));
        assert_eq!(seen, ["one", "two", "", "three"]);
    }
}
