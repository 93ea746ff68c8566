//! One delivery on its way to a verdict: checked, retried while a registry does not answer, and
//! written down after every try.

use std::time::Duration;

use slipway_domain::{
    api::{PushView, PushedImage},
    manifest::{Kind, Manifest, Webhook},
};
use slipway_engine::webhook::normalise;
use slipway_service::telemetry;
use tokio::sync::Semaphore;
use tracing::Instrument as _;

use super::{
    Delivery, fetch,
    image::{self, Decision},
};
use crate::{app::App, problem::Problem};

/// How often an image is tried before the verdict says that its registry did not answer.
const TRIES: u32 = 10;
/// Longest wait between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// A delivery that is not dealt with.
pub struct Settle {
    view: PushView,
    webhook: Option<Webhook>,
    trace: Option<String>,
    /// Places in `view.images` that are not decided.
    open: Vec<usize>,
}

impl Settle {
    /// Reads a delivery and writes its row, marked open.
    pub async fn open(app: &App, delivery: Delivery) -> Result<Self, Problem> {
        let Delivery { seq, at, push } = delivery;
        let webhook = match app.store.manifest(Kind::Webhook, &push.webhook).await? {
            Some(Manifest::Webhook(webhook)) => Some(webhook),
            _ => None,
        };
        // The hook has read every body before it was kept, so one that can not be read now says nothing to anybody.
        let mut images =
            webhook.as_ref().and_then(|webhook| normalise(webhook.source, &push.body).ok()).unwrap_or_default();
        let open: Vec<usize> = (0..images.len()).filter(|&place| !images[place].ignored).collect();
        for &place in &open {
            images[place].reason = "is being checked with its registry".to_owned();
        }
        let view = PushView { seq, at, webhook: push.webhook, images, done: false };
        app.store.save_push(&view).await?;
        Ok(Self { view, webhook, trace: push.trace, open })
    }

    /// Tries until every image is decided or the tries are used up.
    pub async fn run(mut self, app: &App, permits: &Semaphore) {
        for tried in 1..=TRIES {
            if self.try_within(app, permits, tried).await {
                return;
            }
            tokio::time::sleep(wait_after(tried)).await;
        }
    }

    /// One try that ends in a verdict.
    pub async fn last_try(mut self, app: &App) -> Result<PushView, Problem> {
        self.try_once(app, TRIES).await?;
        Ok(self.view)
    }

    /// Whether the delivery is dealt with.
    async fn try_within(&mut self, app: &App, permits: &Semaphore, tried: u32) -> bool {
        let Ok(_permit) = permits.acquire().await else { return true };
        if let Err(problem) = self.try_once(app, tried).await {
            tracing::warn!(push = self.view.seq, %problem, "a verdict on a delivery can not be written");
        }
        self.view.done
    }

    async fn try_once(&mut self, app: &App, tried: u32) -> Result<(), Problem> {
        let span = tracing::info_span!("push", push = self.view.seq, webhook = %self.view.webhook);
        telemetry::continue_from(&span, self.trace.as_deref());
        self.decide(app, tried).instrument(span).await;
        self.view.done = self.open.is_empty();
        app.store.save_push(&self.view).await.inspect_err(|_| self.view.done = false)?;
        Ok(())
    }

    async fn decide(&mut self, app: &App, tried: u32) {
        let mut still_open = Vec::new();
        for place in std::mem::take(&mut self.open) {
            let image = &mut self.view.images[place];
            match image::decide(app, self.webhook.as_ref(), image).await {
                Decision::Released(what) => told(image, false, what),
                Decision::Ignored(why) => told(image, true, why),
                Decision::Later(why) if tried >= TRIES => {
                    told(
                        image,
                        true,
                        format!("{why}; given up after {TRIES} tries, `slipway push replay` tries again"),
                    );
                }
                Decision::Later(why) => {
                    image.reason = format!("try {tried} of {TRIES}: {why}");
                    still_open.push(place);
                }
            }
        }
        self.open = still_open;
    }
}

fn told(image: &mut PushedImage, ignored: bool, reason: String) {
    let PushedImage { repository, tag, .. } = &*image;
    tracing::info!(repository, tag, ignored, reason, "a pushed image was dealt with");
    image.ignored = ignored;
    image.reason = reason;
}

fn wait_after(tried: u32) -> Duration {
    Duration::from_secs(1 << (tried - 1).min(10)).min(LONGEST_WAIT)
}

/// Takes up a delivery that an earlier process left open.
pub async fn resume(app: &App, view: PushView, permits: &Semaphore) {
    for tried in 1..=TRIES {
        match reopen(app, &view).await {
            Ok(settle) => return settle.run(app, permits).await,
            Err(problem) if problem.status() < 500 => return close(app, view, problem.detail()).await,
            Err(problem) => tracing::warn!(push = view.seq, %problem, "an open delivery can not be read"),
        }
        tokio::time::sleep(wait_after(tried)).await;
    }
}

async fn reopen(app: &App, view: &PushView) -> Result<Settle, Problem> {
    Settle::open(app, fetch(app, view.seq).await?).await
}

/// The verdict on a delivery that nobody can read any more.
async fn close(app: &App, mut view: PushView, reason: &str) {
    for image in view.images.iter_mut().filter(|image| !image.ignored) {
        told(image, true, reason.to_owned());
    }
    view.done = true;
    if let Err(problem) = app.store.save_push(&view).await {
        tracing::warn!(push = view.seq, %problem, "a verdict on a delivery can not be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits: Vec<_> = (1..=TRIES).map(|tried| wait_after(tried).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30, 30, 30, 30]);
    }
}
