//! Each promise, broken in a sound history, is found.

mod canary;
mod series;
mod told;

use chrono::TimeDelta;
use slipway_domain::{
    event::{Actor, Address, Entry, GateEvent, Outcome, PlanEvent, Recorded, TaskEvent, Verdict},
    id::{DeploymentId, TaskKey},
    manifest::{Action, Manifest, parse::parse},
    policy::Policy,
};
use slipway_engine::decide::Events;
use uuid::Uuid;

use self::told::{Told, boot, holder, planner};
use super::{Effect, Journal, Rule, What, check};

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

/// As an engine tells it, which does not say who removes and stops, and a database, which does not say who migrates.
fn without_doers(told: &mut Told) {
    for line in &mut told.journal.lines {
        let What::Effect(effect) = &line.what else { continue };
        if matches!(effect, Effect::Remove { .. } | Effect::Park { .. } | Effect::Apply { .. }) {
            line.what = What::Seen(effect.clone());
            line.epoch = 0;
        }
    }
}

#[test]
fn what_was_seen_of_nobody_knows_whom_counts_as_well() {
    let mut told = Told::story();
    without_doers(&mut told);
    assert_eq!(check(&told.history, &told.journal), []);

    let seen = |told: &mut Told, like: fn(&Effect) -> bool| {
        let place = told.effect(like);
        without_doers(told);
        place
    };
    let mut told = Told::story();
    let place = seen(&mut told, |effect| matches!(effect, Effect::Apply { .. }));
    told.journal.lines.push(told.journal.lines[place].clone());
    told.breaks(Rule::Effects, "twice");

    let mut told = Told::story();
    let place = seen(&mut told, |effect| matches!(effect, Effect::Remove { .. }));
    told.journal.lines.push(told.journal.lines[place].clone());
    told.breaks(Rule::Effects, "is not there");

    let mut told = Told::story();
    let place = seen(&mut told, |effect| matches!(effect, Effect::Apply { .. }));
    told.journal.lines.remove(place);
    told.breaks(Rule::Effects, "was not applied");
}

#[test]
fn a_call_that_is_made_twice_or_never_is_found() {
    let call = |effect: &Effect| matches!(effect, Effect::Call { .. });
    let mut told = Told::story();
    let place = told.effect(call);
    told.journal.lines.insert(place, told.journal.lines[place].clone());
    told.breaks(Rule::Effects, "it was called 2 times");

    let mut told = Told::story();
    let place = told.effect(call);
    told.journal.lines.remove(place);
    told.breaks(Rule::Effects, "nothing was called");
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
    let start = told.plan_event(|event| matches!(event, PlanEvent::Started { .. }));
    told.history.truncate(start + 1);
    told.breaks(Rule::Ends, "neither ended nor waits");

    let mut told = Told::story();
    let end = told.plan_event(|event| matches!(event, PlanEvent::Finished { .. }));
    let Entry::Plan(envelope) = &mut told.history[end].entry else { panic!("an end") };
    envelope.events = vec![PlanEvent::Finished { outcome: Outcome::Failed, reason: None }];
    told.breaks(Rule::Ends, "no step did");
}

#[test]
fn a_start_beyond_a_limit_is_found() {
    for (deployments, sound) in [(1, true), (0, false)] {
        let mut told = Told::of(["shop", "mall"]);
        let start = told.find(|r| {
            let starts = matches!(&r.entry, Entry::Plan(e) if matches!(e.events[0], PlanEvent::Started { .. }));
            starts && r.address == Address::Plan(id(2))
        });
        told.policy(start, Policy { deployments: Some(deployments), ..Policy::default() });
        let found = check(&told.history, &told.journal);
        assert_eq!(found.iter().any(|v| v.rule == Rule::Limits), !sound, "{found:#?}");
    }
}

#[test]
fn a_start_during_a_freeze_is_found() {
    for (until, sound) in [("2020-01-01T00:00:00Z", true), ("2030-01-01T00:00:00Z", false)] {
        let mut told = Told::of(["shop", "mall"]);
        let start =
            told.find(|r| matches!(&r.entry, Entry::Plan(e) if matches!(e.events[0], PlanEvent::Started { .. })));
        let text = format!("kind: Freeze\nname: f\nfrom: 2019-01-01T00:00:00Z\nuntil: {until}\n");
        let Manifest::Freeze(freeze) = parse(None, &text).unwrap().remove(0) else { panic!("a freeze") };
        told.policy(start, Policy { freezes: vec![*freeze], ..Policy::default() });
        let found = check(&told.history, &told.journal);
        assert_eq!(found.iter().any(|v| v.what.contains("freeze f")), !sound, "{found:#?}");
    }
}

#[test]
fn a_lane_that_is_given_back_while_something_goes_on_is_still_held() {
    // A word of a planner at a gate that blocks is void, so what follows is sound.
    let mut told = Told::story();
    let opened = told.find(|r| matches!(&r.entry, Entry::Gate(_)));
    told.insert(opened + 1, Address::Plan(id(1)), Events::Plan(vec![PlanEvent::Yielded]), planner());
    assert_eq!(check(&told.history, &told.journal), []);

    // At one that does not block it counts, and what runs without a further start is found.
    let mut told = Told::story();
    for recorded in &mut told.history {
        let Entry::Plan(envelope) = &mut recorded.entry else { continue };
        for event in &mut envelope.events {
            let PlanEvent::Planned { plan, .. } = event else { continue };
            for step in &mut plan.steps {
                if let Action::Approval(approval) = &mut step.step.action {
                    approval.blocks = false;
                }
            }
        }
    }
    told.insert(opened + 1, Address::Plan(id(1)), Events::Plan(vec![PlanEvent::Yielded]), planner());
    told.breaks(Rule::Limits, "had not started");
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
