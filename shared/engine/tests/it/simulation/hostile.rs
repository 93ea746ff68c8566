//! The world that a case happens in: a bus that loses, delays and doubles, planners that lag,
//! executors that die or wake as zombies. Then a calm, in which everything must come to an end.

use std::collections::{BTreeMap, VecDeque};

use chrono::{DateTime, TimeDelta, Utc};
use slipway_domain::{
    event::{Actor, Address, Entry, Failure, GateEvent, GateScope, PlanEvent, TaskEvent, Verdict},
    id::{DeploymentId, TaskKey},
    manifest::{Freeze, Manifest, parse::parse},
    order::{Doorbell, Outputs},
    policy::Policy,
};
use slipway_engine::{
    State,
    decide::{Events, News, Promised, decide_about, wake_about},
    due, expire,
    gate::{Gate, GateState},
    order::doorbell,
    view,
};
use uuid::Uuid;

use super::moves::{Asked, Case, Deed, EXECUTORS, Fate, Move, PLANNERS, Wish};
use crate::{
    fixture::person,
    world::{Log, holder, planner},
};

/// Something that an executor believes to hold.
#[derive(Clone)]
struct Held {
    id: DeploymentId,
    key: TaskKey,
    head: u64,
    /// It is only to clean up.
    stop: bool,
}

struct Executor {
    name: String,
    boot: u128,
    held: Vec<Held>,
}

/// A message under way.
struct Letter {
    address: Address,
    expected: u64,
    events: Events,
    actor: Actor,
    /// The executor that learns of its arrival, and the boot in which it still cares.
    sender: Option<(usize, u128, Held)>,
}

/// What a planner will look at again, and when: only what an entry touched, or what it set its clock for.
#[derive(Clone, Default)]
struct Looks {
    dirty: BTreeMap<DeploymentId, News>,
    wakes: BTreeMap<DeploymentId, DateTime<Utc>>,
}

impl Looks {
    fn touch(&mut self, id: DeploymentId, news: News) {
        self.dirty.entry(id).or_insert_with(News::shared).add(news);
    }
}

pub struct Hostile {
    pub log: Log,
    pub planners: Vec<State>,
    looks: Vec<Looks>,
    asked: VecDeque<Asked>,
    executors: Vec<Executor>,
    bells: Vec<Doorbell>,
    letters: Vec<Letter>,
    boots: u128,
}

impl Hostile {
    pub fn new(asked: &[Asked]) -> Self {
        let executors =
            (0..EXECUTORS).map(|i| Executor { name: format!("e{i}"), boot: i as u128 + 1, held: Vec::new() }).collect();
        Self {
            log: Log::default(),
            planners: vec![State::new(); PLANNERS],
            looks: vec![Looks::default(); PLANNERS],
            asked: asked.iter().cloned().collect(),
            executors,
            bells: Vec::new(),
            letters: Vec::new(),
            boots: 10,
        }
    }

    /// Lets a case happen, and then everything come to rest.
    pub fn run(case: &Case) -> Self {
        let mut world = Self::new(&case.asked);
        for step in &case.moves {
            world.step(*step);
        }
        world.calm();
        world
    }

    pub fn step(&mut self, step: Move) {
        match step {
            Move::Ask => {
                if let Some(asked) = self.asked.pop_front() {
                    self.log.request(asked.request());
                }
            }
            Move::Read { planner, entries } => self.read(planner, entries),
            Move::Decide { planner, fate } => self.decide(planner, fate),
            Move::Ring { planner } => self.ring(planner),
            Move::Claim { executor, bell, fate } => self.claim(executor, bell, fate),
            Move::Work { executor, task, deed, fate } => self.work(executor, task, deed, fate),
            Move::Land { message } => {
                if !self.letters.is_empty() {
                    let letter = self.letters.swap_remove(message % self.letters.len());
                    self.land(letter);
                }
            }
            Move::Kill { executor } => self.kill(executor),
            Move::Expire { planner, executor, restarted } => self.expire(planner, executor, restarted),
            Move::Restart { planner } => {
                self.planners[planner] = State::new();
                self.looks[planner] = Looks::default();
            }
            Move::Pass { seconds } => self.log.seconds += seconds,
            Move::Vote { gate, person, verdict, stale } => self.vote(gate, person, verdict, stale),
            Move::Wish { deployment, wish } => self.wish(deployment, wish),
            Move::Limit { total, production, frozen } => {
                let environments = production.map(|limit| ("production".parse().unwrap(), limit));
                let freezes = frozen.then(|| freeze(self.log.now())).into_iter().collect();
                let environments = environments.into_iter().collect();
                self.log.policy(Policy { deployments: total, environments, freezes });
            }
        }
    }

