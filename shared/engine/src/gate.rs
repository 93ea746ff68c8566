//! A gate: waits for people. Who may vote, which votes count, and what they decide.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use slipway_domain::{
    duration::Span,
    event::{Actor, GateEvent, Verdict},
    manifest::{Approval, GuidedFailure},
    name::{PersonName, TeamName},
    release::Request,
};

use crate::deployment::Impossible;

/// One gate.
#[derive(Debug, Clone)]
pub struct Gate {
    /// The last sequence on its subject.
    pub head: u64,
    /// Where it is.
    pub state: GateState,
    /// The votes that count, the latest of each person.
    pub votes: BTreeMap<PersonName, Vote>,
    /// What their voters knew not to be as it was deployed, as a digest.
    pub drift: Option<String>,
}

/// Where a gate is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateState {
    /// Its time has not come.
    Closed,
    /// It waits for people.
    Open {
        /// The sequence of `Opened`.
        opened: u64,
        /// What the votes are bound to.
        plan_digest: String,
        /// When it counts as rejected.
        expires: DateTime<Utc>,
    },
    /// It is decided.
    Decided {
        /// The sequence of its `Opened`.
        opened: u64,
        /// How.
        verdict: Verdict,
        /// Why.
        reason: String,
    },
}

/// A vote that counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vote {
    /// What.
    pub verdict: Verdict,
    /// In the person's words.
    pub note: Option<String>,
    /// When.
    pub at: DateTime<Utc>,
}

/// What a gate asks, and of whom.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    /// Whose votes count; anyone's who may deploy if empty.
    pub teams: &'a [TeamName],
    /// When nobody decided within it, it counts as rejected.
    pub timeout: Span,
    /// The question.
    pub question: Question,
    /// Whoever asked for the deployment has no vote.
    pub exclude_requester: bool,
}

/// What a gate asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Whether to go on; it takes so many approvals.
    Approval {
        /// How many.
        votes: u32,
    },
    /// What to do with a failed task; the first answer counts.
    Guidance,
}

impl<'a> Rule<'a> {
    /// The rule of an approval step.
    pub fn approval(approval: &'a Approval) -> Self {
        let question = Question::Approval { votes: approval.votes.max(1) };
        let exclude_requester = approval.exclude_requester;
        Self { teams: &approval.teams, timeout: approval.timeout, question, exclude_requester }
    }

    /// The rule at a failed task.
    pub fn guidance(guided: &'a GuidedFailure) -> Self {
        Self { teams: &guided.teams, timeout: guided.timeout, question: Question::Guidance, exclude_requester: false }
    }

    /// Whether a person may vote here.
    pub fn may_vote(&self, request: &Request, person: &PersonName) -> bool {
        let of_team = request.teams_of(person).into_iter().any(|team| self.teams.contains(team));
        (self.teams.is_empty() || of_team) && !self.excludes(request, person)
    }

    /// Whether a person has no vote because the deployment is their own wish.
    pub fn excludes(&self, request: &Request, person: &PersonName) -> bool {
        self.exclude_requester && matches!(&request.requested_by, Actor::Person { name, .. } if name == person)
    }

    /// Whether this is an answer to the question.
    pub fn takes(&self, verdict: Verdict) -> bool {
        match self.question {
            Question::Approval { .. } => matches!(verdict, Verdict::Approve | Verdict::Reject),
            Question::Guidance => verdict != Verdict::Approve,
        }
    }
}

/// Whether a person may vote at an approval of this deployment.
pub fn may_vote(request: &Request, approval: &Approval, person: &PersonName) -> bool {
    Rule::approval(approval).may_vote(request, person)
}

impl Gate {
    pub(crate) fn new() -> Self {
        Self { head: 0, state: GateState::Closed, votes: BTreeMap::new(), drift: None }
    }

    /// The sequence of its `Opened`, while and after it was open.
    pub fn opened(&self) -> Option<u64> {
        match &self.state {
            GateState::Closed => None,
            GateState::Open { opened, .. } | GateState::Decided { opened, .. } => Some(*opened),
        }
    }

    /// Takes in an event of the gate's own subject. A vote that does not count changes nothing.
    pub(crate) fn apply(
        &mut self,
        seq: u64,
        at: DateTime<Utc>,
        actor: &Actor,
        event: &GateEvent,
        counts: impl FnOnce(&PersonName, Verdict) -> bool,
    ) -> Result<(), Impossible> {
        self.head = seq;
        match (&self.state, event, actor) {
            // A task that fails again is asked about again; an approval is asked for once.
            (
                GateState::Closed | GateState::Decided { verdict: Verdict::Retry, .. },
                GateEvent::Opened { plan_digest, expires },
                Actor::Planner { .. },
            ) => {
                self.votes.clear();
                self.drift = None;
                self.state = GateState::Open { opened: seq, plan_digest: plan_digest.clone(), expires: *expires };
            }
            (GateState::Open { opened, .. }, GateEvent::Decided { verdict, reason }, Actor::Planner { .. }) => {
                self.state = GateState::Decided { opened: *opened, verdict: *verdict, reason: reason.clone() };
            }
            (
                GateState::Open { opened, plan_digest, .. },
                GateEvent::Voted { opened: voted_for, plan_digest: seen, person, verdict, note, drift },
                Actor::Person { name, .. },
            ) => {
                if opened == voted_for && plan_digest == seen && name == person && counts(person, *verdict) {
                    // Whoever approved before has not seen what this person has.
                    if self.drift != *drift {
                        self.votes.clear();
                        self.drift.clone_from(drift);
                    }
                    self.votes.insert(person.clone(), Vote { verdict: *verdict, note: note.clone(), at });
                }
            }
            // A vote too early or too late is a person's mistake, not damage.
            (_, GateEvent::Voted { .. }, _) => {}
            (_, event, actor) => {
                return Err(Impossible(format!("{actor} wrote {event:?} at a gate that is {:?}", self.state)));
            }
        }
        Ok(())
    }

    /// What the votes, or the time, decide; nothing while it is open.
    pub fn decision(&self, rule: &Rule<'_>, now: DateTime<Utc>) -> Option<(Verdict, String)> {
        let GateState::Open { expires, .. } = &self.state else { return None };
        let with_note = |verb: &str, person: &PersonName, note: &Option<String>| match note {
            Some(note) => format!("{verb} by {person}: {note}"),
            None => format!("{verb} by {person}"),
        };
        if let Some((person, vote)) = self.votes.iter().find(|(_, v)| v.verdict == Verdict::Reject) {
            return Some((Verdict::Reject, with_note("rejected", person, &vote.note)));
        }
        match rule.question {
            Question::Approval { votes } if self.votes.len() >= votes as usize => {
                let people: Vec<_> = self.votes.iter().map(|(p, v)| with_note("approved", p, &v.note)).collect();
                return Some((Verdict::Approve, people.join("; ")));
            }
            Question::Guidance if !self.votes.is_empty() => {
                let first = self.votes.iter().min_by_key(|(_, vote)| vote.at);
                return first.map(|(p, v)| (v.verdict, with_note(&format!("{} chosen", v.verdict), p, &v.note)));
            }
            _ => {}
        }
        (now >= *expires).then(|| (Verdict::Reject, format!("nobody decided within {}", rule.timeout)))
    }
}
