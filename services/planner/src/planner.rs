//! The planner's loop: fold, decide, append, ring. It takes no input but the log, presence and time.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use anyhow::Context as _;
use chrono::{DateTime, Utc};
use slipway_bus::{Appended, Bus, BusError, PresenceEvent, PresenceWatch};
use slipway_domain::{
    event::{Actor, Address, Entry, Recorded, TaskEvent},
    id::DeploymentId,
    name::HolderName,
    presence::{LEASE_SECS, Role},
};
use slipway_engine::{
    Decision, State,
    decide::{News, decide_about, wake_about},
    due, expire_adoptable,
    order::is_due,
};
use slipway_service::readiness::Readiness;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::{
    sync::CancellationToken,
    task::{AbortOnDropHandle, TaskTracker},
};

use crate::{
    agenda::Agenda,
    appends::{Answer, Appends},
    archive,
    clock::Clock,
    contacts::{ASK_EVERY, Contacts, SILENCE},
    leases::Leases,
    promises::Promises,
    rings::Rings,
};

mod ring;

/// What readiness calls the fold.
pub const COMPONENT: &str = "fold";
/// How long a planner leaves the share of another planner alone.
const OTHERS_SHARE: Duration = Duration::from_millis(300);
/// How long a planner goes on at once with what it took over from another one.
const TAKEN_OVER: Duration = Duration::from_secs(5);
/// How often leases are looked at, and the pause after an append that could not be made.
const TICK: Duration = Duration::from_secs(1);
/// How long the goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// Log entries folded before the next look at what to decide.
const BATCH: usize = 2_000;

/// Plans until it can not go on.
pub async fn run(bus: Bus, id: HolderName, readiness: Readiness, shutdown: CancellationToken) -> anyhow::Result<()> {
    let target = bus.head().await.context("the end of the log")?;
    let (entries, mut folded) = mpsc::channel(4 * BATCH);
    let _feeding = AbortOnDropHandle::new(tokio::spawn(feed(bus.clone(), entries)));
    let alive =
        bus.clone().stay_present((Role::Planner, id.clone()), env!("CARGO_PKG_VERSION"), || None, shutdown.clone());
    let alive = tokio::spawn(alive);
    let presence = bus.watch_presence();
    let mut planner = Planner::new(bus, id, presence, target);
    planner.report(&readiness);
    let mut batch = Vec::with_capacity(BATCH);
    let (mut tick, mut ask) = (tokio::time::interval(TICK), tokio::time::interval(ASK_EVERY));
    let checked = archive::check(planner.bus.clone());
    tokio::pin!(checked);
    loop {
        let next = planner.next_time();
        tokio::select! {
            () = shutdown.cancelled() => break,
            result = &mut checked, if !planner.checked => {
                result?;
                planner.checked = true;
                planner.report(&readiness);
            }
            read = folded.recv_many(&mut batch, BATCH) => {
                anyhow::ensure!(read > 0, "the log can not be read any more");
                for entry in batch.drain(..) {
                    planner.fold(entry)?;
                }
                planner.report(&readiness);
            }
            answer = planner.appends.answer() => planner.answered(answer),
            event = planner.presence.next() => planner.heard(event),
            heard = planner.contacts.answer() => planner.contacts.heard(heard),
            _ = tick.tick() => planner.look_around(),
            _ = ask.tick() => planner.ask_holders(),
            () = tokio::time::sleep_until(next) => {}
        }
        planner.act();
    }
    tracing::info!("stopping");
    // Saying goodbye is a courtesy: others notice by themselves.
    let _ = tokio::time::timeout(GOODBYE, alive).await;
    Ok(())
}

/// Reads the log into a channel, so that entries that are there already are folded together.
async fn feed(bus: Bus, entries: mpsc::Sender<Result<Recorded, BusError>>) {
    let mut fold = bus.fold(1);
    while entries.send(fold.next().await).await.is_ok() {}
}

struct Planner {
    bus: Bus,
    id: HolderName,
    state: State,
    clock: Clock,
    presence: PresenceWatch,
    /// The planners that are alive, and when they were heard; this one always is.
    planners: BTreeMap<HolderName, Instant>,
    leases: Leases,
    contacts: Contacts,
    appends: Appends,
    promises: Promises,
    rings: Rings,
    ringing: TaskTracker,
    /// Deployments of others that this planner went on with, because the other one did not; until then it does not
    /// wait for the other one again.
    taken_over: HashMap<DeploymentId, Instant>,
    /// The end of the log as it was at the start; nothing is decided before it is reached.
    target: u64,
    /// Whether the log is known to be the archive's.
    checked: bool,
    /// Deployments to look at, and when.
    agenda: Agenda,
}

