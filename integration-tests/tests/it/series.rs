//! Each host goes through a series of its own: drained, served, probed, and served to again whatever happened. The window
//! slides from one whole series to the next.

use anyhow::{Context, Result};
use slipway_domain::{
    api::{DeploymentSummary, DeploymentView, TaskStatus, TaskView},
    event::Outcome,
};
use slipway_integration_tests::{shop, shop::Shop, stack::Wanted};

const PARTS: [&str; 4] = ["drain", "serve", "probe", "undrain"];

/// The web servers become the second of four steps on each host. Version 1.1.0 does not pass the probe of the last one.
fn in_series(manifests: String) -> String {
    let (before, web) = manifests.split_once("    retry: {attempts: 2, backoff: 2s}\n").expect("the step web");
    let web = web.strip_prefix("    timeout: 5m\n").expect("its time-out");
    let serve: String = web.lines().map(|line| format!("    {line}\n")).collect();
    let say = |what: &str| format!("docker-job: {{package: web, command: [sh, -c, \"echo {what} #{{Target}}\"]}}");
    let probe = "docker-job: {package: web, command: [sh, -c, \
        \"echo probing #{steps.serve.outputs.name}; #{% if Release == '1.1.0' and Port == LastPort %}exit 3#{% endif %}\"]}";
    let last = before.rsplit("value: \"").find_map(|rest| {
        let (port, scope) = rest.split_once('"')?;
        scope.contains("web-02").then(|| port.to_owned())
    });
    let last = last.expect("the port of the last host");
    let before = before
        .replace("variables:\n", &format!("variables:\n  - {{name: LastPort, value: \"{last}\"}}\n"))
        .replace("rolling: {window: 1}", "rolling: {window: 1, on-failure: restore}");
    format!(
        "{before}    steps:\n      - {{name: drain, {}}}\n      - name: serve\n        retry: {{attempts: 2, backoff: 2s}}\n\
         {serve}      - {{name: probe, {probe}}}\n      - {{name: undrain, when: {{result: always}}, {}}}\n",
        say("drained"),
        say("undrained"),
    )
}

async fn deployed(shop: &mut Shop, version: &str) -> Result<(DeploymentSummary, DeploymentView)> {
    shop.push(version, &[]).await?;
    let one = shop.deployment(version, "production").await;
    shop.waiting(&one).await;
    shop.approve(&one).await?;
    let view = shop.finished(&one).await;
    Ok((one, view))
}

fn task<'a>(view: &'a DeploymentView, step: &str, host: usize) -> Result<&'a TaskView> {
    let step = view.steps.iter().find(|one| one.name.as_str() == step).context("the step")?;
    step.tasks.get(host).context("the host")
}

/// What began and ended, in order, as `drain@0`, without targets' names.
fn in_order(view: &DeploymentView) -> Result<Vec<String>> {
    let mut times = Vec::new();
    for (host, part) in [0, 1].into_iter().flat_map(|host| PARTS.map(|part| (host, part))) {
        let task = task(view, part, host)?;
        times.push((task.started_at.context("it began")?, format!("+{part}@{host}")));
        times.push((task.finished_at.context("it ended")?, format!("-{part}@{host}")));
    }
    times.sort();
    Ok(times.into_iter().map(|(_, what)| what).collect())
}

#[tokio::test]
async fn each_host_goes_through_its_series_and_one_that_fails_lets_the_old_containers_serve_again() -> Result<()> {
    shop::with(Wanted::default(), in_series, async |shop| {
        let (first, view) = deployed(shop, "1.0.0").await?;
        assert_eq!(view.summary.outcome, Some(Outcome::Succeeded), "{view:#?}");
        let expected: Vec<String> = [0, 1]
            .into_iter()
            .flat_map(|host| PARTS.map(|part| (host, part)))
            .flat_map(|(host, part)| [format!("+{part}@{host}"), format!("-{part}@{host}")])
            .collect();
        assert_eq!(in_order(&view)?, expected, "one host after the other, each from its beginning to its end");
        let logs = shop.logs(&first).await?;
        for text in ["drained", "probing", "undrained"] {
            assert!(logs.contains(text), "`{text}` is missing from:\n{logs}");
        }
        let old = [shop.running_on("web-01").await?, shop.running_on("web-02").await?];
        assert!(shop.page(1).await?.contains("shop 1.0.0") && shop.page(2).await?.contains("shop 1.0.0"));

        let (second, view) = deployed(shop, "1.1.0").await?;
        assert_eq!(view.summary.outcome, Some(Outcome::Failed), "{view:#?}");
        let reason = view.summary.reason.clone().unwrap_or_default();
        assert!(reason.contains("step web failed on") && reason.contains("at probe"), "{reason}");
        assert_eq!(task(&view, "probe", 0)?.status, TaskStatus::Succeeded, "the first host was good: {view:#?}");
        assert_eq!(task(&view, "probe", 1)?.status, TaskStatus::Failed, "{view:#?}");
        for host in [0, 1] {
            assert_eq!(
                task(&view, "undrain", host)?.status,
                TaskStatus::Succeeded,
                "it is always undrained: {view:#?}"
            );
            let serve = task(&view, "serve", host)?;
            assert!(serve.message.as_deref().is_some_and(|text| text.contains("taken back")), "{serve:#?}");
            assert!(shop.page(host + 1).await?.contains("shop 1.0.0"), "host {host} serves the old version");
        }
        let now = [shop.running_on("web-01").await?, shop.running_on("web-02").await?];
        for (old, now) in old.iter().zip(&now) {
            let ids = |all: &[bollard::models::ContainerSummary]| {
                all.iter().map(|container| container.id.clone()).collect::<Vec<_>>()
            };
            assert_eq!(ids(now), ids(old), "the very containers of before");
        }
        let (code, text) = shop.stack.cli(&shop.ana, &["deployment", "show", &second.id.to_string()]).await?;
        let rows: Vec<&str> = text.lines().skip_while(|line| line.trim() != "web").take(5).collect();
        assert_eq!(code, 0, "{text}");
        assert!(rows.len() == 5 && PARTS.iter().zip(&rows[1..]).all(|(part, row)| row.contains(part)), "{text}");
        Ok(())
    })
    .await
}
