//! One attempt: the claim, the work, and its end. The arrows of a task's life are here.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures::FutureExt as _;
use nkeys::XKey;
use slipway_domain::{
    event::{Address, Failure, FailureKind, TaskEvent},
    order::{Doorbell, Outputs},
};
use slipway_service::failpoint;
use tokio::{
    sync::{Notify, watch},
    time::Instant,
};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::{
    End, Held, Perform,
    chain::{Chain, Claim},
    held::Tokens,
    secrets,
    serve::Shared,
};

/// How often a held subject is looked at, should a nudge get lost.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long work may go on after it was told that its time is up. Shorter than the planner's own grace.
const STOP_GRACE: Duration = Duration::from_secs(15);
/// How often the log is asked again that did not show a claim after a reconnect.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// How long the last output may still take once the end of an attempt is stored.
const LAST_OUTPUT: Duration = Duration::from_secs(5);
/// Outputs above an envelope's size are kept apart; these would slow every later step down.
const MAX_OUTPUTS: usize = 8 * 1024 * 1024;
const MAX_MESSAGE: usize = 8 * 1024;

/// How the work of an attempt came to an end.
enum Worked {
    Ended(End),
    Panicked,
    /// Its time was up and it did not stop by itself either.
    Overran,
    /// The claim is lost, or the process ends: nothing may be written any more.
    Abandoned,
}

/// Claims the task and, if the claim is won, does it.
pub(crate) async fn run<P: Perform>(shared: Arc<Shared<P>>, doorbell: Doorbell, look: Arc<Notify>) {
    let span = tracing::info_span!(
        "attempt",
        deployment.id = %doorbell.deployment,
        task = %doorbell.task,
        attempt = doorbell.attempt,
        epoch = tracing::field::Empty,
    );
    slipway_service::telemetry::continue_from(&span, doorbell.trace.as_deref());
    claim_and_work(shared, doorbell, look).instrument(span).await;
}

async fn claim_and_work<P: Perform>(shared: Arc<Shared<P>>, doorbell: Doorbell, look: Arc<Notify>) {
    // Drawing a key costs more than the claim itself, so only where something will be sealed to it.
    let key = (!doorbell.order.secrets.is_empty()).then(XKey::new);
    let address = Address::Task(doorbell.deployment, doorbell.task.clone());
    let claim = TaskEvent::Claimed {
        holder: shared.name.clone(),
        boot: shared.boot,
        attempt: doorbell.attempt,
        key: key.as_ref().map(XKey::public_key).unwrap_or_default(),
    };
    // From before the claim: where the connection is lost just after it, the log may have lost it.
    let connected = shared.bus.connected();
    failpoint!("worker.claimed.before");
    let (epoch, sent) = match Chain::claim(&shared.bus, &address, &shared.actor, doorbell.expected_seq, claim).await {
        Ok(Claim::Won { epoch, sent }) => (epoch, sent),
        Ok(Claim::Lost) => {
            tracing::debug!("another holder was first");
            return;
        }
        Err(error) => {
            tracing::error!(%error, "a task can not be claimed");
            return;
        }
    };
    failpoint!("worker.claimed.after");
    tracing::Span::current().record("epoch", epoch);
    tracing::info!(epoch, adopt = doorbell.adopt, stop = doorbell.stop, "claimed");
    let tokens = Tokens::default();
    let chain = Chain::new(shared.bus.clone(), address, shared.actor.clone(), (epoch, sent), tokens.clone());
    let held = Arc::new(Held::new(shared.bus.clone(), &doorbell, epoch, chain, tokens, look));
    let began = Instant::now();
    let pump = AbortOnDropHandle::new(tokio::spawn(held.output.clone().pump()));
    let watch = AbortOnDropHandle::new(tokio::spawn(watch(held.clone(), connected).in_current_span()));
    let worked = work(&shared, &held, &doorbell, key.as_ref()).await;
    drop(watch);
    let end = finish(&held, &doorbell, worked).await;
    // Not earlier: it may have taken lines that it has not sent.
    drop(pump);
    metrics::counter!("slipway_attempts_total", "end" => end).increment(1);
    metrics::histogram!("slipway_attempt_seconds").record(began.elapsed().as_secs_f64());
}

/// Looks at the subject every few seconds, when nudged, and after every reconnect.
async fn watch(held: Arc<Held>, mut connected: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval_at(Instant::now() + LOOK_EVERY, LOOK_EVERY);
    // Whether the log has not shown the claim since the connection was lost.
    let mut unsure = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = held.look.notified() => {}
            _ = connected.changed() => {
                unsure = true;
                let _ = connected.wait_for(|up| *up).await;
            }
            () = tokio::time::sleep(ASK_AGAIN), if unsure => {}
        }
        let mut chain = held.chain.lock().await;
        if unsure {
            match chain.check_claim().await {
                Ok(sure) => unsure = !sure,
                Err(crate::Fenced) => return,
            }
        }
        if chain.catch_up(0).await.is_err() {
            return;
        }
    }
}

