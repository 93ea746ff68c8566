//! What a container prints, followed line by line for as long as somebody listens.

use std::time::Duration;

use bollard::{container::LogOutput, query_parameters::LogsOptionsBuilder};
use chrono::Utc;
use futures::{StreamExt, stream::BoxStream};
use slipway_worker::Stream;

use super::Engine;

/// A line longer than this is given on in pieces.
const LONGEST_LINE: usize = 16 << 10;
/// Pause before a broken stream is opened again.
const REOPEN: Duration = Duration::from_millis(500);

type Chunks = BoxStream<'static, Result<LogOutput, bollard::errors::Error>>;

/// The output of one container.
pub struct Output {
    engine: Engine,
    id: String,
    chunks: Chunks,
    out: Line,
    err: Line,
}

impl Engine {
    /// Follows a container's output, beginning with its last `lines` lines (all if none) that were said since then, in
    /// Unix seconds.
    pub fn output(&self, id: &str, lines: Option<u32>, since: i32) -> Output {
        let tail = lines.map_or("all".to_owned(), |lines| lines.to_string());
        Output {
            chunks: self.chunks(id, &tail, since),
            engine: self.clone(),
            id: id.to_owned(),
            out: Line::default(),
            err: Line::default(),
        }
    }

    fn chunks(&self, id: &str, tail: &str, since: i32) -> Chunks {
        let options = LogsOptionsBuilder::new().follow(true).stdout(true).stderr(true).tail(tail).since(since);
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
                buffer.feed(chunk.as_ref(), |text| line(stream, text));
            }
            // The stream also ends when the engine restarts; the container may go on.
            let broken_at = i32::try_from(Utc::now().timestamp()).unwrap_or(0);
            tokio::time::sleep(REOPEN).await;
            if !matches!(self.engine.inspect(&self.id).await, Ok(Some(seen)) if seen.life.is_live()) {
                break;
            }
            self.chunks = self.engine.chunks(&self.id, "all", broken_at);
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
