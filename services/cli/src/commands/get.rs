//! `slipway get KIND [NAME]` and `slipway export`: manifests as the server has them.

use clap::Args;
use serde_json::Value;
use slipway_domain::{manifest::Kind, text::did_you_mean};

use super::Shared;
use crate::{
    client::segment,
    failure::{Failure, Result},
    output,
};

#[derive(Debug, Args)]
pub struct Get {
    /// Kind: feed, environment, target, lifecycle, team, project or webhook; also in the plural
    kind: String,
    /// Name; without it all of the kind are listed
    name: Option<String>,
}

impl Get {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let kind = kind_of(&self.kind)?;
        let client = shared.client()?;
        if let Some(name) = &self.name {
            let manifest: Value = client.get(&format!("/api/v1/{}/{}", kind.plural(), segment(name))).await?;
            return shared.output.show(&manifest, |_| output::to_yaml(&manifest).unwrap_or_default());
        }
        let manifests: Vec<Value> = client.get(&format!("/api/v1/{}", kind.plural())).await?;
        shared.output.show(&manifests, |_| list(kind, &manifests))
    }
}

#[derive(Debug, Args)]
pub struct Export {}

impl Export {
    /// All manifests, as `slipway apply -f -` takes them.
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let client = shared.client()?;
        let mut manifests: Vec<Value> = Vec::new();
        for kind in Kind::ALL {
            manifests.extend(client.get::<Vec<Value>>(&format!("/api/v1/{}", kind.plural())).await?);
        }
        let documents = manifests.iter().map(output::to_yaml).collect::<Result<Vec<_>>>()?;
        shared.output.show(&manifests, |_| documents.join("---\n"))
    }
}

/// A kind, however it is written.
fn kind_of(word: &str) -> Result<Kind> {
    let lower = word.to_lowercase();
    let fits = |kind: &Kind| kind.plural() == lower || kind.as_str().to_lowercase() == lower;
    Kind::ALL.into_iter().find(fits).ok_or_else(|| {
        let words = Kind::ALL.map(Kind::plural);
        Failure::Usage(format!(
            "there is no kind `{word}`{}; the kinds are {}",
            did_you_mean(&lower, words),
            words.join(", ")
        ))
    })
}

fn list(kind: Kind, manifests: &[Value]) -> String {
    let columns: &[&str] = match kind {
        Kind::Feed => &["name", "registry"],
        Kind::Environment => &["name", "queue", "parallelism"],
        Kind::Limits => &["name", "deployments"],
        Kind::Freeze => {
            &["name", "environments", "projects", "allow", "from", "until", "schedule", "duration", "timezone"]
        }
        Kind::Target => &["name", "environments", "roles", "docker", "parallelism"],
        Kind::Lifecycle => &["name", "phases"],
        Kind::Team => &["name", "members"],
        Kind::VariableSet => &["name", "variables"],
        Kind::Project => &["name", "lifecycle", "packages", "channels", "steps"],
        Kind::Webhook => &["name", "source", "feeds"],
    };
    let row = |m: &Value| columns.iter().map(|column| short(&m[*column])).collect();
    output::table(columns, manifests.iter().map(row).collect())
}

/// A value in one cell: names of what is in it.
fn short(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(short).collect::<Vec<_>>().join(", "),
        Value::Object(object) => match object.get("name") {
            Some(name) => short(name),
            None => object.keys().cloned().collect::<Vec<_>>().join(", "),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_known_in_the_singular_and_the_plural_and_guessed_at() {
        for word in ["project", "Project", "projects"] {
            assert_eq!(kind_of(word).unwrap(), Kind::Project);
        }
        let shown = kind_of("projetcs").unwrap_err().shown();
        assert!(shown.contains("(did you mean `projects`?)"), "{shown}");
    }

    #[test]
    fn lists_show_the_names_of_what_is_inside() {
        let projects = [serde_json::json!({
            "name": "shop", "lifecycle": "standard", "packages": {"web": {"feed": "local"}}, "channels": [],
            "steps": [{"name": "migrate"}, {"name": "web"}]
        })];
        assert_eq!(
            list(Kind::Project, &projects),
            "NAME  LIFECYCLE  PACKAGES  CHANNELS  STEPS\nshop  standard   web                 migrate, web\n"
        );
    }
}
