//! Whether a process can be used: services say so at `/readyz`, NATS by its greeting.

use std::time::{Duration, Instant};

use tokio::{io::AsyncReadExt as _, net::TcpStream};

const POLL: Duration = Duration::from_millis(100);
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How to ask.
pub enum Probe {
    /// `GET /readyz` at host and port.
    Http(String),
    /// The greeting of a NATS server at host and port.
    Nats(String),
}

impl Probe {
    /// Host and port.
    pub fn address(&self) -> &str {
        match self {
            Self::Http(address) | Self::Nats(address) => address,
        }
    }

    /// Whether anybody listens there.
    pub async fn is_taken(&self) -> bool {
        matches!(tokio::time::timeout(ANSWER_WITHIN, TcpStream::connect(self.address())).await, Ok(Ok(_)))
    }

    /// Asks once. Errs with what the process says, or that it says nothing.
    pub async fn ask(&self) -> Result<(), String> {
        let asked = async {
            match self {
                Self::Http(address) => http(address).await,
                Self::Nats(address) => nats(address).await,
            }
        };
        tokio::time::timeout(ANSWER_WITHIN, asked).await.unwrap_or_else(|_| Err("does not answer".to_owned()))
    }
}

async fn http(address: &str) -> Result<(), String> {
    // Plain http, which needs no CA certificates.
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().map_err(|e| e.to_string())?;
    let answer =
        client.get(format!("http://{address}/readyz")).send().await.map_err(|_| "does not answer".to_owned())?;
    if answer.status().is_success() {
        return Ok(());
    }
    let text = answer.text().await.unwrap_or_default();
    Err(format!("is not ready: {}", text.trim()))
}

async fn nats(address: &str) -> Result<(), String> {
    let silent = |_| "does not answer".to_owned();
    let mut stream = TcpStream::connect(address).await.map_err(silent)?;
    let mut greeting = [0; 5];
    stream.read_exact(&mut greeting).await.map_err(silent)?;
    if &greeting == b"INFO " { Ok(()) } else { Err("is no NATS server".to_owned()) }
}

/// Asks until the process is ready, has ended, or took too long; errs with which.
pub async fn wait(probe: &Probe, within: Duration, is_alive: impl Fn() -> bool) -> Result<(), String> {
    let started = Instant::now();
    loop {
        let reason = match probe.ask().await {
            Ok(()) => return Ok(()),
            Err(reason) => reason,
        };
        if !is_alive() {
            return Err("ended".to_owned());
        }
        if started.elapsed() > within {
            return Err(format!("{reason}, {} s after its start", within.as_secs()));
        }
        tokio::time::sleep(POLL).await;
    }
}
