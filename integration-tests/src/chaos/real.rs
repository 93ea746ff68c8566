//! Real effects under fire: containers of the Docker engine and migrations of a Postgres, and an account of them that
//! comes from the engine's events and the database's rows alone.
//!
//! The account has the form of the journal that simulating executors write, so the same judge reads it. The engine
//! tells who made a container, by its labels, and not who stopped or removed it.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use anyhow::{Context, Result};
use bollard::{Docker, models::EventMessage, query_parameters::EventsOptionsBuilder};
use chrono::{DateTime, Utc};
use futures::StreamExt;
use slipway_domain::{
    id::TaskKey,
    name::{StepName, TargetName},
};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::{
    containers,
    history::{Effect, Journal, Line, What},
    postgres::Postgres,
    settings,
};

const PROJECT: &str = "slipway.project";

/// When each migration was applied, in microseconds.
const HISTORY: &str = "SELECT project, name, (extract(epoch from applied_at) * 1000000)::bigint, deployment
    FROM slipway_migrations";

/// One in sixteen fails, by the engine's own dice: the container's id.
const DICE: &str = "read h </etc/hostname; case $h in 0*) echo bad luck; exit 3;; esac";

/// A database, and everything that the engine tells of a stack's containers.
pub struct Real {
    postgres: Postgres,
    database: String,
    docker: Docker,
    /// What every project's name ends with.
    stack: String,
    told: Arc<Mutex<Vec<EventMessage>>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Real {
    /// A database with an empty account, in `folder`; and listens to the engine from now on.
    pub async fn start(folder: &Path, stack: &str) -> Result<Self> {
        let docker = containers::engine()?;
        let since = Utc::now().timestamp().to_string();
        let filters = std::collections::HashMap::from([("type", vec!["container"])]);
        let options = EventsOptionsBuilder::default().since(&since).filters(&filters).build();
        let told: Arc<Mutex<Vec<EventMessage>>> = Arc::default();
        let (mut events, heard, suffix) = (docker.events(Some(options)).boxed(), told.clone(), stack.to_owned());
        let listening = tokio::spawn(async move {
            while let Some(Ok(event)) = events.next().await {
                if label(&event, PROJECT).is_some_and(|project| project.ends_with(&suffix)) {
                    heard.lock().unwrap_or_else(PoisonError::into_inner).push(event);
                }
            }
        });
        let postgres = Postgres::start(folder).await?;
        let database = postgres.create("chaos").await?;
        let mut connection = PgConnection::connect(&database).await?;
        sqlx::raw_sql("CREATE TABLE account (project text, file text)").execute(&mut connection).await?;
        Ok(Self { postgres, database, docker, stack: stack.to_owned(), told, listening })
    }

    /// The database that projects migrate.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// A migration that makes a table and writes itself into the account.
    pub fn migration(project: &str, n: usize) -> String {
        let table = format!("{}_{n}", project.replace('-', "_"));
        format!("create table {table} (x int); insert into account values (''{project}'', ''{n:03}.sql'')")
    }

    /// What a job does.
    pub fn job() -> String {
        format!("{DICE}; sleep 0.3; echo worked")
    }

    /// What a service does.
    pub fn service() -> String {
        format!("{DICE}; trap 'exit 0' TERM; echo serving; while :; do sleep 3600 & wait; done")
    }

    /// Everything that was done, once the engine has told of all that it has.
    pub async fn journal(&self) -> Result<Journal> {
        crate::wait::until("the engine's events tell of what it has", || async {
            let told = self.standing();
            let there = self.there().await.map_err(|error| error.to_string())?;
            if told == there { Ok(()) } else { Err(format!("told {told:#?}\nthere {there:#?}")) }
        })
        .await;
        let events = self.told.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut lines = engine_lines(&events)?;
        lines.extend(self.database_lines().await?);
        lines.sort_by_key(|line| line.at);
        Ok(Journal { lines, torn: 0 })
    }

    /// The containers that the events leave over, and whether they run.
    fn standing(&self) -> BTreeMap<String, bool> {
        let mut standing = BTreeMap::new();
        for event in self.told.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let id = id(event).to_owned();
            match event.action.as_deref() {
                Some("create" | "die") => drop(standing.insert(id, false)),
                Some("start") => drop(standing.insert(id, true)),
                Some("destroy") => drop(standing.remove(&id)),
                _ => {}
            }
        }
        standing
    }

