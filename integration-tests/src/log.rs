//! The streams as they are, read with the operator's credentials: for tests that must see every byte.

use std::path::Path;

use anyhow::{Context, Result};
use async_nats::{Client, ConnectOptions, jetstream};
use futures::TryStreamExt;

/// A connection with the seed in a file.
pub async fn connect(url: &str, seed: &Path) -> Result<Client> {
    let seed = std::fs::read_to_string(seed).with_context(|| seed.display().to_string())?;
    Ok(ConnectOptions::with_nkey(seed.trim().to_owned())
        .connect(url.split(',').map(str::to_owned).collect::<Vec<_>>())
        .await?)
}

/// Gives the deployment log so many bytes.
pub async fn resize(client: &Client, max_bytes: i64) -> Result<()> {
    let jetstream = jetstream::new(client.clone());
    let config = jetstream.get_stream("DEPLOYMENTS").await?.cached_info().config.clone();
    jetstream.update_stream(jetstream::stream::Config { max_bytes, ..config }).await?;
    Ok(())
}

/// How many bytes the deployment log has.
pub async fn size(client: &Client) -> Result<i64> {
    let stream = jetstream::new(client.clone()).get_stream("DEPLOYMENTS").await?;
    Ok(i64::try_from(stream.cached_info().state.bytes)?)
}

/// One stored message.
#[derive(Debug)]
pub struct Stored {
    /// Its stream.
    pub stream: String,
    /// Its sequence.
    pub seq: u64,
    /// Its subject.
    pub subject: String,
    /// Headers and payload; the payload unpacked if it was zstd.
    pub bytes: Vec<u8>,
}

/// Every message of every stream.
pub async fn everything(client: &Client) -> Result<Vec<Stored>> {
    let jetstream = jetstream::new(client.clone());
    let names: Vec<String> = jetstream.stream_names().try_collect().await?;
    let mut found = Vec::new();
    for name in names {
        let stream = jetstream.get_stream(&name).await?;
        let state = &stream.cached_info().state;
        for seq in state.first_sequence..=state.last_sequence {
            let Ok(message) = stream.get_raw_message(seq).await else { continue };
            let mut bytes = format!("{:?}\n", message.headers).into_bytes();
            bytes.extend(zstd::decode_all(&message.payload[..]).unwrap_or_default());
            bytes.extend_from_slice(&message.payload);
            found.push(Stored { stream: name.clone(), seq, subject: message.subject.to_string(), bytes });
        }
    }
    Ok(found)
}
