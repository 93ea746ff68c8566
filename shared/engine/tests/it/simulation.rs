//! Seeded chaos against the pure core: a bus that loses, delays and doubles what is sent, planners
//! that lag, executors that die or wake as zombies, people who cancel, pause and vote at the wrong
//! moment. Afterwards the history itself is checked.
//!
//! `SLIPWAY_SIM_SEEDS=5000` tries more seeds, `SLIPWAY_SIM_FIRST` begins at another one. A failure
//! names its seed and tells the shortest case that still fails.

mod check;
mod hostile;
mod moves;
mod rollout;
mod shrink;

use std::{
    cell::Cell,
    fmt::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Once,
};

use slipway_domain::event::Entry;

use hostile::Hostile;
use moves::{Asked, Case, EXECUTORS, Fate, Move, PLANNERS};

/// Runs a case and checks its history; what is wrong, if anything.
fn wrong(case: &Case) -> Option<String> {
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let world = Hostile::run(case);
        check::check(&world.log);
        check::same_story(&world.log, &world.planners);
        check::purged(&world.log);
    }));
    outcome.err().map(|cause| {
        let text = cause.downcast_ref::<String>().cloned();
        text.or_else(|| cause.downcast_ref::<&str>().map(|t| (*t).to_owned())).unwrap_or_default()
    })
}

/// The shortest case that still goes wrong.
fn shortest(case: Case) -> Case {
    let Case { asked, moves } = case;
    let fails =
        |asked: &[Asked], moves: &[Move]| wrong(&Case { asked: asked.to_vec(), moves: moves.to_vec() }).is_some();
    let moves = shrink::shrink(moves, |fewer| fails(&asked, fewer));
    let asked = shrink::shrink(asked, |fewer| fails(fewer, &moves));
    let moves = shrink::shrink(moves, |fewer| fails(&asked, fewer));
    Case { asked, moves }
}

/// A case as a person reads it: what was asked for, what happened, what the log then said.
fn told(case: &Case) -> String {
    let mut text = String::new();
    case.asked.iter().for_each(|asked| writeln!(text, "{asked:?}").unwrap());
    case.moves.iter().for_each(|step| writeln!(text, "{step:?}").unwrap());
    let mut world = Hostile::new(&case.asked);
    let _ = catch_unwind(AssertUnwindSafe(|| {
        case.moves.iter().for_each(|step| world.step(*step));
        world.calm();
    }));
    for recorded in world.log.entries.iter().take(200) {
        let events = match &recorded.entry {
            Entry::Plan(e) => e.events.iter().map(|e| format!("{e:?}")).collect(),
            Entry::Task(e) => e.events.iter().map(|e| format!("{e:?}")).collect(),
            Entry::Gate(e) => e.events.iter().map(|e| format!("{e:?}")).collect::<Vec<_>>(),
        };
        let events: String = events.join(", ").chars().take(160).collect();
        writeln!(text, "{} {:?} {}: {events}", recorded.seq, recorded.address, recorded.entry.actor()).unwrap();
    }
    text
}

/// Whether panics of this thread are shown; other tests may run beside it.
fn quietly(quiet: bool) {
    static HOOK: Once = Once::new();
    thread_local!(static QUIET: Cell<bool> = const { Cell::new(false) });
    HOOK.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                shown(info);
            }
        }));
    });
    QUIET.set(quiet);
}

/// Runs a case; if it goes wrong, panics with the shortest one that does.
fn must_hold(name: &str, case: Case) {
    quietly(true);
    let failure = wrong(&case).map(|_| {
        let whole = std::env::var("SLIPWAY_SIM_SHRINK").is_ok_and(|v| v == "no");
        let case = if whole { case } else { shortest(case) };
        (wrong(&case).unwrap_or_default(), told(&case))
    });
    quietly(false);
    if let Some((problem, story)) = failure {
        panic!("{name}: {problem}\nthe shortest case that fails:\n{story}");
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|s| s.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn whatever_happens_every_deployment_ends_and_no_rule_is_broken() {
    let first = number("SLIPWAY_SIM_FIRST", 0);
    for seed in first..first + number("SLIPWAY_SIM_SEEDS", 300) {
        must_hold(&format!("seed {seed}"), Case::draw(seed));
    }
}

#[test]
fn a_crash_of_everybody_after_any_event_loses_nothing() {
    let seed = number("SLIPWAY_SIM_FIRST", 0);
    let quiet: Vec<Move> = (0..40).flat_map(|_| everybody_works()).collect();
    let asked = Case::draw(seed).asked;
    let mut world = Hostile::new(&asked);
    let mut written = 0;
    for crash in 0..quiet.len() {
        world.step(quiet[crash]);
        if std::mem::replace(&mut written, world.log.entries.len()) == world.log.entries.len() {
            continue;
        }
        let mut moves = quiet.clone();
        let all = (0..PLANNERS).map(|planner| Move::Restart { planner });
        let all = all.chain((0..EXECUTORS).map(|executor| Move::Kill { executor }));
        moves.splice(crash + 1..=crash, all);
        must_hold(&format!("crash at move {crash}"), Case { asked: asked.clone(), moves });
    }
}

/// One turn in which nothing goes wrong.
fn everybody_works() -> Vec<Move> {
    let mut moves = vec![Move::Ask, Move::Pass { seconds: 1 }];
    for planner in 0..PLANNERS {
        moves.push(Move::Read { planner, entries: 1_000 });
        moves.push(Move::Expire { planner, executor: 0, restarted: true });
        moves.push(Move::Expire { planner, executor: 1, restarted: true });
        moves.push(Move::Decide { planner, fate: Fate::Arrives });
    }
    moves.push(Move::Ring { planner: 0 });
    for executor in 0..EXECUTORS {
        for task in 0..4 {
            moves.push(Move::Claim { executor, bell: task, fate: Fate::Arrives });
            moves.push(Move::Work { executor, task, deed: moves::Deed::Succeed, fate: Fate::Arrives });
        }
    }
    moves
}
