//! What a `script` step can get wrong by itself.

use crate::{image::ImageRef, manifest::Script};

pub(super) fn check(script: &Script, messages: &mut Vec<String>) {
    match (&script.package, &script.image) {
        (Some(_), None) => {}
        (None, Some(image)) => {
            messages.extend(ImageRef::parse(image).err().map(|why| format!("`script.image`: {why}")))
        }
        (None, None) => messages.push("`script` needs an image to run in: `package` or `image`".to_owned()),
        (Some(_), Some(_)) => messages.push("`script` has both `package` and `image`: keep one".to_owned()),
    }
    if script.run.trim().is_empty() {
        messages.push("`script.run` is empty: write what is to be done".to_owned());
    }
    if script.shell.split_whitespace().next().is_none() {
        messages.push("`script.shell` is empty: leave it out for /bin/sh".to_owned());
    }
    if script.workdir.as_ref().is_some_and(|folder| !folder.starts_with(['/', '#'])) {
        messages.push("`script.workdir` is no whole path: begin it with `/`".to_owned());
    }
    for name in script.env.keys().filter(|name| name.is_empty() || name.contains('=')) {
        messages.push(format!("`script.env`: `{name}` can not be the name of a variable"));
    }
    if script.env.contains_key(Script::OUTPUT) {
        messages.push(format!("`script.env`: {} is set by Slipway: choose another name", Script::OUTPUT));
    }
    let own = |path: &&String| path.strip_prefix(Script::FOLDER).is_some_and(|rest| rest.starts_with('/'));
    for path in script.files.keys().filter(own) {
        messages.push(format!("`files`: `{path}` lies where Slipway puts the script: choose another folder"));
    }
}
