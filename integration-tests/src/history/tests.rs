//! A history that the engine itself made is sound; each promise, broken in it, is found.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::{
    event::{
        Actor, Address, Entry, Envelope, Failure, GateEvent, GateScope, Outcome, PlanEvent, Recorded, SCHEMA,
        TaskEvent, Verdict,
    },
    id::{DeploymentId, TaskKey},
    image::{Digest, ImageRef},
    manifest::{Manifest, Member, parse::parse},
    order::{Outputs, Work},
    release::{Package, RULES_VERSION, ReleaseSnapshot, Request, TargetSnapshot},
};
use slipway_engine::{State, decide, decide::Events, due, order::doorbell};
use uuid::Uuid;

use super::{Effect, Journal, Line, Rule, What, check};

const STEPS: &str = "steps:
  - {name: migrate, sql: {database: 'sqlite://x', files: {1.sql: 'create table a (b int)'}}}
  - {name: sign-off, needs: [migrate], approval: {teams: [ops], timeout: 10m}}
  - {name: job, needs: [sign-off], docker-job: {package: web}, retry: {attempts: 2, backoff: 1s}}
  - {name: web, needs: [job], targets: {role: web}, rolling: {window: 1}, docker-run: {package: web}}
";

/// A history with its journal, and what it takes to change it.
#[derive(Clone, Default)]
struct Told {
    history: Vec<Recorded>,
    journal: Journal,
    heads: BTreeMap<Address, u64>,
    seconds: u64,
}

fn planner() -> Actor {
    Actor::Planner { id: "planner-1".into() }
}

fn boot() -> Uuid {
    Uuid::from_u128(7)
}

fn holder() -> Actor {
    Actor::Holder { name: "executor-1".parse().unwrap(), boot: boot() }
}

fn time(seconds: u64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000, 0).unwrap() + TimeDelta::seconds(i64::try_from(seconds).unwrap())
}

fn request(n: u128, project_name: &str) -> Request {
    let text = format!(
        "kind: Project\nname: {project_name}\nlifecycle: l\npackages: {{web: {{feed: local, image: shop/web}}}}\n{STEPS}"
    );
    let Manifest::Project(project) = parse(None, &text).unwrap().remove(0) else { panic!("a project") };
    let digest = Digest::new(format!("sha256:{}", "a".repeat(64))).unwrap();
    let image = ImageRef { registry: "r".into(), repository: "shop/web".into(), tag: "1".into(), digest };
    let target = |name: &str| TargetSnapshot {
        name: name.parse().unwrap(),
        roles: vec!["web".parse().unwrap()],
        docker: "unix:///nowhere".into(),
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
            packages: BTreeMap::from([("web".parse().unwrap(), Package { image, credentials: None })]),
            steps: project.steps,
            variables: project.variables,
            created_at: time(0),
        },
        targets: vec![target("web-01"), target("web-02")],
        secrets: Vec::new(),
        teams: BTreeMap::from([("ops".parse().unwrap(), vec![Member::Person("ana".parse().unwrap())])]),
        requested_by: ana(),
        body_digest: "x".into(),
        rules_version: RULES_VERSION,
        skip: Vec::new(),
        not_before: None,
        timeout: None,
        queue: Default::default(),
        guided_failure: None,
        retries: None,
    }
}

impl Told {
    /// Two deployments of one lane from beginning to end, with a job that fails once.
    fn story() -> Self {
        Self::of(["shop", "shop"])
    }

