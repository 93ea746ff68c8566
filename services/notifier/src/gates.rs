//! The gates that chat can decide: a small fold of the log.
//!
//! Keeps, of every deployment under way that has an approval step, who may decide, what is open, who
//! voted, and where the announcement is. What is finished is dropped. Says when an announcement has
//! to be edited ([`Closing`]). No I/O, no clock. The rules that decide a gate are the planner's.

mod judge;

use std::collections::{BTreeMap, HashMap};

use slipway_domain::{
    event::{Actor, Address, Entry, Envelope, GateEvent, GateScope, Outcome, PlanEvent, Recorded, TaskEvent, Verdict},
    id::DeploymentId,
    manifest::{Action, Member},
    name::{EnvironmentName, NOTIFIER, PersonName, ProjectName, StepName, TeamName},
    order::Outputs,
    release::Request,
};

pub use judge::{Ballot, Refusal, Ruling};

use crate::slack::{Posted, message};

/// Every gate that may still be decided.
#[derive(Debug, Default)]
pub struct Gates {
    folded: u64,
    deployments: HashMap<DeploymentId, Deployment>,
}

#[derive(Debug)]
struct Deployment {
    project: ProjectName,
    environment: EnvironmentName,
    version: String,
    teams: BTreeMap<TeamName, Vec<Member>>,
    gates: BTreeMap<StepName, Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    /// The teams whose votes count.
    teams: Vec<TeamName>,
    /// Who has no vote, because the deployment is their own wish.
    excluded: Option<PersonName>,
    /// The newest sequence on the gate's subject.
    head: u64,
    opening: Option<Opening>,
    /// Where the announcement is.
    posted: Option<Posted>,
    /// The announcement was edited, or is being edited.
    closed: bool,
}

#[derive(Debug)]
struct Opening {
    seq: u64,
    plan_digest: String,
    votes: BTreeMap<PersonName, Vote>,
    /// What their voters knew not to be as it was deployed.
    drift: Option<String>,
    ended: Option<Ended>,
}

#[derive(Debug)]
struct Vote {
    verdict: Verdict,
    note: Option<String>,
}

/// How an opening ended.
#[derive(Debug)]
enum Ended {
    /// By votes, or by time.
    Decided { verdict: Verdict, reason: String },
    /// Without a decision: the step is left out, or the deployment is over.
    Moot { reason: String },
}

/// An announcement that has to be edited, because there is nothing left to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The approval step.
    pub step: StepName,
    /// The message.
    pub posted: Posted,
    /// Its first line.
    pub title: String,
    /// What became of the gate, in mrkdwn.
    pub result: String,
}

impl Gates {
    /// The highest sequence folded.
    pub fn folded(&self) -> u64 {
        self.folded
    }

