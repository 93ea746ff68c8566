//! Files and secrets that are put into containers before they start.

use anyhow::Result;
use slipway_domain::{
    order::{PutFile, RunContainer, RunJob, Work},
    secret::SecretRef,
};
use slipway_integration_tests::{failpoints, machine};

use crate::{
    run::container,
    stage::{Ask, Stage},
};

const VALUE: &str = "canary \"hunter2\" /canary";
const PASSWD: (&str, &str) = ("/etc/passwd", "root:x:0:0::/:/bin/sh\napp:x:1001:1001::/:/bin/sh\n");
/// Shows the secret as programs show secrets.
const SHOW: &str = "trap 'exit 0' TERM
    echo plain $(/bin/busybox cat /run/secrets/password)
    echo base64 $(/bin/busybox base64 /run/secrets/password)
    echo json $(/bin/busybox sed 's/\"/\\\\\"/g' /run/secrets/password)
    echo mode $(/bin/busybox stat -c '%a %u' /run/secrets/password)
    echo x > /run/secrets/password || echo read-only
    echo shown
    while :; do /bin/busybox sleep 60 & wait; done";

async fn work(stage: &Stage, user: &str) -> Result<(RunContainer, SecretRef)> {
    let command = serde_json::to_string(&["/bin/sh", "-c", SHOW])?;
    let image = stage.image("web", &[PASSWD], &[&format!("CMD {command}"), &format!("USER {user}")]).await?;
    let (reference, marker) = stage.secret("password", VALUE);
    let secrets = [("password".to_owned(), marker)].into();
    Ok((RunContainer { health: None, ports: Vec::new(), secrets, ..container(image, None) }, reference))
}

fn ask(stage: &Stage, work: RunContainer, secret: &SecretRef) -> Ask {
    let mut ask = stage.ask("web", Work::DockerRun(work));
    ask.order.secrets.push(secret.clone());
    ask
}

async fn volumes(stage: &Stage) -> Result<Vec<String>> {
    let filter = format!("label=slipway.project={}", stage.project);
    let list = machine::run("docker", &["volume", "ls", "-q", "--filter", &filter]).await?;
    Ok(list.lines().map(str::to_owned).collect())
}

async fn read(name: &str) -> Result<String> {
    machine::run("docker", &["exec", name, "/bin/busybox", "cat", "/run/secrets/password"]).await
}

#[tokio::test]
async fn a_secret_file_is_the_users_alone_survives_restarts_and_goes_with_its_container() -> Result<()> {
    let stage = Stage::start().await?;
    let (work, secret) = work(&stage, "app").await?;
    let first = ask(&stage, work.clone(), &secret);
    let outputs = stage.succeed(&first).await?;
    stage.until_printed(&first, "shown").await;
    let lines: Vec<String> = stage.logs(&first).await.into_iter().map(|line| line.text).collect();
    for line in ["plain ***", "base64 ***", "json ***", "mode 400 1001", "read-only"] {
        assert!(lines.iter().any(|printed| printed.starts_with(line)), "{line}: {lines:#?}");
    }
    let name = first.name("shop-web");
    let inspect = machine::run("docker", &["inspect", &name]).await?;
    let seen = format!("{inspect}{}{}", serde_json::to_string(&(&lines, &outputs))?, stage.executor.output());
    assert!(!seen.contains("hunter2"), "{seen}");
    assert_eq!(read(&name).await?, VALUE);
    machine::run("docker", &["restart", "-t", "1", &name]).await?;
    assert_eq!(read(&name).await?, VALUE);

    let before = volumes(&stage).await?;
    assert!(before.len() == 1 && before[0].starts_with(&format!("{name}-secrets-")), "{before:?}");
    let mut broken = work.clone();
    broken.command = Some(["/bin/sh", "-c", "exit 3"].map(str::to_owned).into());
    stage.fail(&ask(&stage, broken, &secret)).await?;
    assert_eq!(volumes(&stage).await?, before, "the old container's stays");
    assert_eq!(read(&name).await?, VALUE);

    let second = ask(&stage, work, &secret);
    stage.succeed(&second).await?;
    let after = volumes(&stage).await?;
    assert!(after.len() == 1 && after[0].starts_with(&second.name("shop-web")), "{after:?}");
    assert_eq!(stage.containers().await?.len(), 1);
    let without = stage.ask("web", Work::DockerRun(RunContainer { secrets: [].into(), ..work_of(&second) }));
    stage.succeed(&without).await?;
    assert_eq!(volumes(&stage).await?, [""; 0]);
    Ok(())
}

