//! Images of an engine: looked up and pulled by digest, never by tag.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bollard::{
    auth::DockerCredentials,
    models::CreateImageInfo,
    query_parameters::{CreateImageOptionsBuilder, RemoveImageOptions},
};
use futures::StreamExt;
use slipway_domain::image::{Digest, ImageRef};

use super::{DockerError, Engine};

/// How often a pull that takes long says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// An image that an engine has.
#[derive(Debug, Clone)]
pub struct LocalImage {
    /// The engine's id for it; containers name it.
    pub id: String,
    /// Whether it brings a HEALTHCHECK.
    pub has_healthcheck: bool,
    /// The digests under which the asked repository knows it.
    pub digests: Vec<Digest>,
    /// The user that its containers run as: `USER` or `USER:GROUP`, names or numbers; root if empty.
    pub user: String,
    /// What it runs on: `linux/amd64`, or `linux/arm/v7`.
    pub platform: String,
}

impl LocalImage {
    /// Whether it is for a platform; `linux/arm` is every `linux/arm/…`.
    pub fn is_for(&self, platform: &str) -> bool {
        self.platform == platform || self.platform.starts_with(&format!("{platform}/"))
    }
}

/// What became of an image that was to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemovedImage {
    /// The engine has it no more by that name.
    Gone,
    /// It had not.
    WasNotThere,
    /// A container uses it, so it stays.
    InUse,
}

/// User name and password for a pull. No `Debug`.
pub struct Login {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
}

impl Engine {
    /// The image, if the engine has it by that repository and digest.
    pub async fn image(&self, image: &ImageRef) -> Result<Option<LocalImage>, DockerError> {
        self.image_named(&image.pinned(), image).await.map(|found| found.filter(|i| i.digests.contains(&image.digest)))
    }

    /// What a container's image really is, judged by the repository of `wanted`.
    pub async fn image_named(&self, name: &str, wanted: &ImageRef) -> Result<Option<LocalImage>, DockerError> {
        let found = match self.docker.inspect_image(name).await {
            Ok(found) => found,
            Err(error) => match self.explain("inspecting an image", name, error) {
                DockerError::Gone(_) => return Ok(None),
                error => return Err(error),
            },
        };
        let repository = format!("{}/{}", wanted.registry, wanted.repository);
        // The engine lists every repository that shares the bits; only ours counts.
        let digests = found
            .repo_digests
            .unwrap_or_default()
            .iter()
            .filter_map(|listed| listed.split_once('@'))
            .filter(|(listed, _)| familiar(listed) == familiar(&repository))
            .filter_map(|(_, digest)| Digest::new(digest).ok())
            .collect();
        let config = found.config.unwrap_or_default();
        let check = config.healthcheck.and_then(|check| check.test).unwrap_or_default();
        let has_healthcheck = check.first().is_some_and(|word| word != "NONE");
        let user = config.user.unwrap_or_default();
        let parts = [found.os, found.architecture, found.variant].into_iter().flatten();
        let platform = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        Ok(Some(LocalImage { id: found.id.unwrap_or_default(), has_healthcheck, digests, user, platform }))
    }

    /// Takes a name from an image; with its last name the image goes, unless a container uses it.
    pub async fn remove_image(&self, name: &str) -> Result<RemovedImage, DockerError> {
        match self.docker.remove_image(name, None::<RemoveImageOptions>, None).await {
            Ok(_) => Ok(RemovedImage::Gone),
            Err(error) => match self.explain("removing an image", name, error) {
                DockerError::Gone(_) => Ok(RemovedImage::WasNotThere),
                DockerError::Conflict { .. } => Ok(RemovedImage::InUse),
                error => Err(error),
            },
        }
    }

