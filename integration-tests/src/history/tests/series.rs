//! What series promise, broken in a sound history, is found.

use slipway_domain::{
    event::{Address, Entry, PlanEvent, TaskEvent},
    id::{DeploymentId, TaskKey},
};
use slipway_engine::decide::Events;

use super::{
    claimed, id, succeeded,
    told::{Told, planner},
};
use crate::history::{Rule, check};

/// The place of the first entry on a task of a deployment like this.
fn place(told: &Told, deployment: DeploymentId, key: &TaskKey, like: fn(&TaskEvent) -> bool) -> usize {
    told.find(|recorded| match (&recorded.address, &recorded.entry) {
        (Address::Task(own, task), Entry::Task(envelope)) => {
            *own == deployment && task == key && like(&envelope.events[0])
        }
        _ => false,
    })
}

fn key(step: &str, target: &str) -> TaskKey {
    TaskKey::new(step.parse().unwrap(), target.parse().unwrap())
}

/// A task is granted at a place of the log, and not where it really was, before its last claim.
fn granted_at(told: &mut Told, deployment: DeploymentId, place: usize, key: &TaskKey) {
    let event = PlanEvent::Granted { tasks: vec![key.clone()] };
    told.insert(place, Address::Plan(deployment), Events::Plan(vec![event]), planner());
    let claim = told.history.iter().rposition(|recorded| match (&recorded.address, &recorded.entry) {
        (Address::Task(own, task), Entry::Task(envelope)) => {
            *own == deployment && task == key && claimed(&envelope.events[0])
        }
        _ => false,
    });
    let grants = |recorded: &slipway_domain::event::Recorded| match &recorded.entry {
        Entry::Plan(envelope) => matches!(&envelope.events[0], PlanEvent::Granted { tasks } if tasks.contains(key)),
        _ => false,
    };
    let real = told.history[..claim.unwrap()].iter().rposition(grants).unwrap();
    let Entry::Plan(envelope) = &mut told.history[real].entry else { panic!("a grant") };
    if real != place {
        envelope.events = vec![PlanEvent::Resumed];
    }
}

#[test]
fn series_that_follow_each_other_and_are_taken_back_are_sound() {
    let told = Told::series();
    assert_eq!(check(&told.history, &told.journal), []);
    let skipped = |event: &PlanEvent| matches!(event, PlanEvent::StepSkipped { step, .. } if step.as_str() == "mourn");
    told.plan_event(skipped);
    told.plan_event(|event| matches!(event, PlanEvent::RestoreScheduled { .. }));
}

#[test]
fn a_part_before_the_one_that_it_follows_is_found() {
    let mut told = Told::series();
    let early = place(&told, id(1), &key("drain", "web-01"), claimed);
    granted_at(&mut told, id(1), early, &key("serve", "web-01"));
    told.breaks(Rule::Order, "drain has not ended on its target");
}

#[test]
fn a_part_for_failures_where_nothing_failed_is_found() {
    let mut told = Told::series();
    let skip =
        told.plan_event(|event| matches!(event, PlanEvent::StepSkipped { step, .. } if step.as_str() == "mourn"));
    let mourn = key("mourn", "web-01");
    let Entry::Plan(envelope) = &mut told.history[skip].entry else { panic!("a skip") };
    envelope.events[0] = PlanEvent::Granted { tasks: vec![mourn.clone()] };
    let claim = place(&told, id(1), &key("probe", "web-01"), claimed);
    let Entry::Task(envelope) = told.history[claim].entry.clone() else { panic!("a claim") };
    told.insert(skip + 1, Address::Task(id(1), mourn), Events::Task(envelope.events), envelope.actor);
    told.breaks(Rule::Order, "nothing failed before it on its target");
}

#[test]
fn a_target_that_begins_while_another_ones_series_goes_on_is_found() {
    let mut told = Told::series();
    let between = place(&told, id(1), &key("drain", "web-01"), succeeded) + 1;
    granted_at(&mut told, id(1), between, &key("drain", "web-02"));
    told.breaks(Rule::Limits, "1 targets are in progress, and the window is 1");
}

#[test]
fn a_target_that_begins_before_people_said_yes_to_the_canary_is_found() {
    let mut told = Told::series();
    let opened = told.find(
        |recorded| matches!(&recorded.address, Address::Gate(own, step, _) if *own == id(1) && step.as_str() == "web"),
    );
    granted_at(&mut told, id(1), opened, &key("drain", "web-02"));
    told.breaks(Rule::Gate, "the canary was not approved");
}

#[test]
fn a_series_that_is_taken_back_from_its_beginning_is_found() {
    let mut told = Told::series();
    let scheduled = told.plan_event(|event| matches!(event, PlanEvent::RestoreScheduled { .. }));
    granted_at(&mut told, id(2), scheduled + 1, &key("serve", "web-01"));
    told.breaks(Rule::Order, "proxy, which came after it, is not taken back");
}

#[test]
fn a_canary_of_a_series_that_stays_though_nobody_wanted_it_is_found() {
    let mut told = Told::series();
    let scheduled = told.plan_event(|event| matches!(event, PlanEvent::RestoreScheduled { .. }));
    let Entry::Plan(envelope) = &mut told.history[scheduled].entry else { panic!("a plan's entry") };
    envelope.events.remove(0);
    told.breaks(Rule::Ends, "keeps a canary that nobody approved");
}
