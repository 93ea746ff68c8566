//! A sound history that the engine itself made, and the means to doctor it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::{
    event::{
        Actor, Address, Entry, Envelope, Failure, GateEvent, GateScope, PlanEvent, Recorded, SCHEMA, TaskEvent, Verdict,
    },
    id::{DeploymentId, TaskKey},
    image::{Digest, ImageRef},
    manifest::{Manifest, Member, parse::parse},
    order::{Outputs, Work},
    policy::Policy,
    release::{Package, RULES_VERSION, ReleaseSnapshot, Request, TargetSnapshot},
};
use slipway_engine::{State, decide, decide::Events, due, order::doorbell};
use uuid::Uuid;

use crate::history::{Effect, Journal, Line, Rule, What, check};

const STEPS: &str = "steps:
  - {name: migrate, sql: {database: 'sqlite://x', files: {1.sql: 'create table a (b int)'}}}
  - {name: sign-off, needs: [migrate], approval: {teams: [ops], timeout: 10m}}
  - {name: job, needs: [sign-off], docker-job: {package: web}, retry: {attempts: 2, backoff: 1s}}
  - {name: web, needs: [job], targets: {role: web}, rolling: {window: 1}, docker-run: {package: web}}
  - {name: call, needs: [web], http: {url: 'http://a', method: POST}}
";

/// A history with its journal, and what it takes to change it.
#[derive(Clone, Default)]
pub struct Told {
    pub history: Vec<Recorded>,
    pub journal: Journal,
    heads: BTreeMap<Address, u64>,
    seconds: u64,
}

pub fn planner() -> Actor {
    Actor::Planner { id: "planner-1".into() }
}

pub fn boot() -> Uuid {
    Uuid::from_u128(7)
}

pub fn holder() -> Actor {
    Actor::Holder { name: "executor-1".parse().unwrap(), boot: boot() }
}

fn time(seconds: u64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap() + TimeDelta::seconds(i64::try_from(seconds).unwrap())
}

fn request(n: u128, project_name: &str, steps: &str) -> Request {
    let text = format!(
        "kind: Project\nname: {project_name}\nlifecycle: l\npackages: {{web: {{feed: local, image: shop/web}}}}\n{steps}"
    );
    let Manifest::Project(project) = parse(None, &text).unwrap().remove(0) else { panic!("a project") };
    let digest = Digest::new(format!("sha256:{}", "a".repeat(64))).unwrap();
    let image = ImageRef { registry: "r".into(), repository: "shop/web".into(), tag: "1".into(), digest };
    let target = |name: &str| TargetSnapshot {
        name: name.parse().unwrap(),
        roles: vec!["web".parse().unwrap()],
        docker: "unix:///nowhere".into(),
        tls: None,
        parallelism: 1,
    };
    let ana = || Actor::Person { name: "ana".parse().unwrap(), via: "api".into() };
    Request {
        id: DeploymentId(Uuid::from_u128(n)),
        environment: "test".parse().unwrap(),
        release: ReleaseSnapshot {
            project: project.name.clone(),
            version: "1".into(),
            channel: "default".parse().unwrap(),
            packages: BTreeMap::from([(
                "web".parse().unwrap(),
                Package { image, credentials: None, platforms: Vec::new() },
            )]),
            steps: project.steps,
            variables: project.variables,
            created_at: time(0),
            variable_sets: Vec::new(),
            notes: None,
        },
        targets: vec![target("web-01"), target("web-02")],
        secrets: Vec::new(),
        teams: BTreeMap::from([("ops".parse().unwrap(), vec![Member::Person("ana".parse().unwrap())])]),
        requested_by: ana(),
        body_digest: "x".into(),
        rules_version: RULES_VERSION,
        skip: Vec::new(),
        not_before: None,
        ignores: None,
        timeout: None,
        queue: Default::default(),
        guided_failure: None,
        mode: Default::default(),
        previous: None,
        retries: None,
        values: Default::default(),
        left_out: Vec::new(),
        only: Vec::new(),
    }
}

impl Told {
    /// Two deployments of one lane from beginning to end, with a job that fails once.
    pub fn story() -> Self {
        Self::of(["shop", "shop"])
    }

    /// The same, with a canary that people look at; that of the second deployment is not wanted.
    pub fn canary() -> Self {
        let rolling = "{window: 2, canary: 1, then: {approval: {teams: [ops], timeout: 10m}}}";
        Self::tell(["shop", "shop"], &STEPS.replace("{window: 1}", rolling))
    }