async fn work<P: Perform>(shared: &Shared<P>, held: &Arc<Held>, doorbell: &Doorbell, key: Option<&XKey>) -> Worked {
    let performed = AssertUnwindSafe(async {
        if let Some(key) = key {
            failpoint!("worker.secrets.before");
            let values = tokio::select! {
                biased;
                () = held.cancelled().cancelled() => return End::Cancelled,
                values = secrets::obtain(&shared.bus, held, &shared.name, doorbell, key) => values,
            };
            match values {
                Ok(values) => {
                    failpoint!("worker.secrets.after");
                    held.give_secrets(values);
                }
                Err(failure) => return End::Failed(failure),
            }
        }
        shared.perform.perform(held.clone(), doorbell).await
    })
    .catch_unwind();
    tokio::pin!(performed);
    let deadline = Instant::now() + doorbell.order.timeout.0;
    let mut overdue = false;
    loop {
        tokio::select! {
            biased;
            () = held.fenced().cancelled() => return Worked::Abandoned,
            end = &mut performed => return end.map_or(Worked::Panicked, |end| time_out(end, overdue, doorbell)),
            () = shared.leave.cancelled() => return Worked::Abandoned,
            () = tokio::time::sleep_until(deadline), if !overdue => {
                overdue = true;
                held.say(format!("time is up after {}; stopping", doorbell.order.timeout));
                held.overdue().cancel();
                held.cancelled().cancel();
            }
            () = tokio::time::sleep_until(deadline + STOP_GRACE), if overdue => return Worked::Overran,
        }
    }
}

/// Work that stopped because its time was up has failed by that.
fn time_out(end: End, overdue: bool, doorbell: &Doorbell) -> Worked {
    Worked::Ended(match end {
        End::Cancelled if overdue => End::Failed(timed_out(doorbell)),
        End::Failed(failure) if overdue => End::Failed(Failure { kind: FailureKind::TimedOut, ..failure }),
        end => end,
    })
}

fn timed_out(doorbell: &Doorbell) -> Failure {
    Failure {
        kind: FailureKind::TimedOut,
        message: format!(
            "the step did not end within {}; give it a longer `timeout` or see in its output what it waited for",
            doorbell.order.timeout
        ),
        tail: Vec::new(),
    }
}

async fn finish(held: &Held, doorbell: &Doorbell, worked: Worked) -> &'static str {
    let end = match worked {
        Worked::Abandoned => {
            held.say("the claim was lost or this process ends; another holder goes on");
            let _ = tokio::time::timeout(LAST_OUTPUT, held.output.finish()).await;
            tracing::warn!("let go without an end");
            return "abandoned";
        }
        Worked::Ended(end) => end,
        Worked::Overran => End::Failed(timed_out(doorbell)),
        Worked::Panicked => {
            tracing::error!("the performer panicked");
            End::Failed(Failure::step("the executor hit a defect while doing this step; see its log and report it"))
        }
    };
    let end = settle(held, end);
    if let End::Failed(failure) = &end {
        held.say(format!("failed: {}", failure.message));
    }
    match store(held, &end).await {
        Ok(()) => {
            tracing::info!(end = word(&end), "ended");
            word(&end)
        }
        Err(crate::Fenced) => {
            tracing::warn!(end = word(&end), "ended, but the claim was lost before");
            "abandoned"
        }
    }
}

/// Stores the end, and what was printed before it.
async fn store(held: &Held, end: &End) -> Result<(), crate::Fenced> {
    let output = held.output.finish();
    let ended = async {
        failpoint!(format!("worker.{}.before", word(end)));
        let stored = held.chain.lock().await.append(|cancel_issued| event(end, cancel_issued)).await;
        failpoint!(format!("worker.{}.after", word(end)));
        stored
    };
    tokio::pin!(output, ended);
    tokio::select! {
        // Polled in this order: the output is on its way before the end is.
        biased;
        () = &mut output => ended.await,
        ended = &mut ended => {
            let _ = tokio::time::timeout(LAST_OUTPUT, output).await;
            ended
        }
    }
}

/// The end as it may be written: masked and of bounded size.
fn settle(held: &Held, end: End) -> End {
    let masker = held.output.masker();
    match end {
        End::Succeeded(outputs) => {
            let outputs: Outputs =
                outputs.into_iter().map(|(name, value)| (masker.mask(&name), masker.mask_value(value))).collect();
            let size = serde_json::to_vec(&outputs).map_or(0, |json| json.len());
            if size <= MAX_OUTPUTS {
                return End::Succeeded(outputs);
            }
            End::Failed(Failure::step(format!(
                "the step did its work, but its outputs have {size} bytes, more than the {MAX_OUTPUTS} allowed; \
                 make them smaller"
            )))
        }
        End::Failed(failure) => End::Failed(Failure {
            kind: failure.kind,
            message: shortened(&masker.mask(&failure.message)),
            tail: failure.tail.iter().map(|line| shortened(&masker.mask(line))).collect(),
        }),
        End::Unknown(reason) => End::Unknown(shortened(&masker.mask(&reason))),
        End::Cancelled => End::Cancelled,
    }
}

fn shortened(text: &str) -> String {
    if text.len() <= MAX_MESSAGE {
        return text.to_owned();
    }
    text.char_indices().take_while(|(at, _)| *at < MAX_MESSAGE).map(|(_, c)| c).chain(['…']).collect()
}

/// After a cancel, work ends as cancelled unless it was done before it could be stopped.
fn event(end: &End, cancel_issued: bool) -> TaskEvent {
    match end {
        End::Succeeded(outputs) => TaskEvent::Succeeded { outputs: outputs.clone() },
        End::Unknown(reason) => TaskEvent::Unknown { reason: reason.clone() },
        End::Failed(_) if cancel_issued => TaskEvent::Cancelled,
        End::Failed(cause) => TaskEvent::Failed { cause: cause.clone() },
        End::Cancelled => TaskEvent::Cancelled,
    }
}

fn word(end: &End) -> &'static str {
    match end {
        End::Succeeded(_) => "succeeded",
        End::Failed(_) => "failed",
        End::Unknown(_) => "unknown",
        End::Cancelled => "cancelled",
    }
}
