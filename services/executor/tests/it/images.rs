//! Images made for one test, pushed to the stage's registry, and a second door to it that asks for a password.

use anyhow::{Context, Result};
use slipway_domain::image::{Digest, ImageRef};
use slipway_integration_tests::{
    machine,
    ports::{self, Port},
    process::Process,
    settings, wait,
};
use uuid::Uuid;

use crate::stage::Stage;

/// The password of user `puller` at the guarded registry, and its hash.
pub const PULL_PASSWORD: &str = "canary-pull-password";
const PULL_PASSWORD_BCRYPT: &str = "$2b$05$KNk6QojwerXd6R7mfhmYx.ty2elRBskLlQUEw1WqvO1OoKLhVAfK6";

impl Stage {
    /// An image in the registry, and not on the engine: busybox, files, and `docker import` changes.
    pub async fn image(&self, repository: &str, files: &[(&str, &str)], changes: &[&str]) -> Result<ImageRef> {
        let root = self.folder.path().join(format!("root-{}", Uuid::new_v4().simple()));
        for folder in ["bin", "tmp", "www"] {
            std::fs::create_dir_all(root.join(folder))?;
        }
        std::fs::copy("/bin/busybox", root.join("bin/busybox")).context("Debian's busybox-static is installed")?;
        std::os::unix::fs::symlink("busybox", root.join("bin/sh"))?;
        for (path, content) in files {
            let path = root.join(path.trim_start_matches('/'));
            std::fs::create_dir_all(path.parent().context("a path with a folder")?)?;
            std::fs::write(path, content)?;
        }
        let archive = root.with_extension("tar");
        machine::run("tar", &["-C", text(&root), "-cf", text(&archive), "."]).await?;
        let registry = self.registry.port.address();
        let repository = format!("{}/{repository}", self.project);
        let tag = Uuid::new_v4().simple().to_string();
        let name = format!("{registry}/{repository}:{tag}");
        let mut import = vec!["import"];
        import.extend(changes.iter().flat_map(|change| ["-c", change]));
        import.extend([text(&archive), &name]);
        machine::run("docker", &import).await?;
        let pushed = machine::run("docker", &["push", &name]).await?;
        machine::run("docker", &["rmi", &name]).await?;
        let digest = pushed.split_whitespace().find(|word| word.starts_with("sha256:")).context("a digest")?;
        Ok(ImageRef { registry, repository, tag, digest: Digest::new(digest).map_err(anyhow::Error::msg)? })
    }

    /// An image whose shell runs this script.
    pub async fn script(&self, repository: &str, script: &str) -> Result<ImageRef> {
        let command = serde_json::to_string(&["/bin/sh", "-c", script])?;
        self.image(repository, &[], &[&format!("CMD {command}")]).await
    }

    /// An image that serves a page on port 80, `/healthz` among it if it is healthy.
    pub async fn page(&self, repository: &str, page: &str, healthy: bool) -> Result<ImageRef> {
        let script = "trap 'exit 0' TERM; echo serving; /bin/busybox httpd -f -p 80 -h /www & wait";
        let command = serde_json::to_string(&["/bin/sh", "-c", script])?;
        let health = if healthy { "/www/healthz" } else { "/www/other" };
        self.image(repository, &[("/www/index.html", page), (health, "ok")], &[&format!("CMD {command}")]).await
    }

    /// A second door to the registry that asks for user `puller` and the password of [`PULL_PASSWORD`].
    pub async fn guarded_registry(&self) -> Result<(Process, Port)> {
        let (port, folder) = (ports::reserve()?, self.folder.path());
        std::fs::write(folder.join("htpasswd"), format!("puller:{PULL_PASSWORD_BCRYPT}\n"))?;
        let config = folder.join("guarded.yml");
        let yaml = format!(
            "version: 0.1\nstorage: {{filesystem: {{rootdirectory: {:?}}}}}\nhttp: {{addr: \"{}\"}}\n\
             auth: {{htpasswd: {{realm: test, path: {:?}}}}}\n",
            folder.join("images"),
            port.address(),
            folder.join("htpasswd")
        );
        std::fs::write(&config, yaml)?;
        let mut process = Process::new("guarded", settings::registry(), folder).arg("serve").arg(config);
        process.start()?;
        let url = format!("http://{}/v2/", port.address());
        let http = reqwest::Client::builder().no_proxy().build()?;
        wait::until("the guarded registry answers", || async { http.get(&url).send().await }).await;
        Ok((process, port))
    }
}

fn text(path: &std::path::Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