    /// The same, where on each target a job follows on two containers, which follow on a job.
    pub fn series() -> Self {
        let from = STEPS.find("  - {name: web").expect("the step web");
        let web = "  - name: web
    needs: [job]
    targets: {role: web}
    rolling: {window: 1, canary: 1, then: {approval: {teams: [ops], timeout: 10m}}}
    steps:
      - {name: drain, docker-job: {package: web}}
      - {name: serve, docker-run: {package: web}}
      - {name: proxy, docker-run: {package: web}}
      - {name: probe, docker-job: {package: web}}
      - {name: mourn, docker-job: {package: web}, when: {result: failure}}
";
        Self::tell(["shop", "shop"], &format!("{}{web}", &STEPS[..from]))
    }

    /// Two deployments, of two projects.
    pub fn of(projects: [&str; 2]) -> Self {
        Self::tell(projects, STEPS)
    }

    fn tell(projects: [&str; 2], steps: &str) -> Self {
        let mut told = Self::default();
        for (n, project) in (1..).zip(projects) {
            let request = request(n, project, steps);
            let event = PlanEvent::Requested { request: Box::new(request.clone()) };
            told.append(Address::Plan(request.id), Events::Plan(vec![event]), request.requested_by);
        }
        let mut state = State::new();
        for _ in 0..200 {
            told.history[usize::try_from(state.head()).unwrap()..]
                .iter()
                .for_each(|recorded| drop(state.apply(recorded)));
            told.seconds += 1;
            let now = time(told.seconds);
            let Some(id) = state.deployments().filter(|d| d.end.is_none()).map(|d| d.id()).min() else { return told };
            for decision in decide(&state, id, now) {
                let opened =
                    matches!(&decision.events, Events::Gate(events) if matches!(events[0], GateEvent::Opened { .. }));
                told.append(decision.address, decision.events, planner());
                if opened {
                    told.vote(id);
                }
            }
            for key in due(&state, id) {
                told.perform(&state, id, &key);
            }
        }
        panic!("the story does not end");
    }

    fn append(&mut self, address: Address, events: Events, actor: Actor) -> u64 {
        let seq = self.history.len() as u64 + 1;
        self.heads.insert(address.clone(), seq);
        self.seconds += 1;
        self.history.push(Recorded { at: time(self.seconds), ..recorded(seq, address, events, actor) });
        seq
    }

    fn vote(&mut self, id: DeploymentId) {
        let last = self.history.last().unwrap().clone();
        let Entry::Gate(envelope) = &last.entry else { panic!("an opening") };
        let GateEvent::Opened { plan_digest, .. } = &envelope.events[0] else { panic!("an opening") };
        let person = "ana".parse().unwrap();
        let unwanted = last.address == Address::Gate(id, "web".parse().unwrap(), GateScope::All) && id.0.as_u128() == 2;
        let verdict = if unwanted { Verdict::Reject } else { Verdict::Approve };
        let vote = GateEvent::Voted {
            opened: last.seq,
            plan_digest: plan_digest.clone(),
            person,
            verdict,
            note: None,
            drift: None,
        };
        self.append(
            last.address,
            Events::Gate(vec![vote]),
            Actor::Person { name: "ana".parse().unwrap(), via: "api".into() },
        );
    }

    /// Claims a task and does it; the job's first attempt fails.
    fn perform(&mut self, state: &State, id: DeploymentId, key: &TaskKey) {
        let doorbell = doorbell(state, id, key).unwrap().unwrap();
        let address = Address::Task(id, key.clone());
        if self.heads.get(&address).copied().unwrap_or(0) != doorbell.expected_seq {
            return;
        }
        let attempt = doorbell.attempt;
        let claimed =
            TaskEvent::Claimed { holder: "executor-1".parse().unwrap(), boot: boot(), attempt, key: String::new() };
        let epoch = self.append(address.clone(), Events::Task(vec![claimed]), holder());
        let fails = key.step.as_str() == "job" && attempt == 1;
        let container = format!("{id}-{key}-{epoch}");
        let place = format!("shop/test/{}/{}", key.step, key.target);
        let made = |journal: &Journal, own: bool| {
            journal.effects().find_map(|(line, effect)| match effect {
                Effect::Create { container, .. } if line.task == *key && (line.deployment == id) == own => {
                    Some(container.clone())
                }
                _ => None,
            })
        };
        let before = made(&self.journal, false)
            .filter(|_| ["web", "serve", "proxy"].contains(&key.step.as_str()) && id.0.as_u128() == 2);
        let effects = match doorbell.order.work {
            Work::Sql(_) if id.0.as_u128() == 1 => {
                vec![Effect::Apply { database: "shop/test".into(), file: "1.sql".into() }]
            }
            Work::Sql(_) => Vec::new(),
            Work::Http(call) => vec![Effect::Call { method: call.method.to_string() }],
            _ if doorbell.restore => {
                let own = made(&self.journal, true).unwrap();
                let old = before.map(|container| Effect::Park { container, parked: false });
                [Effect::Remove { container: own }].into_iter().chain(old).collect()
            }
            work => {
                let keeps = matches!(work, Work::DockerRun(work) if work.keep_predecessor);
                let gone = if fails { Some(container.clone()) } else { before };
                let retired = gone.map(|container| match keeps {
                    true => Effect::Park { container, parked: true },
                    false => Effect::Remove { container },
                });
                let made = Effect::Create { container: container.clone(), place };
                let ran = Effect::Run { container, code: i32::from(fails) };
                [made, ran].into_iter().chain(retired).collect()
            }
        };
        self.journal.lines.extend(effects.into_iter().map(|effect| Line {
            at: time(self.seconds),
            boot: boot(),
            deployment: id,
            task: key.clone(),
            attempt,
            epoch,
            what: What::Effect(effect),
        }));
        let end = match fails {
            true => TaskEvent::Failed { cause: Failure::step("bad luck") },
            false => TaskEvent::Succeeded { outputs: Outputs::new() },
        };
        self.append(address, Events::Task(vec![end]), holder());
    }

