//! Seeded chaos against the pure core: lagging planners, executors that die, freeze and wake as
//! zombies, retries, votes and cancels at random. Afterwards the history itself is checked.
//!
//! `SLIPWAY_SIM_SEEDS=5000` tries more seeds; a failure names its seed.

use std::collections::{BTreeMap, HashMap};

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use slipway_domain::{
    event::{Address, Entry, Failure, GateEvent, PlanEvent, TaskEvent, Verdict},
    id::{DeploymentId, TaskKey},
    manifest::{OnFailure, Rolling},
    order::Outputs,
};
use slipway_engine::{
    State, decide,
    decide::Events,
    deployment::{Task, TaskState},
    due, expire,
    gate::GateState,
    ready, view,
};
use uuid::Uuid;

use crate::{
    fixture::{person, request, targets},
    world::{Log, holder, planner},
};

const BODY: &str = "steps:
  - {name: migrate, wait: 0s, retry: {attempts: 3, backoff: 1s}}
  - {name: sign-off, needs: [migrate], approval: {teams: [ops], timeout: 10m}}
  - {name: web, needs: [sign-off], targets: {role: web}, rolling: {window: 2, max-failures: 1}, retry: {attempts: 2, backoff: 1s}, timeout: 5m, wait: 0s}
  - {name: warm, needs: [sign-off], targets: {role: web}, wait: 0s}
  - {name: join, needs: [web, warm], wait: 0s}
  - {name: tell, needs: [join], wait: 0s, when: {result: always}}
  - {name: alarm, wait: 0s, when: {result: failure}}";

/// The same with a canary that people look at, and with what failed being taken back.
const ROLLOUT: &str = "steps:
  - {name: migrate, wait: 0s, retry: {attempts: 3, backoff: 1s}}
  - {name: sign-off, needs: [migrate], approval: {teams: [ops], timeout: 10m}}
  - name: web
    needs: [sign-off]
    targets: {role: web}
    rolling: {window: 2, canary: 2, then: {approval: {teams: [ops], timeout: 10m}}, pause: 1s, on-failure: restore}
    retry: {attempts: 2, backoff: 1s}
    timeout: 5m
    docker-run: {package: web}
  - {name: join, needs: [web], wait: 0s}
  - {name: tell, needs: [join], wait: 0s, when: {result: always}}
  - {name: alarm, wait: 0s, when: {result: failure}}";

/// An executor: what it believes to hold, as (task, expected head).
struct Executor {
    name: String,
    boot: u128,
    frozen: bool,
    held: Vec<(DeploymentId, TaskKey, u64)>,
}

struct Chaos {
    rng: StdRng,
    log: Log,
    planners: Vec<State>,
    executors: Vec<Executor>,
    boots: u128,
    calm: bool,
}

