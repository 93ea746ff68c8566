//! The events of a deployment as a signal to look again; connects anew after the last one seen.

use std::{pin::Pin, time::Instant};

use futures::{Stream, StreamExt as _};

use super::{PATIENCE, RETRY};
use crate::{
    client::Client,
    failure::{Failure, Result},
    sse::Reader,
};

/// Messages that belong together come within this time.
const TOGETHER: std::time::Duration = std::time::Duration::from_millis(50);
/// As many of them are taken at once.
const AT_ONCE: usize = 500;

type Body = Pin<Box<dyn Stream<Item = std::result::Result<Vec<u8>, reqwest::Error>> + Send>>;

/// The events of one deployment.
pub struct Feed {
    client: Client,
    path: String,
    last: u64,
    reader: Option<Reader<Body>>,
    away_since: Option<Instant>,
}

impl Feed {
    /// Events after a place in the log.
    pub fn new(client: Client, path: String, after: u64) -> Self {
        Self { client, path, last: after, reader: None, away_since: None }
    }

    /// Waits for the next event or for a connection that had to be made anew; the place in the log then.
    pub async fn changed(&mut self) -> Result<u64> {
        loop {
            let Some(reader) = &mut self.reader else {
                self.connect().await?;
                continue;
            };
            match reader.next().await {
                Some(Ok(message)) => {
                    self.note(message.id.as_deref());
                    self.take_what_is_there().await;
                    return Ok(self.last);
                }
                Some(Err(_)) | None => {
                    self.reader = None;
                    self.away_since.get_or_insert_with(Instant::now);
                    // What was missed is in the view.
                    tokio::time::sleep(RETRY).await;
                    return Ok(self.last);
                }
            }
        }
    }

    fn note(&mut self, id: Option<&str>) {
        if let Some(seq) = id.and_then(|id| id.parse().ok()) {
            self.last = self.last.max(seq);
        }
        self.away_since = None;
    }

    async fn take_what_is_there(&mut self) {
        for _ in 0..AT_ONCE {
            let Some(reader) = &mut self.reader else { return };
            let Ok(Some(Ok(message))) = tokio::time::timeout(TOGETHER, reader.next()).await else { return };
            self.note(message.id.as_deref());
        }
    }

    async fn connect(&mut self) -> Result<()> {
        let since = *self.away_since.get_or_insert_with(Instant::now);
        let last = self.last.to_string();
        match self.client.stream(&self.path, Some(&last)).await {
            Ok(answer) => {
                let body = answer.bytes_stream().map(|chunk| chunk.map(|bytes| bytes.to_vec()));
                self.reader = Some(Reader::new(Box::pin(body) as Body));
                self.away_since = None;
                Ok(())
            }
            Err(failure) if failure.is_passing() && since.elapsed() < PATIENCE => {
                tokio::time::sleep(RETRY).await;
                Ok(())
            }
            Err(Failure::Unreachable(message)) => {
                Err(Failure::Failed(format!("{message}\n  The deployment goes on without being watched.")))
            }
            Err(failure) => Err(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::settings::Settings;

    /// Takes a connection, answers with these messages, and closes it; the head of the request.
    async fn serve(listener: &TcpListener, messages: &str) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let head = head(&mut stream).await;
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{messages}");
        stream.write_all(answer.as_bytes()).await.unwrap();
        head
    }

    async fn head(stream: &mut TcpStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        String::from_utf8(head).unwrap().to_lowercase()
    }

    #[tokio::test]
    async fn a_connection_that_ends_is_made_anew_after_the_last_event_seen() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        let settings = Settings { server, token: None, source: "the test".to_owned() };
        let mut feed = Feed::new(Client::new(settings).unwrap(), "/events".to_owned(), 3);
        let serving = tokio::spawn(async move {
            let first = serve(&listener, "id: 7\ndata: a\n\nid: 9\ndata: b\n\n").await;
            let second = serve(&listener, "id: 12\ndata: c\n\n").await;
            (first, second)
        });
        let mut seen = Vec::new();
        while seen.last() != Some(&12) {
            seen.push(feed.changed().await.unwrap());
        }
        let (first, second) = serving.await.unwrap();
        assert!(first.contains("last-event-id: 3"), "{first}");
        assert!(second.contains("last-event-id: 9"), "{second}");
        assert_eq!(seen.first(), Some(&9));
    }
}
