//! Where migrations come from: the order itself, or a folder of an image.

use std::{cmp::Ordering, collections::HashMap};

use serde_json::json;
use slipway_domain::{
    image::ImageRef,
    order::{ContainerOptions, SqlSource},
    release::PullCredentials,
    text::sha256_hex,
};

use crate::{
    docker::{
        DockerError, Engine,
        container::Blueprint,
        labels::{self, Identity, Kind},
    },
    steps::{self, own},
    task::{Stop, Task, failed},
};

const ENDING: &str = ".sql";

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// File name; its place in the order.
    pub name: String,
    /// SQL.
    pub text: String,
    /// SHA-256 of the file.
    pub checksum: String,
}

/// All files in the order in which they apply.
pub async fn files(task: &Task<'_>, source: &SqlSource) -> Result<Vec<Migration>, Stop> {
    let mut files = match source {
        SqlSource::Inline(files) => files
            .iter()
            .map(|(name, text)| {
                // The checksum is of the text before secrets are filled in: a new secret changes no migration.
                let checksum = sha256_hex(text.as_bytes());
                Ok(Migration { name: name.clone(), checksum, text: task.held.fill(text)? })
            })
            .collect::<Result<Vec<_>, Stop>>()?,
        SqlSource::Image { image, credentials, path } => from_image(task, image, credentials.as_ref(), path).await?,
    };
    files.sort_by(|a, b| natural(&a.name, &b.name));
    if files.is_empty() {
        task.held.say(format!("there is no *{ENDING} file"));
    }
    Ok(files)
}

/// Removes what earlier attempts left.
pub async fn clean(task: &Task<'_>, source: &SqlSource) -> Result<(), Stop> {
    match source {
        SqlSource::Inline(_) => Ok(()),
        SqlSource::Image { .. } => remove_leftovers(task, &task.engine()?, &task.identity(Kind::Files)).await,
    }
}

async fn from_image(
    task: &Task<'_>,
    image: &ImageRef,
    credentials: Option<&PullCredentials>,
    path: &str,
) -> Result<Vec<Migration>, Stop> {
    let engine = task.engine()?;
    let identity = task.identity(Kind::Files);
    remove_leftovers(task, &engine, &identity).await?;
    let local = steps::image(task, &engine, image, credentials, None).await?;
    let blueprint = || {
        Ok(Blueprint {
            image: image.pinned(),
            // Some images have no command, and one is asked for even if nothing is started.
            command: Some(vec!["/never-started".to_owned()]),
            labels: labels(&identity, image, path),
            ..Blueprint::default()
        })
    };
    let name = identity.name(&format!("{}-files", identity.task.step));
    let delivery = own::delivery::Delivery::default();
    let options = ContainerOptions::default();
    let plan = own::Plan { identity: &identity, name, image, local: &local, delivery, options: &options };
    let id = own::create(task, &engine, plan, blueprint).await?;
    let found = task.interruptible(engine.files(&id, path, ENDING)).await;
    task.effect_regardless("remove the container that the files came from").await?;
    engine.remove(&id).await?;
    let found = found?.map_err(|error| match error {
        DockerError::Unreachable { .. } => error.into(),
        error => failed(format!("no migrations from {image}: {error}")),
    })?;
    found.into_iter().map(|(name, bytes)| migration(name, bytes)).collect()
}

fn labels(identity: &Identity, image: &ImageRef, path: &str) -> HashMap<String, String> {
    identity.labels(&labels::spec(&json!({ "image": image.digest, "path": path })))
}

async fn remove_leftovers(task: &Task<'_>, engine: &Engine, identity: &Identity) -> Result<(), Stop> {
    let mut filter = identity.place();
    filter.push(format!("{}={}", labels::DEPLOYMENT, identity.deployment));
    for leftover in engine.containers(&filter).await? {
        own::remove(task, engine, &leftover).await?;
    }
    Ok(())
}

fn migration(name: String, bytes: Vec<u8>) -> Result<Migration, Stop> {
    let checksum = sha256_hex(&bytes);
    let text = String::from_utf8(bytes).map_err(|_| failed(format!("{name} is not UTF-8 text")))?;
    Ok(Migration { name, checksum, text })
}

/// Compares names with the numbers in them as numbers: `2` before `10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a, b);
    loop {
        match (take_number(left), take_number(right)) {
            (Some((x, rest_left)), Some((y, rest_right))) => {
                let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
                if order != Ordering::Equal {
                    return order;
                }
                (left, right) = (rest_left, rest_right);
            }
            _ => match (left.chars().next(), right.chars().next()) {
                (Some(x), Some(y)) if x == y => {
                    (left, right) = (&left[x.len_utf8()..], &right[y.len_utf8()..]);
                }
                // `01` and `1` are equal so far; the whole text decides, so that the order is total.
                (None, None) => return a.cmp(b),
                (x, y) => return x.cmp(&y),
            },
        }
    }
}

/// The digits that a text begins with, without leading zeros, and the rest.
fn take_number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (end > 0).then(|| (text[..end].trim_start_matches('0'), &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_apply_in_the_order_of_their_numbers() {
        let mut names = vec!["10_c.sql", "2_b.sql", "001_a.sql", "V1.10__x.sql", "V1.9__x.sql", "1_a.sql"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(names, ["001_a.sql", "1_a.sql", "2_b.sql", "10_c.sql", "V1.9__x.sql", "V1.10__x.sql"]);
    }
}
