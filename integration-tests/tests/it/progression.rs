//! How far a release gets: blocks, soaking, open phases, lifecycles of channels, older releases.

use anyhow::Result;
use slipway_domain::{
    api::{Accepted, Candidates, DeploymentSummary, ReleaseView},
    event::Outcome,
};
use slipway_integration_tests::{
    stack::{Stack, Wanted},
    wait,
};

/// A project without images, so that nothing but the rules decides.
struct Line {
    stack: Stack,
    project: String,
}

impl Line {
    /// `phases` and `more` of the project are YAML.
    async fn start(environments: &str, phases: &str, more: &str) -> Result<Self> {
        let stack = Stack::start_with(Wanted::default()).await?;
        let project = stack.name("line");
        stack
            .apply(&format!(
                "{environments}---\nkind: Lifecycle\nname: standard\nphases:\n{phases}---\nkind: Project\n\
                 name: {project}\nlifecycle: standard\n{more}steps: [{{name: pause, wait: 10ms}}]\n"
            ))
            .await?;
        Ok(Self { stack, project })
    }

    async fn release(&self, version: &str, more: &[&str]) -> Result<()> {
        let (code, text) =
            self.cli(&[&["release", "create", &self.project, "--version", version], more].concat()).await?;
        assert_eq!(code, 0, "{text}");
        Ok(())
    }

    async fn cli(&self, arguments: &[&str]) -> Result<(i32, String)> {
        self.stack.cli(&self.stack.admin, arguments).await
    }

    /// `slipway deploy --watch`, which has to succeed.
    async fn deploy(&self, version: &str, to: &str) -> Result<()> {
        let (code, text) = self.cli(&["deploy", &self.project, version, "--to", to, "--watch"]).await?;
        assert_eq!(code, 0, "{text}");
        Ok(())
    }

    async fn deployments(&self, version: &str, to: &str) -> Result<Vec<DeploymentSummary>> {
        let query = format!("project={}&version={version}&environment={to}", self.project);
        self.stack.admin.get(&format!("/api/v1/deployments?{query}")).await
    }

    /// Waits for a deployment that nobody asked for.
    async fn succeeds_by_itself(&self, version: &str, to: &str) {
        wait::until(&format!("{version} in {to}"), async || {
            let all = self.deployments(version, to).await.unwrap_or_default();
            if all.iter().any(|d| d.outcome == Some(Outcome::Succeeded)) { Ok(()) } else { Err(all) }
        })
        .await;
    }

    async fn candidates(&self, environment: &str) -> Result<Candidates> {
        self.stack.admin.get(&format!("/api/v1/projects/{}/candidates/{environment}", self.project)).await
    }
}

const TWO: &str = "kind: Environment\nname: test\n---\nkind: Environment\nname: live\n";

#[tokio::test]
async fn a_blocked_release_goes_no_further_by_hand_or_by_itself_until_it_is_unblocked() -> Result<()> {
    let phases =
        "  - {name: Test, environments: [test]}\n  - {name: Live, environments: [{name: live, automatic: true}]}\n";
    let line = Line::start(TWO, phases, "").await?;
    line.release("1.0.0", &["--notes", "the first one"]).await?;
    let block = ["release", "block", &line.project, "1.0.0", "--reason"];
    let (code, text) = line.cli(&[&block[..], &[" "]].concat()).await?;
    assert!(code == 3 && text.contains("say why"), "{code} {text}");
    let (code, text) = line.cli(&[&block[..], &["it loses orders"]].concat()).await?;
    assert!(code == 0 && text.contains("it loses orders"), "{code} {text}");

    line.deploy("1.0.0", "test").await?;
    let (code, text) = line.cli(&["deploy", &line.project, "1.0.0", "--to", "live"]).await?;
    assert!(code == 3 && text.contains("it loses orders") && text.contains("Live"), "{code} {text}");
    // Another release shows that the trigger has looked since.
    line.release("1.1.0", &[]).await?;
    line.deploy("1.1.0", "test").await?;
    line.succeeds_by_itself("1.1.0", "live").await;
    assert!(line.deployments("1.0.0", "live").await?.is_empty(), "not even by a trigger");
    let shown: ReleaseView = line.stack.admin.get(&format!("/api/v1/projects/{}/releases/1.0.0", line.project)).await?;
    assert_eq!(shown.blocked.expect("it is blocked").reason, "it loses orders");
    assert_eq!(shown.notes.as_deref(), Some("the first one"));

    line.release("1.2.0", &[]).await?;
    let (code, text) = line.cli(&["release", "block", &line.project, "1.2.0", "--reason", "wait"]).await?;
    assert_eq!(code, 0, "{text}");
    line.deploy("1.2.0", "test").await?;
    let (code, text) = line.cli(&["release", "unblock", &line.project, "1.2.0", "--reason", "fine"]).await?;
    assert_eq!(code, 0, "{text}");
    line.succeeds_by_itself("1.2.0", "live").await;
    Ok(())
}

