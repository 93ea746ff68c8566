//! Whether a press may become a vote: the message is current, the gate is open, and the person is
//! known and in a team that decides. The planner checks the vote again when it counts.

use slipway_domain::{
    event::Verdict,
    id::DeploymentId,
    name::{PersonName, StepName},
};

use super::{Deployment, Gate, Gates};
use crate::slack::interaction::Press;

/// What a press means now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// It is a vote to be appended.
    Cast(Ballot),
    /// The same person already said the same.
    AlreadyCast(PersonName),
}

/// A vote that may be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ballot {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The approval step.
    pub step: StepName,
    /// The opening that is answered.
    pub opened: u64,
    /// The plan that the person saw.
    pub plan_digest: String,
    /// Who.
    pub person: PersonName,
    /// What.
    pub verdict: Verdict,
    /// The head of the gate's subject.
    pub head: u64,
}

/// Why a press changes nothing. The text is shown to the person who pressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The deployment is unknown or finished.
    #[error("This deployment is over; there is nothing left to decide.")]
    Over,
    /// The gate was opened again, or never.
    #[error("This message is out of date; look for a newer one.")]
    Outdated,
    /// It is decided, or nobody needs the decision any more.
    #[error("There is nothing left to decide. {result}")]
    Decided {
        /// First line of the gate's message.
        title: String,
        /// What it came to, in mrkdwn.
        result: String,
    },
    /// Not a member of a team that decides.
    #[error(
        "You can not decide this: none of the teams that may ({teams}) has a member with your Slack id {user}. \
         Ask for `slack: {user}` beside your name in the Team manifest, and deploy again."
    )]
    NoRight {
        /// The teams that may.
        teams: String,
        /// The Slack id.
        user: String,
    },
    /// The gate names no team.
    #[error(
        "You can not decide this here: the step names no team, so chat can not know who may. \
         Use `slipway approve` or `slipway reject`."
    )]
    NoTeams,
    /// The deployment is the person's own wish.
    #[error("You asked for this deployment yourself, and the step wants somebody else to decide.")]
    OwnWish,
    /// Two persons of the teams claim the same Slack id.
    #[error(
        "You can not decide this: several persons have your Slack id {user} ({persons}). Correct the Team manifests, \
         and deploy again."
    )]
    Ambiguous {
        /// The Slack id.
        user: String,
        /// The persons.
        persons: String,
    },
}

impl Gates {
    /// Judges a press by what is folded so far.
    pub fn judge(&self, press: &Press) -> Result<Ruling, Refusal> {
        let deployment = self.deployments.get(&press.button.deployment).ok_or(Refusal::Over)?;
        let gate = deployment.gates.get(&press.button.step).ok_or(Refusal::Outdated)?;
        let person = deployment.person(gate, &press.user)?;
        if gate.excluded.as_ref() == Some(&person) {
            return Err(Refusal::OwnWish);
        }
        let opening = gate
            .opening
            .as_ref()
            .filter(|opening| opening.seq == press.button.opened && opening.plan_digest == press.button.plan)
            .ok_or(Refusal::Outdated)?;
        if opening.votes.get(&person).is_some_and(|vote| vote.verdict == press.verdict) {
            return Ok(Ruling::AlreadyCast(person));
        }
        if let Some(result) = opening.result() {
            return Err(Refusal::Decided { title: deployment.title(&press.button.step), result });
        }
        Ok(Ruling::Cast(Ballot {
            deployment: press.button.deployment,
            step: press.button.step.clone(),
            opened: opening.seq,
            plan_digest: opening.plan_digest.clone(),
            person,
            verdict: press.verdict,
            head: gate.head,
        }))
    }
}

impl Deployment {
    fn person(&self, gate: &Gate, user: &str) -> Result<PersonName, Refusal> {
        if gate.teams.is_empty() {
            return Err(Refusal::NoTeams);
        }
        let mut persons: Vec<&PersonName> = gate
            .teams
            .iter()
            .filter_map(|team| self.teams.get(team))
            .flatten()
            .filter(|member| member.slack() == Some(user))
            .map(|member| member.person())
            .collect();
        persons.sort_unstable();
        persons.dedup();
        match persons.as_slice() {
            [person] => Ok((*person).clone()),
            [] => Err(Refusal::NoRight { teams: listed(&gate.teams), user: user.to_owned() }),
            several => Err(Refusal::Ambiguous { user: user.to_owned(), persons: listed(several) }),
        }
    }
}

fn listed(names: &[impl ToString]) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
