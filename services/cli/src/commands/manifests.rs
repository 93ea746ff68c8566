//! `slipway apply`, `diff` and `check`: manifests from files.

use std::{
    collections::BTreeMap,
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::Args;
use serde::Serialize;
use slipway_domain::{
    api::{ApplyAnswer, ApplyRequest, Change, ChangeAction},
    manifest::{
        Kind, Manifest,
        parse::{Problem, parse},
    },
};
use slipway_engine::{channel, compile, freeze};

use super::Shared;
use crate::{
    failure::{Failure, Result, count},
    output,
};

/// Which files.
#[derive(Debug, Args)]
struct Files {
    /// Folder (with everything below it), file, or - for stdin; may be repeated
    #[arg(short = 'f', long = "file", required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
    /// Remove from the server what is in none of the files
    #[arg(long)]
    prune: bool,
}

#[derive(Debug, Args)]
pub struct Apply {
    #[command(flatten)]
    files: Files,
    /// Only show what would change
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub struct Diff {
    #[command(flatten)]
    files: Files,
}

#[derive(Debug, Args)]
pub struct Check {
    /// Folder (with everything below it), file, or - for stdin; may be repeated
    #[arg(short = 'f', long = "file", required = true, value_name = "PATH")]
    files: Vec<PathBuf>,
}

impl Apply {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        apply(shared, &self.files, self.dry_run).await
    }
}

impl Diff {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        apply(shared, &self.files, true).await
    }
}

async fn apply(shared: &Shared, files: &Files, dry_run: bool) -> Result<()> {
    let manifests = load(&files.files)?;
    let bodies = manifests.iter().map(serde_json::to_value).collect::<std::result::Result<_, _>>();
    let bodies = bodies.map_err(|e| Failure::failed(format!("a manifest can not be written as JSON: {e}")))?;
    let request = ApplyRequest { manifests: bodies, dry_run, prune: files.prune };
    let answer: ApplyAnswer = shared.client()?.post("/api/v1/apply", &request).await?;
    shared.output.show(&answer, |_| changes(&answer))
}

/// The changes as people read them.
fn changes(answer: &ApplyAnswer) -> String {
    let mut text = String::new();
    for change in &answer.changes {
        text.push_str(&line(change));
        for difference in &change.differences {
            text.push_str(&format!("      {difference}\n"));
        }
    }
    let n = |action| answer.changes.iter().filter(|c| c.action == action).count();
    let (new, changed, same) = (n(ChangeAction::Create), n(ChangeAction::Update), n(ChangeAction::Unchanged));
    let verb = if answer.dry_run { "would be " } else { "" };
    let removed = match n(ChangeAction::Remove) {
        0 => String::new(),
        removed => format!(", {removed} {verb}removed"),
    };
    text.push_str(&format!("{new} {verb}created, {changed} {verb}changed, {same} unchanged{removed}\n"));
    text
}

fn line(change: &Change) -> String {
    let sign = match change.action {
        ChangeAction::Create => '+',
        ChangeAction::Update => '~',
        ChangeAction::Unchanged => '=',
        ChangeAction::Remove => '-',
    };
    format!("  {sign} {} {}\n", change.kind.as_str(), change.name)
}

#[derive(Debug, Serialize)]
struct Checked {
    kind: Kind,
    name: String,
}

impl Check {
    pub fn run(self, shared: &Shared) -> Result<()> {
        let manifests = load(&self.files)?;
        let checked: Vec<Checked> =
            manifests.iter().map(|m| Checked { kind: m.kind(), name: m.name().to_owned() }).collect();
        shared.output.show(&checked, |_| {
            let rows = checked.iter().map(|c| vec![c.kind.as_str().to_owned(), c.name.clone()]).collect();
            format!("{}{} without problems\n", output::table(&["kind", "name"], rows), count(checked.len(), "manifest"))
        })
    }
}

/// The JSON Schema of a manifest, which is JSON in every form of output.
pub fn schema() -> Result<()> {
    output::say(&format!("{}\n", output::to_json(&slipway_domain::manifest::schema::schema())?));
    Ok(())
}

