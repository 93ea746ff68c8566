//! The tasks of the pseudo-target `notifier`: posting messages and announcing gates.
//!
//! A notice is posted at least once: after a lost lease it is posted again, since Slack offers nothing
//! to find the first one by. Nothing is chosen here; the order is complete.

use std::{sync::Arc, time::Instant};

use serde_json::Value;
use slipway_domain::{
    event::{Failure, FailureKind},
    order::{AnnounceGate, Doorbell, Order, Outputs, PostSlack, Work},
};
use slipway_service::failpoint;
use slipway_worker::{End, Held, Perform};

use crate::slack::{
    Posted, Slack, SlackError,
    message::{self, ButtonValue, Message},
};

/// Performs notices.
#[derive(Debug, Clone)]
pub struct Notices {
    /// Where to.
    pub slack: Slack,
}

impl Perform for Notices {
    async fn perform(&self, held: Arc<Held>, doorbell: &Doorbell) -> End {
        if held.stop() {
            return End::Cancelled;
        }
        let prepared = match &doorbell.order.work {
            Work::Slack(post) => prepare_post(&held, post),
            Work::Announce(gate) => prepare_announcement(&held, doorbell, gate),
            other => Err(not_a_notice(other)),
        };
        match prepared {
            Ok((channel, message)) => self.post(&held, &doorbell.order, &channel, &message).await,
            Err(failure) => End::Failed(failure),
        }
    }
}

fn prepare_post(held: &Held, post: &PostSlack) -> Result<(String, Message), Failure> {
    Ok((held.fill(&post.channel)?, message::plain(&held.fill(&post.text)?)))
}

fn prepare_announcement(held: &Held, doorbell: &Doorbell, gate: &AnnounceGate) -> Result<(String, Message), Failure> {
    let order = &doorbell.order;
    let title = message::title(&order.project, &order.release, &order.environment, &doorbell.task.step);
    let button = ButtonValue {
        deployment: doorbell.deployment,
        step: doorbell.task.step.clone(),
        opened: gate.opened,
        plan: gate.plan_digest.clone(),
    };
    Ok((held.fill(&gate.channel)?, message::announcement(&title, &held.fill(&gate.text)?, &button)))
}

fn not_a_notice(work: &Work) -> Failure {
    let kind = match work {
        Work::DockerRun(_) => "docker-run",
        Work::DockerJob(_) => "docker-job",
        Work::Script(_) => "script",
        Work::DockerNetwork(_) => "docker-network",
        Work::DockerPull(_) => "docker-pull",
        Work::Sql(_) => "sql",
        Work::Http(_) => "http",
        Work::Wait { .. } => "wait",
        Work::Demo { .. } => "demo",
        Work::Slack(_) | Work::Announce(_) => "notice",
    };
    let message = format!("the notifier posts messages, but it was ordered a {kind} task; the planner sent it astray");
    Failure { kind: FailureKind::Order, message, tail: Vec::new() }
}

impl Notices {
    /// Posts, again if Slack can not be reached or asks for patience, as long as the order's time allows.
    async fn post(&self, held: &Held, order: &Order, channel: &str, message: &Message) -> End {
        let begun = Instant::now();
        let mut tried = 0;
        loop {
            if held.cancelled().is_cancelled() {
                return End::Cancelled;
            }
            if held.effect("post to Slack").await.is_err() {
                return End::Cancelled;
            }
            failpoint!("notifier.posted.before");
            let posted = self.slack.post(channel, message).await;
            failpoint!("notifier.posted.after");
            let error = match posted {
                Ok(posted) => {
                    held.say(format!("posted to {channel}"));
                    return End::Succeeded(outputs(posted));
                }
                Err(error) => error,
            };
            tried += u32::from(!matches!(error, SlackError::RateLimited { .. }));
            let Some(pause) = error.again(tried) else { return End::Failed(failure(held, &error, tried)) };
            if begun.elapsed() + pause >= order.timeout.0 {
                return End::Failed(failure(held, &error, tried));
            }
            held.say(format!("{error}; trying again"));
            tokio::select! {
                () = tokio::time::sleep(pause) => (),
                () = held.cancelled().cancelled() => return End::Cancelled,
                () = held.fenced().cancelled() => return End::Cancelled,
            }
        }
    }
}

fn failure(held: &Held, error: &SlackError, tried: u32) -> Failure {
    let tries = if tried > 1 { format!(" (tried {tried} times)") } else { String::new() };
    Failure::step(held.mask(&format!("{error}{tries}")))
}

fn outputs(posted: Posted) -> Outputs {
    Outputs::from([("channel".to_owned(), Value::String(posted.channel)), ("ts".to_owned(), Value::String(posted.ts))])
}