impl Planner {
    fn new(bus: Bus, id: HolderName, presence: PresenceWatch, target: u64) -> Self {
        Self {
            appends: Appends::new(bus.clone(), id.clone()),
            contacts: Contacts::new(bus.clone()),
            bus,
            planners: BTreeMap::from([(id.clone(), Instant::now())]),
            id,
            state: State::new(),
            clock: Clock::default(),
            presence,
            leases: Leases::new(),
            promises: Promises::default(),
            rings: Rings::default(),
            ringing: TaskTracker::new(),
            taken_over: HashMap::new(),
            target,
            checked: false,
            agenda: Agenda::default(),
        }
    }

    fn is_caught_up(&self) -> bool {
        self.checked && self.state.head() >= self.target
    }

    fn report(&self, readiness: &Readiness) {
        readiness.set(
            COMPONENT,
            match self.checked {
                _ if self.is_caught_up() => Ok(()),
                true => Err(format!("reading the log up to {}", self.target)),
                false => Err("waiting for a release service to say how far its archive goes, at most 30 s".to_owned()),
            },
        );
        metrics::gauge!("slipway_planner_folded_sequence").set(self.state.head() as f64);
        metrics::gauge!("slipway_planner_deployments").set(self.state.deployments().len() as f64);
    }

    fn fold(&mut self, entry: Result<Recorded, BusError>) -> anyhow::Result<()> {
        let recorded = match entry {
            Ok(recorded) => recorded,
            Err(BusError::Unreadable { seq, subject, reason }) => {
                tracing::error!(seq, subject, reason, "an entry of the log can not be read; its deployment stops");
                if let Some(address) = slipway_bus::subject::parse(&subject) {
                    self.state.unreadable(seq, address.deployment(), &reason);
                }
                return Ok(());
            }
            Err(error) => return Err(error).context("reading the log"),
        };
        self.clock.observe(recorded.at);
        if let Actor::Holder { name, .. } = recorded.entry.actor() {
            self.leases.wrote(name, recorded.at);
            self.contacts.lives(name);
        }
        let applied = self.state.apply(&recorded);
        metrics::counter!("slipway_planner_entries_total").increment(1);
        for reason in &applied.void {
            tracing::debug!(seq = recorded.seq, reason, "void");
            metrics::counter!("slipway_planner_void_total").increment(1);
        }
        self.appends.folded(&recorded.address, recorded.seq);
        if let Address::Plan(id) = &recorded.address {
            let kept = applied.void.is_empty() && *recorded.entry.actor() == self.me();
            self.keep_promises(*id, kept);
        }
        if let (Address::Task(_, key), Entry::Task(envelope)) = (&recorded.address, &recorded.entry)
            && envelope.events.iter().any(frees_slot)
            // Whoever serves it alone has the doorbells that it could not answer at hand.
            && self.leases.is_shared(&key.target)
        {
            self.rings.freed(&key.target);
        }
        // What ended before this planner came is no news, and takes no memory while the log is read.
        let old = |state: &State, id| state.get(id).is_some_and(|d| d.end.is_some());
        for id in applied.touched {
            if !self.is_caught_up() && old(&self.state, id) {
                self.state.forget(id);
                self.agenda.leave(id);
            } else {
                self.touch(id, News::of(&recorded, id));
            }
        }
        Ok(())
    }

    fn me(&self) -> Actor {
        Actor::Planner { id: self.id.to_string() }
    }

    /// A grant is no longer on its way. What it did not take is there for others.
    fn keep_promises(&mut self, id: DeploymentId, kept: bool) {
        let targets = self.promises.keep(id);
        if !kept {
            let users: BTreeSet<_> = targets.iter().flat_map(|target| self.state.users_of(target)).collect();
            users.into_iter().for_each(|user| self.touch(user, News::shared()));
        }
    }

    /// Something about a deployment is new: look at it now, or a little later if it is another planner's.
    fn touch(&mut self, id: DeploymentId, news: News) {
        let now = Instant::now();
        let at_once = self.is_mine(id) || self.taken_over.get(&id).is_some_and(|until| now < *until);
        self.agenda.touch(id, if at_once { now } else { now + OTHERS_SHARE }, news);
    }

    fn is_mine(&self, id: DeploymentId) -> bool {
        let place = (id.0.as_u128() % self.planners.len().max(1) as u128) as usize;
        self.planners.keys().nth(place) == Some(&self.id)
    }

    fn answered(&mut self, (address, answer): Answer) {
        let (id, news) = (address.deployment(), News::at(&address));
        self.appends.answered(address, &answer, self.state.head());
        match answer {
            Ok(appended) => {
                if matches!(appended, Appended::Stored(_)) && !self.is_mine(id) {
                    self.taken_over.insert(id, Instant::now() + TAKEN_OVER);
                }
                self.touch(id, news);
            }
            Err(error) => {
                self.keep_promises(id, false);
                tracing::error!(%error, deployment.id = %id, "a decision could not be written; it is tried again");
                self.agenda.touch(id, Instant::now() + TICK, News::All);
            }
        }
    }

