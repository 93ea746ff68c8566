//! What each service may publish and subscribe to: as little as its work needs.
//!
//! The subjects are those of the bus; a right that is missing here shows there as a denied subject.

use slipway_domain::name::{self, HolderName, TargetName};

/// The streams that the services make.
const STREAMS: [&str; 5] = ["DEPLOYMENTS", "LOGS", "PUSHES", "KV_PRESENCE", "OBJ_BLOBS"];

/// One process that connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Service {
    /// A release service.
    Release(HolderName),
    /// A planner.
    Planner(HolderName),
    /// A notifier.
    Notifier(HolderName),
    /// An executor and the targets it may serve; every target without a list.
    Executor {
        /// Its id.
        id: HolderName,
        /// Its targets.
        targets: Option<Vec<TargetName>>,
    },
    /// A person who repairs: may do everything with streams, and writes again what a log has lost.
    Operator,
}

/// Subjects that a user may and may not use.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rights {
    pub publish: Vec<String>,
    pub never_publish: Vec<String>,
    pub subscribe: Vec<String>,
    /// May answer each request once.
    pub answers: bool,
}

impl Service {
    /// Its id, which also names its seed file.
    pub fn id(&self) -> &str {
        match self {
            Self::Release(id) | Self::Planner(id) | Self::Notifier(id) | Self::Executor { id, .. } => id.as_str(),
            Self::Operator => "operator",
        }
    }

    /// What it may do.
    pub fn rights(&self) -> Rights {
        match self {
            Self::Release(id) => release(id),
            Self::Planner(id) => planner(id),
            Self::Notifier(id) => notifier(id),
            Self::Executor { id, targets } => executor(id, targets.as_deref()),
            Self::Operator => Rights {
                publish: texts(["$JS.API.>", "deployment.>", "$O.BLOBS.>"]).to_vec(),
                subscribe: vec![">".to_owned()],
                ..Rights::default()
            },
        }
    }
}

/// What every service has: replies to its own requests, and its presence.
fn common(role: &str, id: &HolderName) -> Rights {
    Rights {
        publish: vec![format!("$KV.PRESENCE.{role}.{id}")],
        subscribe: vec![format!("_INBOX_{role}_{id}.>")],
        ..Rights::default()
    }
}

fn release(id: &HolderName) -> Rights {
    let mut rights = common("release", id);
    rights.publish.extend(texts(["deployment.*.plan", "deployment.*.gate.*.*", "push.*"]));
    rights.publish.extend(makes_streams());
    rights.publish.push("$JS.API.STREAM.MSG.GET.DEPLOYMENTS".to_owned());
    for stream in ["DEPLOYMENTS", "LOGS", "PUSHES", "KV_PRESENCE"] {
        rights.publish.extend(follows(stream));
    }
    rights.publish.extend(blobs());
    // What is old and in its archive leaves the log.
    rights.publish.extend(["DEPLOYMENTS", "OBJ_BLOBS"].map(|stream| format!("$JS.API.STREAM.PURGE.{stream}")));
    rights.publish.push("errand.*".to_owned());
    rights.subscribe.extend(texts(["secret.*", "drift"]));
    rights.answers = true;
    rights
}

fn planner(id: &HolderName) -> Rights {
    let mut rights = common("planner", id);
    rights.publish.extend(texts([
        "deployment.*.plan",
        "deployment.*.task.*.*",
        "deployment.*.gate.*.*",
        "task.*",
        "cancel.*",
        "alive.*",
    ]));
    rights.publish.extend(makes_streams());
    rights.publish.push("$JS.API.STREAM.MSG.GET.DEPLOYMENTS".to_owned());
    for stream in ["DEPLOYMENTS", "KV_PRESENCE"] {
        rights.publish.extend(follows(stream));
    }
    rights.publish.extend(blobs());
    rights
}

fn notifier(id: &HolderName) -> Rights {
    let mut rights = common("notifier", id);
    holds(&mut rights, id, &[name::NOTIFIER]);
    // It votes on behalf of persons whom chat has authenticated, and folds the log to know the gates.
    rights.publish.extend(texts(["deployment.*.gate.*.*", "drift", "$JS.API.STREAM.MSG.GET.DEPLOYMENTS"]));
    rights.publish.extend(follows("DEPLOYMENTS"));
    rights.publish.dedup();
    rights
}

fn executor(id: &HolderName, targets: Option<&[TargetName]>) -> Rights {
    let mut rights = common("executor", id);
    match targets {
        Some(targets) => {
            let targets: Vec<_> = targets.iter().map(TargetName::as_str).collect();
            holds(&mut rights, id, &targets);
            rights.subscribe.extend(targets.iter().map(|target| format!("errand.{target}")));
        }
        None => {
            holds(&mut rights, id, &["*"]);
            rights.subscribe.push("errand.*".to_owned());
            rights.never_publish.push(format!("deployment.*.task.{}.*", name::NOTIFIER));
        }
    }
    rights
}

/// What the holder of tasks needs: claims and ends on its targets' subjects, output, doorbells, secrets.
fn holds(rights: &mut Rights, id: &HolderName, targets: &[&str]) {
    for target in targets {
        rights.publish.push(format!("deployment.*.task.{target}.*"));
        rights.publish.push(format!("log.*.{target}.*.*"));
        rights.subscribe.push(format!("task.{target}"));
        rights.subscribe.push(format!("cancel.{target}"));
    }
    rights.subscribe.push(format!("alive.{id}"));
    rights.publish.push(format!("secret.{id}"));
    rights.publish.extend(["DEPLOYMENTS", "LOGS", "KV_PRESENCE"].map(|stream| format!("$JS.API.STREAM.INFO.{stream}")));
    rights.publish.push("$JS.API.DIRECT.GET.DEPLOYMENTS".to_owned());
    rights.publish.extend(blobs());
    rights.answers = true;
}

/// Keeping and reading payloads that are too large for an envelope.
fn blobs() -> [String; 3] {
    texts(["$O.BLOBS.C.>", "$O.BLOBS.M.>", "$JS.API.DIRECT.GET.OBJ_BLOBS.>"])
}

/// Making streams, and making one smaller that had only just found room.
fn makes_streams() -> impl Iterator<Item = String> {
    let verbs = ["INFO", "CREATE", "UPDATE"];
    STREAMS.into_iter().flat_map(move |stream| verbs.map(|verb| format!("$JS.API.STREAM.{verb}.{stream}")))
}

/// Reading a stream in order, and single messages of it.
fn follows(stream: &str) -> [String; 7] {
    [
        format!("$JS.API.STREAM.INFO.{stream}"),
        format!("$JS.API.CONSUMER.CREATE.{stream}.>"),
        format!("$JS.API.CONSUMER.INFO.{stream}.*"),
        format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.*"),
        format!("$JS.API.CONSUMER.DELETE.{stream}.*"),
        format!("$JS.API.DIRECT.GET.{stream}"),
        format!("$JS.API.DIRECT.GET.{stream}.>"),
    ]
}

fn texts<const N: usize>(subjects: [&str; N]) -> [String; N] {
    subjects.map(str::to_owned)
}
