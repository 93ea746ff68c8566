//! A secret in every form in which it can reach a container, and be printed by it, is nowhere else; and a secret file
//! is still there after the container and the Docker engine were started again.

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use slipway_domain::{
    api::{Accepted, DeploymentView},
    event::Outcome,
};
use slipway_integration_tests::{
    engine::{Containers, Engine},
    otlp::Collector,
    ports,
    registry::{Notify, Registry},
    stack::{Stack, Wanted},
    tiny_image, wait,
};

use crate::secrets::nowhere;

/// With everything in it that some program escapes.
const VALUE: &str = r#"pa$ kx4711canarykx "q" 'r' \s/t"#;
/// What is in it, however it is escaped.
const CORE: &str = "kx4711canarykx";
const SHOW: &str = r#"show() {
  echo "plain $1"
  printf %s "$1" | /bin/busybox base64 -w0; echo " base64"
  printf %s "$1" | /bin/busybox sed 's/[\\"]/\\&/g; s/^/{"json":"/; s/$/"}/'; echo
  printf %s "$1" | /bin/busybox sed "s/'/'\\\\''/g; s/^/shell '/; s/$/'/"; echo
  printf %s "$1" | /bin/busybox sed 's/[$]/$$/g; s/^/compose /'; echo
  printf %s "$1" | /bin/busybox sed 's/[$]/%24/g; s/ /%20/g; s/"/%22/g; s/[\\]/%5C/g; s#/#%2F#g; s/^/url /' | /bin/busybox sed "s/'/%27/g"; echo
}
"#;
const SERVE: &str =
    "trap 'exit 0' TERM; show \"$(/bin/busybox cat /run/secrets/password)\"; /bin/busybox cat /etc/app.conf; echo; echo shown
while :; do sleep 3600 & wait; done";
const JOB: &str = "show \"$PASSWORD\"; show \"$1\"; echo \"$URL\"; echo shown";

fn manifests(stack: &Stack, registry: &str, docker: &str) -> String {
    let mut text = format!(
        "kind: Feed\nname: local\nregistry: {registry}\nplain-http: true\n---\nkind: Environment\nname: test\n---\n\
         kind: Lifecycle\nname: short\nphases:\n  - {{name: Test, environments: [test]}}\n"
    );
    for (target, role) in stack.target_names().iter().zip(["tools", "web"]) {
        text +=
            &format!("---\nkind: Target\nname: {target}\nenvironments: [test]\nroles: [{role}]\ndocker: {docker}\n");
    }
    let shell = |script: &str| serde_json::json!(["/bin/sh", "-c", format!("{SHOW}{script}"), "sh", "#{Password}"]);
    let serve = serde_json::json!(["/bin/sh", "-c", format!("{SHOW}{SERVE}")]);
    text + &format!(
        "---\nkind: Project\nname: {}\nlifecycle: short\npackages:\n  app: {{feed: local, image: shop/app}}\n\
         variables:\n  - {{name: Password, secret: password}}\nsteps:\n  \
         - {{name: job, targets: {{role: tools}}, docker-job: {{package: app, command: {}, \
             env: {{PASSWORD: '#{{Password}}', URL: 'postgres://u:#{{Password}}@h/db'}}}}}}\n  \
         - {{name: web, needs: [job], targets: {{role: web}}, docker-run: {{package: app, command: {serve}, \
             secrets: {{password: '#{{Password}}'}}, files: {{/etc/app.conf: 'password=#{{Password}}'}}}}}}\n",
        stack.name("shop"),
        shell(JOB),
    )
}

