//! Deployments under fire: processes are killed, frozen and started again at random while many
//! deployments are requested, approved, rejected and cancelled, until all of them are over.
//!
//! Executors simulate, so nothing but Slipway itself is slow, or they work on a real Docker engine and a real database,
//! and these are asked afterwards what was done ([`real`]). What is drawn comes from a seed; what
//! comes of it also depends on the machine, so a seed brings back the kind of trouble, not each event.

mod faults;
pub mod real;
pub mod story;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use tempfile::TempDir;

use self::{faults::Faults, real::Real, story::Story};
use crate::{
    history::{self, Figures, Journal, Violation},
    slack::LocalSlack,
    stack::{Stack, Wanted},
};

/// The file of the journal, in the story's folder.
const JOURNAL: &str = "journal";
const DEPLOYMENTS: &str = "SLIPWAY_CHAOS_DEPLOYMENTS";

/// What to do.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// What is drawn from.
    pub seed: u64,
    /// Deployments in all.
    pub deployments: usize,
    /// Over so many projects, which do not wait for one another.
    pub projects: usize,
    /// How long processes are hurt at most; earlier if all deployments are over.
    pub faults_for: Duration,
    /// Whether containers and migrations are real.
    pub real: bool,
    /// Whether executors are also frozen for longer than their lease.
    pub zombies: bool,
    /// How long it may take after the last fault until all is over.
    pub patience: Duration,
}

impl Plan {
    /// As the environment says: `SLIPWAY_CHAOS_SEED`, `SLIPWAY_CHAOS_DEPLOYMENTS`. More deployments than usual make it a
    /// long run, with zombies.
    pub fn from_environment() -> Self {
        let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let seed = number("SLIPWAY_CHAOS_SEED").unwrap_or_else(|| u64::from(uuid::Uuid::new_v4().as_fields().0));
        let deployments = number(DEPLOYMENTS).map_or(12, |n| n.max(1) as usize);
        let long = deployments > 20;
        Self {
            seed,
            deployments,
            projects: if long { 8 } else { 4 },
            faults_for: Duration::from_secs(if long { 3600 } else { 20 }),
            real: false,
            zombies: long,
            patience: Duration::from_secs(if long { 300 } else { 90 }),
        }
    }

    /// The same with real containers and migrations, of which there are fewer where nobody says how many.
    pub fn real_from_environment() -> Self {
        let plan = Self::from_environment();
        let told = std::env::var_os(DEPLOYMENTS).is_some();
        Self { real: true, deployments: if told { plan.deployments } else { 6 }, ..plan }
    }

    /// Without any trouble.
    pub fn quiet() -> Self {
        Self {
            seed: 1,
            deployments: 1,
            projects: 1,
            faults_for: Duration::ZERO,
            real: false,
            zombies: false,
            patience: Duration::from_secs(90),
        }
    }
}

/// What simulated steps are like.
#[derive(Debug, Clone, Copy)]
pub struct Simulate {
    /// How long they take, as `MIN..MAX`.
    pub duration: &'static str,
    /// How many of a hundred attempts fail.
    pub failures: u8,
    /// What is drawn from.
    pub seed: u64,
}

