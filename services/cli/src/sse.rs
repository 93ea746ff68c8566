//! Server-sent events: the lines of a stream put together to messages with their ids.

use futures::{Stream, StreamExt as _};

/// One message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id, to go on after.
    pub id: Option<String>,
    /// Its data.
    pub data: String,
}

/// Reads messages from the body of an answer.
pub struct Reader<S> {
    body: S,
    buffer: Vec<u8>,
    id: Option<String>,
    data: Vec<String>,
}

impl<S, B, E> Reader<S>
where
    S: Stream<Item = Result<B, E>> + Unpin,
    B: AsRef<[u8]>,
{
    /// A reader of a body.
    pub fn new(body: S) -> Self {
        Self { body, buffer: Vec::new(), id: None, data: Vec::new() }
    }

    /// The next message; none when the body ends. Cancel safe: nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<Message, E>> {
        loop {
            while let Some(end) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=end).collect();
                if let Some(message) = self.line(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n'])) {
                    return Some(Ok(message));
                }
            }
            match self.body.next().await? {
                Ok(bytes) => self.buffer.extend_from_slice(bytes.as_ref()),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let data = std::mem::take(&mut self.data);
            return (!data.is_empty()).then(|| Message { id: self.id.clone(), data: data.join("\n") });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => self.data.push(value.to_owned()),
            "id" => self.id = Some(value.to_owned()),
            // Comments keep the connection alive; event names and retry times are not used.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_found_wherever_the_body_is_cut() {
        let text = ": hello\n\nid: 7\ndata: a\n\nid:8\r\nevent: x\r\ndata:b\r\ndata: c\r\n\r\ndata: unfinished";
        for size in [1, 2, 3, 7, 1000] {
            let chunks: Vec<Result<Vec<u8>, std::convert::Infallible>> =
                text.as_bytes().chunks(size).map(|c| Ok(c.to_vec())).collect();
            let mut reader = Reader::new(futures::stream::iter(chunks));
            let mut got = Vec::new();
            while let Some(Ok(message)) = reader.next().await {
                got.push((message.id.unwrap_or_default(), message.data));
            }
            assert_eq!(got, [("7".to_owned(), "a".to_owned()), ("8".to_owned(), "b\nc".to_owned())], "{size}");
        }
    }
}
