//! One announced image: who wants it, whether its registry has it, and the release that it becomes.
//! Nothing of the announcement is believed before the registry of a configured feed confirmed it.

use std::collections::BTreeMap;

use slipway_domain::{
    api::{CreateRelease, PushedImage},
    event::Actor,
    image::Digest,
    manifest::{Channel, Feed, PackageSource, Project, Trigger, TriggerEvent, Webhook},
    name::PackageName,
    release::ReleaseSnapshot,
};
use slipway_engine::channel::{self, Rules};

use crate::{
    app::App,
    operations,
    problem::Problem,
    registry::{self, Trouble},
    world::World,
};

/// What becomes of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// A release was made of it; which.
    Released(String),
    /// Nothing; why.
    Ignored(String),
    /// Nothing can be said now; why.
    Later(String),
}

/// A project that makes a release when an image arrives.
struct Wanted<'a> {
    project: &'a Project,
    feed: &'a Feed,
    /// Every package that is this image.
    packages: Vec<&'a PackageName>,
    /// The channels of the triggers that watch one of them.
    channels: Vec<Result<Channel, String>>,
}

/// Decides on an image that was announced through a webhook, and makes the releases.
pub async fn decide(app: &App, webhook: Option<&Webhook>, image: &PushedImage) -> Decision {
    let Some(webhook) = webhook else {
        return Decision::Ignored("the webhook that it came in by is gone".to_owned());
    };
    let world = match app.world().await {
        Ok(world) => world,
        Err(problem) => return Decision::Later(problem.detail().to_owned()),
    };
    let feeds = match feeds(&world, webhook, &image.registry) {
        Ok(feeds) => feeds,
        Err(why) => return Decision::Ignored(why),
    };
    let wanted = wanted(&world, &feeds, &image.repository);
    if wanted.is_empty() {
        return Decision::Ignored(format!("no project has a push trigger for {}", image.repository));
    }
    let mut decisions = Vec::new();
    for wanted in &wanted {
        decisions.push(release(app, wanted, image).await);
    }
    together(decisions)
}

/// The feeds of the webhook that the image may be in. The registry calls itself what it likes, so
/// with one feed its own name does not matter; with several it has to tell which.
fn feeds<'a>(world: &'a World, webhook: &Webhook, registry: &str) -> Result<Vec<&'a Feed>, String> {
    let known: Vec<&Feed> = webhook.feeds.iter().filter_map(|name| world.feeds.get(name)).collect();
    let named: Vec<&Feed> = known.iter().copied().filter(|feed| feed.registry == registry).collect();
    match (named.is_empty(), known.as_slice()) {
        (false, _) => Ok(named),
        (true, [only]) => Ok(vec![only]),
        (true, _) => {
            let names: Vec<_> = webhook.feeds.iter().map(|name| name.as_str()).collect();
            Err(format!("{registry} is not the registry of feeds {} of webhook {}", names.join(", "), webhook.name))
        }
    }
}

