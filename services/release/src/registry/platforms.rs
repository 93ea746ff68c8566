//! For which platforms an image is there: what an index lists, or what the configuration of a single image says.

use reqwest::Method;
use serde::Deserialize;
use slipway_domain::image::Digest;

use super::{connection::Connection, error::RegistryError};

#[derive(Deserialize)]
struct Manifest {
    /// Of an index.
    #[serde(default)]
    manifests: Vec<Entry>,
    /// Of an image.
    config: Option<Blob>,
}

#[derive(Deserialize)]
struct Entry {
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Blob {
    digest: String,
}

#[derive(Deserialize)]
struct Platform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

impl Platform {
    /// Such as `linux/arm64/v8`; none for what is no platform, as the entries of attestations.
    fn name(&self) -> Option<String> {
        let known = |part: &Option<String>| part.clone().filter(|part| !part.is_empty() && part != "unknown");
        let (os, architecture) = (known(&self.os)?, known(&self.architecture)?);
        Some(match known(&self.variant) {
            Some(variant) => format!("{os}/{architecture}/{variant}"),
            None => format!("{os}/{architecture}"),
        })
    }
}

impl Connection {
    /// The platforms of an image, as its registry tells them; none if it tells none.
    pub async fn platforms(&self, repository: &str, digest: &Digest) -> Result<Vec<String>, RegistryError> {
        let what = format!("{repository}@{}", digest.as_str());
        let path = self.path(repository, &what)?;
        let url = self.url(&format!("{path}/manifests/{}", digest.as_str()), &what)?;
        let answer = self.ask(Method::GET, url, &path, &what).await?;
        let manifest: Manifest = self.json(answer, &what, "its manifest").await?;
        let mut platforms: Vec<_> =
            manifest.manifests.iter().filter_map(|entry| entry.platform.as_ref()?.name()).collect();
        if let (true, Some(config)) = (platforms.is_empty(), manifest.config)
            && let Ok(digest) = Digest::new(config.digest)
        {
            let url = self.url(&format!("{path}/blobs/{}", digest.as_str()), &what)?;
            let answer = self.ask(Method::GET, url, &path, &what).await?;
            let config: Platform = self.json(answer, &what, "its configuration").await?;
            platforms.extend(config.name());
        }
        platforms.sort();
        platforms.dedup();
        Ok(platforms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attestations_are_no_platform() {
        let name = |json: &str| serde_json::from_str::<Platform>(json).unwrap().name();
        assert_eq!(name(r#"{"os": "linux", "architecture": "amd64"}"#).as_deref(), Some("linux/amd64"));
        let arm = r#"{"os": "linux", "architecture": "arm64", "variant": "v8"}"#;
        assert_eq!(name(arm).as_deref(), Some("linux/arm64/v8"));
        assert_eq!(name(r#"{"os": "unknown", "architecture": "unknown"}"#), None);
        assert_eq!(name("{}"), None);
    }
}
