//! Ringing for a task, with its whole order.

use slipway_domain::{
    event::{Address, FailureKind, TaskEvent},
    order::Answer,
};
use slipway_engine::{Decision, decide::Events, order::doorbell};
use slipway_service::{failpoint, telemetry};
use tracing::Instrument as _;

use super::Planner;
use crate::rings::Caller;

impl Planner {
    pub(super) fn ring(&mut self, (id, key): Caller) {
        let doorbell = match doorbell(&self.state, id, &key) {
            None => return,
            Some(Ok(doorbell)) => doorbell,
            Some(Err(cause)) => {
                debug_assert_eq!(cause.kind, FailureKind::Order);
                let head =
                    self.state.get(id).and_then(|d| d.progress.as_ref()?.task(&key).map(|t| t.head)).unwrap_or(0);
                let events = Events::Task(vec![TaskEvent::Failed { cause }]);
                self.write(vec![Decision { address: Address::Task(id, key), expected: head, events }]);
                return;
            }
        };
        let span = tracing::info_span!("ring", deployment.id = %id, task = %key, attempt = doorbell.attempt);
        telemetry::continue_from(&span, doorbell.trace.as_deref());
        let bus = self.bus.clone();
        self.ringing.spawn(
            async move {
                let mut doorbell = doorbell;
                doorbell.trace = telemetry::traceparent().or(doorbell.trace);
                failpoint!("planner.ring.before");
                let answer = match bus.ring(&doorbell).await {
                    Ok(Some(Answer::Claiming)) => "claiming",
                    Ok(Some(Answer::Busy)) => "busy",
                    Ok(None) => "absent",
                    Err(error) => {
                        tracing::warn!(%error, "a doorbell could not be rung; it rings again");
                        "error"
                    }
                };
                failpoint!("planner.ring.after");
                tracing::debug!(answer, "rang");
                metrics::counter!("slipway_planner_doorbells_total", "answer" => answer).increment(1);
            }
            .instrument(span),
        );
    }
}
