//! Edits announcements after the decision: the result instead of the buttons.
//!
//! The fold is replayed at every start, so what was edited before is known from a file with one
//! sequence: everything up to it is done. It is written after the edit; a crash between the two
//! costs one more edit to the same text, which nobody sees.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    gates::Closing,
    slack::{Slack, SlackError, message},
};

const FILE: &str = "edited-up-to";
/// Tries per message, so that one that Slack chokes on does not hold up all others for ever.
const TRIES: u32 = 20;
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The announcements that one message of the log closes.
#[derive(Debug)]
pub struct Batch {
    /// The message's sequence.
    pub seq: u64,
    /// What to edit.
    pub closings: Vec<Closing>,
}

/// Up to where everything is edited, on disk.
#[derive(Debug)]
pub struct Watermark {
    path: PathBuf,
    seq: u64,
}

impl Watermark {
    /// Reads it from the state directory. One that is ahead of the log belongs to another log and counts as none.
    pub fn load(state_dir: &Path, head: u64) -> io::Result<Self> {
        let path = state_dir.join(FILE);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            read => read?,
        };
        let seq = match text.trim().parse() {
            Ok(seq) if seq <= head => seq,
            Ok(seq) => {
                tracing::warn!(
                    seq,
                    head,
                    "the state directory knows more than the log holds; messages are edited again"
                );
                0
            }
            Err(_) => 0,
        };
        Ok(Self { path, seq })
    }

    fn advance(&mut self, seq: u64) -> io::Result<()> {
        let new = self.path.with_extension("new");
        std::fs::write(&new, format!("{seq}\n"))?;
        std::fs::rename(&new, &self.path)?;
        self.seq = seq;
        Ok(())
    }
}

/// Edits what comes, in order, until shutdown or until nobody sends any more.
pub async fn edit(
    slack: Slack,
    mut watermark: Watermark,
    mut batches: mpsc::UnboundedReceiver<Batch>,
    shutdown: CancellationToken,
) {
    loop {
        let batch = tokio::select! {
            batch = batches.recv() => batch,
            () = shutdown.cancelled() => None,
        };
        let Some(batch) = batch else { return };
        if batch.seq <= watermark.seq {
            continue;
        }
        for closing in &batch.closings {
            tokio::select! {
                () = close(&slack, closing) => (),
                () = shutdown.cancelled() => return,
            }
        }
        if let Err(error) = watermark.advance(batch.seq) {
            tracing::warn!(%error, path = %watermark.path.display(), "edits are repeated after a restart: the file can not be written");
        }
    }
}

#[tracing::instrument(name = "edit announcement", skip_all, fields(deployment.id = %closing.deployment, step = %closing.step))]
async fn close(slack: &Slack, closing: &Closing) {
    let message = message::closed(&closing.title, &closing.result);
    let mut tried = 0;
    loop {
        tried += 1;
        let Err(error) = slack.update(&closing.posted, &message).await else {
            tracing::info!(result = closing.result, "announcement edited");
            return;
        };
        let Some(pause) = pause(&error, tried) else {
            tracing::warn!(%error, tried, "the announcement keeps its buttons; pressing them changes nothing");
            return;
        };
        tracing::debug!(%error, tried, "editing again");
        tokio::time::sleep(pause).await;
    }
}

/// Nobody waits for an edit, so it is tried for longer than a task would.
fn pause(error: &SlackError, tried: u32) -> Option<Duration> {
    match error {
        _ if tried >= TRIES => None,
        SlackError::Unreachable { .. } => Some(Duration::from_secs(1 << tried.min(5)).min(LONGEST_PAUSE)),
        SlackError::RateLimited { pause, .. } => Some(*pause),
        SlackError::Refused { .. } | SlackError::NotConfigured => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watermark_is_kept_over_restarts_but_not_over_another_log() {
        let dir = std::env::temp_dir().join(format!("slipway-watermark-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let mut mark = Watermark::load(&dir, 100).unwrap();
        assert_eq!(mark.seq, 0);
        mark.advance(42).unwrap();
        assert_eq!(Watermark::load(&dir, 100).unwrap().seq, 42);
        assert_eq!(Watermark::load(&dir, 41).unwrap().seq, 0);
        std::fs::write(dir.join(FILE), "rubbish").unwrap();
        assert_eq!(Watermark::load(&dir, 100).unwrap().seq, 0);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn an_edit_waits_out_an_outage_but_not_a_refusal() {
        let down = SlackError::Unreachable { method: "chat.update", reason: "refused".into() };
        let gone = SlackError::Refused { method: "chat.update", code: "message_not_found".into(), advice: "" };
        assert_eq!(pause(&down, 1), Some(Duration::from_secs(2)));
        assert_eq!(pause(&down, 19), Some(LONGEST_PAUSE));
        assert_eq!(pause(&down, 20), None);
        assert_eq!(pause(&gone, 1), None);
    }
}