    /// Puts an entry before the one at `place` and numbers the rest anew, epochs and openings included.
    pub fn insert(&mut self, place: usize, address: Address, events: Events, actor: Actor) {
        let at = place as u64 + 1;
        for later in &mut self.history[place..] {
            later.seq += 1;
            if let Entry::Gate(envelope) = &mut later.entry {
                for event in &mut envelope.events {
                    if let GateEvent::Voted { opened, .. } = event {
                        *opened += u64::from(*opened >= at);
                    }
                }
            }
        }
        for line in self.journal.lines.iter_mut().filter(|line| line.epoch >= at) {
            line.epoch += 1;
        }
        let mut entry = recorded(at, address, events, actor);
        entry.at = self.history[place.min(self.history.len() - 1)].at;
        self.history.insert(place, entry);
    }

    /// Puts a policy before the entry at `place`; who starts afterwards knows it.
    pub fn policy(&mut self, place: usize, policy: Policy) {
        let actor = Actor::Trigger { name: "policy".into() };
        let set = Events::Plan(vec![PlanEvent::PolicySet { policy: Box::new(policy) }]);
        self.insert(place, Address::Plan(DeploymentId::POLICY), set, actor);
        let known = self.history[place].seq;
        for later in &mut self.history[place..] {
            if let Entry::Plan(envelope) = &mut later.entry {
                for event in &mut envelope.events {
                    if let PlanEvent::Started { policy } = event {
                        *policy = known;
                    }
                }
            }
        }
    }

    /// The place of the first entry like this.
    pub fn find(&self, like: impl Fn(&Recorded) -> bool) -> usize {
        self.history.iter().position(like).expect("an entry like this")
    }

    pub fn task_event(&self, step: &str, like: impl Fn(&TaskEvent) -> bool) -> usize {
        self.find(|recorded| match (&recorded.address, &recorded.entry) {
            (Address::Task(_, key), Entry::Task(envelope)) => key.step.as_str() == step && like(&envelope.events[0]),
            _ => false,
        })
    }

    pub fn plan_event(&self, like: impl Fn(&PlanEvent) -> bool) -> usize {
        self.find(|recorded| matches!(&recorded.entry, Entry::Plan(envelope) if like(&envelope.events[0])))
    }

    pub fn effect(&self, like: impl Fn(&Effect) -> bool) -> usize {
        let found =
            self.journal.lines.iter().position(|line| matches!(&line.what, What::Effect(effect) if like(effect)));
        found.expect("an effect like this")
    }

    /// The doctored history breaks this promise, and is found out.
    #[track_caller]
    pub fn breaks(self, rule: Rule, words: &str) {
        let found = check(&self.history, &self.journal);
        let named = found.iter().any(|violation| violation.rule == rule && violation.what.contains(words));
        assert!(named, "{rule:?} with `{words}` is not among {found:#?}");
    }
}

fn recorded(seq: u64, address: Address, events: Events, actor: Actor) -> Recorded {
    fn envelope<E>(seq: u64, actor: Actor, events: Vec<E>) -> Envelope<E> {
        Envelope { id: Uuid::from_u128(seq.into()), schema: SCHEMA, at: time(seq), actor, trace: None, events }
    }
    let entry = match events {
        Events::Plan(events) => Entry::Plan(envelope(seq, actor, events)),
        Events::Task(events) => Entry::Task(envelope(seq, actor, events)),
        Events::Gate(events) => Entry::Gate(envelope(seq, actor, events)),
    };
    Recorded { seq, at: time(seq), address, entry }
}