    fn read(&mut self, p: usize, entries: usize) {
        for _ in 0..entries {
            let next = self.planners[p].head() as usize;
            let Some(recorded) = self.log.entries.get(next) else { return };
            let applied = self.planners[p].apply(recorded);
            for id in applied.touched {
                self.looks[p].touch(id, News::of(recorded, id));
            }
        }
    }

    fn deployments(&self, p: usize) -> Vec<DeploymentId> {
        let mut ids: Vec<_> = self.planners[p].deployments().map(|d| (d.seq, d.id())).collect();
        ids.sort();
        ids.into_iter().map(|(_, id)| id).collect()
    }

    fn decide(&mut self, p: usize, fate: Fate) {
        let now = self.log.now();
        let woken: Vec<_> = self.looks[p].wakes.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        woken.into_iter().for_each(|id| self.looks[p].touch(id, News::All));
        // A planner looks once a second at what a freeze no longer holds.
        if !self.planners[p].policy().freezes.is_empty() {
            let startable = self.planners[p].startable(now);
            startable.into_iter().for_each(|id| self.looks[p].touch(id, News::shared()));
        }
        for (id, news) in self.looks[p].dirty.clone() {
            let decisions = decide_about(&self.planners[p], id, &news, now, &Promised::new());
            if decisions.is_empty() {
                self.looks[p].dirty.remove(&id);
                // What only some news change was not later before.
                let known = self.looks[p].wakes.remove(&id).filter(|_| news != News::All);
                let wake = known.into_iter().chain(wake_about(&self.planners[p], id, &news)).min();
                self.looks[p].wakes.extend(wake.map(|at| (id, at)));
            }
            for decision in decisions {
                let (address, expected, events) = (decision.address, decision.expected, decision.events);
                self.send(Letter { address, expected, events, actor: planner(), sender: None }, fate);
            }
        }
    }

    fn send(&mut self, letter: Letter, fate: Fate) {
        match fate {
            Fate::Arrives => self.land(letter),
            Fate::Lost => {}
            Fate::Late => self.letters.push(letter),
        }
    }

    fn land(&mut self, letter: Letter) {
        let stored = self.log.append(&letter.address, letter.expected, letter.events, letter.actor);
        let Some((e, boot, mut held)) = letter.sender else { return };
        let executor = &mut self.executors[e];
        if executor.boot != boot {
            return;
        }
        if let Some(seq) = stored {
            executor.held.retain(|h| (h.id, &h.key) != (held.id, &held.key));
            held.head = seq;
            let over = !matches!(&self.log.entries.last().unwrap().entry, Entry::Task(envelope)
                if envelope.events.iter().all(|e| matches!(e, TaskEvent::Claimed { .. } | TaskEvent::Checkpoint { .. })));
            if !over {
                executor.held.push(held);
            }
        } else if held.head > 0 {
            executor.held.retain(|h| (h.id, &h.key) != (held.id, &held.key));
            self.look(e, &letter.address, &held);
        }
    }

    /// Its write was lost: told to stop, it still holds and says that it did; told to go on, it still holds; anything
    /// else means fenced.
    fn look(&mut self, e: usize, address: &Address, held: &Held) {
        let mut held = held.clone();
        let after = self.log.entries.iter().filter(|r| r.address == *address && r.seq > held.head);
        for recorded in after.cloned().collect::<Vec<_>>() {
            let Entry::Task(envelope) = &recorded.entry else { return };
            match envelope.events.as_slice() {
                [TaskEvent::Told { .. }] => held.head = recorded.seq,
                [TaskEvent::CancelIssued] => {
                    let actor = holder(&self.executors[e].name, self.executors[e].boot);
                    self.log.append(address, recorded.seq, Events::Task(vec![TaskEvent::Cancelled]), actor);
                    return;
                }
                _ => return,
            }
        }
        self.executors[e].held.push(held);
    }

