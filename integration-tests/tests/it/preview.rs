//! `slipway plan` names the tasks that a deployment then does, over projects drawn at random.

use std::{collections::BTreeSet, fmt::Write as _};

use anyhow::{Result, ensure};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use slipway_domain::{
    api::{Accepted, DeploymentSummary, DeploymentView, Preview, PreviewedStep, Status, TaskChange, TaskStatus},
    manifest::ResultCondition,
};
use slipway_integration_tests::{chaos::Simulate, rehearsal::Rehearsal, stack::Wanted, wait};

const QUICK: Simulate = Simulate { duration: "1ms..3ms", failures: 0, seed: 1 };
const PROJECTS: u64 = 12;

/// A project, and a step to be skipped, if any.
struct Drawn {
    name: String,
    manifest: String,
    skip: Vec<String>,
}

fn draw(rehearsal: &Rehearsal, seed: u64) -> Drawn {
    let mut random = StdRng::seed_from_u64(seed);
    let name = rehearsal.stack.name(&format!("drawn-{seed}"));
    let mut manifest = format!(
        "kind: Project\nname: {name}\nlifecycle: short\npackages:\n  app: {{feed: local, image: shop/app}}\n\
         variables:\n  - {{name: Level, value: low}}\n  - {{name: Level, value: high, scope: {{environment: test}}}}\nsteps:\n"
    );
    let (mut skip, steps) = (Vec::new(), random.random_range(2..7));
    for n in 0..steps {
        let needs: Vec<String> = (0..n).filter(|_| random.random_bool(0.4)).map(|n| format!("step-{n}")).collect();
        let result = ["success", "success", "always", "failure"][random.random_range(0..4)];
        let place = ["", "", "", ", environments: [elsewhere]", ", if: \"#{Level == 'low'}\"", ", if: \"#{Level}\""];
        let place = place[random.random_range(0..place.len())];
        let parts = format!(
            "[{{name: part-{n}a, docker-job: {{package: app}}}}, {{name: part-{n}b, when: {{if: \"#{{Level}}\"}}, wait: 0s}}, \
             {{name: part-{n}c, when: {{result: failure}}, wait: 0s}}]"
        );
        let work = [
            "wait: 0s",
            "docker-job: {package: app, env: {LEVEL: '#{Level}', PROJECT: '#{Project}'}}",
            "targets: {role: web}, rolling: {window: 2}, docker-run: {package: app, env: {LEVEL: '#{Level}'}}",
            &format!("targets: {{role: web}}, rolling: {{window: 1}}, steps: {parts}"),
        ][random.random_range(0..4)]
        .to_owned();
        let needs = needs.join(", ");
        let _ =
            writeln!(manifest, "  - {{name: step-{n}, needs: [{needs}], when: {{result: {result}{place}}}, {work}}}");
        if random.random_bool(0.1) {
            skip.push(format!("step-{n}"));
        }
    }
    Drawn { name, manifest, skip }
}

impl Drawn {
    fn body(&self, version: &str) -> serde_json::Value {
        serde_json::json!({ "project": self.name, "version": version, "environment": "test", "skip": self.skip })
    }

    async fn release(&self, rehearsal: &Rehearsal, version: &str) -> Result<()> {
        let body = serde_json::json!({ "version": version, "packages": { "app": version } });
        let path = format!("/api/v1/projects/{}/releases", self.name);
        rehearsal.stack.admin.post::<serde_json::Value>(&path, &body).await.map(drop)
    }

    async fn preview(&self, rehearsal: &Rehearsal, version: &str) -> Result<Preview> {
        rehearsal.stack.admin.post("/api/v1/plans", &self.body(version)).await
    }

    async fn deployed(&self, rehearsal: &Rehearsal, version: &str) -> Result<DeploymentView> {
        let accepted: Accepted = rehearsal.stack.admin.post("/api/v1/deployments", &self.body(version)).await?;
        Ok(wait::until(&format!("{} is over", self.name), || async {
            let view = rehearsal.view(accepted.id).await.map_err(|error| error.to_string())?;
            if view.summary.status == Status::Finished { Ok(view) } else { Err(format!("{view:#?}")) }
        })
        .await)
    }
}

/// Whether a step is done, or the one that it is a part of, where nothing fails.
fn is_done(preview: &Preview, step: &PreviewedStep) -> bool {
    let whole = preview.steps.iter().filter(|other| Some(&other.name) == step.part_of.as_ref());
    whole.chain([step]).all(|step| step.result != ResultCondition::Failure)
}

/// What a preview says will be done where nothing fails.
fn named(preview: &Preview) -> BTreeSet<(String, String)> {
    let runs = preview.steps.iter().filter(|step| is_done(preview, step));
    let tasks =
        |step: &PreviewedStep| step.tasks.iter().filter(|task| task.skipped.is_none()).cloned().collect::<Vec<_>>();
    runs.flat_map(|step| tasks(step).into_iter().map(|task| (step.name.to_string(), task.target.to_string()))).collect()
}