/// Reads all manifests of files and folders. Errs with every problem of all of them.
fn load(paths: &[PathBuf]) -> Result<Vec<Manifest>> {
    let mut manifests = Vec::new();
    let mut problems = Vec::new();
    let mut seen: BTreeMap<(Kind, String), String> = BTreeMap::new();
    for (name, text) in texts(paths)? {
        match parse(Some(&name), &text) {
            Ok(parsed) => {
                for manifest in parsed {
                    let key = (manifest.kind(), manifest.name().to_owned());
                    let label = format!("{} `{}`", key.0.as_str(), key.1);
                    let mut say = |message| problems.push(Problem { file: Some(name.clone()), line: None, message });
                    match seen.get(&key) {
                        Some(first) => say(format!("{label} is already in {first}: keep one")),
                        None => drop(seen.insert(key, name.clone())),
                    }
                    rules(&manifest).into_iter().for_each(|message| say(format!("{label}: {message}")));
                    manifests.push(manifest);
                }
            }
            Err(found) => problems.extend(found),
        }
    }
    if !problems.is_empty() {
        return Err(Failure::Manifests(problems));
    }
    if manifests.is_empty() {
        return Err(Failure::failed("there are no manifests in what -f names"));
    }
    Ok(manifests)
}

/// What the engine has to say about one manifest.
fn rules(manifest: &Manifest) -> Vec<String> {
    match manifest {
        Manifest::Project(project) => {
            let channels = project.channels.iter().filter_map(|c| channel::Rules::parse(c).err());
            compile::cycles(&project.steps).into_iter().chain(channels).collect()
        }
        Manifest::Freeze(freeze) => freeze::problems(freeze),
        _ => Vec::new(),
    }
}

/// Names and contents of the files, folders in the order of their names.
fn texts(paths: &[PathBuf]) -> Result<Vec<(String, String)>> {
    let mut texts = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|e| Failure::failed(format!("reading manifests from stdin: {e}")))?;
            texts.push(("stdin".to_owned(), text));
            continue;
        }
        let mut files = Vec::new();
        if path.is_dir() {
            collect(path, &mut files)?;
            if files.is_empty() {
                return Err(Failure::failed(format!("there is no .yml or .yaml file in {}", path.display())));
            }
        } else {
            files.push(path.clone());
        }
        for file in files {
            let text = std::fs::read_to_string(&file)
                .map_err(|e| Failure::failed(format!("reading manifests from {}: {e}", file.display())))?;
            texts.push((file.display().to_string(), text));
        }
    }
    Ok(texts)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let failed = |e: std::io::Error| Failure::failed(format!("reading the folder {}: {e}", dir.display()));
    let mut entries: Vec<PathBuf> = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        entries.push(entry.map_err(failed)?.path());
    }
    entries.sort();
    for path in entries {
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|e| e == "yml" || e == "yaml") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_read_with_everything_below_and_all_its_problems_are_told() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("b")).unwrap();
        std::fs::write(root.path().join("a.yml"), "kind: Environment\nname: x\n---\nkind: Team\nnam: y\n").unwrap();
        std::fs::write(
            root.path().join("b/c.yaml"),
            "kind: Project\nname: p\nlifecycle: l\nchannels: [{name: c, versions: \"[1\"}]\nsteps:\n  - {name: a, needs: [b], wait: 1s}\n  - {name: b, needs: [a], wait: 1s}\n",
        )
        .unwrap();
        std::fs::write(
            root.path().join("b/d.yml"),
            "kind: Project\nname: p\nlifecycle: l\nsteps: [{name: w, wait: 1s}]\n",
        )
        .unwrap();
        std::fs::write(root.path().join("notes.txt"), "not a manifest").unwrap();
        let shown =
            load(&[root.path().to_owned()]).unwrap_err().shown().replace(&root.path().display().to_string(), "");
        for expected in [
            "/a.yml:5: unknown key `nam` (did you mean `name`?)",
            "/b/c.yaml: Project `p`: steps need each other in a circle: a -> b -> a",
            "/b/c.yaml: Project `p`: channel `c`: versions:",
            "/b/d.yml: Project `p` is already in /b/c.yaml: keep one",
            "error: 4 problems",
        ] {
            assert!(shown.contains(expected), "{expected}\n{shown}");
        }
    }

    #[test]
    fn changes_are_told_with_their_differences_and_a_sum() {
        let change = |name: &str, action, differences: &[&str]| Change {
            kind: Kind::Project,
            name: name.to_owned(),
            action,
            differences: differences.iter().map(|d| (*d).to_owned()).collect(),
        };
        let answer = ApplyAnswer {
            changes: vec![
                change("a", ChangeAction::Create, &[]),
                change("b", ChangeAction::Update, &["steps.web.timeout: \"5m\" -> \"6m\""]),
                change("c", ChangeAction::Unchanged, &[]),
            ],
            dry_run: true,
        };
        assert_eq!(
            changes(&answer),
            "  + Project a\n  ~ Project b\n      steps.web.timeout: \"5m\" -> \"6m\"\n  = Project c\n1 would be created, 1 would be changed, 1 unchanged\n"
        );
    }
}