    fn ring(&mut self, p: usize) {
        for id in self.deployments(p) {
            for key in due(&self.planners[p], id) {
                self.bells.push(doorbell(&self.planners[p], id, &key).unwrap().unwrap());
            }
        }
        // Old ones are kept to be answered much too late, but not for ever.
        let many = self.bells.len().saturating_sub(60);
        self.bells.drain(..many);
    }

    fn claim(&mut self, e: usize, bell: usize, fate: Fate) {
        if self.bells.is_empty() {
            return;
        }
        let bell = self.bells[bell % self.bells.len()].clone();
        let (name, boot) = (self.executors[e].name.clone(), self.executors[e].boot);
        let event = TaskEvent::Claimed {
            holder: name.parse().unwrap(),
            boot: Uuid::from_u128(boot),
            attempt: bell.attempt,
            key: "k".into(),
        };
        let held = Held { id: bell.deployment, key: bell.task.clone(), head: 0, stop: bell.stop };
        let letter = Letter {
            address: Address::Task(bell.deployment, bell.task),
            expected: bell.expected_seq,
            events: Events::Task(vec![event]),
            actor: holder(&name, boot),
            sender: Some((e, boot, held)),
        };
        // A claim that it holds already is the same one again.
        let known = self.executors[e].held.iter().any(|h| Address::Task(h.id, h.key.clone()) == letter.address);
        if !known {
            self.send(letter, fate);
        }
    }

    fn work(&mut self, e: usize, task: usize, deed: Deed, fate: Fate) {
        if self.executors[e].held.is_empty() {
            return;
        }
        let i = task % self.executors[e].held.len();
        let held = self.executors[e].held[i].clone();
        let event = match deed {
            _ if held.stop => TaskEvent::Cancelled,
            Deed::Checkpoint => TaskEvent::Checkpoint { intent: "x".into() },
            Deed::Succeed => TaskEvent::Succeeded { outputs: Outputs::new() },
            Deed::Fail => TaskEvent::Failed { cause: Failure::step("bad luck") },
            Deed::Unknown => TaskEvent::Unknown { reason: "x".into() },
        };
        let letter = Letter {
            address: Address::Task(held.id, held.key.clone()),
            expected: held.head,
            events: Events::Task(vec![event]),
            actor: holder(&self.executors[e].name, self.executors[e].boot),
            sender: Some((e, self.executors[e].boot, held)),
        };
        // It waits until it knows; what never arrives it sends again.
        if fate != Fate::Lost {
            if fate == Fate::Late {
                self.executors[e].held.remove(i);
            }
            self.send(letter, fate);
        }
    }

    fn kill(&mut self, e: usize) {
        self.boots += 1;
        self.executors[e].boot = self.boots;
        self.executors[e].held.clear();
    }

    fn expire(&mut self, p: usize, e: usize, restarted: bool) {
        let (name, boot) = (self.executors[e].name.parse().unwrap(), self.executors[e].boot);
        for decision in expire(&self.planners[p], &name, restarted.then(|| Uuid::from_u128(boot)), "gone") {
            self.log.append(&decision.address, decision.expected, decision.events, planner());
        }
    }

    /// Gates that are open or were, as planner 0 knows them.
    fn gates(&self) -> Vec<(Address, Gate, String)> {
        let mut gates = Vec::new();
        for id in self.deployments(0) {
            let Some(deployment) = self.planners[0].get(id).filter(|d| d.end.is_none()) else { continue };
            let Some(progress) = &deployment.progress else { continue };
            for (i, run) in progress.steps.iter().enumerate() {
                let step = progress.plan.steps[i].name();
                let asked =
                    |t: &slipway_engine::deployment::Task| (GateScope::Target(t.target.clone()), t.guidance.clone());
                let all = run.any_gate().cloned().map(|gate| (GateScope::All, gate)).into_iter();
                let all = all.chain(run.tasks.iter().map(asked)).filter(|(_, gate)| gate.opened().is_some());
                gates.extend(
                    all.map(|(scope, gate)| (Address::Gate(id, step.clone(), scope), gate, progress.digest.clone())),
                );
            }
        }
        gates
    }

    fn vote(&mut self, gate: usize, name: &str, verdict: Verdict, stale: bool) {
        let gates = self.gates();
        if gates.is_empty() {
            return;
        }
        let (address, gate, digest) = &gates[gate % gates.len()];
        let opened = gate.opened().unwrap();
        let plan_digest = if stale { "sha256:other".to_owned() } else { digest.clone() };
        let drift = gate.head.is_multiple_of(5).then(|| "gone".to_owned());
        let event = GateEvent::Voted { opened, plan_digest, person: name.parse().unwrap(), verdict, note: None, drift };
        self.log.append(address, self.log.head(address), Events::Gate(vec![event]), person(name));
    }

