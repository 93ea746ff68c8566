//! What a container can be told, from the manifest's words to the real container.

mod health;
mod limits;
mod networks;
mod process;
mod restart;
mod storage;

use anyhow::Result;
use serde_json::Value;
use slipway_domain::{
    image::ImageRef,
    manifest::{Action, DockerRun, Manifest, parse::parse},
    order::{RunContainer, RunJob, Work},
};
use slipway_integration_tests::machine;
use uuid::Uuid;

use crate::stage::{Ask, Stage};

/// Runs until it is asked to end.
const STAY: &str = "trap 'exit 0' TERM; while :; do /bin/busybox sleep 60 & wait; done";

/// The options as somebody writes them.
fn written(options: &str) -> DockerRun {
    let text = format!(
        "kind: Project\nname: shop\nlifecycle: standard\npackages: {{web: {{feed: local, image: shop/web}}}}\nsteps:\n\
         - name: web\n  docker-run:\n    package: web\n{}",
        options.lines().map(|line| format!("    {line}\n")).collect::<String>()
    );
    match parse(None, &text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}")).remove(0) {
        Manifest::Project(mut project) => match project.steps.remove(0).action {
            Action::DockerRun(run) => *run,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// The order that comes of them.
fn work(image: ImageRef, options: &str) -> RunContainer {
    let run = written(options);
    RunContainer {
        image,
        credentials: None,
        name: "shop-web".into(),
        env: run.container.env.clone(),
        ports: Vec::new(),
        command: run.container.command.clone(),
        files: [].into(),
        secrets: run.secrets,
        health: run.health,
        restart: run.restart,
        switch: run.switch,
        create_only: run.create_only,
        options: Box::new(run.container.options(&|text| Ok(text.to_owned())).expect("options without mistakes")),
        keep_predecessor: false,
    }
}

/// The same as a job.
fn job(image: ImageRef, script: &str, options: &str) -> Work {
    let RunContainer { image, env, files, options, .. } = work(image, options);
    let command = Some(["/bin/sh", "-c", script].map(str::to_owned).into());
    Work::DockerJob(RunJob { image, credentials: None, command, env, files, options })
}

impl Stage {
    /// A step that brings up a container that stays, with these options.
    async fn with(&self, options: &str) -> Result<Ask> {
        let image = self.script("web", STAY).await?;
        Ok(self.ask("web", Work::DockerRun(work(image, options))))
    }

    /// The same, done; gives what the engine says about the container too.
    async fn run_with(&self, options: &str) -> Result<(Ask, Value)> {
        let ask = self.with(options).await?;
        self.succeed(&ask).await?;
        let seen = inspect(&ask.name("shop-web")).await?;
        Ok((ask, seen))
    }
}

async fn inspect(name: &str) -> Result<Value> {
    let text = machine::run("docker", &["inspect", name]).await?;
    Ok(serde_json::from_str::<Value>(&text)?[0].take())
}

/// What a shell inside of the step's container says.
async fn inside(ask: &Ask, script: &str) -> Result<String> {
    let name = ask.name("shop-web");
    Ok(machine::run("docker", &["exec", &name, "/bin/sh", "-c", script]).await?.trim().to_owned())
}

/// A name on the engine that a test has for itself: of a network or a volume, which both go when it ends. Made before
/// the stage, so that it goes after the stage's containers.
struct Own(String);

impl Own {
    fn name() -> Self {
        Self(format!("test-{}", &Uuid::new_v4().simple().to_string()[..8]))
    }

    async fn network(arguments: &[&str]) -> Result<Self> {
        let own = Self::name();
        let mut create = vec!["network", "create"];
        create.extend(arguments);
        create.push(&own.0);
        machine::run("docker", &create).await?;
        Ok(own)
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let clean = format!("docker network rm {0}; docker volume rm {0}", self.0);
        let docker = slipway_integration_tests::settings::docker();
        let _ = std::process::Command::new("sh").arg("-c").arg(clean).env("DOCKER_HOST", docker).output();
    }
}