    /// Pulls the image by digest; `say` is told in whole sentences, at most every few seconds.
    pub async fn pull(
        &self,
        image: &ImageRef,
        platform: Option<&str>,
        login: Option<Login>,
        mut say: impl FnMut(String),
    ) -> Result<(), DockerError> {
        let options =
            CreateImageOptionsBuilder::new().from_image(&image.pinned()).platform(platform.unwrap_or_default());
        let options = options.build();
        let credentials = login.map(|login| DockerCredentials {
            username: Some(login.username),
            password: Some(login.password),
            serveraddress: Some(image.registry.clone()),
            ..Default::default()
        });
        let doing = format!("pulling {image}");
        say(doing.clone());
        let started = Instant::now();
        let mut said = started;
        let mut layers = Layers::default();
        let mut progress = self.docker.create_image(Some(options), None, credentials).boxed();
        while let Some(step) = progress.next().await {
            let step = step.map_err(|error| pull_error(image, self.explain(&doing, &image.pinned(), error)))?;
            layers.note(step);
            if said.elapsed() >= SAY_EVERY {
                said = Instant::now();
                say(format!("pulling {}: {}", image.repository, layers.summary()));
            }
        }
        say(format!("pulled {} in {:.1} s", image.repository, started.elapsed().as_secs_f64()));
        Ok(())
    }
}

/// Says which image, and what to look at.
fn pull_error(image: &ImageRef, error: DockerError) -> DockerError {
    let doing = format!("pulling {image}");
    match error {
        DockerError::Gone(_) => DockerError::Refused {
            doing,
            message: "the registry has no such image; it may have been deleted since the release was made".to_owned(),
        },
        DockerError::Refused { message, .. } if message.contains("no matching manifest for") => DockerError::Refused {
            doing,
            message: format!(
                "{message}; the image is not there for the platform of this engine, push it for that one too (docker buildx build --platform)"
            ),
        },
        DockerError::Refused { message, .. } => DockerError::Refused {
            message: format!(
                "{message}; check that the Docker host reaches {} and the feed's credentials",
                image.registry
            ),
            doing,
        },
        error => error,
    }
}

/// How far each layer is.
#[derive(Default)]
struct Layers(BTreeMap<String, Layer>);

#[derive(Default)]
struct Layer {
    current: u64,
    total: u64,
    done: bool,
}

impl Layers {
    fn note(&mut self, step: CreateImageInfo) {
        let (Some(id), Some(status)) = (step.id, step.status) else { return };
        let layer = match status.as_str() {
            "Pulling fs layer" | "Waiting" | "Downloading" | "Already exists" | "Pull complete" => {
                self.0.entry(id).or_default()
            }
            _ => return,
        };
        layer.done = matches!(status.as_str(), "Already exists" | "Pull complete");
        if let Some(detail) = step.progress_detail {
            layer.current = detail.current.and_then(|n| u64::try_from(n).ok()).unwrap_or(layer.current);
            layer.total = detail.total.and_then(|n| u64::try_from(n).ok()).unwrap_or(layer.total);
        }
    }

    fn summary(&self) -> String {
        const MB: u64 = 1_000_000;
        let done = self.0.values().filter(|layer| layer.done).count();
        let sum = |get: fn(&Layer) -> u64| self.0.values().map(get).sum::<u64>() / MB;
        format!("{done} of {} layers, {} of {} MB", self.0.len(), sum(|l| l.current), sum(|l| l.total))
    }
}

/// A repository without the names that Docker leaves out for its own registry.
fn familiar(repository: &str) -> &str {
    let rest = ["docker.io/", "index.docker.io/", "registry-1.docker.io/"]
        .iter()
        .find_map(|prefix| repository.strip_prefix(prefix))
        .unwrap_or(repository);
    rest.strip_prefix("library/").unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hub_has_several_names() {
        assert_eq!(familiar("docker.io/library/nginx"), familiar("nginx"));
        assert_eq!(familiar("registry-1.docker.io/shop/web"), "shop/web");
        assert_ne!(familiar("127.0.0.1:5000/shop/web"), familiar("shop/web"));
    }

    #[test]
    fn layers_are_summed_up() {
        let mut layers = Layers::default();
        let step = |id: &str, status: &str, current| CreateImageInfo {
            id: Some(id.into()),
            status: Some(status.into()),
            progress_detail: Some(bollard::models::ProgressDetail { current, total: Some(4_000_000) }),
            ..Default::default()
        };
        layers.note(step("a", "Downloading", Some(1_000_000)));
        layers.note(step("b", "Pull complete", Some(4_000_000)));
        layers.note(step("sha256:x", "Digest: sha256:x", None));
        assert_eq!(layers.summary(), "1 of 2 layers, 5 of 8 MB");
    }
}