    /// The same as the engine lists them.
    async fn there(&self) -> Result<BTreeMap<String, bool>> {
        let all = containers::labelled(&self.docker, &[PROJECT.to_owned()]).await?;
        let ours = all.into_iter().filter(|one| containers::label(one, PROJECT).ends_with(&self.stack));
        Ok(ours.map(|one| (one.id.clone().unwrap_or_default(), containers::state(&one) == "running")).collect())
    }

    /// One line for each row that a migration has left, so that one that ran twice is there twice.
    async fn database_lines(&self) -> Result<Vec<Line>> {
        let mut connection = PgConnection::connect(&self.database).await?;
        let rows: Vec<(String, String)> =
            sqlx::query_as("SELECT project, file FROM account").fetch_all(&mut connection).await?;
        let history: Vec<(String, String, i64, String)> = sqlx::query_as(HISTORY).fetch_all(&mut connection).await?;
        let mut left: BTreeSet<(String, String)> =
            history.iter().map(|(project, name, ..)| (project.clone(), name.clone())).collect();
        let mut lines = Vec::new();
        for (project, file) in rows {
            let known = history.iter().find(|(its, name, ..)| (its, name) == (&project, &file));
            let (.., at, deployment) = known.with_context(|| format!("{file} of {project} is not in the history"))?;
            left.remove(&(project.clone(), file.clone()));
            lines.push(Line {
                at: DateTime::from_timestamp_micros(*at).context("a time")?,
                boot: Uuid::nil(),
                deployment: deployment.parse()?,
                task: task("migrate", TargetName::worker().as_str())?,
                attempt: 0,
                epoch: 0,
                what: What::Seen(Effect::Apply { database: format!("{project}/test"), file }),
            });
        }
        anyhow::ensure!(left.is_empty(), "the history has what was not done: {left:?}");
        Ok(lines)
    }

    /// What Postgres said, for a test that fails.
    pub fn tail(&self) -> String {
        self.postgres.tail()
    }
}

/// The events of the engine as lines: who made and first started a container is in its labels.
fn engine_lines(events: &[EventMessage]) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut started = BTreeSet::new();
    for (n, event) in events.iter().enumerate() {
        let container = id(event).to_owned();
        let of = |name: &str| label(event, name).unwrap_or_default();
        let what = match event.action.as_deref() {
            Some("create") => {
                let place = ["slipway.project", "slipway.environment", "slipway.step", "slipway.target"].map(of);
                What::Effect(Effect::Create { container, place: place.join("/") })
            }
            Some("start") if started.insert(container.clone()) || of("slipway.kind") == "job" => {
                let code = how_it_ends(&events[n..], of("slipway.kind"));
                What::Effect(Effect::Run { container, code })
            }
            Some("start") => What::Seen(Effect::Park { container, parked: false }),
            Some("stop") => What::Seen(Effect::Park { container, parked: true }),
            Some("destroy") => What::Seen(Effect::Remove { container }),
            _ => continue,
        };
        let nanos = event.time_nano.context("an event has a time")?;
        lines.push(Line {
            at: DateTime::from_timestamp_nanos(nanos),
            boot: Uuid::nil(),
            deployment: of("slipway.deployment").parse()?,
            task: task(of("slipway.step"), of("slipway.target"))?,
            attempt: of("slipway.attempt").parse()?,
            epoch: of("slipway.epoch").parse()?,
            what,
        });
    }
    Ok(lines)
}

/// With which code the container of the first event ends. A service that was ended by others had been good.
fn how_it_ends(events: &[EventMessage], kind: &str) -> i32 {
    let own = events.iter().filter(|event| id(event) == id(&events[0]));
    for event in own {
        match event.action.as_deref() {
            Some("kill") if kind == "run" => return 0,
            Some("die") => return label(event, "exitCode").and_then(|code| code.parse().ok()).unwrap_or(-1),
            _ => {}
        }
    }
    0
}

