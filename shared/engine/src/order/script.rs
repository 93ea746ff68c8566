//! The image and the texts of a `script` step.

use slipway_domain::{
    image::ImageRef,
    manifest::{File, Script},
    name::PackageName,
    order::RunScript,
    release::Package,
};

use super::Render;
use crate::containers::files;

/// The script with every text rendered.
pub(super) fn rendered<'a>(
    script: &Script,
    package: impl Fn(&PackageName) -> Result<&'a Package, String>,
    render: Render<'_>,
) -> Result<RunScript, String> {
    let (image, credentials) = match (&script.package, &script.image) {
        (Some(name), None) => {
            let package = package(name)?;
            (package.image.clone(), package.credentials.clone())
        }
        (None, Some(image)) => (ImageRef::parse(image)?, None),
        _ => return Err("a script needs either `package` or `image`".to_owned()),
    };
    Ok(RunScript {
        image,
        credentials,
        run: render(&script.run)?,
        shell: render(&script.shell)?,
        env: script.env.iter().map(|(k, v)| Ok((k.clone(), render(v)?))).collect::<Result<_, String>>()?,
        files: files(&script.files, render)?,
        workdir: script.workdir.as_deref().map(render).transpose()?,
    })
}

/// Its templates.
pub(super) fn texts(script: &Script) -> Vec<&str> {
    let mut texts = vec![script.run.as_str(), script.shell.as_str()];
    texts.extend(script.workdir.as_deref());
    texts.extend(script.env.values().map(String::as_str));
    texts.extend(script.files.values().map(File::text));
    texts
}