    /// Takes the next message of the log. Returns the announcements that it closes.
    pub fn apply(&mut self, recorded: &Recorded) -> Vec<Closing> {
        self.folded = recorded.seq;
        let id = recorded.address.deployment();
        match (&recorded.address, &recorded.entry) {
            (Address::Plan(_), Entry::Plan(envelope)) => self.apply_plan(id, envelope),
            (Address::Task(_, key), Entry::Task(envelope)) if key.target.as_str() == NOTIFIER => {
                self.at_gate(id, &key.step, |gate| gate.apply_task(envelope)).into_iter().collect()
            }
            (Address::Gate(_, step, GateScope::All), Entry::Gate(envelope)) => {
                self.at_gate(id, step, |gate| gate.apply(recorded.seq, envelope)).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn apply_plan(&mut self, id: DeploymentId, envelope: &Envelope<PlanEvent>) -> Vec<Closing> {
        let mut closings = Vec::new();
        for event in &envelope.events {
            match event {
                PlanEvent::Requested { request } => self.request(id, request),
                PlanEvent::Rejected { .. } => {
                    self.deployments.remove(&id);
                }
                PlanEvent::StepSkipped { step, target: None, reason } => {
                    closings.extend(self.at_gate(id, step, |gate| gate.moot(reason)));
                }
                PlanEvent::Finished { outcome, .. } => {
                    closings.extend(self.over(id, &format!("the deployment {}", past(*outcome))));
                }
                // Only what was stopped by damage is ever given up.
                PlanEvent::Abandoned { .. } => closings.extend(self.over(id, "the deployment was given up")),
                PlanEvent::PolicySet { .. }
                | PlanEvent::Planned { .. }
                | PlanEvent::Started { .. }
                | PlanEvent::Yielded
                | PlanEvent::Granted { .. }
                | PlanEvent::RetryScheduled { .. }
                | PlanEvent::RestoreScheduled { .. }
                | PlanEvent::Paused { .. }
                | PlanEvent::Resumed
                | PlanEvent::Told { .. }
                | PlanEvent::StepSkipped { target: Some(_), .. }
                | PlanEvent::CancelRequested { .. } => {}
            }
        }
        closings
    }

    fn over(&mut self, id: DeploymentId, reason: &str) -> Vec<Closing> {
        let steps = self.deployments.get(&id).map(|d| d.gates.keys().cloned().collect::<Vec<_>>());
        let steps = steps.unwrap_or_default();
        let closings = steps.iter().filter_map(|step| self.at_gate(id, step, |gate| gate.moot(reason))).collect();
        self.deployments.remove(&id);
        closings
    }

    fn request(&mut self, id: DeploymentId, request: &Request) {
        let gates: BTreeMap<StepName, Gate> = request
            .release
            .steps
            .iter()
            .filter_map(|step| {
                let look = || step.rolling.as_ref()?.then.as_ref().map(|then| &then.approval);
                let approval = match &step.action {
                    Action::Approval(approval) => approval,
                    _ => look()?,
                };
                let requester = match &request.requested_by {
                    Actor::Person { name, .. } if approval.exclude_requester => Some(name.clone()),
                    _ => None,
                };
                Some((
                    step.name.clone(),
                    Gate { teams: approval.teams.clone(), excluded: requester, ..Gate::default() },
                ))
            })
            .collect();
        if gates.is_empty() {
            return;
        }
        self.deployments.entry(id).or_insert_with(|| Deployment {
            project: request.project().clone(),
            environment: request.environment.clone(),
            version: request.release.version.clone(),
            teams: request.teams.clone(),
            gates,
        });
    }

    fn at_gate(&mut self, id: DeploymentId, step: &StepName, change: impl FnOnce(&mut Gate)) -> Option<Closing> {
        let deployment = self.deployments.get_mut(&id)?;
        let title = deployment.title(step);
        let gate = deployment.gates.get_mut(step)?;
        change(gate);
        let (posted, result) = gate.close()?;
        Some(Closing { deployment: id, step: step.clone(), posted, title, result })
    }
}

impl Deployment {
    fn title(&self, step: &StepName) -> String {
        message::title(&self.project, &self.version, &self.environment, step)
    }
}

fn past(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "succeeded",
        Outcome::Failed => "failed",
        Outcome::Cancelled => "was cancelled",
        Outcome::Rejected => "was rejected",
        Outcome::Superseded => "was superseded",
    }
}

impl Gate {
    /// An event counts only from those who may write it, as the planner sees it too.
    fn apply(&mut self, seq: u64, envelope: &Envelope<GateEvent>) {
        self.head = seq;
        for event in &envelope.events {
            match (event, &envelope.actor) {
                (GateEvent::Opened { plan_digest, .. }, Actor::Planner { .. }) => {
                    let (plan_digest, votes) = (plan_digest.clone(), BTreeMap::new());
                    self.opening = Some(Opening { seq, plan_digest, votes, drift: None, ended: None });
                    self.posted = None;
                    self.closed = false;
                }
                (GateEvent::Decided { verdict, reason }, Actor::Planner { .. }) => {
                    self.end(Ended::Decided { verdict: *verdict, reason: reason.clone() });
                }
                (
                    GateEvent::Voted { opened, plan_digest, person, verdict, note, drift },
                    Actor::Person { name, .. },
                ) if name == person => {
                    let current =
                        |o: &&mut Opening| o.seq == *opened && o.plan_digest == *plan_digest && o.ended.is_none();
                    if let Some(opening) = self.opening.as_mut().filter(current) {
                        if opening.drift != *drift {
                            opening.votes.clear();
                            opening.drift.clone_from(drift);
                        }
                        opening.votes.insert(person.clone(), Vote { verdict: *verdict, note: note.clone() });
                    }
                }
                _ => {}
            }
        }
    }

    fn moot(&mut self, reason: &str) {
        self.end(Ended::Moot { reason: reason.to_owned() });
    }

    /// The first end of an opening is its end.
    fn end(&mut self, how: Ended) {
        if let Some(opening) = &mut self.opening {
            opening.ended.get_or_insert(how);
        }
    }

    /// The announcement's task has the step's name and the notifier as its target.
    fn apply_task(&mut self, envelope: &Envelope<TaskEvent>) {
        for event in &envelope.events {
            if let TaskEvent::Succeeded { outputs } = event {
                self.posted = posted(outputs);
            }
        }
    }

    /// If the announcement is there, and what it announced has ended, and it was not closed before: closes it.
    fn close(&mut self) -> Option<(Posted, String)> {
        if self.closed {
            return None;
        }
        let closing = (self.posted.clone()?, self.opening.as_ref()?.result()?);
        self.closed = true;
        Some(closing)
    }
}

impl Opening {
    /// What it came to and by whom, in mrkdwn; nothing while it is open.
    fn result(&self) -> Option<String> {
        let (decided, reason) = match self.ended.as_ref()? {
            Ended::Decided { verdict, reason } => (*verdict, reason),
            Ended::Moot { reason } => return Some(format!("Closed: {}", message::escape(reason))),
        };
        let deciders: Vec<String> = self
            .votes
            .iter()
            .filter(|(_, vote)| vote.verdict == decided)
            .map(|(person, vote)| match vote.note.as_deref().filter(|note| !note.trim().is_empty()) {
                Some(note) => format!("{person}: {}", message::escape(note)),
                None => person.to_string(),
            })
            .collect();
        Some(match (decided, deciders.is_empty()) {
            (Verdict::Approve, false) => format!("Approved by {}", deciders.join(", ")),
            (Verdict::Retry | Verdict::Ignore | Verdict::Exclude, _) => message::escape(reason),
            (Verdict::Reject, false) => format!("Rejected by {}", deciders.join(", ")),
            (Verdict::Approve, true) => format!("Approved: {}", message::escape(reason)),
            (Verdict::Reject, true) => format!("Expired: {}", message::escape(reason)),
        })
    }
}

fn posted(outputs: &Outputs) -> Option<Posted> {
    let text = |name: &str| outputs.get(name)?.as_str().map(str::to_owned);
    Some(Posted { channel: text("channel")?, ts: text("ts")? })
}

#[cfg(test)]
#[path = "gates/tests.rs"]
mod tests;