#[tokio::test]
async fn a_secret_in_every_form_is_nowhere_and_its_file_survives_restarts() -> Result<()> {
    let (collector, endpoint) = Collector::start().await?;
    let variables =
        vec![("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint), ("SLIPWAY_LOG".to_owned(), "debug".to_owned())];
    let stack = Stack::start_with(Wanted { variables, ..Wanted::default() }).await?;
    let nobody = Notify { url: "http://127.0.0.1:9/".into(), authorization: String::new() };
    let registry = Registry::start(stack.folder.path(), ports::reserve()?, &nobody).await?;
    let address = registry.port.address();
    tiny_image::push_busybox(&address, "shop/app", "1.0.0").await?;
    let path = stack.path("registry.yml");
    let mut engine = Engine::start(stack.folder.path(), &path, Containers::EndWithIt).await?;
    stack.secret("password", VALUE).await?;
    stack.apply(&manifests(&stack, &address, &engine.endpoint())).await?;
    let project = stack.name("shop");
    let body = serde_json::json!({ "version": "1.0.0", "packages": { "app": "1.0.0" } });
    stack.admin.post::<serde_json::Value>(&format!("/api/v1/projects/{project}/releases"), &body).await?;
    let body = serde_json::json!({ "project": project, "version": "1.0.0", "environment": "test" });
    let plan: serde_json::Value = stack.admin.post("/api/v1/plans", &body).await?;
    let id = stack.admin.post::<Accepted>("/api/v1/deployments", &body).await?.id;
    let read = async |path: &str| -> Result<String> {
        Ok(stack.admin.request(reqwest::Method::GET, path).send().await?.error_for_status()?.text().await?)
    };
    wait::until("it is over, and all is printed", || async {
        let view: DeploymentView =
            stack.admin.get(&format!("/api/v1/deployments/{id}")).await.map_err(|error| error.to_string())?;
        let logs = read(&format!("/api/v1/deployments/{id}/logs?follow=false")).await.map_err(|e| e.to_string())?;
        let over = view.summary.outcome == Some(Outcome::Succeeded) && logs.matches("\"shown\"").count() == 2;
        if over { Ok(()) } else { Err(format!("{view:#?}\n{logs}\n{}", stack.tails())) }
    })
    .await;

    let encoded = STANDARD.encode(VALUE);
    let mut told = plan.to_string();
    let of_deployment = ["", "/events?follow=false", "/logs?follow=false", "/plan", "/why"];
    let paths = of_deployment.map(|end| format!("/api/v1/deployments/{id}{end}"));
    let others = ["/", "/api/v1/board", "/api/v1/audit", "/api/v1/secrets", "/api/v1/projects"].map(str::to_owned);
    for path in paths.iter().chain(&others) {
        told += &read(path).await.with_context(|| path.clone())?;
    }
    for form in
        ["plain ***", "***== base64", "json", "shell '***'", "compose ***", "url ***", "password=***", "u:***@h"]
    {
        ensure!(told.contains(form), "{form}: {told}");
    }
    wait::until("traces of both attempts have arrived", || async {
        let attempts = collector.spans().into_iter().filter(|span| span.name == "attempt").count();
        if attempts == 2 { Ok(()) } else { Err(attempts) }
    })
    .await;
    for text in [CORE, &encoded[..24]] {
        ensure!(!told.contains(text), "{text} in {told}");
        nowhere(&stack, &collector, text).await?;
    }
    let name = engine.docker(&["ps", "--filter", "label=slipway.step=web", "--format", "{{.Names}}"]).await?;
    let (name, shown) = (name.trim(), engine.docker(&["inspect", name.trim()]).await?);
    ensure!(shown.contains("/run/secrets") && !shown.contains(CORE), "{shown}");

    let file =
        async |engine: &Engine| engine.docker(&["exec", name, "/bin/busybox", "cat", "/run/secrets/password"]).await;
    assert_eq!(file(&engine).await?, VALUE);
    engine.kill().await?;
    engine.restart().await?;
    // Whether an engine that was killed starts its containers again by itself depends on its version.
    engine.docker(&["start", name]).await?;
    assert_eq!(file(&engine).await?, VALUE);
    engine.docker(&["restart", "-t", "1", name]).await?;
    assert_eq!(file(&engine).await?, VALUE);
    Ok(())
}
