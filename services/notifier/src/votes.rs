//! Turns a press into a vote in the log.
//!
//! The vote is appended at the head of the gate's subject, so whoever comes first wins and the other
//! looks again. Its id derives from what was pressed, by whom and when, so the same press sent twice is
//! one vote. Nothing is decided here.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use slipway_bus::{Appended, Bus, BusError};
use slipway_domain::{
    api::drift_digest,
    event::{Actor, Address, Entry, Envelope, GateEvent, GateScope, SCHEMA, Verdict},
    id,
    name::PersonName,
};
use slipway_service::{failpoint, telemetry};

use crate::{
    board::Board,
    gates::{Ballot, Refusal, Ruling},
    slack::interaction::Press,
};

/// How long a vote may take to get into the log: longer than a change of the log's leader.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of a press.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// Who voted.
    pub person: PersonName,
    /// The vote was there before.
    pub before: bool,
}

/// Why a press is no vote.
#[derive(Debug, thiserror::Error)]
pub enum VoteError {
    /// A correct no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Something is not as it was deployed.
    #[error("What runs is not what the plan was made for: {what}. If it shall go on all the same: `{command}`")]
    Drift {
        /// What, for people.
        what: String,
        /// How to approve all the same.
        command: String,
    },
    /// The log can not take it.
    #[error("the vote could not be written to the log")]
    Log(#[from] BusError),
    /// Nobody knows yet.
    #[error("the log did not answer within {}s", PATIENCE.as_secs())]
    Slow,
}

/// Writes votes.
#[derive(Clone)]
pub struct Votes {
    /// Where to.
    pub bus: Bus,
    /// By what they are judged.
    pub board: Arc<Board>,
}

impl Votes {
    /// Judges a press and appends the vote, if it is one.
    pub async fn cast(&self, press: &Press) -> Result<Counted, VoteError> {
        tokio::time::timeout(PATIENCE, self.cast_at_last(press)).await.map_err(|_| VoteError::Slow)?
    }

    async fn cast_at_last(&self, press: &Press) -> Result<Counted, VoteError> {
        self.board.reached(press.button.opened).await;
        loop {
            let ballot = match self.board.judge(press)? {
                Ruling::AlreadyCast(person) => return Ok(Counted { person, before: true }),
                Ruling::Cast(ballot) => ballot,
            };
            self.nothing_drifted(&ballot).await?;
            let address = Address::Gate(ballot.deployment, ballot.step.clone(), GateScope::All);
            failpoint!("notifier.voted.before");
            let appended = self.bus.append(&address, ballot.head, &entry(&ballot, &press.trigger)).await?;
            failpoint!("notifier.voted.after");
            match appended {
                Appended::Stored(_) => return Ok(Counted { person: ballot.person, before: false }),
                Appended::Mine(_) => return Ok(Counted { person: ballot.person, before: true }),
                Appended::Lost { head } => self.board.reached(head.max(ballot.head + 1)).await,
            }
        }
    }

    /// Somebody who approves in chat can not say that they know of drift, so there must be none. When nobody can tell,
    /// the plan is what was seen.
    async fn nothing_drifted(&self, ballot: &Ballot) -> Result<(), VoteError> {
        if ballot.verdict != Verdict::Approve {
            return Ok(());
        }
        let drift = self.bus.ask_drift(ballot.deployment).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "whether something drifted could not be asked");
            None
        });
        let drift = drift.unwrap_or_default();
        let Some(digest) = drift_digest(&drift) else { return Ok(()) };
        let told: Vec<_> = drift.iter().map(|drift| format!("on {}: {}", drift.target, drift.detail)).collect();
        let command = format!("slipway approve {} {} --drift {digest}", ballot.deployment, ballot.step);
        Err(VoteError::Drift { what: told.join("; "), command })
    }
}

fn entry(ballot: &Ballot, trigger: &str) -> Entry {
    let verdict = ballot.verdict.to_string();
    let parts = [
        "slack-vote",
        &ballot.deployment.to_string(),
        ballot.step.as_str(),
        &ballot.opened.to_string(),
        ballot.person.as_str(),
        &verdict,
        trigger,
    ];
    Entry::Gate(Envelope {
        id: id::derive(&parts),
        schema: SCHEMA,
        at: Utc::now(),
        actor: Actor::Person { name: ballot.person.clone(), via: "slack".to_owned() },
        trace: telemetry::traceparent(),
        events: vec![GateEvent::Voted {
            opened: ballot.opened,
            plan_digest: ballot.plan_digest.clone(),
            person: ballot.person.clone(),
            verdict: ballot.verdict,
            note: None,
            drift: None,
        }],
    })
}

#[cfg(test)]
mod tests {
    use slipway_domain::{id::DeploymentId, name::StepName};

    use super::*;

    #[test]
    fn the_same_press_has_the_same_id_and_any_other_press_another() {
        let ballot = Ballot {
            deployment: DeploymentId::derive(&["votes"]),
            step: StepName::new("sign-off").unwrap(),
            opened: 3,
            plan_digest: "sha256:1".to_owned(),
            person: PersonName::new("ana").unwrap(),
            verdict: Verdict::Approve,
            head: 3,
        };
        let id = entry(&ballot, "t1").id();
        assert_eq!(entry(&Ballot { head: 9, ..ballot.clone() }, "t1").id(), id, "the head is not part of it");
        let others = [
            entry(&ballot, "t2"),
            entry(&Ballot { opened: 4, ..ballot.clone() }, "t1"),
            entry(&Ballot { verdict: Verdict::Reject, ..ballot.clone() }, "t1"),
            entry(&Ballot { person: PersonName::new("ben").unwrap(), ..ballot }, "t1"),
        ];
        for other in others {
            assert_ne!(other.id(), id);
        }
    }
}
