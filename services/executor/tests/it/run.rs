//! `docker-run`: the first container of a place, its health, its outputs, its secrets.

use anyhow::Result;
use slipway_domain::{
    duration::Span,
    event::FailureKind,
    image::ImageRef,
    manifest::{Health, HttpProbe, Restart, TcpProbe},
    order::{PortMapping, RunContainer, Work},
    release::PullCredentials,
};
use slipway_integration_tests::machine;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{UnixListener, UnixStream},
};

use crate::{
    images::PULL_PASSWORD,
    stage::{Stage, get},
};

/// A container with port 80 that must answer `/healthz`.
pub fn container(image: ImageRef, host: Option<u16>) -> RunContainer {
    RunContainer {
        image,
        credentials: None,
        name: "shop-web".into(),
        env: [("GREETING".to_owned(), "hello".to_owned())].into(),
        ports: vec![PortMapping { ip: None, host, container: 80, protocol: "tcp".into() }],
        command: None,
        files: [].into(),
        secrets: [].into(),
        health: Some(Health {
            http: Some(HttpProbe { port: 80, path: "/healthz".into() }),
            within: Span::secs(5),
            ..Health::default()
        }),
        restart: Restart::default(),
        switch: None,
        create_only: false,
        options: Default::default(),
        keep_predecessor: false,
    }
}

#[tokio::test]
async fn a_container_with_an_ephemeral_port_answers_and_its_outputs_say_where() -> Result<()> {
    let stage = Stage::start().await?;
    let image = stage.page("web", "hello from 1.0.0", true).await?;
    let ask = stage.ask("web", Work::DockerRun(container(image.clone(), None)));
    let outputs = stage.succeed(&ask).await?;

    let port = outputs["ports"]["80"].as_u64().expect("a port");
    assert_eq!(get(port).await?, "hello from 1.0.0");
    assert_eq!(outputs["name"], ask.name("shop-web"));
    assert_eq!(outputs["image_digest"], image.digest.as_str());
    assert_eq!(outputs["inspect"]["Id"], outputs["container_id"]);

    let labels = "{{json .Config.Labels}} {{.HostConfig.RestartPolicy.Name}}";
    let shown = machine::run("docker", &["inspect", "--format", labels, &ask.name("shop-web")]).await?;
    for label in ["project", "environment", "release", "deployment", "step", "target", "attempt", "epoch", "spec"] {
        assert!(shown.contains(&format!("\"slipway.{label}\":")), "{label}: {shown}");
    }
    assert!(shown.trim().ends_with("unless-stopped"), "{shown}");
    stage.until_printed(&ask, "serving").await;
    Ok(())
}

#[tokio::test]
async fn a_tcp_probe_is_not_fooled_by_a_published_port_without_a_listener() -> Result<()> {
    let stage = Stage::start().await?;
    let health = |port| Health { tcp: Some(TcpProbe { port }), within: Span::secs(2), ..Health::default() };
    let listening = RunContainer { health: Some(health(80)), ..container(stage.page("web", "x", false).await?, None) };
    stage.succeed(&stage.ask("web", Work::DockerRun(listening))).await?;
    let deaf = RunContainer {
        health: Some(health(80)),
        ..container(stage.script("deaf", "trap 'exit 0' TERM; /bin/busybox sleep 60 & wait").await?, None)
    };
    let failure = stage.fail(&stage.ask("deaf", Work::DockerRun(deaf))).await?;
    assert!(failure.message.contains("not good within 2s: TCP"), "{}", failure.message);
    Ok(())
}

#[tokio::test]
async fn the_healthcheck_of_the_image_counts_when_there_is_no_probe() -> Result<()> {
    let stage = Stage::start().await?;
    let command = r#"CMD ["/bin/sh","-c","trap 'exit 0' TERM; /bin/busybox sleep 60 & wait"]"#;
    let check = |test: &str| format!("HEALTHCHECK --interval=300ms --retries=1 CMD {test}");
    let bare = |image| RunContainer {
        health: Some(Health { within: Span::secs(4), ..Health::default() }),
        ports: Vec::new(),
        ..container(image, None)
    };
    let good = stage.image("good", &[], &[command, &check("/bin/busybox true")]).await?;
    stage.succeed(&stage.ask("good", Work::DockerRun(bare(good)))).await?;
    let bad = stage.image("bad", &[], &[command, &check("echo no space left; /bin/busybox false")]).await?;
    let failure = stage.fail(&stage.ask("bad", Work::DockerRun(bare(bad)))).await?;
    assert!(failure.message.contains("its HEALTHCHECK says: no space left"), "{}", failure.message);
    Ok(())
}

#[tokio::test]
async fn a_container_that_ends_fails_at_once_with_its_code_and_last_words() -> Result<()> {
    let stage = Stage::start().await?;
    let image = stage.script("web", "echo starting; echo 'no database' >&2; exit 3").await?;
    let ask = stage.ask("web", Work::DockerRun(RunContainer { health: None, ..container(image, None) }));
    let failure = stage.fail(&ask).await?;
    assert_eq!(failure.kind, FailureKind::Step);
    assert!(failure.message.contains("ended with exit code 3"), "{}", failure.message);
    assert!(failure.tail.iter().any(|line| line.contains("no database")), "{:?}", failure.tail);
    assert_eq!(stage.containers().await?, [], "what failed is gone");
    Ok(())
}