impl Simulate {
    /// What makes executors simulate so, with a journal that they share.
    pub fn variables(&self, journal: &Path) -> Vec<(String, String)> {
        [
            ("SLIPWAY_SIMULATE", "true".to_owned()),
            ("SLIPWAY_SIMULATE_DURATION", self.duration.to_owned()),
            ("SLIPWAY_SIMULATE_FAILURES", self.failures.to_string()),
            ("SLIPWAY_SIMULATE_SEED", self.seed.to_string()),
            ("SLIPWAY_SIMULATE_JOURNAL", journal.display().to_string()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// Promises that were broken.
    pub violations: Vec<Violation>,
    /// What log and journal have of the deployments that broke them.
    pub traces: Vec<String>,
    /// What the history has.
    pub figures: Figures,
    /// Faults by kind and process.
    pub faults: BTreeMap<String, usize>,
    /// Deployments by outcome.
    pub outcomes: BTreeMap<String, usize>,
    /// Deployments of which the API tells something else than the log.
    pub misprojected: Vec<String>,
    /// Processes and files that told a secret.
    pub told_secrets: Vec<String>,
    /// Processes that ended by themselves, with their last words.
    pub deaths: Vec<String>,
    /// Until the last fault, and until the last deployment was over.
    pub seconds: (f64, f64),
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Figures { deployments, entries, claims, lost, failed, effects, late } = self.figures;
        writeln!(f, "{deployments} deployments in {:.1} s, faults for {:.1} s", self.seconds.1, self.seconds.0)?;
        writeln!(f, "outcomes: {:?}", self.outcomes)?;
        writeln!(f, "faults: {:?}", self.faults)?;
        writeln!(f, "log: {entries} entries, {claims} claims, {lost} leases lost, {failed} attempts failed")?;
        write!(f, "effects: {effects}, of them completed by a fenced holder: {late}")
    }
}

/// The whole story on a stack of its own. Errs when a deployment is never over; broken promises are in the report.
pub async fn run(plan: Plan) -> Result<Report> {
    let mut scene = Scene::start(plan).await?;
    let mut faults = Faults::new(plan);
    let seconds = scene.play(&mut faults).await?;
    scene.report(faults, seconds).await
}

/// Everything that takes part.
struct Scene {
    plan: Plan,
    story: Story,
    real: Option<Real>,
    stack: Stack,
    folder: TempDir,
    _slack: LocalSlack,
}

impl Scene {
    async fn start(plan: Plan) -> Result<Self> {
        let slack = LocalSlack::start().await?;
        let folder = tempfile::tempdir()?;
        let journal = folder.path().join(JOURNAL);
        std::fs::write(&journal, "")?;
        let simulate = Simulate { duration: "50ms..800ms", failures: 8, seed: plan.seed };
        let mut wanted = wanted(simulate, &slack, folder.path(), &journal)?;
        if plan.real {
            wanted.variables.clear();
        }
        let mut stack = Stack::start_with(wanted).await?;
        let real = match plan.real {
            true => Some(Real::start(folder.path(), &stack.id).await?),
            false => None,
        };
        let story = Story::prepare(&mut stack, plan, real.as_ref()).await?;
        Ok(Self { plan, story, real, stack, folder, _slack: slack })
    }

    /// Seconds until the last fault, and until the last deployment was over.
    async fn play(&mut self, faults: &mut Faults) -> Result<(f64, f64)> {
        let began = Instant::now();
        let people = self.story.people();
        tokio::pin!(people);
        let over = tokio::select! {
            result = faults.rage(&mut self.stack) => {
                result?;
                false
            }
            over = &mut people => {
                over?;
                true
            }
        };
        let raged = began.elapsed();
        faults.end(&mut self.stack).await?;
        if !over {
            match tokio::time::timeout(self.plan.patience, people).await {
                Ok(over) => over?,
                Err(_) => bail!(
                    "not over {} s after the last fault: {:#?}\n{}\n{}",
                    self.plan.patience.as_secs(),
                    self.story.open().await,
                    self.stack.tails(),
                    self.real.as_ref().map(Real::tail).unwrap_or_default()
                ),
            }
        }
        Ok((raged.as_secs_f64(), began.elapsed().as_secs_f64()))
    }

    async fn report(&self, faults: Faults, seconds: (f64, f64)) -> Result<Report> {
        let outcomes = self.story.outcomes().await?;
        let file = self.folder.path().join(JOURNAL);
        let outputs = self.stack.outputs().into_iter().chain([("journal".to_owned(), std::fs::read_to_string(&file)?)]);
        let told_secrets = outputs.filter(|(_, text)| text.contains(story::CANARY)).map(|(name, _)| name).collect();
        let journal = match &self.real {
            Some(real) => real.journal().await?,
            None => Journal::read(&file)?,
        };
        let history = history::read(&self.stack).await?;
        let violations = history::check(&history, &journal);
        let broken: BTreeSet<_> = violations.iter().map(|violation| violation.deployment).collect();
        Ok(Report {
            traces: broken.into_iter().map(|id| history::told(&history, &journal, id)).collect(),
            misprojected: self.story.misprojected(&history).await?,
            told_secrets,
            violations,
            figures: history::figures(&history, &journal),
            faults: faults.done,
            deaths: faults.deaths,
            outcomes,
            seconds,
        })
    }
}

/// Two planners, and two executors that serve the same targets and share a journal.
pub fn wanted(simulate: Simulate, slack: &LocalSlack, folder: &Path, journal: &Path) -> Result<Wanted> {
    let (token, secret) = (folder.join("token"), folder.join("secret"));
    std::fs::write(&token, slack.token())?;
    std::fs::write(&secret, slack.signing_secret())?;
    let notifier = [
        ("SLIPWAY_SLACK_API_URL", slack.api_url()),
        ("SLIPWAY_SLACK_TOKEN_FILE", token.display().to_string()),
        ("SLIPWAY_SLACK_SIGNING_SECRET_FILE", secret.display().to_string()),
    ];
    let owned = |(name, value): (&str, String)| (name.to_owned(), value);
    Ok(Wanted {
        executors: 2,
        planners: 2,
        variables: simulate.variables(journal),
        notifier: notifier.map(owned).into(),
        ..Wanted::default()
    })
}
