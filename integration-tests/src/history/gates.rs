//! A gate as the facts of its own subject tell it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::{
    event::{Actor, GateEvent, Verdict},
    name::{PersonName, TeamName},
    release::Request,
};

/// A planner's clock is the log's, a little ahead of the message that it writes.
pub const CLOCK: TimeDelta = TimeDelta::seconds(2);

/// What a gate takes.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    pub teams: &'a [TeamName],
    /// How many approvals; none where a failed task is asked about.
    pub approvals: Option<u32>,
    /// Whoever asked for the deployment has no vote.
    pub excludes: bool,
}

/// One gate.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    /// Sequence, digest and expiry of the last opening.
    opened: Option<(u64, String, DateTime<Utc>)>,
    votes: BTreeMap<PersonName, Verdict>,
    /// What their voters knew not to be as it was deployed.
    drift: Option<String>,
    pub decided: Option<Verdict>,
}

impl Gate {
    pub fn is_open(&self) -> bool {
        self.opened.is_some() && self.decided.is_none()
    }

    /// Whether people were asked and did not say yes.
    pub fn is_unwanted(&self) -> bool {
        self.opened.is_some() && self.decided != Some(Verdict::Approve)
    }

    /// Takes in an event of its subject; what is wrong with it.
    pub fn take(
        &mut self,
        (seq, at): (u64, DateTime<Utc>),
        actor: &Actor,
        event: &GateEvent,
        (request, asked): (&Request, Asked<'_>),
    ) -> Result<(), String> {
        let by_planner = matches!(actor, Actor::Planner { .. });
        match event {
            GateEvent::Opened { plan_digest, expires } => {
                let may = self.opened.is_none() || self.decided == Some(Verdict::Retry);
                self.opened = Some((seq, plan_digest.clone(), *expires));
                self.votes.clear();
                self.drift = None;
                self.decided = None;
                if by_planner && may { Ok(()) } else { Err(format!("{actor} opened it a second time")) }
            }
            GateEvent::Voted { opened, plan_digest, person, verdict, drift, .. } => {
                let here = self.opened.as_ref().is_some_and(|(seq, digest, _)| seq == opened && digest == plan_digest);
                let member = asked.teams.is_empty()
                    || request.teams_of(person).into_iter().any(|team| asked.teams.contains(team));
                let excluded =
                    asked.excludes && matches!(&request.requested_by, Actor::Person { name, .. } if name == person);
                let own = matches!(actor, Actor::Person { name, .. } if name == person);
                let answers = match asked.approvals {
                    Some(_) => matches!(verdict, Verdict::Approve | Verdict::Reject),
                    None => *verdict != Verdict::Approve,
                };
                if here && member && !excluded && own && answers && self.decided.is_none() {
                    if self.drift != *drift {
                        self.votes.clear();
                    }
                    self.drift.clone_from(drift);
                    self.votes.insert(person.clone(), *verdict);
                }
                Ok(())
            }
            GateEvent::Decided { verdict, reason } => {
                let valid = by_planner && self.is_open() && self.allows(*verdict, asked, at);
                self.decided = Some(*verdict);
                if valid {
                    Ok(())
                } else {
                    Err(format!("{actor} decided {verdict} ({reason}) on votes {:?}", self.votes))
                }
            }
        }
    }

    fn allows(&self, verdict: Verdict, asked: Asked<'_>, at: DateTime<Utc>) -> bool {
        let expired = self.opened.as_ref().is_some_and(|(_, _, expires)| at + CLOCK >= *expires);
        let rejected = self.votes.values().any(|vote| *vote == Verdict::Reject);
        match (verdict, asked.approvals) {
            (Verdict::Reject, _) => rejected || expired,
            (Verdict::Approve, Some(needed)) => !rejected && self.votes.len() >= needed.max(1) as usize,
            (Verdict::Approve, None) => false,
            (other, _) => !rejected && self.votes.values().any(|vote| *vote == other),
        }
    }
}
