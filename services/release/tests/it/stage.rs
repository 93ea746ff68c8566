//! One release service with everything that it needs, and a test in the place of `docker push`.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use reqwest::{Method, Response, StatusCode, header};
use serde_json::{Value, json};
use slipway_bus::{Bus, BusConfig};
use slipway_domain::{
    api::{ApplyAnswer, CreatedWebhookToken, DeploymentSummary, PushView, PushedImage, ReleaseView},
    presence::Role,
    text::sha256_hex,
};
use slipway_integration_tests::{
    client::Client,
    machine,
    ports::{self, Port},
    process::Process,
    registry::{Notify, Registry},
    settings, wait,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
};

/// What the registry sends as `Authorization`, and the webhook expects.
pub const AUTHORIZATION: &str = "Bearer canary-registry-hook";
/// The password of user `reader` at the guarded registry, and its hash.
pub const PASSWORD: &str = "canary-pull-password";
const PASSWORD_BCRYPT: &str = "$2b$05$KNk6QojwerXd6R7mfhmYx.ty2elRBskLlQUEw1WqvO1OoKLhVAfK6";
/// The image of project `shop`.
pub const IMAGE: &str = "shop/web";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// NATS, a release service and a registry that notifies it. Dropped, all of it ends.
pub struct Stage {
    pub folder: TempDir,
    pub api: Client,
    pub release: Process,
    pub registry: Registry,
    /// `/hooks/distribution/<token>`
    pub hook: String,
    http: reqwest::Client,
    _port: Port,
    nats_port: Port,
    _nats: Process,
}