fn work_of(ask: &Ask) -> RunContainer {
    match &ask.order.work {
        Work::DockerRun(work) => work.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_secret_for_a_user_that_nobody_knows_is_an_error_and_leaves_nothing() -> Result<()> {
    let stage = Stage::start().await?;
    let (work, secret) = work(&stage, "stranger").await?;
    let failure = stage.fail(&ask(&stage, work, &secret)).await?;
    assert!(failure.message.contains("user `stranger`"), "{}", failure.message);
    assert_eq!((stage.containers().await?.len(), volumes(&stage).await?.len()), (0, 0));
    Ok(())
}

#[tokio::test]
async fn a_volume_that_a_later_attempt_is_filling_is_left_alone() -> Result<()> {
    let stage = Stage::start().await?;
    let (work, secret) = work(&stage, "app").await?;
    for (epoch, stays) in [("0", false), ("999999999", true)] {
        let labels = [
            format!("slipway.project={}", stage.project),
            "slipway.environment=staging".into(),
            "slipway.step=web".into(),
            "slipway.target=web-01".into(),
            "slipway.kind=run".into(),
            format!("slipway.epoch={epoch}"),
        ];
        let name = format!("{}-{epoch}", stage.project);
        let mut create = vec!["volume", "create", name.as_str()];
        create.extend(labels.iter().flat_map(|label| ["--label", label]));
        machine::run("docker", &create).await?;
        stage.succeed(&ask(&stage, work.clone(), &secret)).await?;
        assert_eq!(volumes(&stage).await?.contains(&name), stays, "epoch {epoch}");
    }
    Ok(())
}

#[tokio::test]
async fn a_volume_that_was_left_half_full_is_made_anew() -> Result<()> {
    for point in ["executor.volume.after", "executor.put.before", "executor.put.after"] {
        let mut stage = Stage::start().await?;
        let (work, secret) = work(&stage, "1001").await?;
        let ask = ask(&stage, work, &secret);
        stage.executor.kill().await?;
        stage.executor.set(failpoints::VARIABLE, Some(point));
        stage.start_executor().await?;
        stage.ring(&ask).await?;
        stage.until_dead().await;
        stage.executor.set(failpoints::VARIABLE, None);
        stage.lose_executor(&ask).await?;
        stage.start_executor().await?;
        stage.succeed(&ask.adopted()).await?;
        let name = ask.name("shop-web");
        assert_eq!(read(&name).await?, VALUE, "{point}");
        assert_eq!((stage.containers().await?.len(), volumes(&stage).await?.len()), (1, 1), "{point}");
    }
    Ok(())
}

#[tokio::test]
async fn files_are_there_when_a_container_starts_and_a_job_runs() -> Result<()> {
    let stage = Stage::start().await?;
    let file = |text: &str, mode| PutFile { text: text.to_owned(), mode };
    let script =
        "trap 'exit 0' TERM; cd /etc/shop/conf.d; echo $(/bin/busybox cat app.json) $(/bin/busybox stat -c %a app.json)
        echo $(/bin/busybox cat /www/index.html); echo shown; /bin/busybox sleep 60 & wait";
    let command = serde_json::to_string(&["/bin/sh", "-c", script])?;
    let image = stage.image("web", &[("/www/index.html", "of the image")], &[&format!("CMD {command}")]).await?;
    let (reference, marker) = stage.secret("token", "canary-token-canary");
    let files = [
        ("/etc/shop/conf.d/app.json".to_owned(), file(&format!("{{\"token\":\"{marker}\"}}"), 0o640)),
        ("/www/index.html".to_owned(), file("of the deployment", 0o444)),
    ];
    let work = RunContainer { health: None, ports: Vec::new(), files: files.into(), ..container(image.clone(), None) };
    let mut ask = stage.ask("web", Work::DockerRun(work));
    ask.order.secrets.push(reference);
    stage.succeed(&ask).await?;
    stage.until_printed(&ask, "shown").await;
    let lines: Vec<String> = stage.logs(&ask).await.into_iter().map(|line| line.text).collect();
    assert!(lines.iter().any(|line| line == "{\"token\":\"***\"} 640"), "{lines:#?}");
    assert!(lines.iter().any(|line| line == "of the deployment"), "{lines:#?}");

    let command = ["/bin/sh", "-c", "/bin/script"].map(str::to_owned).into();
    let script = file("#!/bin/sh\necho from the file\n", 0o555);
    let files = [("/bin/script".to_owned(), script)].into();
    let job =
        RunJob { image, credentials: None, command: Some(command), env: [].into(), files, options: Default::default() };
    let job = stage.ask("job", Work::DockerJob(job));
    stage.succeed(&job).await?;
    stage.until_printed(&job, "from the file").await;
    Ok(())
}
