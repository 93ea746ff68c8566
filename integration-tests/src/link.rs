//! A link that can be cut: a proxy in this process between a service and NATS, or a Docker engine.

use std::{path::Path, sync::Arc};

use anyhow::{Context, Result};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::watch,
};

/// A proxy; dropped, it ends.
pub struct Link {
    address: String,
    whole: Arc<watch::Sender<bool>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Link {
    /// A link to `to`, such as `127.0.0.1:4222`.
    pub async fn start(to: String) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let whole = Arc::new(watch::Sender::new(true));
        let shared = whole.clone();
        let serving = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(join(near, TcpStream::connect(to.clone()), shared.subscribe()));
            }
        });
        Ok(Self { address, whole, serving })
    }

    /// A link at the socket `near` to a Docker engine, such as `unix:///var/run/docker.sock`.
    pub async fn start_unix(docker: &str, near: &Path) -> Result<Self> {
        let far = docker.strip_prefix("unix://").context("an engine of this host")?.to_owned();
        let listener = UnixListener::bind(near)?;
        let whole = Arc::new(watch::Sender::new(true));
        let shared = whole.clone();
        let serving = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(join(near, UnixStream::connect(far.clone()), shared.subscribe()));
            }
        });
        Ok(Self { address: near.display().to_string(), whole, serving })
    }

    /// For `SLIPWAY_NATS_URL`.
    pub fn nats_url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// For a Target's `docker`.
    pub fn docker(&self) -> String {
        format!("unix://{}", self.address)
    }

    /// Cuts the link: what is connected is thrown off, and nobody gets through.
    pub fn cut(&self) {
        self.whole.send_replace(false);
    }

    /// Whole again.
    pub fn mend(&self) {
        self.whole.send_replace(true);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// Passes on both ways while the link is whole.
async fn join<S, F>(mut near: S, far: impl Future<Output = std::io::Result<F>>, mut whole: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin,
    F: AsyncRead + AsyncWrite + Unpin,
{
    if !*whole.borrow_and_update() {
        return;
    }
    let Ok(mut far) = far.await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = whole.wait_for(|whole| !whole) => {}
    }
}