impl Stage {
    /// With project `shop`, whose images of [1.0,2.0) without pre-release become releases and go to `staging`.
    pub async fn start() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("slipway-release-").tempdir()?;
        let (nats, nats_port) = nats(&folder)?;
        let port = ports::reserve()?;
        let mut release = release(&folder, &port, &nats_port);
        release.start()?;
        let api = Client::new(format!("http://{}", port.address()), None);
        let token = wait::until("the admin token is written", || async {
            std::fs::read_to_string(folder.path().join("admin.token"))
        });
        let api = api.with_token(Some(token.await.trim().to_owned()));
        ready(&api).await;
        let registry_port = ports::reserve()?;
        api.put("/api/v1/secrets/registry-hook", &json!({"value": AUTHORIZATION})).await?;
        apply(&api, manifests(&registry_port.address())).await?;
        let hook: CreatedWebhookToken = api.post("/api/v1/webhooks/pushes/token", &json!({})).await?;
        let notify = Notify { url: format!("{}{}", api.base(), hook.path), authorization: AUTHORIZATION.to_owned() };
        let registry = Registry::start(folder.path(), registry_port, &notify).await?;
        let http = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { folder, api, release, registry, hook: hook.path, http, _port: port, nats_port, _nats: nats })
    }

    /// A connection to the bus, as the planner has it.
    pub async fn bus(&self) -> Result<Bus> {
        let url = format!("nats://{}", self.nats_port.address());
        Ok(Bus::connect(&BusConfig { url, creds: None, role: Role::Planner, id: "planner-1".into() }).await?)
    }

    /// Leaves the deployment log room for that many bytes.
    pub async fn shrink_log(&self, max_bytes: u64) -> Result<()> {
        let config = json!({
            "name": "DEPLOYMENTS", "subjects": ["deployment.>"], "retention": "limits", "storage": "file",
            "discard": "new", "deny_delete": true, "allow_direct": true, "num_replicas": 1,
            "max_consumers": 10_000, "max_msgs": -1, "max_msgs_per_subject": -1, "max_age": 0, "max_bytes": max_bytes
        })
        .to_string();
        let mut wire = BufReader::new(TcpStream::connect(self.nats_port.address()).await?);
        let subject = "$JS.API.STREAM.UPDATE.DEPLOYMENTS";
        let text = format!(
            "CONNECT {{\"verbose\":false}}\r\nSUB reply 1\r\nPUB {subject} reply {}\r\n{config}\r\n",
            config.len()
        );
        wire.write_all(text.as_bytes()).await?;
        let mut line = String::new();
        while !line.contains("stream_update_response") {
            line.clear();
            ensure!(wire.read_line(&mut line).await? > 0, "NATS closed the connection");
        }
        ensure!(!line.contains("\"error\""), "{line}");
        Ok(())
    }

    /// Applies one manifest.
    pub async fn apply(&self, manifest: Value) -> Result<()> {
        apply(&self.api, vec![manifest]).await
    }

    /// `kill -9` and a new start of the release service.
    pub async fn restart(&mut self) -> Result<()> {
        self.release.kill().await?;
        self.release.start()?;
        ready(&self.api).await;
        Ok(())
    }

    /// Pushes an image without layers whose content is `content`; its digest.
    pub async fn push(&self, tag: &str, content: &str) -> Result<String> {
        push(&self.http, &format!("http://{}", self.registry.port.address()), tag, content).await
    }

    /// Posts a delivery as the registry would.
    pub async fn deliver(&self, events: &[Value]) -> Result<Response> {
        let request = self.http.post(format!("{}{}", self.api.base(), self.hook));
        let request = request.header(header::AUTHORIZATION, AUTHORIZATION);
        Ok(request.json(&json!({ "events": events })).send().await?)
    }

    /// All deliveries, newest first.
    pub async fn pushes(&self) -> Result<Vec<PushView>> {
        self.api.get("/api/v1/pushes").await
    }

    /// Waits for the verdict on the pushed images of a tag, oldest first.
    pub async fn verdicts(&self, tag: &str, count: usize) -> Vec<PushedImage> {
        wait::until(&format!("{count} verdicts on {tag}"), || async {
            let mut verdicts = Vec::new();
            let mut pushes = self.pushes().await.map_err(|e| e.to_string())?;
            pushes.retain(|push| push.done);
            for image in pushes.into_iter().rev().flat_map(|push| push.images) {
                if image.tag.as_deref() == Some(tag) && !image.reason.contains("the action is") {
                    verdicts.push(image);
                }
            }
            if verdicts.len() >= count { Ok(verdicts) } else { Err(format!("{verdicts:#?}")) }
        })
        .await
    }

    /// The versions of the releases of `shop`, newest first.
    pub async fn releases(&self) -> Result<Vec<String>> {
        let releases: Vec<ReleaseView> = self.api.get("/api/v1/projects/shop/releases").await?;
        Ok(releases.into_iter().map(|release| release.version).collect())
    }

    /// The deployments of `shop`, newest first, as `version environment by`.
    pub async fn deployments(&self) -> Result<Vec<String>> {
        let deployments: Vec<DeploymentSummary> = self.api.get("/api/v1/deployments?project=shop").await?;
        Ok(deployments.iter().map(|d| format!("{} {} by {}", d.version, d.environment, d.requested_by)).collect())
    }

    /// The project, with other triggers.
    pub fn project(triggers: &Value) -> Value {
        json!({
            "kind": "Project", "name": "shop", "lifecycle": "standard",
            "packages": {"web": {"feed": "local", "image": IMAGE}},
            "channels": [{"name": "stable", "versions": "[1.0,2.0)", "prerelease": "^$"}],
            "triggers": triggers,
            "steps": [{"name": "pause", "wait": "1s"}]
        })
    }

    /// A second door to the registry's images that asks for user `reader` and [`PASSWORD`].
    pub async fn guarded(&self) -> Result<(Port, Process)> {
        let htpasswd = self.folder.path().join("htpasswd");
        std::fs::write(&htpasswd, format!("reader:{PASSWORD_BCRYPT}\n"))?;
        self.door("guarded", &format!("auth: {{htpasswd: {{realm: test, path: {htpasswd:?}}}}}"), "").await
    }

    /// A second door that speaks https with a certificate of an authority that nobody knows; and the authority's file.
    pub async fn private_of(&self, name: &str) -> Result<(Port, Process, PathBuf)> {
        let path = |file: &str| self.folder.path().join(format!("{name}-{file}")).display().to_string();
        let (ca, ca_key, request) = (path("ca.pem"), path("ca.key"), path("server.csr"));
        let (certificate, key, names) = (path("server.pem"), path("server.key"), path("names"));
        std::fs::write(&names, "subjectAltName=IP:127.0.0.1\n")?;
        let fresh = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let own = ["-x509", "-days", "2", "-subj", "/CN=an authority of its own", "-keyout", &ca_key, "-out", &ca];
        machine::run("openssl", &[&["req"][..], &fresh, &own].concat()).await?;
        let asked = ["-subj", "/CN=registry", "-keyout", &key, "-out", &request];
        machine::run("openssl", &[&["req"][..], &fresh, &asked].concat()).await?;
        let signed = ["x509", "-req", "-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-days", "2"];
        machine::run("openssl", &[&signed[..], &["-extfile", &names, "-out", &certificate]].concat()).await?;
        let tls = format!(", tls: {{certificate: {certificate:?}, key: {key:?}}}");
        let (port, process) = self.door(name, "", &tls).await?;
        Ok((port, process, ca.into()))
    }

    /// Another registry over the same images; `more` is a line of its configuration, `http` belongs to its address.
    async fn door(&self, name: &str, more: &str, http: &str) -> Result<(Port, Process)> {
        let (folder, port) = (self.folder.path(), ports::reserve()?);
        let config = format!(
            "version: 0.1\nlog: {{level: warn}}\nstorage: {{filesystem: {{rootdirectory: {:?}}}}}\n{more}\n\
             http: {{addr: {:?}{http}}}\n",
            folder.join("images"),
            port.address()
        );
        let file = folder.join(format!("{name}.yml"));
        std::fs::write(&file, config)?;
        let mut process = Process::new(name, settings::registry(), folder).arg("serve").arg(file);
        process.start()?;
        wait::until("the registry answers", || tokio::net::TcpStream::connect(port.address())).await;
        Ok((port, process))
    }
}