    fn wish(&mut self, deployment: usize, wish: Wish) {
        let ids: Vec<_> = self.deployments(0);
        let alive: Vec<_> = ids.iter().filter_map(|id| self.planners[0].get(*id)).filter(|d| d.end.is_none()).collect();
        if alive.is_empty() {
            return;
        }
        let deployment = alive[deployment % alive.len()];
        let event = match wish {
            Wish::Cancel => PlanEvent::CancelRequested { reason: "x".into() },
            Wish::Pause => PlanEvent::Paused { reason: "x".into() },
            Wish::Resume => PlanEvent::Resumed,
            Wish::Tell => {
                let Some(progress) = &deployment.progress else { return };
                let name = |step: &slipway_domain::plan::PlannedStep| step.name().clone();
                let tasks = progress.steps.iter().zip(&progress.plan.steps).flat_map(|(run, planned)| {
                    run.tasks.iter().map(move |task| (TaskKey::new(name(planned), task.target.clone()), task))
                });
                let Some((task, _)) = tasks.into_iter().find(|(_, task)| task.takes_slot()) else { return };
                PlanEvent::Told { task, fail: false }
            }
        };
        let (address, head) = (Address::Plan(deployment.id()), deployment.plan_head);
        self.log.append(&address, head, Events::Plan(vec![event]), person("ana"));
    }

    /// Faults end: what is late arrives, executors come back with new boots, planners keep up, people answer.
    pub fn calm(&mut self) {
        while let Some(asked) = self.asked.pop_front() {
            self.log.request(asked.request());
        }
        for letter in std::mem::take(&mut self.letters) {
            self.land(letter);
        }
        self.bells.clear();
        for _ in 0..400 {
            self.log.seconds += 5;
            for p in 0..PLANNERS {
                self.read(p, usize::MAX);
                self.decide(p, Fate::Arrives);
                self.read(p, usize::MAX);
                for e in 0..EXECUTORS {
                    self.expire(p, e, true);
                }
            }
            self.ring(0);
            for bell in 0..self.bells.len() {
                self.claim(bell % EXECUTORS, bell, Fate::Arrives);
            }
            self.bells.clear();
            for e in 0..EXECUTORS {
                for i in (0..self.executors[e].held.len()).rev() {
                    self.work(e, i, Deed::Succeed, Fate::Arrives);
                }
            }
            self.answer();
            for p in 0..PLANNERS {
                self.read(p, usize::MAX);
            }
            if self.planners[0].deployments().all(|d| d.end.is_some()) {
                return;
            }
        }
        let stuck: Vec<_> = self.planners[0].deployments().map(|d| view::deployment(d, 0)).collect();
        panic!("never ends: {stuck:#?}");
    }

    fn answer(&mut self) {
        for (i, (address, gate, _)) in self.gates().into_iter().enumerate() {
            if !matches!(gate.state, GateState::Open { .. }) {
                continue;
            }
            let guidance = matches!(address, Address::Gate(_, _, GateScope::Target(_)));
            let verdict = if guidance { Verdict::Reject } else { Verdict::Approve };
            self.vote(i, "ana", verdict, false);
            self.vote(i, "ben", verdict, false);
        }
        let paused = |d: &&slipway_engine::deployment::Deployment| d.end.is_none() && d.pause.is_some();
        let paused: Vec<_> = self.planners[0].deployments().filter(paused).map(|d| (d.id(), d.plan_head)).collect();
        for (id, head) in paused {
            self.log.append(&Address::Plan(id), head, Events::Plan(vec![PlanEvent::Resumed]), person("ana"));
        }
    }
}

/// A freeze of half a minute, from now on.
fn freeze(now: DateTime<Utc>) -> Freeze {
    let until = now + TimeDelta::seconds(30);
    let text = format!("kind: Freeze\nname: f\nfrom: {}\nuntil: {}\n", now.to_rfc3339(), until.to_rfc3339());
    let Manifest::Freeze(freeze) = parse(None, &text).unwrap().remove(0) else { panic!("a freeze") };
    *freeze
}