fn task(step: &str, target: &str) -> Result<TaskKey> {
    Ok(TaskKey::new(StepName::new(step)?, TargetName::new(target)?))
}

fn id(event: &EventMessage) -> &str {
    event.actor.as_ref().and_then(|actor| actor.id.as_deref()).unwrap_or_default()
}

fn label<'a>(event: &'a EventMessage, name: &str) -> Option<&'a str> {
    event.actor.as_ref()?.attributes.as_ref()?.get(name).map(String::as_str)
}

impl Drop for Real {
    fn drop(&mut self) {
        self.listening.abort();
        let clean = format!(
            "docker ps -a --filter label={PROJECT} --format '{{{{.ID}}}} {{{{.Label \"{PROJECT}\"}}}}' | grep -e '-{0}$' \
             | cut -d' ' -f1 | xargs -r docker rm -f -v >/dev/null 2>&1
             docker images -q --digests '*/shop-{0}/app' | sort -u | xargs -r docker rmi -f >/dev/null 2>&1",
            self.stack
        );
        let docker = settings::docker();
        let _ = std::process::Command::new("sh").arg("-c").arg(clean).env("DOCKER_HOST", docker).status();
    }
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::*;

    fn event(action: &str, kind: &str, container: &str, more: &[(&str, &str)]) -> EventMessage {
        let labels = [
            ("slipway.project", "shop"),
            ("slipway.environment", "test"),
            ("slipway.step", "web"),
            ("slipway.target", "web-01"),
            ("slipway.deployment", "00000000-0000-0000-0000-000000000001"),
            ("slipway.attempt", "1"),
            ("slipway.epoch", "7"),
            ("slipway.kind", kind),
        ];
        let attributes = labels.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let actor = EventActor { id: Some(container.to_owned()), attributes: Some(attributes.collect()) };
        EventMessage {
            action: Some(action.to_owned()),
            actor: Some(actor),
            time_nano: Some(1),
            ..EventMessage::default()
        }
    }

    fn check(events: &[EventMessage], expected: &[What]) {
        let lines = engine_lines(events).expect("lines");
        assert_eq!(lines.iter().map(|line| line.what.clone()).collect::<Vec<_>>(), expected);
        assert!(lines.iter().all(|line| (line.attempt, line.epoch) == (1, 7)));
    }

    fn created() -> What {
        What::Effect(Effect::Create { container: "a".into(), place: "shop/test/web/web-01".into() })
    }

    fn ran(code: i32) -> What {
        What::Effect(Effect::Run { container: "a".into(), code })
    }

    #[test]
    fn a_jobs_exit_code_is_its_own_and_each_start_of_it_counts() {
        let job = |action: &str, more: &[(&str, &str)]| event(action, "job", "a", more);
        let (create, start, die) = (job("create", &[]), job("start", &[]), job("die", &[("exitCode", "3")]));
        check(&[create.clone(), start.clone(), die.clone()], &[created(), ran(3)]);
        // A cancel is no success of the job.
        check(&[create.clone(), start.clone(), job("kill", &[]), die.clone()], &[created(), ran(3)]);
        check(&[create, start.clone(), die.clone(), start, die], &[created(), ran(3), ran(3)]);
    }

    #[test]
    fn a_service_is_good_unless_it_ended_by_itself_and_comes_back_when_it_is_started_again() {
        let service = |action: &str, more: &[(&str, &str)]| event(action, "run", "a", more);
        let (create, start) = (service("create", &[]), service("start", &[]));
        let (kill, stop) = (service("kill", &[]), service("stop", &[]));
        let (die, destroy) = (service("die", &[("exitCode", "143")]), service("destroy", &[]));
        let park = |parked| What::Seen(Effect::Park { container: "a".into(), parked });
        let other = event("die", "run", "b", &[("exitCode", "1")]);
        check(
            &[create.clone(), start.clone(), other, kill, die.clone(), stop, start.clone(), destroy.clone()],
            &[created(), ran(0), park(true), park(false), What::Seen(Effect::Remove { container: "a".into() })],
        );
        check(&[create, start, die], &[created(), ran(143)]);
    }
}