    /// The same, of two projects.
    fn of(projects: [&str; 2]) -> Self {
        let mut told = Self::default();
        for (n, project) in (1..).zip(projects) {
            let request = request(n, project);
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
        let vote = GateEvent::Voted {
            opened: last.seq,
            plan_digest: plan_digest.clone(),
            person,
            verdict: Verdict::Approve,
            note: None,
        };
        let address = Address::Gate(id, "sign-off".parse().unwrap(), GateScope::All);
        self.append(
            address,
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
        let at = time(self.seconds);
        let mut line = |effect| {
            let (deployment, task) = (id, key.clone());
            self.journal.lines.push(Line {
                at,
                boot: boot(),
                deployment,
                task,
                attempt,
                epoch,
                what: What::Effect(effect),
            });
        };
        match doorbell.order.work {
            Work::Sql(_) if id.0.as_u128() == 1 => {
                line(Effect::Apply { database: "shop/test".into(), file: "1.sql".into() })
            }
            Work::Sql(_) => {}
            _ => {
                line(Effect::Create { container: container.clone(), place });
                line(Effect::Run { container: container.clone(), code: i32::from(fails) });
                if fails {
                    line(Effect::Remove { container });
                } else if key.step.as_str() == "web" && id.0.as_u128() == 2 {
                    let first = self.journal.effects().find_map(|(other, effect)| match effect {
                        Effect::Create { container, .. } if other.task == *key && other.deployment != id => {
                            Some(container.clone())
                        }
                        _ => None,
                    });
                    self.journal.lines.push(Line {
                        what: What::Effect(Effect::Remove { container: first.unwrap() }),
                        ..self.journal.lines.last().unwrap().clone()
                    });
                }
            }
        }
        let end = match fails {
            true => TaskEvent::Failed { cause: Failure::step("bad luck") },
            false => TaskEvent::Succeeded { outputs: Outputs::new() },
        };
        self.append(address, Events::Task(vec![end]), holder());
    }

    /// Puts an entry before the one at `place` and numbers the rest anew, epochs and openings included.
    fn insert(&mut self, place: usize, address: Address, events: Events, actor: Actor) {
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

    /// The place of the first entry like this.
    fn find(&self, like: impl Fn(&Recorded) -> bool) -> usize {
        self.history.iter().position(like).expect("an entry like this")
    }

    fn task_event(&self, step: &str, like: impl Fn(&TaskEvent) -> bool) -> usize {
        self.find(|recorded| match (&recorded.address, &recorded.entry) {
            (Address::Task(_, key), Entry::Task(envelope)) => key.step.as_str() == step && like(&envelope.events[0]),
            _ => false,
        })
    }

    fn plan_event(&self, like: impl Fn(&PlanEvent) -> bool) -> usize {
        self.find(|recorded| matches!(&recorded.entry, Entry::Plan(envelope) if like(&envelope.events[0])))
    }

    fn effect(&self, like: impl Fn(&Effect) -> bool) -> usize {
        let found =
            self.journal.lines.iter().position(|line| matches!(&line.what, What::Effect(effect) if like(effect)));
        found.expect("an effect like this")
    }

    /// The doctored history breaks this promise, and is found out.
    #[track_caller]
    fn breaks(self, rule: Rule, words: &str) {
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

fn claimed(event: &TaskEvent) -> bool {
    matches!(event, TaskEvent::Claimed { .. })
}

fn succeeded(event: &TaskEvent) -> bool {
    matches!(event, TaskEvent::Succeeded { .. })
}

fn id(n: u128) -> DeploymentId {
    DeploymentId(Uuid::from_u128(n))
}

#[test]
fn a_sound_history_is_found_sound() {
    let told = Told::story();
    assert_eq!(check(&told.history, &told.journal), []);
    let figures = super::figures(&told.history, &told.journal);
    assert_eq!((figures.deployments, figures.failed, figures.late), (2, 2, 0));
    for end in 0..told.history.len() {
        let found = check(&told.history[..end], &Journal::default());
        let bad: Vec<_> = found.iter().filter(|v| !matches!(v.rule, Rule::Ends | Rule::Effects)).collect();
        assert!(bad.is_empty(), "a prefix of {end} entries: {bad:#?}");
    }
}

#[test]
fn a_second_end_of_an_attempt_or_of_a_deployment_is_found() {
    let mut told = Told::story();
    let end = told.task_event("migrate", succeeded);
    let again = told.history[end].clone();
    let Entry::Task(envelope) = again.entry else { panic!("a task's entry") };
    told.insert(end + 1, again.address, Events::Task(envelope.events), envelope.actor);
    told.breaks(Rule::EndsOnce, "migrate");

    let mut told = Told::story();
    let end = told.plan_event(|event| matches!(event, PlanEvent::Finished { .. }));
    let finished = PlanEvent::Finished { outcome: Outcome::Succeeded, reason: None };
    told.insert(end + 1, Address::Plan(id(1)), Events::Plan(vec![finished]), planner());
    told.breaks(Rule::EndsOnce, "went on after the end");
}

#[test]
fn a_task_before_its_predecessor_ended_is_found() {
    let mut told = Told::story();
    let (job, end) = (told.task_event("job", claimed), told.task_event("web", claimed));
    let key = TaskKey::new("web".parse().unwrap(), "web-01".parse().unwrap());
    told.insert(job, Address::Plan(id(1)), Events::Plan(vec![PlanEvent::Granted { tasks: vec![key] }]), planner());
    // The real grant is made void, so that only the early one remains.
    let real = told.history[..=end]
        .iter()
        .rposition(|r| matches!(&r.entry, Entry::Plan(e) if matches!(e.events[0], PlanEvent::Granted { .. })))
        .unwrap();
    let Entry::Plan(envelope) = &mut told.history[real].entry else { panic!("a grant") };
    envelope.events = vec![PlanEvent::Resumed];
    told.breaks(Rule::Order, "step job has not ended");
}

#[test]
fn two_holders_at_a_time_are_found() {
    let mut told = Told::story();
    let claim = told.task_event("web", claimed);
    let Recorded { address, entry: Entry::Task(envelope), .. } = told.history[claim].clone() else { panic!("a claim") };
    told.insert(claim + 1, address, Events::Task(envelope.events), envelope.actor);
    told.breaks(Rule::OneHolder, "while another one held it");
}

#[test]
fn a_fenced_holder_that_goes_on_is_found() {
    // It writes.
    let mut told = Told::story();
    let end = told.task_event("web", succeeded);
    let Entry::Task(envelope) = &mut told.history[end].entry else { panic!("an end") };
    envelope.actor = Actor::Holder { name: "executor-1".parse().unwrap(), boot: Uuid::from_u128(8) };
    told.breaks(Rule::Fenced, "does not hold it");

    // It acts: one call in flight is forgiven, a second one is not.
    for (calls, sound) in [(1, true), (2, false)] {
        let mut told = Told::story();
        let create = told.effect(|effect| matches!(effect, Effect::Create { place, .. } if place.contains("web")));
        let epoch = told.journal.lines[create].epoch;
        let lost = TaskEvent::LeaseExpired { reason: "gone".into() };
        let place = usize::try_from(epoch).unwrap();
        let address = told.history[place - 1].address.clone();
        let end = told.history[place].at;
        told.insert(place, address, Events::Task(vec![lost]), planner());
        for line in told.journal.lines.iter_mut().filter(|line| line.epoch == epoch).take(calls) {
            line.at = end + TimeDelta::milliseconds(1);
        }
        let late = super::effects::late(&super::tests::replayed(&told), &told.journal).count();
        assert_eq!(late, calls);
        match sound {
            true => {
                let found = check(&told.history, &told.journal);
                assert!(!found.iter().any(|v| v.what.contains("after the claim had ended")), "{found:#?}");
            }
            false => told.breaks(Rule::Fenced, "after the claim had ended"),
        }
    }

    // It never claimed.
    let mut told = Told::story();
    told.journal.lines[0].epoch = 1;
    told.breaks(Rule::Fenced, "without a claim");
}

fn replayed(told: &Told) -> super::Replay {
    let mut replay = super::Replay::default();
    told.history.iter().for_each(|recorded| replay.take(recorded));
    replay
}

#[test]
fn an_effect_too_many_or_too_few_is_found() {
    for (like, words) in [
        ((|e| matches!(e, Effect::Apply { .. })) as fn(&Effect) -> bool, "twice"),
        (|e| matches!(e, Effect::Create { .. }), "was made while"),
        (|e| matches!(e, Effect::Run { code: 0, .. }), "started twice"),
        (|e| matches!(e, Effect::Remove { .. }), "is not there"),
    ] {
        let mut told = Told::story();
        let place = told.effect(like);
        let line = told.journal.lines[place].clone();
        told.journal.lines.insert(place + 1, line);
        told.breaks(Rule::Effects, words);
    }
    for (like, words) in [
        ((|e| matches!(e, Effect::Apply { .. })) as fn(&Effect) -> bool, "was not applied"),
        (|e| matches!(e, Effect::Run { code: 0, .. }), "containers did"),
        (|e| matches!(e, Effect::Remove { container } if container.contains("web@")), "has 2 containers"),
    ] {
        let mut told = Told::story();
        let place = told.effect(like);
        told.journal.lines.remove(place);
        told.breaks(Rule::Effects, words);
    }
    // A job that ran again although its first attempt had not failed.
    let mut told = Told::story();
    let failed = told.task_event("job", |event| matches!(event, TaskEvent::Failed { .. }));
    let Entry::Task(envelope) = &mut told.history[failed].entry else { panic!("an end") };
    (envelope.actor, envelope.events) = (planner(), vec![TaskEvent::LeaseExpired { reason: "gone".into() }]);
    told.breaks(Rule::Effects, "the job ran 2 times");
}

#[test]
fn a_log_that_can_not_be_folded_is_found() {
    let mut told = Told::story();
    let end = told.task_event("migrate", succeeded);
    told.history[end].address = Address::Task(id(1), TaskKey::new("ghost".parse().unwrap(), "web-01".parse().unwrap()));
    told.breaks(Rule::Fold, "the fold stopped");
}

#[test]
fn a_deployment_that_neither_ends_nor_waits_and_an_end_that_is_not_true_are_found() {
    let mut told = Told::story();
    let start = told.plan_event(|event| matches!(event, PlanEvent::Started));
    told.history.truncate(start + 1);
    told.breaks(Rule::Ends, "neither ended nor waits");

    let mut told = Told::story();
    let end = told.plan_event(|event| matches!(event, PlanEvent::Finished { .. }));
    let Entry::Plan(envelope) = &mut told.history[end].entry else { panic!("an end") };
    envelope.events = vec![PlanEvent::Finished { outcome: Outcome::Failed, reason: None }];
    told.breaks(Rule::Ends, "no step did");
}

#[test]
fn a_start_after_a_cancel_is_found() {
    let mut told = Told::story();
    let end = told.task_event("job", succeeded);
    let cancel = PlanEvent::CancelRequested { reason: "enough".into() };
    let person = Actor::Person { name: "ana".parse().unwrap(), via: "api".into() };
    told.insert(end, Address::Plan(id(1)), Events::Plan(vec![cancel]), person);
    told.breaks(Rule::Cancel, "web");
}

#[test]
fn a_gate_passed_without_a_valid_decision_is_found() {
    // Nobody voted.
    let mut told = Told::story();
    let vote = told.find(|r| matches!(&r.entry, Entry::Gate(e) if matches!(e.events[0], GateEvent::Voted { .. })));
    let Entry::Gate(envelope) = &mut told.history[vote].entry else { panic!("a vote") };
    let GateEvent::Voted { opened, .. } = &mut envelope.events[0] else { panic!("a vote") };
    *opened -= 1;
    told.breaks(Rule::Gate, "decided approve");

    // Nobody decided.
    let mut told = Told::story();
    let decided = told.find(|r| matches!(&r.entry, Entry::Gate(e) if matches!(e.events[0], GateEvent::Decided { .. })));
    let Entry::Gate(envelope) = &mut told.history[decided].entry else { panic!("a decision") };
    let GateEvent::Decided { verdict, .. } = &mut envelope.events[0] else { panic!("a decision") };
    *verdict = Verdict::Reject;
    told.breaks(Rule::Gate, "job");
}

#[test]
fn a_window_a_slot_or_a_lane_that_is_not_kept_is_found() {
    // The first deployment still holds the target when the second one claims it.
    let mut told = Told::of(["shop", "shop2"]);
    let end = told.task_event("web", succeeded);
    let Entry::Task(envelope) = &mut told.history[end].entry else { panic!("an end") };
    envelope.events = vec![TaskEvent::Checkpoint { intent: "go on".into() }];
    told.breaks(Rule::Limits, "its target runs 1 tasks already");

    // The second target is granted and claimed while the first is in progress.
    let mut told = Told::story();
    let claim = told.task_event("web", claimed);
    let second = TaskKey::new("web".parse().unwrap(), "web-02".parse().unwrap());
    told.insert(
        claim + 1,
        Address::Plan(id(1)),
        Events::Plan(vec![PlanEvent::Granted { tasks: vec![second.clone()] }]),
        planner(),
    );
    let early =
        TaskEvent::Claimed { holder: "executor-1".parse().unwrap(), boot: boot(), attempt: 1, key: String::new() };
    told.insert(claim + 2, Address::Task(id(1), second), Events::Task(vec![early]), holder());
    told.breaks(Rule::Limits, "the window is 1");

    // The second deployment works while the first has the lane.
    let mut told = Told::story();
    let end = told.plan_event(|event| matches!(event, PlanEvent::Finished { .. }));
    let finished = told.history[end].clone();
    let Entry::Plan(envelope) = finished.entry else { panic!("an end") };
    let last = told.history.len();
    told.insert(last, finished.address, Events::Plan(envelope.events), envelope.actor);
    let Entry::Plan(envelope) = &mut told.history[end].entry else { panic!("an end") };
    envelope.events = vec![PlanEvent::Resumed];
    told.breaks(Rule::Limits, "had not started");
}