#[tokio::test]
async fn a_secret_reaches_the_container_and_nothing_else() -> Result<()> {
    let stage = Stage::start().await?;
    let image =
        stage.script("web", "trap 'exit 0' TERM; echo \"password is $PASSWORD\"; /bin/busybox sleep 60 & wait").await?;
    let value = "canary-hunter2-canary";
    let (reference, marker) = stage.secret("password", value);
    let mut work = RunContainer { health: None, ports: Vec::new(), ..container(image, None) };
    work.env.insert("PASSWORD".into(), format!("<{marker}>"));
    let mut ask = stage.ask("web", Work::DockerRun(work));
    ask.order.secrets.push(reference);
    let outputs = stage.succeed(&ask).await?;

    stage.until_printed(&ask, "password is <").await;
    let printed = serde_json::to_string(&stage.logs(&ask).await)?;
    let seen = format!("{printed}{}{}", serde_json::to_string(&outputs)?, stage.executor.output());
    assert!(!seen.contains("hunter2"), "{seen}");
    let env = machine::run("docker", &["inspect", "--format", "{{.Config.Env}}", &ask.name("shop-web")]).await?;
    assert!(env.contains(&format!("PASSWORD=<{value}>")), "{env}");
    let labels = machine::run("docker", &["inspect", "--format", "{{.Config.Labels}}", &ask.name("shop-web")]).await?;
    assert!(!labels.contains("hunter2"), "{labels}");
    Ok(())
}

#[tokio::test]
async fn a_registry_that_asks_for_a_password_gets_it() -> Result<()> {
    let stage = Stage::start().await?;
    let (_registry, port) = stage.guarded_registry().await?;
    let image = ImageRef { registry: port.address(), ..stage.page("web", "guarded", true).await? };
    let failure = stage.fail(&stage.ask("web", Work::DockerRun(container(image.clone(), None)))).await?;
    assert!(failure.message.contains("the feed's credentials"), "{}", failure.message);

    let (password, _) = stage.secret("pull-password", PULL_PASSWORD);
    let credentials = Some(PullCredentials { username: "puller".into(), password: password.clone() });
    let mut ask = stage.ask("web", Work::DockerRun(RunContainer { credentials, ..container(image, None) }));
    ask.order.secrets.push(password);
    let outputs = stage.succeed(&ask).await?;
    assert_eq!(get(outputs["ports"]["80"].as_u64().unwrap()).await?, "guarded");
    assert!(!stage.executor.output().contains(PULL_PASSWORD));
    Ok(())
}

#[tokio::test]
async fn an_engine_that_is_not_there_and_one_that_is_not_served_are_told_apart() -> Result<()> {
    let stage = Stage::start().await?;
    let image = stage.page("web", "x", true).await?;
    for (endpoint, kind, words) in [
        ("unix:///nowhere/docker.sock", FailureKind::TimedOut, "does not answer"),
        ("tcp://127.0.0.1:2375", FailureKind::Order, "needs `tls: {ca, cert, key}`"),
        ("/var/run/docker.sock", FailureKind::Order, "write unix:///path"),
    ] {
        let mut ask = stage.ask("web", Work::DockerRun(container(image.clone(), None)));
        ask.order.docker = Some(endpoint.into());
        ask.order.timeout = Span::secs(2);
        let failure = stage.fail(&ask).await?;
        assert_eq!(failure.kind, kind, "{}", failure.message);
        assert!(failure.message.contains(words), "{}", failure.message);
    }
    let mut gone = image.clone();
    gone.digest = slipway_domain::image::Digest::new(format!("sha256:{}", "0".repeat(64))).unwrap();
    let failure = stage.fail(&stage.ask("web", Work::DockerRun(container(gone, None)))).await?;
    assert!(failure.message.contains("pulling"), "{}", failure.message);
    Ok(())
}

#[tokio::test]
async fn a_container_of_another_image_is_not_started_and_both_digests_are_named() -> Result<()> {
    let stage = Stage::start().await?;
    let (wanted, other) = (stage.page("web", "one", true).await?, stage.page("web", "two", true).await?);
    machine::run("docker", &["pull", &other.pinned()]).await?;
    let socket = stage.folder.path().join("lies.sock");
    let image = |image: &ImageRef| format!("\"Image\":\"{}\"", image.pinned()).into_bytes();
    tokio::spawn(lie(UnixListener::bind(&socket)?, stage.docker.replace("unix://", ""), image(&wanted), image(&other)));
    let mut ask = stage.ask("web", Work::DockerRun(container(wanted.clone(), None)));
    ask.order.docker = Some(format!("unix://{}", socket.display()));
    let failure = stage.fail(&ask).await?;
    let expected = format!("has {} instead of {}; it was not started", other.digest, wanted.digest);
    assert!(failure.message.contains(&expected), "{}", failure.message);
    assert_eq!(stage.containers().await?, []);
    Ok(())
}

/// A door to the engine at which one text in what is asked is replaced by another of the same length.
async fn lie(door: UnixListener, engine: String, said: Vec<u8>, told: Vec<u8>) {
    while let Ok((client, _)) = door.accept().await {
        let Ok(server) = UnixStream::connect(&engine).await else { return };
        let (said, told) = (said.clone(), told.clone());
        tokio::spawn(async move {
            let ((mut from, mut to), (mut back, mut forth)) = (client.into_split(), server.into_split());
            let asking = async {
                let mut bytes = vec![0; 1 << 20];
                while let Ok(read @ 1..) = from.read(&mut bytes).await {
                    let place = bytes[..read].windows(said.len()).position(|window| window == said);
                    if let Some(place) = place {
                        bytes[place..place + told.len()].copy_from_slice(&told);
                    }
                    if forth.write_all(&bytes[..read]).await.is_err() {
                        return;
                    }
                }
                let _ = forth.shutdown().await;
            };
            let answering = async {
                let _ = tokio::io::copy(&mut back, &mut to).await;
                let _ = to.shutdown().await;
            };
            tokio::join!(asking, answering);
        });
    }
}