fn done(view: &DeploymentView) -> BTreeSet<(String, String)> {
    let tasks = view.steps.iter().flat_map(|step| step.tasks.iter().map(move |task| (step, task)));
    tasks
        .filter(|(_, task)| task.status == TaskStatus::Succeeded)
        .map(|(step, task)| (step.name.to_string(), task.target.to_string()))
        .collect()
}

#[tokio::test]
async fn a_preview_names_the_tasks_that_the_deployment_then_does() -> Result<()> {
    let rehearsal = Rehearsal::start("  - {name: one, wait: 0s}", QUICK, Wanted::default()).await?;
    rehearsal.stack.apply("kind: Environment\nname: elsewhere").await?;
    let drawn: Vec<Drawn> = (0..PROJECTS).map(|seed| draw(&rehearsal, seed)).collect();
    rehearsal.stack.apply(&drawn.iter().map(|d| d.manifest.as_str()).collect::<Vec<_>>().join("---\n")).await?;
    rehearsal.push("1.1.0").await?;
    for project in &drawn {
        project.release(&rehearsal, "1.0.0").await?;
        project.release(&rehearsal, "1.1.0").await?;
        let before = project.preview(&rehearsal, "1.0.0").await?;
        ensure!(before.steps.iter().flat_map(|s| &s.tasks).all(|t| t.change == TaskChange::New), "{before:#?}");
        let view = project.deployed(&rehearsal, "1.0.0").await?;
        assert_eq!(named(&before), done(&view), "{}\n{before:#?}\n{view:#?}", project.manifest);
        assert_eq!(Some(&before.digest), view.plan_digest.as_ref());
        let steps = before.steps.iter().filter(|step| step.part_of.is_none());
        let all = steps.map(|s| &s.name).chain(before.left_out.iter().map(|s| &s.name));
        assert_eq!(all.count(), project.manifest.matches("name: step-").count(), "{before:#?}");

        let runs = |preview: &Preview| {
            let mut steps: Vec<_> = preview.steps.iter().filter(|step| is_done(preview, step)).cloned().collect();
            steps.iter_mut().for_each(|step| step.tasks.retain(|task| task.skipped.is_none()));
            steps
        };
        let again = project.preview(&rehearsal, "1.0.0").await?;
        assert!(runs(&again).iter().flat_map(|s| &s.tasks).all(|t| t.change == TaskChange::Same), "{again:#?}");
        let newer = project.preview(&rehearsal, "1.1.0").await?;
        for step in runs(&newer) {
            for task in &step.tasks {
                let what: Vec<_> = task.differences.iter().map(|difference| difference.what.as_str()).collect();
                let expected = if step.kind == "wait" { vec![] } else { vec!["image"] };
                assert_eq!(what, expected, "{newer:#?}");
            }
        }
    }
    let listed: Vec<DeploymentSummary> = rehearsal.stack.admin.get("/api/v1/deployments").await?;
    assert_eq!(listed.len() as u64, PROJECTS, "previews ask for nothing");
    Ok(())
}

#[tokio::test]
async fn a_person_reads_what_would_change_and_what_can_not_be_planned() -> Result<()> {
    let steps = "  - {name: ask, approval: {}}\n  - {name: web, needs: [ask], targets: {role: web}, docker-run: {package: app, env: {V: '#{Release}', T: '#{Token}', O: '#{steps.ask.x}'}}}";
    let steps = format!("{steps}\nvariables:\n  - {{name: Token, secret: token}}");
    let rehearsal = Rehearsal::start(&steps, QUICK, Wanted::default()).await?;
    let (stack, project) = (&rehearsal.stack, rehearsal.stack.name("rehearsal"));
    let plan = ["plan", project.as_str(), "1.0.0", "--to", "test"];
    let (code, text) = stack.cli(&stack.admin, &plan).await?;
    ensure!(code != 0 && text.contains("secret set token"), "{code}: {text}");
    stack.secret("token", "canary-token-value").await?;
    let (code, text) = stack.cli(&stack.admin, &[&plan[..], &["-o", "wide"]].concat()).await?;
    ensure!(code == 0 && text.contains("was not done there yet"), "{code}: {text}");
    ensure!(text.contains("+ env.T: (secret token version 1)") && text.contains("+ env.V: 1.0.0"), "{text}");
    ensure!(text.contains("Token = secret token version 1") && !text.contains("canary-token-value"), "{text}");
    let (code, text) = stack.cli(&stack.admin, &[&plan[..], &["--skip", "nothing"]].concat()).await?;
    ensure!(code == 3 && text.contains("step `nothing` can not be skipped"), "{code}: {text}");
    let (code, text) = stack.cli(&stack.admin, &["plan", &project, "9.9.9", "--to", "test"]).await?;
    ensure!(code != 0 && text.contains("9.9.9"), "{code}: {text}");
    Ok(())
}
