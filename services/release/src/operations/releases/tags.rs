//! What the tags of a release mean by now. A release never follows a tag; that one was moved is shown.

use slipway_domain::{
    api::{TagNow, TagState},
    image::ImageRef,
    name::{PackageName, ProjectName},
    release::ReleaseSnapshot,
};

use super::{feed_of, project_of};
use crate::{
    app::App,
    problem::Problem,
    registry::{self, Trouble},
};

/// Asks the registries of a release's packages, as the project has them now.
pub async fn now(app: &App, snapshot: &ReleaseSnapshot) -> Result<Vec<TagNow>, Problem> {
    let mut tags = Vec::new();
    for (name, package) in &snapshot.packages {
        let state = state(app, &snapshot.project, name, &package.image).await?;
        tags.push(TagNow { package: name.clone(), tag: package.image.tag.clone(), state });
    }
    Ok(tags)
}

async fn state(app: &App, project: &ProjectName, name: &PackageName, image: &ImageRef) -> Result<TagState, Problem> {
    let project = project_of(app, project).await?;
    let Some(source) = project.packages.get(name) else {
        return Ok(TagState::Unknown { reason: format!("the project has no package {name} any more") });
    };
    let feed = feed_of(app, &source.feed).await?;
    if feed.registry != image.registry || source.image != image.repository {
        return Ok(TagState::Unknown {
            reason: format!("package {name} is of {}/{} now", feed.registry, source.image),
        });
    }
    Ok(match registry::resolve(app, &feed, &image.repository, &image.tag).await {
        Ok(digest) if digest == image.digest => TagState::Same,
        Ok(digest) => TagState::Moved { digest },
        Err(error) if error.trouble == Trouble::Missing => TagState::Gone,
        Err(error) => TagState::Unknown { reason: error.message },
    })
}
