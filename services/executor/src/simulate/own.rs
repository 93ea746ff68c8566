//! The simulated container that a task may have: made under a name that exists once, started by its
//! maker only, removed by whoever holds the task later. The order of effects is that of the real steps.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use slipway_service::failpoint;

use super::{
    Scene,
    journal::{Container, Life},
};
use crate::task::{Stop, failed};

/// How often a name that is taken is tried again.
const CREATE_TRIES: u32 = 5;

impl Scene<'_> {
    /// Where the containers of this task follow one another, over all deployments.
    fn place(&self) -> String {
        let (order, task) = (self.task.order(), self.task.held.task());
        format!("{}/{}/{}/{}", order.project, order.environment, task.step, task.target)
    }

    /// The container that this task or an earlier attempt of it has.
    pub(super) async fn look(&self) -> Result<Option<Container>, Stop> {
        let by = self.by();
        Ok(self.journal.act(move |ledger| Ok(ledger.of(&by))).await?)
    }

    /// Creates and starts a container; how long it takes and its exit code are the attempt's part.
    pub(super) async fn bring_up(&self) -> Result<Container, Stop> {
        let id = self.create().await?;
        self.task.effect("start the container").await?;
        let by = self.by();
        let part = self.script.part(by.deployment, &by.task, by.attempt);
        failpoint!("executor.start.before");
        let started = self.journal.act(move |ledger| ledger.start(&by, &id, part)).await?;
        failpoint!("executor.start.after");
        started.ok_or_else(|| failed("the new container was removed by somebody else"))
    }

    async fn create(&self) -> Result<String, Stop> {
        for _ in 0..CREATE_TRIES {
            self.task.effect("create the container").await?;
            let (by, place) = (self.by(), self.place());
            failpoint!("executor.create.before");
            let created = self.journal.act(move |ledger| ledger.create(&by, &place)).await?;
            failpoint!("executor.create.after");
            match created {
                Ok(id) => return Ok(id),
                Err(other) if other.epoch < self.task.held.epoch() => self.remove(&other).await?,
                Err(_) => break,
            }
        }
        Err(failed("the container's name is taken by a later attempt of this task"))
    }

    /// Ends and removes a container, also after a cancel.
    pub(super) async fn remove(&self, container: &Container) -> Result<(), Stop> {
        self.task.effect_regardless("remove the container").await?;
        let (by, id) = (self.by(), container.id.clone());
        failpoint!("executor.remove.before");
        self.journal.act(move |ledger| ledger.remove(&by, &id)).await?;
        failpoint!("executor.remove.after");
        Ok(())
    }

    /// Removes the containers that other deployments left in this place, or stops the one that served, to keep it.
    pub(super) async fn retire_predecessors(&self, keep: bool) -> Result<(), Stop> {
        let others = self.others().await?;
        // An earlier attempt may have stopped the one that served before it was lost.
        let serving = others.iter().rev().find(|other| !other.parked).or(others.last()).map(|other| other.id.clone());
        for other in others {
            if keep && serving.as_ref() == Some(&other.id) {
                self.park(&other, true).await?;
            } else {
                self.remove(&other).await?;
            }
        }
        Ok(())
    }

    /// Starts the container again that served in this place before, if there was one.
    pub(super) async fn bring_back(&self) -> Result<(), Stop> {
        match self.others().await?.last() {
            Some(other) => self.park(other, false).await,
            None => Ok(()),
        }
    }

    /// The containers of other deployments in this place, the oldest first.
    async fn others(&self) -> Result<Vec<Container>, Stop> {
        let (by, place) = (self.by(), self.place());
        Ok(self.journal.act(move |ledger| Ok(ledger.others(&by, &place))).await?)
    }

    async fn park(&self, container: &Container, parked: bool) -> Result<(), Stop> {
        if container.parked == parked {
            return Ok(());
        }
        let what = if parked { "stop the old container" } else { "start the old container again" };
        self.task.effect_regardless(what).await?;
        let (by, id) = (self.by(), container.id.clone());
        self.journal.act(move |ledger| ledger.park(&by, &id, parked)).await?;
        Ok(())
    }

    /// Waits until a started container has run for as long as it shall; its exit code.
    pub(super) async fn until_over(&self, container: &Container) -> Result<i32, Stop> {
        let Life::Started { at, millis, code } = container.life else {
            return Err(failed("the container was never started"));
        };
        let end = at + TimeDelta::milliseconds(millis);
        let left = (end - Utc::now()).to_std().unwrap_or(Duration::ZERO);
        self.task.interruptible(tokio::time::sleep(left)).await?;
        Ok(code)
    }
}
