//! Releases: made once, with every image resolved to its digest at the registry.

mod tags;
mod version;

use std::collections::BTreeMap;

use chrono::Utc;
use slipway_domain::{
    api::{CreateRelease, ReleaseBlock, ReleaseView},
    event::Actor,
    image::ImageRef,
    manifest::{Feed, Kind, Manifest, PackageSource, Project, VariableSet},
    name::{FeedName, PackageName, ProjectName},
    release::{Package, PullCredentials, ReleaseSnapshot},
    text::did_you_mean,
};
use slipway_engine::channel;
use slipway_store::{ReleaseRow, StoreError};

use crate::{
    app::App,
    operations::{audit, said},
    problem::Problem,
    promotion, registry,
};

/// Makes a release. One of the same version and the same images is simply told again.
pub async fn create(
    app: &App,
    project: &ProjectName,
    body: CreateRelease,
    actor: Actor,
) -> Result<ReleaseView, Problem> {
    let project = project_of(app, project).await?;
    let channel = channel::find(&project, body.channel.as_ref())
        .map_err(|message| Problem::unprocessable("unknown-channel", message))?;
    let rules = channel::Rules::parse(&channel).map_err(|m| Problem::unprocessable("invalid-manifest", m))?;
    known_packages(&project, &body)?;
    let mut packages = BTreeMap::new();
    for (name, source) in &project.packages {
        let tag = body.packages.get(name).map(String::as_str);
        packages.insert(name.clone(), package(app, name, source, tag, &rules).await?);
    }
    let mut snapshot = ReleaseSnapshot {
        version: String::new(),
        variable_sets: variable_sets(app, &project).await?,
        project: project.name.clone(),
        channel: channel.name,
        packages,
        steps: project.steps.clone(),
        variables: project.variables.clone(),
        created_at: Utc::now(),
        notes: notes(body.notes.clone())?,
    };
    let counted = body.version.is_none() && project.version.is_some();
    if counted && let Some(newest) = newest_of(app, &snapshot).await? {
        return Ok(view(&newest));
    }
    let mut tries = if counted { COUNT_TRIES } else { 1 };
    let view = loop {
        snapshot.version = version::of(app, &project, &snapshot.channel, &body, &snapshot.packages).await?;
        match keep(app, ReleaseRow { snapshot: snapshot.clone(), created_by: actor.clone() }).await {
            // Somebody else has just counted to the same version.
            Err(problem) if problem.code() == "release-exists" && tries > 1 => tries -= 1,
            kept => break kept?,
        }
    };
    promotion::of_project(app, &project.name).await;
    Ok(view)
}

/// How often a version is counted again that somebody else took in the same moment.
const COUNT_TRIES: u32 = 5;

/// The newest release of the channel if it is the same as this one but for its version: a delivery that is repeated, say.
async fn newest_of(app: &App, snapshot: &ReleaseSnapshot) -> Result<Option<ReleaseRow>, Problem> {
    let rows = app.store.releases_of(&snapshot.project, NEWEST).await?;
    let newest = rows.into_iter().find(|row| row.snapshot.channel == snapshot.channel);
    let same = |row: &ReleaseRow| {
        let its = &row.snapshot;
        (digests(its), &its.steps, &its.variables, &its.variable_sets, &its.notes)
            == (digests(snapshot), &snapshot.steps, &snapshot.variables, &snapshot.variable_sets, &snapshot.notes)
    };
    Ok(newest.filter(same))
}

/// Releases of a project among which the newest of a channel is looked for.
const NEWEST: u64 = 100;

/// The sets that a project includes, as they are now.
async fn variable_sets(app: &App, project: &Project) -> Result<Vec<VariableSet>, Problem> {
    let world = app.world().await?;
    let included = project.variable_sets.iter().map(|name| {
        world.variable_sets.get(name).cloned().ok_or_else(|| {
            let known = world.variable_sets.keys().map(|n| n.as_str());
            Problem::unprocessable(
                "invalid-manifest",
                format!(
                    "project `{}` includes variable set `{name}`, which is not there{}; apply its manifest first",
                    project.name,
                    did_you_mean(name.as_str(), known)
                ),
            )
        })
    });
    included.collect()
}

/// The longest notes, in characters.
const LONGEST_NOTES: usize = 20_000;