/// An event that announces an image, as a registry called `somewhere` would send it.
pub fn event(repository: &str, tag: &str, digest: &str) -> Value {
    json!({
        "id": "5f1c", "action": "push",
        "target": {"mediaType": MANIFEST, "digest": digest, "repository": repository, "tag": tag},
        "request": {"host": "somewhere:5000"}
    })
}

/// A NATS in the folder.
pub fn nats(folder: &TempDir) -> Result<(Process, Port)> {
    let port = ports::reserve()?;
    let config = folder.path().join("nats.conf");
    let store = folder.path().join("jetstream");
    let text = format!("listen: {:?}\njetstream {{ store_dir: {store:?}, sync_interval: always }}\n", port.address());
    std::fs::write(&config, text)?;
    let mut nats = Process::new("nats", settings::nats_server(), folder.path()).arg("-c").arg(config);
    nats.start()?;
    Ok((nats, port))
}

/// A release service in the folder, not started.
pub fn release(folder: &TempDir, port: &Port, nats: &Port) -> Process {
    let path = |name: &str| folder.path().join(name).display().to_string();
    Process::new("release", PathBuf::from(env!("CARGO_BIN_EXE_slipway-release")), folder.path())
        .env("SLIPWAY_NATS_URL", format!("nats://{}", nats.address()))
        .env("SLIPWAY_LISTEN", port.address())
        .env("SLIPWAY_DATABASE_URL", format!("sqlite://{}?mode=rwc", path("release.db")))
        .env("SLIPWAY_MASTER_KEY_FILE", path("master.key"))
        .env("SLIPWAY_ADMIN_TOKEN_FILE", path("admin.token"))
        .env("SLIPWAY_LOG", "info,slipway=debug")
        // As on a machine without CA certificates.
        .env("SSL_CERT_FILE", "/dev/null")
        .env("SSL_CERT_DIR", "/dev/null")
}

/// Waits until it is usable.
pub async fn ready(api: &Client) {
    wait::until("the release service is ready", || async {
        match api.request(Method::GET, "/readyz").send().await {
            Ok(answer) if answer.status() == StatusCode::OK => Ok(()),
            Ok(answer) => Err(answer.text().await.unwrap_or_default()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await;
}

async fn apply(api: &Client, manifests: Vec<Value>) -> Result<()> {
    let answer: ApplyAnswer = api.post("/api/v1/apply", &json!({ "manifests": manifests })).await?;
    ensure!(!answer.dry_run, "applied");
    Ok(())
}

fn manifests(registry: &str) -> Vec<Value> {
    vec![
        json!({"kind": "Feed", "name": "local", "registry": registry}),
        json!({"kind": "Environment", "name": "staging"}),
        json!({"kind": "Environment", "name": "production"}),
        json!({"kind": "Lifecycle", "name": "standard", "phases": [
            {"name": "Test", "environments": [{"name": "staging", "automatic": true}]},
            {"name": "Live", "environments": ["production"]}
        ]}),
        Stage::project(&json!([{"on": "push", "packages": ["web"], "channel": "stable"}])),
        json!({"kind": "Webhook", "name": "pushes", "source": "distribution", "feeds": ["local"],
               "authorization": {"secret": "registry-hook"}}),
    ]
}

async fn push(http: &reqwest::Client, registry: &str, tag: &str, content: &str) -> Result<String> {
    let config =
        json!({"architecture": "amd64", "os": "linux", "config": {"Labels": {"content": content}}}).to_string();
    let config_digest = format!("sha256:{}", sha256_hex(config.as_bytes()));
    let started = http.post(format!("{registry}/v2/{IMAGE}/blobs/uploads/")).send().await?.error_for_status()?;
    let location = started.headers()[header::LOCATION].to_str()?.to_owned();
    let put = http.put(location).query(&[("digest", &config_digest)]).body(config.clone());
    put.send().await?.error_for_status().context("the config")?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "size": config.len(), "digest": config_digest}
    });
    let put = http.put(format!("{registry}/v2/{IMAGE}/manifests/{tag}")).header(header::CONTENT_TYPE, MANIFEST);
    let stored = put.body(manifest.to_string()).send().await?.error_for_status().context("the manifest")?;
    Ok(stored.headers()["docker-content-digest"].to_str()?.to_owned())
}
