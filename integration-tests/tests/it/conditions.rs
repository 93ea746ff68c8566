//! What a deployment does depends on what is given with it, and on what its steps give.

use anyhow::{Result, ensure};
use slipway_domain::{
    api::{Accepted, DeploymentView, Preview, TaskStatus},
    event::Outcome,
};
use slipway_integration_tests::{chaos::Simulate, rehearsal::Rehearsal, stack::Wanted, wait};

const QUICK: Simulate = Simulate { duration: "1ms..3ms", failures: 0, seed: 1 };
const STEPS: &str = "  - {name: web, targets: {role: web}, docker-run: {package: app, env: {MESSAGE: '#{Message}'}}}
  - {name: warm, needs: [web], targets: {role: web}, wait: 0s, when: {if: \"#{steps.web.outputs.name is defined and 'web-01' not in Target}\"}}
  - {name: hold, needs: [web], demo: {}}
  - {name: loud, needs: [hold], wait: 0s, when: {if: \"#{Message == 'loud'}\"}}
  - {name: quiet, needs: [hold], wait: 0s, when: {if: \"#{Message == 'quiet'}\"}}
  - {name: ask, needs: [hold], approval: {}, when: {if: \"#{Message == 'quiet'}\"}}
variables:
  - {name: Message, prompt: {label: What people read, required: true}}";

/// The tasks of a step by target, with where they are.
fn statuses(view: &DeploymentView, step: &str) -> Vec<(String, TaskStatus)> {
    let tasks = view.steps.iter().filter(|one| one.name.as_str() == step).flat_map(|one| &one.tasks);
    tasks.map(|task| (task.target.to_string(), task.status)).collect()
}

#[tokio::test]
async fn a_value_is_asked_for_and_conditions_follow_it_also_when_a_deployment_is_retried() -> Result<()> {
    let mut rehearsal = Rehearsal::start(STEPS, QUICK, Wanted::default()).await?;
    let (stack, project) = (&rehearsal.stack, rehearsal.stack.name("rehearsal"));
    let deploy = ["deploy", project.as_str(), "1.0.0", "--to", "test"];
    let (code, text) = stack.cli(&stack.admin, &deploy).await?;
    ensure!(code == 3 && text.contains("Message (What people read)") && text.contains("--var"), "{code}: {text}");
    let (code, text) = stack.cli(&stack.admin, &[&deploy[..], &["--var", "Mesage=x"]].concat()).await?;
    ensure!(code == 3 && text.contains("did you mean `Message`?"), "{code}: {text}");
    let plan = ["plan", project.as_str(), "1.0.0", "--to", "test", "--var", "Message=loud"];
    let (code, text) = stack.cli(&stack.admin, &plan).await?;
    ensure!(code == 0 && text.contains("worker: will be left out, its condition #{Message == 'quiet'}"), "{text}");

    let body = serde_json::json!({
        "project": project, "version": "1.0.0", "environment": "test", "variables": {"Message": "loud"}
    });
    let preview: Preview = stack.admin.post("/api/v1/plans", &body).await?;
    let skipped = preview.steps.iter().filter(|step| step.skipped.is_some()).map(|step| step.name.as_str());
    assert_eq!(skipped.collect::<Vec<_>>(), ["ask"]);
    let first: Accepted = stack.admin.post("/api/v1/deployments", &body).await?;
    rehearsal.count(1);
    rehearsal.running(first.id, "hold", 1).await;
    let stack = &rehearsal.stack;
    let (code, text) = stack.cli(&stack.admin, &["deployment", "go", &first.id.to_string(), "hold", "--fail"]).await?;
    ensure!(code == 0, "{code}: {text}");
    let failed = wait::until("the first deployment has failed", || async {
        let view = rehearsal.view(first.id).await.map_err(|error| error.to_string())?;
        if view.summary.outcome == Some(Outcome::Failed) { Ok(view) } else { Err(format!("{view:#?}")) }
    })
    .await;
    assert_eq!(failed.variables.get("Message").map(String::as_str), Some("loud"));
    let warm = statuses(&failed, "warm");
    ensure!(warm.len() == 3, "{warm:?}");
    for (target, status) in warm {
        let expected = if target.contains("web-01") { TaskStatus::Skipped } else { TaskStatus::Succeeded };
        assert_eq!(status, expected, "{target}");
    }

    let retry: Accepted =
        stack.admin.post(&format!("/api/v1/deployments/{}/retry", first.id), &serde_json::json!({})).await?;
    rehearsal.count(1);
    rehearsal.running(retry.id, "hold", 1).await;
    rehearsal.go(retry.id, "hold").await?;
    let over = rehearsal.succeeded(retry.id).await;
    let of = |step| statuses(&over, step).into_iter().map(|(_, status)| status).collect::<Vec<_>>();
    assert_eq!((of("loud"), of("quiet")), (vec![TaskStatus::Succeeded], vec![TaskStatus::Skipped]));
    let ask = over.steps.iter().find(|step| step.name.as_str() == "ask").and_then(|step| step.skipped.clone());
    ensure!(ask.is_some_and(|reason| reason.contains("came out as `false`")), "{over:#?}");
    rehearsal.judge().await?;

    let (code, exported) = rehearsal.stack.cli(&rehearsal.stack.admin, &["export"]).await?;
    ensure!(code == 0 && exported.contains("kind: Project") && exported.contains("What people read"), "{exported}");
    let file = rehearsal.stack.folder.path().join("export.yml");
    std::fs::write(&file, exported)?;
    let file = file.display().to_string();
    let (code, text) = rehearsal.stack.cli(&rehearsal.stack.admin, &["diff", "-f", &file]).await?;
    ensure!(code == 0 && text.contains("0 would be created, 0 would be changed"), "{code}: {text}");

    rehearsal.stack.apply("kind: Environment\nname: extra").await?;
    let apply = ["apply", "--prune", "-f", &file];
    let (code, text) = rehearsal.stack.cli(&rehearsal.stack.admin, &[&apply[..], &["--dry-run"]].concat()).await?;
    ensure!(code == 0 && text.contains("- Environment extra") && text.contains("1 would be removed"), "{code}: {text}");
    let (code, text) = rehearsal.stack.cli(&rehearsal.stack.admin, &apply).await?;
    ensure!(code == 0 && text.contains("1 removed"), "{code}: {text}");
    let (code, text) = rehearsal.stack.cli(&rehearsal.stack.admin, &["get", "environment", "extra"]).await?;
    ensure!(code != 0 && text.contains("there is no Environment `extra`"), "{code}: {text}");
    let project = format!(
        "kind: Project\nname: {}\nlifecycle: short\nsteps: [{{name: a, wait: 1s}}]\n",
        rehearsal.stack.name("alone")
    );
    std::fs::write(&file, project)?;
    let (code, text) = rehearsal.stack.cli(&rehearsal.stack.admin, &apply).await?;
    ensure!(code == 3 && text.contains("short"), "what it needs would go: {code}: {text}");
    std::fs::write(&file, "")?;
    let (code, text) = rehearsal.stack.cli(&rehearsal.stack.admin, &apply).await?;
    ensure!(code != 0 && text.contains("there are no manifests"), "{code}: {text}");
    Ok(())
}