fn notes(notes: Option<String>) -> Result<Option<String>, Problem> {
    match notes {
        Some(notes) if notes.chars().count() > LONGEST_NOTES => Err(Problem::unprocessable(
            "invalid-notes",
            format!("release notes have at most {LONGEST_NOTES} characters; put the rest where they can link to"),
        )),
        notes => Ok(notes.filter(|notes| !notes.trim().is_empty())),
    }
}

/// Keeps a release from phases that it was not in; a second time says another reason.
pub async fn block(
    app: &App,
    project: &ProjectName,
    version: &str,
    reason: String,
    actor: Actor,
) -> Result<ReleaseView, Problem> {
    get(app, project, version).await?;
    let reason = said(&reason)?;
    let entry = audit(&actor, "release.block", format!("project/{project}/release/{version}"), reason.clone());
    let block = ReleaseBlock { reason, by: actor, at: entry.at };
    app.store.block_release(project, version, &block, &entry).await?;
    show(app, project, version).await
}

/// Lets a blocked release go on; one that is not blocked stays as it is.
pub async fn unblock(
    app: &App,
    project: &ProjectName,
    version: &str,
    reason: String,
    actor: Actor,
) -> Result<ReleaseView, Problem> {
    get(app, project, version).await?;
    let entry = audit(&actor, "release.unblock", format!("project/{project}/release/{version}"), said(&reason)?);
    if app.store.unblock_release(project, version, &entry).await? {
        promotion::of_project(app, project).await;
    }
    show(app, project, version).await
}

/// One release as the API shows it, with what its tags mean by now.
pub async fn show_with_tags(app: &App, project: &ProjectName, version: &str) -> Result<ReleaseView, Problem> {
    let tags = tags::now(app, &get(app, project, version).await?.snapshot).await?;
    Ok(ReleaseView { tags, ..show(app, project, version).await? })
}

/// One release as the API shows it.
pub async fn show(app: &App, project: &ProjectName, version: &str) -> Result<ReleaseView, Problem> {
    let row = get(app, project, version).await?;
    let mut view = view(&row);
    view.blocked = app.store.blocks_of(project).await?.remove(version);
    Ok(view)
}

/// One release.
pub async fn get(app: &App, project: &ProjectName, version: &str) -> Result<ReleaseRow, Problem> {
    project_of(app, project).await?;
    app.store.release(project, version).await?.ok_or_else(|| {
        Problem::not_found(
            "unknown-release",
            format!("project {project} has no release `{version}`; `slipway release list {project}` shows them"),
        )
    })
}

/// The newest releases of a project, newest first.
pub async fn list(app: &App, project: &ProjectName, limit: u64) -> Result<Vec<ReleaseView>, Problem> {
    project_of(app, project).await?;
    let mut blocks = app.store.blocks_of(project).await?;
    let rows = app.store.releases_of(project, limit).await?;
    let with_block = |row: &ReleaseRow| {
        let blocked = blocks.remove(&row.snapshot.version);
        ReleaseView { blocked, ..view(row) }
    };
    Ok(rows.iter().map(with_block).collect())
}

/// The Project manifest.
pub async fn project_of(app: &App, name: &ProjectName) -> Result<Project, Problem> {
    if let Some(Manifest::Project(project)) = app.store.manifest(Kind::Project, name.as_str()).await? {
        return Ok(*project);
    }
    let known = app.store.manifests_of(Kind::Project).await?;
    Err(Problem::not_found(
        "unknown-project",
        format!(
            "there is no project `{name}`{}; apply its manifest first",
            did_you_mean(name.as_str(), known.iter().map(Manifest::name))
        ),
    ))
}

/// A release as the API shows it, without its block.
fn view(row: &ReleaseRow) -> ReleaseView {
    let snapshot = &row.snapshot;
    ReleaseView {
        project: snapshot.project.clone(),
        version: snapshot.version.clone(),
        channel: snapshot.channel.clone(),
        packages: snapshot.packages.iter().map(|(name, package)| (name.clone(), package.image.clone())).collect(),
        created_at: snapshot.created_at,
        created_by: row.created_by.clone(),
        notes: snapshot.notes.clone(),
        blocked: None,
        platforms: snapshot.packages.iter().map(|(name, package)| (name.clone(), package.platforms.clone())).collect(),
        tags: Vec::new(),
    }
}

