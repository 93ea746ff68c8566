//! A real registry (CNCF distribution) that notifies the stack's release service.

use std::path::Path;

use anyhow::Result;

use crate::{ports::Port, process::Process, settings, wait};

/// Where and how the registry announces pushes.
pub struct Notify {
    /// Webhook URL, with its token.
    pub url: String,
    /// Value of the `Authorization` header.
    pub authorization: String,
}

/// A registry process.
pub struct Registry {
    /// Its address, which is also the image prefix.
    pub port: Port,
    /// The process.
    pub process: Process,
}

impl Registry {
    /// Starts one with its data in `folder`.
    pub async fn start(folder: &Path, port: Port, notify: &Notify) -> Result<Self> {
        let config = folder.join("registry.yml");
        std::fs::write(&config, configuration(&folder.join("images"), &port.address(), notify))?;
        let mut process = Process::new("registry", settings::registry(), folder).arg("serve").arg(config);
        process.start()?;
        // A second call finds the provider installed, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().build()?;
        let url = format!("http://{}/v2/", port.address());
        wait::until("the registry answers", || async { http.get(&url).send().await }).await;
        Ok(Self { port, process })
    }
}

fn configuration(images: &Path, address: &str, notify: &Notify) -> String {
    format!(
        r#"version: 0.1
log: {{level: warn}}
storage:
  filesystem: {{rootdirectory: "{}"}}
http: {{addr: "{address}"}}
notifications:
  endpoints:
    - name: slipway
      url: "{}"
      headers: {{Authorization: ["{}"]}}
      timeout: 2s
      threshold: 3
      backoff: 500ms
      ignoredmediatypes: [application/octet-stream]
"#,
        images.display(),
        notify.url,
        notify.authorization
    )
}