fn wanted<'a>(world: &'a World, feeds: &[&'a Feed], repository: &str) -> Vec<Wanted<'a>> {
    let mut all = Vec::new();
    for project in world.projects.values() {
        for feed in feeds {
            let is_image = |source: &PackageSource| source.feed == feed.name && source.image == repository;
            let packages: Vec<_> =
                project.packages.iter().filter(|(_, source)| is_image(source)).map(|(name, _)| name).collect();
            let watches = |name: &&PackageName, trigger: &Trigger| {
                trigger.packages.is_empty() || trigger.packages.contains(*name)
            };
            let triggers = project
                .triggers
                .iter()
                .filter(|t| t.on == TriggerEvent::Push && packages.iter().any(|name| watches(name, t)));
            let channels: Vec<_> = triggers.map(|t| channel::find(project, t.channel.as_ref())).collect();
            if !channels.is_empty() {
                all.push(Wanted { project, feed, packages, channels });
            }
        }
    }
    all
}

async fn release(app: &App, wanted: &Wanted<'_>, image: &PushedImage) -> Decision {
    let project = &wanted.project.name;
    let tag = image.tag.as_deref().unwrap_or_default();
    match try_release(app, wanted, image, tag).await {
        Ok(version) => Decision::Released(format!("release {version} of {project}")),
        Err(Decision::Ignored(why)) => Decision::Ignored(format!("{project}: {why}")),
        Err(other) => other,
    }
}

async fn try_release(app: &App, wanted: &Wanted<'_>, image: &PushedImage, tag: &str) -> Result<String, Decision> {
    let channel = choose(&wanted.channels, tag).map_err(Decision::Ignored)?;
    let digest = confirm(app, wanted.feed, image, tag).await?;
    let project = &wanted.project.name;
    let counted = wanted.project.version.is_some();
    if !counted && let Some(row) = app.store.release(project, tag).await.map_err(later)? {
        return Err(Decision::Ignored(differs(&row.snapshot, &wanted.packages, tag, &digest)));
    }
    if !counted && let Some(at) = app.store.retired_at(project, tag).await.map_err(later)? {
        return Err(Decision::Ignored(format!(
            "release {tag} was there, and retention took it away at {}; `slipway release create {project}` makes it again",
            at.format("%Y-%m-%d %H:%M UTC")
        )));
    }
    let body = CreateRelease {
        packages: wanted.packages.iter().map(|name| ((*name).clone(), tag.to_owned())).collect::<BTreeMap<_, _>>(),
        channel: Some(channel.name.clone()),
        version: (!counted).then(|| tag.to_owned()),
        notes: None,
    };
    let actor = Actor::Trigger { name: "push".to_owned() };
    match operations::releases::create(app, project, body, actor).await {
        Ok(release) => Ok(release.version),
        Err(problem) if problem.status() >= 500 => Err(later(problem)),
        Err(problem) => Err(Decision::Ignored(problem.detail().to_owned())),
    }
}

/// The first channel that takes the tag.
fn choose<'a>(channels: &'a [Result<Channel, String>], tag: &str) -> Result<&'a Channel, String> {
    let mut refusals = Vec::new();
    for channel in channels {
        let taken = channel.as_ref().map_err(Clone::clone).and_then(|channel| {
            let checked = Rules::parse(channel).and_then(|rules| rules.check(tag));
            checked.map(|_| channel).map_err(|why| format!("channel {} does not take it: {why}", channel.name))
        });
        match taken {
            Ok(channel) => return Ok(channel),
            Err(why) => refusals.push(why),
        }
    }
    Err(refusals.join("; "))
}

fn later(error: impl Into<Problem>) -> Decision {
    Decision::Later(error.into().detail().to_owned())
}

/// The registry of the feed has the tag, and it is what was announced.
async fn confirm(app: &App, feed: &Feed, image: &PushedImage, tag: &str) -> Result<Digest, Decision> {
    let digest = registry::resolve(app, feed, &image.repository, tag).await.map_err(|error| match error.trouble {
        Trouble::Unreachable => Decision::Later(error.message),
        Trouble::Missing | Trouble::Denied | Trouble::Invalid => Decision::Ignored(error.message),
    })?;
    if image.digest.as_deref().is_some_and(|announced| announced != digest.as_str()) {
        return Err(Decision::Ignored(format!(
            "tag was moved: the registry now has {digest} as {}:{tag}, another image than the delivery tells of",
            image.repository
        )));
    }
    Ok(digest)
}

/// What a release that is there already says about the image.
fn differs(release: &ReleaseSnapshot, packages: &[&PackageName], tag: &str, digest: &Digest) -> String {
    for name in packages {
        match release.packages.get(*name).map(|package| &package.image) {
            Some(image) if image.digest == *digest => {}
            Some(image) if image.tag == tag => {
                return format!(
                    "tag was moved: release {tag} has {} as {name}, the registry now has {digest}; a release never changes, push a new tag",
                    image.digest
                );
            }
            Some(image) => return format!("release {tag} is there already, with {name} {}", image.tag),
            None => return format!("release {tag} is there already, without {name}"),
        }
    }
    format!("release {tag} is there already, with this image")
}

/// What several projects made of one image, as one.
fn together(decisions: Vec<Decision>) -> Decision {
    if let Some(later) = decisions.iter().find(|decision| matches!(decision, Decision::Later(_))) {
        return later.clone();
    }
    let released = decisions.iter().any(|decision| matches!(decision, Decision::Released(_)));
    let texts: Vec<String> = decisions
        .into_iter()
        .map(|decision| match decision {
            Decision::Released(text) | Decision::Ignored(text) | Decision::Later(text) => text,
        })
        .collect();
    if released { Decision::Released(texts.join("; ")) } else { Decision::Ignored(texts.join("; ")) }
}