fn known_packages(project: &Project, body: &CreateRelease) -> Result<(), Problem> {
    let known = || project.packages.keys().map(|name| name.as_str());
    match body.packages.keys().find(|name| !project.packages.contains_key(*name)) {
        Some(name) => Err(Problem::unprocessable(
            "unknown-package",
            format!("project {} has no package `{name}`{}", project.name, did_you_mean(name.as_str(), known())),
        )),
        None => Ok(()),
    }
}

/// The image of a package: the tag given, or the newest that the channel takes.
async fn package(
    app: &App,
    name: &PackageName,
    source: &PackageSource,
    tag: Option<&str>,
    rules: &channel::Rules,
) -> Result<Package, Problem> {
    let feed = feed_of(app, &source.feed).await?;
    let tag = match tag {
        Some(tag) => {
            rules.check(tag).map_err(|reason| {
                Problem::unprocessable("channel-refuses", format!("the channel does not take package {name}: {reason}"))
            })?;
            tag.to_owned()
        }
        None => newest(app, name, source, &feed, rules).await?,
    };
    let digest = registry::resolve(app, &feed, &source.image, &tag).await?;
    let platforms = registry::platforms(app, &feed, &source.image, &digest).await.unwrap_or_else(|error| {
        tracing::debug!(%error, package = %name, "nobody knows for which platforms the image is");
        Vec::new()
    });
    let image = ImageRef { registry: feed.registry.clone(), repository: source.image.clone(), tag, digest };
    Ok(Package { image, credentials: pull_credentials(app, &feed).await?, platforms })
}

async fn newest(
    app: &App,
    name: &PackageName,
    source: &PackageSource,
    feed: &Feed,
    rules: &channel::Rules,
) -> Result<String, Problem> {
    let tags = registry::tags(app, feed, &source.image).await?;
    let choice = channel::choose(rules, &tags);
    choice.chosen.ok_or_else(|| {
        let refused: Vec<_> = choice.rejected.iter().take(3).map(|r| r.reason.as_str()).collect();
        let why = if refused.is_empty() { "it has no tags".to_owned() } else { refused.join("; ") };
        Problem::unprocessable(
            "no-version",
            format!("{}/{} has no tag that the channel takes for package {name}: {why}", feed.registry, source.image),
        )
    })
}

async fn feed_of(app: &App, name: &FeedName) -> Result<Feed, Problem> {
    match app.store.manifest(Kind::Feed, name.as_str()).await? {
        Some(Manifest::Feed(feed)) => Ok(feed),
        _ => Err(Problem::unprocessable(
            "unknown-manifest",
            format!("there is no Feed `{name}`; apply its manifest first"),
        )),
    }
}

/// How executors sign in at the feed: the password by reference.
pub async fn pull_credentials(app: &App, feed: &Feed) -> Result<Option<PullCredentials>, Problem> {
    let Some(credentials) = &feed.credentials else { return Ok(None) };
    let name = &credentials.password.secret;
    let password = app.newest_secret(name).await?.ok_or_else(|| {
        Problem::unprocessable(
            "unknown-secret",
            format!(
                "feed {} signs in with secret `{name}`, which has no value; `slipway secret set {name}`",
                feed.name
            ),
        )
    })?;
    Ok(Some(PullCredentials { username: credentials.username.clone(), password }))
}

async fn keep(app: &App, row: ReleaseRow) -> Result<ReleaseView, Problem> {
    let (project, version) = (&row.snapshot.project, &row.snapshot.version);
    let images: Vec<String> = row.snapshot.packages.values().map(|p| p.image.to_string()).collect();
    let entry =
        audit(&row.created_by, "release.create", format!("project/{project}/release/{version}"), images.join("\n"));
    match app.store.add_release(&row, &entry).await {
        Ok(()) => Ok(view(&row)),
        Err(StoreError::Exists { .. }) => {
            let there = get(app, project, version).await?;
            if digests(&there.snapshot) == digests(&row.snapshot) {
                return Ok(view(&there));
            }
            Err(Problem::refusal(
                "release-exists",
                format!(
                    "release {version} of {project} exists with other images; a release never changes, choose another version"
                ),
            ))
        }
        Err(error) => Err(error.into()),
    }
}

fn digests(snapshot: &ReleaseSnapshot) -> BTreeMap<&PackageName, &str> {
    snapshot.packages.iter().map(|(name, package)| (name, package.image.digest.as_str())).collect()
}