#[tokio::test]
async fn a_phase_soaks_before_the_next_one_opens_and_then_opens_by_itself() -> Result<()> {
    let environments = format!("{TWO}---\nkind: Environment\nname: mirror\n");
    // The last phase has every environment that is not named.
    let phases = "  - {name: Test, environments: [test], soak: 3s}\n  \
                  - {name: Live, environments: [{name: live, automatic: true}]}\n  - {name: Rest}\n";
    let line = Line::start(&environments, phases, "").await?;
    line.release("1.0.0", &[]).await?;
    line.deploy("1.0.0", "test").await?;
    let (code, text) = line.cli(&["promote", &line.project, "--to", "live"]).await?;
    assert!(code == 3 && text.contains("phase `Test` soaks for 3s"), "{code} {text}");
    let (code, text) = line.cli(&["deploy", &line.project, "1.0.0", "--to", "mirror"]).await?;
    assert!(code == 3 && text.contains("phase `Rest`"), "{code} {text}");
    line.succeeds_by_itself("1.0.0", "live").await;
    line.deploy("1.0.0", "mirror").await?;
    Ok(())
}

#[tokio::test]
async fn an_environment_is_asked_before_it_takes_an_older_release() -> Result<()> {
    let environments = |downgrade: &str| format!("kind: Environment\nname: live\ndowngrade: {downgrade}\n");
    let line = Line::start(&environments("forbid"), "  - {name: Live, environments: [live]}\n", "").await?;
    line.release("1.0.0", &[]).await?;
    let (code, text) = line.cli(&["rollback", &line.project, "--to", "live"]).await?;
    assert!(code == 3 && text.contains("no release was there yet"), "{code} {text}");
    line.deploy("1.0.0", "live").await?;
    line.release("1.1.0", &[]).await?;
    line.deploy("1.1.0", "live").await?;
    let back = line.candidates("live").await?;
    assert_eq!((back.current.as_deref(), back.rollback.as_deref()), (Some("1.1.0"), Some("1.0.0")));

    let (code, text) = line.cli(&["rollback", &line.project, "--to", "live"]).await?;
    assert!(code == 3 && text.contains("`downgrade: forbid`"), "{code} {text}");
    line.stack.apply(&environments("require-approval")).await?;
    let (code, text) = line.cli(&["rollback", &line.project, "--to", "live", "--json"]).await?;
    assert_eq!(code, 0, "{text}");
    let json = text.find('{').map_or("", |start| &text[start..]);
    // What goes to stderr comes after it.
    let mut values = serde_json::Deserializer::from_str(json).into_iter::<Accepted>();
    let accepted = values.next().expect("the answer as JSON")?;
    let id = accepted.id.to_string();
    wait::until("the approval", async || {
        let (code, text) = line.cli(&["approve", &id, "confirm-downgrade"]).await?;
        anyhow::ensure!(code == 0, "{text}");
        anyhow::Ok(())
    })
    .await;
    let there = wait::until("1.0.0 to be back", async || {
        let there = line.candidates("live").await?;
        anyhow::ensure!(there.current.as_deref() == Some("1.0.0"), "{there:?}");
        anyhow::Ok(there)
    })
    .await;
    assert_eq!(there.rollback, None, "nothing was there before 1.0.0");
    Ok(())
}

#[tokio::test]
async fn a_channel_may_have_a_lifecycle_of_its_own() -> Result<()> {
    let environments =
        format!("{TWO}---\nkind: Lifecycle\nname: hotfix\nphases: [{{name: Any, environments: [test, live]}}]\n");
    let phases = "  - {name: Test, environments: [test]}\n  - {name: Live, environments: [live]}\n";
    let channels = "channels: [{name: stable}, {name: hotfix, lifecycle: hotfix}]\n";
    let line = Line::start(&environments, phases, channels).await?;
    line.release("1.0.0", &[]).await?;
    line.release("1.0.1", &["--channel", "hotfix"]).await?;
    let (code, text) = line.cli(&["deploy", &line.project, "1.0.0", "--to", "live"]).await?;
    assert!(code == 3 && text.contains("phase `Test` needs a success"), "{code} {text}");
    let (code, text) = line.cli(&["promote", &line.project, "--to", "live", "--watch"]).await?;
    assert!(code == 0 && text.contains("1.0.1"), "{code} {text}");
    Ok(())
}
