//! `--simulate`: an executor that claims, checkpoints, fetches secrets and ends like any other, but
//! touches no Docker engine and no database. For rehearsals, load tests and chaos tests.
//!
//! What a step would do is a line in a [`journal::Journal`], which stands in for the Docker engines
//! and databases: it refuses a name that is taken, knows what runs, and outlives the process. How
//! long steps take and which of them fail comes from a [`script::Script`].

mod docker_job;
mod docker_run;
mod http;
mod journal;
mod own;
mod script;
pub mod settings;
mod sql;

use std::sync::Arc;

use serde_json::json;
use slipway_domain::order::{Doorbell, MakeNetwork, Outputs, PullImages, Work};
use slipway_worker::{End, Held, Perform};

use self::{
    journal::{By, Entry, Journal},
    script::Script,
};
use crate::{
    steps::{self, Steps},
    task::{Stop, Task, failed, wrong_order},
};

/// Performs the tasks of an executor.
pub enum Performer {
    /// By doing them.
    Real(Steps),
    /// By pretending to.
    Simulated(Simulator),
}

impl Perform for Performer {
    async fn perform(&self, held: Arc<Held>, doorbell: &Doorbell) -> End {
        match self {
            Self::Real(steps) => steps.perform(held, doorbell).await,
            Self::Simulated(simulator) => simulator.perform(held, doorbell).await,
        }
    }
}

/// Performs tasks without doing them.
pub struct Simulator {
    /// What a task is seen through; its engines are never asked.
    steps: Steps,
    script: Script,
    journal: Arc<Journal>,
}

/// One simulated attempt.
struct Scene<'a> {
    task: &'a Task<'a>,
    script: Script,
    journal: &'a Arc<Journal>,
}

impl Perform for Simulator {
    async fn perform(&self, held: Arc<Held>, doorbell: &Doorbell) -> End {
        let task = self.steps.task(&held, doorbell);
        let scene = Scene { task: &task, script: self.script, journal: &self.journal };
        let result = scene.perform().await;
        task.end(result)
    }
}

impl Scene<'_> {
    async fn perform(&self) -> Result<Outputs, Stop> {
        let doorbell = self.task.doorbell;
        let kind = match &doorbell.order.work {
            // Nothing to simulate, and load tests want it to be instant.
            Work::Wait { span } => return steps::wait::perform(self.task, span.0).await,
            Work::Demo { message } => return steps::demo::perform(self.task, message.as_deref()).await,
            Work::DockerRun(_) => "docker-run",
            Work::DockerJob(_) => "docker-job",
            Work::Script(_) => "script",
            Work::DockerPull(_) => "docker-pull",
            Work::DockerNetwork(_) => "docker-network",
            Work::Sql(_) => "sql",
            Work::Http(_) => "http",
            Work::Slack(_) | Work::Announce(_) => {
                return Err(wrong_order(
                    "an executor does not post messages; this task belongs to the notifier, so the plan is wrong",
                ));
            }
        };
        let start = Entry::Start { kind: kind.to_owned(), adopt: doorbell.adopt, stop: doorbell.stop };
        self.note(start).await?;
        self.task.held.say(format!("simulated {kind}: nothing outside is touched"));
        let result = match &doorbell.order.work {
            Work::DockerRun(work) => docker_run::perform(self, work).await,
            Work::DockerJob(work) => docker_job::perform(self, work).await,
            Work::Script(work) => docker_job::perform_script(self, work).await,
            Work::DockerPull(work) => self.pull(work).await,
            Work::DockerNetwork(work) => self.network(work).await,
            Work::Sql(work) => sql::perform(self, work).await,
            Work::Http(work) => http::perform(self, work).await,
            Work::Wait { .. } | Work::Demo { .. } | Work::Slack(_) | Work::Announce(_) => Ok(Outputs::new()),
        };
        let end = match &result {
            Ok(_) => "succeeded",
            Err(Stop::Cancelled) => "cancelled",
            Err(Stop::Failed(_) | Stop::Away { .. }) => "failed",
            Err(Stop::Unknown(_)) => "unknown",
            Err(Stop::Fenced) => return result,
        };
        self.note(Entry::End { end: end.to_owned() }).await?;
        result
    }

    /// A step that comes to nothing but time, and fails when its turn to fail has come.
    async fn pass(&self, failure: &str) -> Result<(), Stop> {
        let by = self.by();
        let part = self.script.part(by.deployment, &by.task, by.attempt);
        self.task.interruptible(tokio::time::sleep(part.lasts)).await?;
        if part.fails { Err(failed(format!("simulated failure: {failure}"))) } else { Ok(()) }
    }

    /// A network that was there already.
    async fn network(&self, work: &MakeNetwork) -> Result<Outputs, Stop> {
        self.pass("the network is there already and is another").await?;
        Ok(Outputs::from([
            ("network_id".to_owned(), json!(work.name)),
            ("name".to_owned(), json!(work.name)),
            ("created".to_owned(), json!(false)),
            ("subnet".to_owned(), json!(work.subnet)),
            ("gateway".to_owned(), json!(work.gateway)),
        ]))
    }

    /// Images that are there.
    async fn pull(&self, work: &PullImages) -> Result<Outputs, Stop> {
        self.pass("the registry does not answer").await?;
        let names: Vec<_> = work.images.keys().collect();
        Ok(Outputs::from([("pulled".to_owned(), json!(names)), ("already".to_owned(), json!([]))]))
    }

    /// Who writes in this attempt.
    fn by(&self) -> By {
        let held = self.task.held;
        By { deployment: held.deployment(), task: held.task().clone(), attempt: held.attempt(), epoch: held.epoch() }
    }

    /// A line that changes nothing.
    async fn note(&self, entry: Entry) -> Result<(), Stop> {
        let by = self.by();
        self.journal.act(move |ledger| ledger.write(&by, entry)).await?;
        Ok(())
    }

    /// Fills every text that a real step would fill, so that a missing secret fails here too.
    fn fill<'t>(&self, texts: impl IntoIterator<Item = &'t String>) -> Result<(), Stop> {
        texts.into_iter().try_for_each(|text| self.task.held.fill(text).map(drop)).map_err(Stop::from)
    }
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Self {
        failed(format!("the journal of simulated effects can not be used: {error}; see --simulate-journal"))
    }
}
