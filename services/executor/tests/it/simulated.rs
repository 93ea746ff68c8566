//! `--simulate`: steps that touch nothing, and promise the same.

use anyhow::Result;
use serde_json::{Value, json};
use slipway_domain::{event::TaskEvent, order::Work};
use slipway_integration_tests::failpoints;

use crate::stage::{Ask, Stage};

/// A stage whose executor pretends, and the file in which it says what it would have done.
async fn pretending() -> Result<(Stage, std::path::PathBuf)> {
    let mut stage = Stage::start().await?;
    stage.executor.kill().await?;
    let journal = stage.folder.path().join("journal");
    stage.executor.set("SLIPWAY_SIMULATE", Some("true"));
    stage.executor.set("SLIPWAY_SIMULATE_JOURNAL", journal.to_str());
    stage.executor.set("SLIPWAY_SIMULATE_DURATION", Some("1ms..5ms"));
    stage.start_executor().await?;
    Ok((stage, journal))
}

fn call(stage: &Stage, method: &str) -> Ask {
    // Nobody listens there.
    let call = json!({"url": "http://127.0.0.1:1/", "method": method});
    stage.ask("call", Work::Http(serde_json::from_value(call).expect("a call")))
}

fn effects(journal: &std::path::Path, kind: &str) -> Result<usize> {
    let lines = std::fs::read_to_string(journal)?;
    let lines = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>()?;
    Ok(lines.iter().filter(|line| line["effect"] == kind).count())
}

#[tokio::test]
async fn a_simulated_call_is_made_once_too() -> Result<()> {
    let (mut stage, journal) = pretending().await?;
    assert_eq!(stage.succeed(&call(&stage, "POST")).await?["status"], 200);
    for (method, again) in [("POST", false), ("PUT", true)] {
        let before = effects(&journal, "call")?;
        stage.executor.kill().await?;
        stage.executor.set(failpoints::VARIABLE, Some("executor.http.after"));
        stage.start_executor().await?;
        let ask = call(&stage, method);
        stage.ring(&ask).await?;
        stage.until_dead().await;
        stage.executor.set(failpoints::VARIABLE, None);
        stage.lose_executor(&ask).await?;
        stage.start_executor().await?;
        let end = stage.perform(&ask.adopted()).await?;
        assert_eq!(matches!(end, TaskEvent::Succeeded { .. }), again, "{method}: {end:?}");
        assert_eq!(matches!(end, TaskEvent::Unknown { .. }), !again, "{method}: {end:?}");
        assert_eq!(effects(&journal, "call")? - before, 1 + usize::from(again), "{method}");
    }
    Ok(())
}

#[tokio::test]
async fn a_simulated_script_is_a_container_that_runs_to_its_end() -> Result<()> {
    let (stage, journal) = pretending().await?;
    let image = json!({"registry": "r", "repository": "a", "tag": "1", "digest": format!("sha256:{}", "0".repeat(64))});
    let work = json!({"kind": "script", "image": image, "run": "exit 7", "shell": "/bin/sh", "env": {}});
    let outputs = stage.succeed(&stage.ask("script", serde_json::from_value(work)?)).await?;
    assert_eq!(outputs["exit_code"], 0);
    assert_eq!(effects(&journal, "run")?, 1);
    Ok(())
}
