//! Which releases of a project are kept, and why; the others may go.
//!
//! A release goes only where a policy says so, in every phase that it reached. What an environment has, what
//! it had before, what is on its way and the newest of a channel stay, whatever a policy says.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use slipway_domain::{
    api::Keep,
    manifest::{Keeping, Lifecycle},
    name::{ChannelName, EnvironmentName},
};

/// What is known of one release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its version.
    pub version: String,
    /// Its channel.
    pub channel: ChannelName,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// Where it was asked to be deployed: the place of the newest such deployment in the log, and when that ended.
    pub reached: BTreeMap<EnvironmentName, Reach>,
}

/// How a release was in an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Place of its newest deployment there, among all.
    pub seq: u64,
    /// When that ended; none if it did not, or nobody knows.
    pub ended: Option<DateTime<Utc>>,
}

/// What keeps releases whatever a policy says, by version: such as `production has it`.
pub type Held = BTreeMap<String, String>;

/// Decides about the releases of a project, newest first, each by the lifecycle of its channel.
pub fn decide<'a>(
    releases: &[Candidate],
    lifecycle_of: impl Fn(&ChannelName) -> Option<&'a Lifecycle>,
    held: &Held,
    now: DateTime<Utc>,
) -> Vec<Keep> {
    let mut channels = BTreeSet::new();
    let mut decisions = Vec::new();
    for release in releases {
        let newest = channels.insert(release.channel.clone());
        let (kept, reason) = match (held.get(&release.version), lifecycle_of(&release.channel)) {
            (Some(reason), _) => (true, reason.clone()),
            (None, _) if newest => (true, format!("it is the newest of channel {}", release.channel)),
            (None, None) => (true, format!("channel {} has no lifecycle any more", release.channel)),
            (None, Some(lifecycle)) => {
                let same =
                    |other: &&Candidate| lifecycle_of(&other.channel).is_some_and(|its| its.name == lifecycle.name);
                by_policy(release, &releases.iter().filter(same).collect::<Vec<_>>(), lifecycle, now)
            }
        };
        decisions.push(Keep { version: release.version.clone(), kept, reason });
    }
    decisions
}

/// By the policies of the phases that it reached; whether it is kept, and why.
fn by_policy(release: &Candidate, all: &[&Candidate], lifecycle: &Lifecycle, now: DateTime<Utc>) -> (bool, String) {
    let mut gone = Vec::new();
    let mut policy = lifecycle.retention;
    let mut known = BTreeSet::new();
    for phase in &lifecycle.phases {
        policy = phase.retention.or(policy);
        let environments: BTreeSet<_> = phase.environments.iter().map(|e| e.name().clone()).collect();
        known.extend(environments.iter().cloned());
        let Some(mine) = last_in(release, &environments) else { continue };
        let place = format!("phase {}", phase.name);
        let before = all.iter().filter(|other| last_in(other, &environments).is_some_and(|its| its.seq > mine.seq));
        match judge(policy, before.count(), mine.ended, now, &place) {
            Ok(reason) => return (true, reason),
            Err(reason) => gone.push(reason),
        }
    }
    if let Some(environment) = release.reached.keys().find(|environment| !known.contains(*environment)) {
        return (
            true,
            format!("it was deployed to {environment}, which is in no phase of lifecycle {}", lifecycle.name),
        );
    }
    if gone.is_empty() {
        let before = all.iter().take_while(|other| other.version != release.version);
        let before = before.filter(|other| other.reached.is_empty()).count();
        match judge(lifecycle.retention, before, Some(release.created), now, "what was never deployed") {
            Ok(reason) => return (true, reason),
            Err(reason) => gone.push(reason),
        }
    }
    (false, gone.join("; "))
}

/// The newest deployment of the release to one of the environments.
fn last_in(release: &Candidate, environments: &BTreeSet<EnvironmentName>) -> Option<Reach> {
    let there = release.reached.iter().filter(|(environment, _)| environments.contains(*environment));
    there.map(|(_, reach)| *reach).max_by_key(|reach| reach.seq)
}

/// Why a policy keeps a release that `before` others come before, or why it does not.
fn judge(
    policy: Option<Keeping>,
    before: usize,
    since: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
    place: &str,
) -> Result<String, String> {
    match policy {
        None => Ok(format!("{place} keeps all")),
        Some(Keeping::Releases(n)) if before < n as usize => Ok(format!("number {} of {n} in {place}", before + 1)),
        Some(Keeping::Releases(n)) => Err(format!("{place} keeps {n}, and {before} are newer there")),
        Some(Keeping::Days(days)) => {
            let Some(since) = since else { return Ok(format!("nobody knows when it was last in {place}")) };
            let age = (now - since).num_days();
            let words = format!("{place} keeps {days} days, and it was there {age} days ago");
            if age < i64::from(days) { Ok(words) } else { Err(words) }
        }
    }
}