impl Chaos {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut log = Log::default();
        for i in 0..rng.random_range(1..4) {
            let body = if rng.random_bool(0.5) { BODY } else { ROLLOUT };
            let mut request = request(&format!("{seed}-{i}"), body, targets(3, 1));
            if rng.random_bool(0.5) {
                request.release.project = format!("p{i}").parse().unwrap();
            }
            log.request(request);
        }
        let executors =
            (0..2).map(|i| Executor { name: format!("e{i}"), boot: i + 1, frozen: false, held: Vec::new() }).collect();
        Self { rng, log, planners: vec![State::new(); 2], executors, boots: 10, calm: false }
    }

    /// A planner folds a part of what is new, decides on what it knows, and some of it gets written.
    fn plan(&mut self, p: usize) {
        let behind = self.log.entries.len() - self.planners[p].head() as usize;
        let steps = if self.calm { behind } else { self.rng.random_range(0..=behind) };
        for _ in 0..steps {
            let next = self.planners[p].head() as usize;
            self.planners[p].apply(&self.log.entries[next]);
        }
        let now = self.log.now();
        let ids: Vec<_> = self.planners[p].deployments().map(|d| d.id()).collect();
        for id in ids {
            for decision in decide(&self.planners[p], id, now) {
                if self.calm || self.rng.random_bool(0.9) {
                    self.log.append(&decision.address, decision.expected, decision.events, planner());
                }
            }
            for key in due(&self.planners[p], id) {
                self.ring(p, id, key);
            }
        }
    }

    fn ring(&mut self, p: usize, id: DeploymentId, key: TaskKey) {
        let e = self.rng.random_range(0..self.executors.len());
        if self.executors[e].frozen || (!self.calm && self.rng.random_bool(0.3)) {
            return;
        }
        let doorbell = slipway_engine::order::doorbell(&self.planners[p], id, &key).unwrap().unwrap();
        let (name, boot) = (self.executors[e].name.clone(), self.executors[e].boot);
        let event = TaskEvent::Claimed {
            holder: name.parse().unwrap(),
            boot: Uuid::from_u128(boot),
            attempt: doorbell.attempt,
            key: "k".into(),
        };
        let address = Address::Task(id, key.clone());
        if let Some(seq) =
            self.log.append(&address, doorbell.expected_seq, Events::Task(vec![event]), holder(&name, boot))
        {
            self.executors[e].held.push((id, key, seq));
        }
    }

    /// An executor goes on with something it believes to hold.
    fn work(&mut self, e: usize) {
        if self.executors[e].frozen || self.executors[e].held.is_empty() {
            return;
        }
        let i = self.rng.random_range(0..self.executors[e].held.len());
        let (id, key, head) = self.executors[e].held[i].clone();
        let actor = holder(&self.executors[e].name, self.executors[e].boot);
        let event = match self.rng.random_range(0..10) {
            0 | 1 if !self.calm => TaskEvent::Checkpoint { intent: "x".into() },
            2 | 3 if !self.calm => TaskEvent::Failed { cause: Failure::step("bad luck") },
            _ => TaskEvent::Succeeded { outputs: Outputs::new() },
        };
        let goes_on = matches!(event, TaskEvent::Checkpoint { .. });
        let address = Address::Task(id, key.clone());
        match self.log.append(&address, head, Events::Task(vec![event]), actor.clone()) {
            Some(seq) if goes_on => self.executors[e].held[i].2 = seq,
            Some(_) => {
                self.executors[e].held.remove(i);
            }
            None => {
                // Lost: look at what follows. Told to stop: still ours. Anything else: fenced.
                self.executors[e].held.remove(i);
                let after = self.log.entries.iter().find(|r| r.address == address && r.seq > head).unwrap();
                let Entry::Task(envelope) = &after.entry else { panic!() };
                if envelope.events == [TaskEvent::CancelIssued] {
                    self.log.append(&address, after.seq, Events::Task(vec![TaskEvent::Cancelled]), actor);
                }
            }
        }
    }

    /// Something goes wrong, or a person does something.
    fn disturb(&mut self) {
        let e = self.rng.random_range(0..self.executors.len());
        match self.rng.random_range(0..8) {
            // Killed and started again: a new boot that knows nothing.
            0 => {
                self.boots += 1;
                self.executors[e].boot = self.boots;
                self.executors[e].held.clear();
                self.expire(e, Some(self.boots));
            }
            // Frozen for longer than its lease, then a zombie with all its beliefs.
            1 => {
                self.executors[e].frozen = true;
                self.expire(e, None);
            }
            2 => self.executors[e].frozen = false,
            3 => {
                let ids: Vec<_> = self.planners[0].deployments().map(|d| d.id()).collect();
                if let (Some(id), true) = (ids.choose(&mut self.rng).copied(), self.rng.random_bool(0.1)) {
                    let address = Address::Plan(id);
                    if self.planners[0].get(id).is_some_and(|d| d.end.is_none()) {
                        let head = self.planners[0].get(id).unwrap().plan_head;
                        let event = PlanEvent::CancelRequested { reason: "x".into() };
                        self.log.append(&address, head, Events::Plan(vec![event]), person("ana"));
                    }
                }
            }
            // A planner is killed and reads the log again.
            4 => {
                let p = self.rng.random_range(0..self.planners.len());
                self.planners[p] = State::new();
            }
            _ => self.log.seconds += self.rng.random_range(0..3),
        }
    }

    fn expire(&mut self, e: usize, alive: Option<u128>) {
        let name = self.executors[e].name.parse().unwrap();
        for decision in expire(&self.planners[0], &name, alive.map(Uuid::from_u128), "gone") {
            self.log.append(&decision.address, decision.expected, decision.events, planner());
        }
    }

    fn vote(&mut self) {
        let mut open = Vec::new();
        for deployment in self.planners[0].deployments() {
            let Some(progress) = &deployment.progress else { continue };
            for (planned, run) in progress.plan.steps.iter().zip(&progress.steps) {
                let Some(gate) = run.any_gate() else { continue };
                if matches!(gate.state, slipway_engine::gate::GateState::Open { .. }) {
                    let address =
                        Address::Gate(deployment.id(), planned.name().clone(), slipway_domain::event::GateScope::All);
                    open.push((address, gate.head, gate.opened().unwrap(), progress.digest.clone()));
                }
            }
        }
        open.sort();
        for (address, head, opened, plan_digest) in open {
            let verdict = if self.rng.random_bool(0.9) { Verdict::Approve } else { Verdict::Reject };
            let event = GateEvent::Voted { opened, plan_digest, person: "ana".parse().unwrap(), verdict, note: None };
            self.log.append(&address, head, Events::Gate(vec![event]), person("ana"));
        }
    }

    fn run(mut self) -> Self {
        for turn in 0..4_000 {
            self.calm = turn > 400;
            for p in 0..self.planners.len() {
                self.plan(p);
            }
            for e in 0..self.executors.len() {
                self.work(e);
            }
            if self.calm {
                self.log.seconds += 1;
                for e in 0..self.executors.len() {
                    self.executors[e].frozen = false;
                    let boot = self.executors[e].boot;
                    self.expire(e, Some(boot));
                    // A zombie that was fenced finds out at its next write; one that holds works on.
                }
                self.vote();
                if self.planners.iter().all(|p| p.deployments().all(|d| d.end.is_some())) {
                    return self;
                }
            } else {
                self.disturb();
                if self.rng.random_bool(0.05) {
                    self.vote();
                }
            }
        }
        let stuck: Vec<_> = self.planners[0].deployments().map(|d| view::deployment(d, 0)).collect();
        panic!("never ends: {stuck:#?}");
    }
}