    fn heard(&mut self, event: PresenceEvent) {
        if let Some(at) = self.presence.last_at() {
            self.clock.observe(at);
        }
        match event {
            PresenceEvent::Up(presence) => {
                if presence.role == Role::Planner && self.planners.insert(presence.id.clone(), Instant::now()).is_none()
                {
                    tracing::info!(planner = %presence.id, "shares the work");
                }
                self.contacts.lives(&presence.id);
                if presence.role == Role::Executor {
                    self.contacts.ask(&presence.id);
                }
                let came = self.leases.heard(&presence, self.presence.last_at());
                if !came.is_empty() {
                    // A new boot proves the old process dead: what that one held goes on at once.
                    self.look_at_leases();
                    self.rings.hurry(&came);
                }
            }
            PresenceEvent::Gone { role: Role::Planner, id } => {
                if id != self.id {
                    self.planners.remove(&id);
                }
            }
            PresenceEvent::Gone { id, .. } => {
                self.contacts.left(&id);
                let decisions = self.leases.left(&self.state, &id, self.presence.last_at());
                self.write(decisions);
            }
            PresenceEvent::Drained => self.leases.listen(),
            PresenceEvent::Lost => {
                self.leases.deaf();
                self.contacts.forget();
            }
        }
    }

    /// What no entry of the log may have told: leases that are lost, and whose turn it is to start.
    fn look_around(&mut self) {
        self.look_at_leases();
        if let Some(now) = self.clock.now().filter(|_| self.is_caught_up() && self.state.holds_back()) {
            self.state.startable(now).into_iter().for_each(|id| self.touch(id, News::shared()));
        }
    }

    fn ask_holders(&mut self) {
        if self.is_caught_up() {
            self.state.holders().for_each(|holder| self.contacts.ask(holder));
        }
    }

    /// What others can adopt of holders whose connection is gone.
    fn look_at_contacts(&mut self) {
        for holder in self.contacts.take_gone(Instant::now()) {
            let reason = format!("its executor's connection is gone for {} s", SILENCE.as_secs());
            let decisions = expire_adoptable(&self.state, &holder, &reason);
            self.write(decisions);
        }
    }

    fn look_at_leases(&mut self) {
        let me = &self.id;
        self.planners.retain(|id, heard| id == me || heard.elapsed() < Duration::from_secs(LEASE_SECS));
        if let Some(now) = self.clock.now().filter(|_| self.is_caught_up()) {
            let decisions = self.leases.lost(&self.state, now);
            self.write(decisions);
        }
    }

    /// Decides and rings for every deployment whose time has come.
    fn act(&mut self) {
        let Some(now) = self.clock.now().filter(|_| self.is_caught_up()) else { return };
        self.look_at_contacts();
        while let Some(id) = self.agenda.next_woken(now) {
            self.touch(id, News::All);
        }
        let instant = Instant::now();
        while let Some((id, news)) = self.agenda.next_due(instant) {
            self.look_at(id, news, now);
        }
        for caller in self.rings.take(Instant::now()) {
            self.ring(caller);
        }
    }

    fn look_at(&mut self, id: DeploymentId, news: News, now: DateTime<Utc>) {
        // What stops a deployment stops all its tasks.
        let news = if self.state.get(id).is_some_and(|d| d.is_running()) { news } else { News::All };
        let decisions = decide_about(&self.state, id, &news, now, self.promises.slots());
        self.write(decisions);
        let wake = wake_about(&self.state, id, &news);
        match news {
            News::All => {
                self.rings.update(id, due(&self.state, id), Instant::now());
                self.agenda.wake_at(id, wake);
            }
            News::Tasks(keys) => {
                for key in keys {
                    let due = is_due(&self.state, id, &key);
                    self.rings.set((id, key), due, Instant::now());
                }
                self.agenda.wake_also_at(id, wake);
            }
        }
        if let Some(end) = self.state.get(id).and_then(|d| d.end.as_ref()) {
            tracing::info!(deployment.id = %id, outcome = %end.outcome, "finished");
            metrics::counter!("slipway_planner_finished_total", "outcome" => end.outcome.as_str()).increment(1);
            self.state.forget(id);
            self.taken_over.remove(&id);
        }
    }

    fn write(&mut self, decisions: Vec<Decision>) {
        for decision in decisions {
            if self.appends.can_start(&decision) {
                self.promises.make(&decision);
            }
            let trace = self.state.get(decision.address.deployment()).and_then(|d| d.trace.clone());
            self.appends.start(decision, trace.as_deref());
        }
    }

    /// When to look again although nothing arrived.
    fn next_time(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(3600);
        let wake = self.clock.now().and_then(|now| {
            let first = self.agenda.next_wake()?;
            Some(Instant::now() + (first - now).to_std().unwrap_or_default())
        });
        [wake, self.agenda.next_look(), self.rings.next(), self.contacts.next()]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(far)
    }
}

/// Whether an executor has one task less after it.
fn frees_slot(event: &TaskEvent) -> bool {
    !matches!(
        event,
        TaskEvent::Claimed { .. } | TaskEvent::Checkpoint { .. } | TaskEvent::CancelIssued | TaskEvent::Told { .. }
    )
}
