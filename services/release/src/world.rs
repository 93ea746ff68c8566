//! Every manifest, by kind and name: what rules look at that concern more than one of them.

use std::collections::BTreeMap;

use slipway_domain::{
    manifest::{Environment, Feed, Freeze, Lifecycle, Limits, Manifest, Project, Target, Team, VariableSet, Webhook},
    name::{
        EnvironmentName, FeedName, FreezeName, LifecycleName, LimitsName, ProjectName, TargetName, TeamName,
        VariableSetName, WebhookName,
    },
};

/// All manifests.
#[derive(Debug, Clone, Default)]
pub struct World {
    /// Registries.
    pub feeds: BTreeMap<FeedName, Feed>,
    /// Environments.
    pub environments: BTreeMap<EnvironmentName, Environment>,
    /// Docker hosts.
    pub targets: BTreeMap<TargetName, Target>,
    /// How much may happen at a time.
    pub limits: BTreeMap<LimitsName, Limits>,
    /// When deployments do not start.
    pub freezes: BTreeMap<FreezeName, Freeze>,
    /// Lifecycles.
    pub lifecycles: BTreeMap<LifecycleName, Lifecycle>,
    /// Teams.
    pub teams: BTreeMap<TeamName, Team>,
    /// Variables that projects include.
    pub variable_sets: BTreeMap<VariableSetName, VariableSet>,
    /// Projects.
    pub projects: BTreeMap<ProjectName, Project>,
    /// Senders of webhooks.
    pub webhooks: BTreeMap<WebhookName, Webhook>,
}

impl World {
    /// The world of these manifests.
    pub fn of(manifests: impl IntoIterator<Item = Manifest>) -> Self {
        let mut world = Self::default();
        manifests.into_iter().for_each(|manifest| world.put(manifest));
        world
    }

    /// Adds or replaces one.
    pub fn put(&mut self, manifest: Manifest) {
        match manifest {
            Manifest::Feed(m) => drop(self.feeds.insert(m.name.clone(), m)),
            Manifest::Environment(m) => drop(self.environments.insert(m.name.clone(), m)),
            Manifest::Target(m) => drop(self.targets.insert(m.name.clone(), m)),
            Manifest::Limits(m) => drop(self.limits.insert(m.name.clone(), m)),
            Manifest::Freeze(m) => drop(self.freezes.insert(m.name.clone(), *m)),
            Manifest::Lifecycle(m) => drop(self.lifecycles.insert(m.name.clone(), m)),
            Manifest::Team(m) => drop(self.teams.insert(m.name.clone(), m)),
            Manifest::VariableSet(m) => drop(self.variable_sets.insert(m.name.clone(), m)),
            Manifest::Project(m) => drop(self.projects.insert(m.name.clone(), *m)),
            Manifest::Webhook(m) => drop(self.webhooks.insert(m.name.clone(), m)),
        }
    }

    /// Takes one away.
    pub fn remove(&mut self, manifest: &Manifest) {
        match manifest {
            Manifest::Feed(m) => drop(self.feeds.remove(&m.name)),
            Manifest::Environment(m) => drop(self.environments.remove(&m.name)),
            Manifest::Target(m) => drop(self.targets.remove(&m.name)),
            Manifest::Limits(m) => drop(self.limits.remove(&m.name)),
            Manifest::Freeze(m) => drop(self.freezes.remove(&m.name)),
            Manifest::Lifecycle(m) => drop(self.lifecycles.remove(&m.name)),
            Manifest::Team(m) => drop(self.teams.remove(&m.name)),
            Manifest::VariableSet(m) => drop(self.variable_sets.remove(&m.name)),
            Manifest::Project(m) => drop(self.projects.remove(&m.name)),
            Manifest::Webhook(m) => drop(self.webhooks.remove(&m.name)),
        }
    }

    /// All of them again.
    pub fn manifests(&self) -> Vec<Manifest> {
        let mut all: Vec<Manifest> = Vec::new();
        all.extend(self.feeds.values().cloned().map(Manifest::Feed));
        all.extend(self.environments.values().cloned().map(Manifest::Environment));
        all.extend(self.targets.values().cloned().map(Manifest::Target));
        all.extend(self.limits.values().cloned().map(Manifest::Limits));
        all.extend(self.freezes.values().cloned().map(Box::new).map(Manifest::Freeze));
        all.extend(self.lifecycles.values().cloned().map(Manifest::Lifecycle));
        all.extend(self.teams.values().cloned().map(Manifest::Team));
        all.extend(self.variable_sets.values().cloned().map(Manifest::VariableSet));
        all.extend(self.projects.values().cloned().map(Box::new).map(Manifest::Project));
        all.extend(self.webhooks.values().cloned().map(Manifest::Webhook));
        all
    }

    /// The targets of an environment, by name.
    pub fn targets_of<'a>(&'a self, environment: &'a EnvironmentName) -> impl Iterator<Item = &'a Target> {
        self.targets.values().filter(move |target| target.environments.contains(environment))
    }
}
