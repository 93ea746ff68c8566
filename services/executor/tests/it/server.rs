//! A small HTTP server that remembers what it was asked and answers as a test says.

use std::sync::{Arc, Mutex};

use anyhow::Result;
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Method, Uri},
    response::{IntoResponse as _, Response},
};
use slipway_integration_tests::wait;
use tokio::net::TcpListener;

/// A request that came in.
#[derive(Debug, Clone)]
pub struct Asked {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: String,
}

impl Asked {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("a text")).unwrap_or_default()
    }
}

/// What it answers the nth request, from 1; nothing: it keeps its caller waiting.
type Answer = dyn Fn(usize, &Asked) -> Option<Response> + Send + Sync;

struct Shared {
    asked: Mutex<Vec<Asked>>,
    answer: Box<Answer>,
}

/// The server; dropped, it ends.
pub struct Server {
    pub url: String,
    shared: Arc<Shared>,
    serving: tokio::task::JoinHandle<()>,
}

impl Server {
    pub async fn start(answer: impl Fn(usize, &Asked) -> Option<Response> + Send + Sync + 'static) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared { asked: Mutex::default(), answer: Box::new(answer) });
        let router = Router::new().fallback(serve).with_state(shared.clone());
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url, shared, serving })
    }

    /// Everything that came in so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("the requests").clone()
    }

    /// Waits until so many requests came in.
    pub async fn until_asked(&self, times: usize) {
        wait::until(&format!("{times} requests came in"), || async {
            let asked = self.asked();
            if asked.len() >= times { Ok(()) } else { Err(asked) }
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asked = Asked { method, uri, headers, body: String::from_utf8_lossy(&body).into_owned() };
    let count = {
        let mut all = shared.asked.lock().expect("the requests");
        all.push(asked.clone());
        all.len()
    };
    match (shared.answer)(count, &asked) {
        Some(answer) => answer.into_response(),
        None => std::future::pending().await,
    }
}
