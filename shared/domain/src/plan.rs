//! The plan: the frozen DAG of a deployment, as steps and targets. Tasks are derived from it.

use serde::{Deserialize, Serialize};

use crate::{
    manifest::Step,
    name::{StepName, TargetName},
    text::sha256_hex,
};

/// A compiled plan. The same request always gives the same plan and digest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// The steps that take part, each after all that it needs.
    pub steps: Vec<PlannedStep>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// The step as the release has it; its `needs` are reduced to those that matter
    /// (no edge that another path implies, none to a step that does not take part).
    pub step: Step,
    /// Where it runs.
    pub runs: Runs,
    /// The longest path from the start to this step, in steps; for layout.
    pub rank: u32,
    /// The step that it is a child of, if it is one. That one comes before its children, which follow it in their
    /// order, on its targets and without `needs`: on each target one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub part_of: Option<StepName>,
}

impl PlannedStep {
    /// The step's name.
    pub fn name(&self) -> &StepName {
        &self.step.name
    }
}

/// Where a step runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runs {
    /// On these targets, in this order; one task each. May be the single pseudo-target `worker`
    /// or `notifier`. Never empty.
    On(Vec<TargetName>),
    /// Nowhere: it is a gate that waits for people.
    Gate,
}

impl Plan {
    /// The planned step of that name.
    pub fn step(&self, name: &StepName) -> Option<&PlannedStep> {
        self.steps.iter().find(|s| s.name() == name)
    }

    /// SHA-256 of the plan's JSON; approvals are bound to it.
    pub fn digest(&self) -> String {
        let json = serde_json::to_vec(self).expect("invariant: a plan has only string keys");
        format!("sha256:{}", sha256_hex(&json))
    }
}
