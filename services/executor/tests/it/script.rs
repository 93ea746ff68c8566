//! `script`: a text that runs in a container, and what it writes for later steps.

use anyhow::Result;
use serde_json::json;
use slipway_domain::{
    event::TaskEvent,
    image::ImageRef,
    order::{PutFile, RunScript, Work},
};
use slipway_integration_tests::machine;

use crate::stage::{Ask, Stage};

const SECRET: &str = "canary \"hunter2\" /canary";

fn script(image: &ImageRef, run: &str) -> RunScript {
    RunScript {
        image: image.clone(),
        credentials: None,
        run: run.to_owned(),
        shell: "/bin/sh".to_owned(),
        env: [].into(),
        files: [].into(),
        workdir: None,
    }
}

fn ask(stage: &Stage, image: &ImageRef, run: &str) -> Ask {
    stage.ask("script", Work::Script(script(image, run)))
}

#[tokio::test]
async fn a_script_runs_in_its_container_and_gives_outputs() -> Result<()> {
    let stage = Stage::start().await?;
    // Neither its entry point nor its command is wanted, and its user is not root.
    let image = stage.image("tool", &[], &[r#"ENTRYPOINT ["/no/such"]"#, r#"CMD ["x"]"#, "USER 1001"]).await?;
    let work = RunScript {
        shell: "/bin/sh -eu".to_owned(),
        env: [("NAME".to_owned(), "from env".to_owned())].into(),
        files: [("/etc/own/x".to_owned(), PutFile { text: "from file".to_owned(), mode: 0o444 })].into(),
        workdir: Some("/etc/own".to_owned()),
        ..script(
            &image,
            "name=\"${NAME}\" # {{x}}\n\
             echo \"said $name in $(pwd) as $(/bin/busybox id -u)\"\n\
             echo \"name=$name\" >> $SLIPWAY_OUTPUT\n\
             echo \"file=$(/bin/busybox cat x)\" >> $SLIPWAY_OUTPUT\n\
             { echo 'list<<END'; echo one; echo two; echo END; } >> $SLIPWAY_OUTPUT\n",
        )
    };
    let ask = stage.ask("script", Work::Script(work));
    let outputs = stage.succeed(&ask).await?;
    assert_eq!((&outputs["name"], &outputs["file"]), (&json!("from env"), &json!("from file")));
    assert_eq!((&outputs["list"], &outputs["exit_code"]), (&json!("one\ntwo"), &json!(0)));
    assert_eq!(outputs["container_id"], stage.containers().await?.remove(0).2.as_str());
    stage.until_printed(&ask, "said from env in /etc/own as 1001").await;
    Ok(())
}

#[tokio::test]
async fn an_exit_code_fails_with_the_last_lines_and_gives_nothing() -> Result<()> {
    let stage = Stage::start().await?;
    let image = stage.script("tool", "exit 9").await?;
    let failure = stage.fail(&ask(&stage, &image, "echo a=1 >> $SLIPWAY_OUTPUT; echo broken; exit 7")).await?;
    assert!(failure.message.contains("exit code 7"), "{}", failure.message);
    assert!(failure.tail.iter().any(|line| line == "broken"), "{:?}", failure.tail);
    let work = RunScript { shell: "/no/such/shell".to_owned(), ..script(&image, "exit 0") };
    let failure = stage.fail(&stage.ask("shell", Work::Script(work))).await?;
    assert!(failure.message.contains("/no/such/shell"), "{}", failure.message);
    Ok(())
}

#[tokio::test]
async fn outputs_that_can_not_be_read_or_are_too_large_fail_the_step() -> Result<()> {
    let stage = Stage::start().await?;
    let image = stage.script("tool", "exit 9").await?;
    for (run, told) in [
        ("echo words >> $SLIPWAY_OUTPUT", "line 1 of what it wrote to $SLIPWAY_OUTPUT is neither NAME=VALUE"),
        ("/bin/busybox head -c 300000 /dev/zero > $SLIPWAY_OUTPUT", "has 300000 bytes, more than the 262144 allowed"),
    ] {
        let failure = stage.fail(&ask(&stage, &image, run)).await?;
        assert!(failure.message.starts_with("the script ended well, but"), "{}", failure.message);
        assert!(failure.message.contains(told), "{told}: {}", failure.message);
    }
    let outputs = stage.succeed(&ask(&stage, &image, "/bin/busybox rm -f $SLIPWAY_OUTPUT; echo gone")).await?;
    assert_eq!(outputs.len(), 2, "{outputs:?}");
    Ok(())
}

#[tokio::test]
async fn secrets_of_a_script_are_in_no_inspection_log_or_output() -> Result<()> {
    let stage = Stage::start().await?;
    let image = stage.script("tool", "exit 9").await?;
    let (reference, marker) = stage.secret("password", SECRET);
    let run = format!(
        "cat='{marker}'\necho \"$cat\"\necho \"password=$cat\" >> $SLIPWAY_OUTPUT\n\
         {{ echo 'both<<END'; echo \"<$cat>\"; echo END; }} >> $SLIPWAY_OUTPUT\n"
    );
    let mut ask = ask(&stage, &image, &run);
    ask.order.secrets.push(reference);
    let outputs = stage.succeed(&ask).await?;
    assert_eq!((&outputs["password"], &outputs["both"]), (&json!("***"), &json!("<***>")));
    stage.until_printed(&ask, "***").await;
    let name = ask.name("script");
    let inspect = machine::run("docker", &["inspect", &name]).await?;
    assert!(inspect.contains("/slipway/script"), "it is this container: {inspect}");
    let seen = format!("{inspect}{outputs:?}{:?}{}", stage.logs(&ask).await, stage.executor.output());
    assert!(!seen.contains("hunter2"), "{seen}");
    let file = machine::run("docker", &["cp", &format!("{name}:/slipway/script"), "-"]).await?;
    assert!(file.contains("hunter2"), "the script itself has it");
    Ok(())
}

const LONG: &str = "echo started; echo first=1 >> $SLIPWAY_OUTPUT
    i=0; while [ $i -lt 40 ]; do i=$((i+1)); /bin/busybox sleep 0.1; done
    echo second=2 >> $SLIPWAY_OUTPUT; echo finished";

#[tokio::test]
async fn a_script_that_outlives_the_executor_is_listened_to_again_and_runs_once() -> Result<()> {
    let mut stage = Stage::start().await?;
    let image = stage.script("tool", "exit 9").await?;
    let ask = ask(&stage, &image, LONG);
    stage.ring(&ask).await?;
    stage.until_printed(&ask, "started").await;
    let id = stage.containers().await?.remove(0).2;
    stage.lose_executor(&ask).await?;
    stage.start_executor().await?;
    let outputs = stage.succeed(&ask.adopted()).await?;
    assert_eq!(outputs["container_id"], id.as_str());
    assert_eq!((&outputs["first"], &outputs["second"]), (&json!("1"), &json!("2")));
    stage.until_printed(&ask, "finished").await;
    Ok(())
}

#[tokio::test]
async fn a_cancelled_script_is_stopped() -> Result<()> {
    let stage = Stage::start().await?;
    let image = stage.script("tool", "exit 9").await?;
    let run = "trap 'echo stopping; exit 1' TERM; echo started; while true; do /bin/busybox sleep 0.1; done";
    let ask = ask(&stage, &image, run);
    let head = stage.ring(&ask).await?;
    stage.until_printed(&ask, "started").await;
    stage.cancel(&ask).await?;
    assert_eq!(stage.end(&ask, head).await?, TaskEvent::Cancelled);
    stage.until_printed(&ask, "stopping").await;
    Ok(())
}