/// What must hold over a history, looked at entry by entry.
fn check(log: &Log) {
    let mut state = State::new();
    let mut claimed: HashMap<(DeploymentId, TaskKey), bool> = HashMap::new();
    let mut finished: HashMap<DeploymentId, u32> = HashMap::new();
    for recorded in &log.entries {
        let before = state.clone();
        state.apply(recorded);
        let id = recorded.address.deployment();
        if let (Address::Task(_, key), Entry::Task(envelope)) = (&recorded.address, &recorded.entry) {
            let deployment = before.get(id).unwrap();
            for event in &envelope.events {
                let held = claimed.entry((id, key.clone())).or_default();
                match event {
                    TaskEvent::Claimed { .. } => {
                        assert!(!*held, "{key} was claimed twice without an end between");
                        *held = true;
                        let progress = deployment.progress.as_ref().unwrap();
                        let i = progress.position(&key.step).unwrap();
                        assert!(
                            progress.needs(i).all(|n| progress.steps[n].is_settled()),
                            "{key} began before what it needs ended"
                        );
                        if key.step.as_str() == "web" {
                            let gate = progress.position(&"sign-off".parse().unwrap()).unwrap();
                            assert!(!ready::has_failed(progress, gate), "{key} began without approval");
                        }
                    }
                    TaskEvent::Checkpoint { .. } | TaskEvent::CancelIssued => {}
                    _ => *held = false,
                }
            }
        }
        if let Entry::Plan(envelope) = &recorded.entry {
            let ends = envelope
                .events
                .iter()
                .filter(|e| matches!(e, PlanEvent::Finished { .. } | PlanEvent::Rejected { .. }))
                .count();
            *finished.entry(id).or_default() += ends as u32;
        }
        let mut running: BTreeMap<_, usize> = BTreeMap::new();
        for deployment in state.deployments() {
            assert_eq!(deployment.corrupt, None);
            let Some(progress) = &deployment.progress else { continue };
            for (i, run) in progress.steps.iter().enumerate() {
                if let Some(rolling) = &progress.plan.steps[i].step.rolling {
                    let going = run.tasks.iter().filter(|t| t.takes_place() && t.restoring.is_none()).count();
                    assert!(going <= rolling.window as usize, "the window was exceeded");
                    check_rollout(progress, i, rolling);
                }
                for task in run.tasks.iter().filter(|t| t.takes_slot()) {
                    *running.entry(task.target.to_string()).or_default() += 1;
                }
            }
        }
        assert!(
            running.iter().all(|(target, n)| !target.starts_with("web") || *n <= 1),
            "a target was overloaded: {running:?}"
        );
    }
    assert!(finished.values().all(|ends| *ends == 1), "one end per deployment: {finished:?}");
}

/// The others follow only a canary that ended well and was approved; in the end nothing is half done.
fn check_rollout(progress: &slipway_engine::deployment::Progress, i: usize, rolling: &Rolling) {
    let run = &progress.steps[i];
    let first = rolling.canaries(run.tasks.len());
    let (canary, others) = run.tasks.split_at(first);
    let began = |task: &Task| !matches!(task.state, TaskState::Pending | TaskState::Skipped(_));
    if first > 0 && others.iter().any(began) {
        let good = |task: &Task| task.restoring.is_some() || matches!(task.state, TaskState::Succeeded(_));
        assert!(canary.iter().all(good), "others began before the canary had ended well");
        let look = run.rollout.look.as_ref().map(|gate| &gate.state);
        let approved = |state: &GateState| matches!(state, GateState::Decided { verdict: Verdict::Approve, .. });
        assert!(look.is_none_or(approved), "others began without approval");
    }
    let kept = run.tasks.iter().filter(|task| matches!(task.state, TaskState::Succeeded(_))).count();
    if run.is_settled() && rolling.on_failure == OnFailure::Restore && ready::has_failed(progress, i) {
        assert_eq!(kept, 0, "the step failed, and some targets have what it made");
    }
}

#[test]
fn whatever_happens_every_deployment_ends_and_no_rule_is_broken() {
    let seeds = std::env::var("SLIPWAY_SIM_SEEDS").ok().and_then(|s| s.parse().ok()).unwrap_or(60);
    for seed in 0..seeds {
        let outcome = std::panic::catch_unwind(|| {
            let chaos = Chaos::new(seed).run();
            check(&chaos.log);
            let mut again = State::new();
            chaos.log.entries.iter().for_each(|r| drop(again.apply(r)));
            let mut live = chaos.planners[1].clone();
            chaos.log.entries[live.head() as usize..].iter().for_each(|r| drop(live.apply(r)));
            for deployment in again.deployments() {
                let live = live.get(deployment.id()).unwrap();
                assert!(view::deployment(deployment, 0) == view::deployment(live, 0), "a replay tells another story");
            }
        });
        assert!(outcome.is_ok(), "seed {seed}");
    }
}
