//! What a canary promises, broken in a sound history, is found.

use slipway_domain::{
    event::{Address, Entry, PlanEvent},
    id::TaskKey,
};
use slipway_engine::decide::Events;

use super::{
    claimed, id, succeeded,
    told::{Told, planner},
};
use crate::history::{Effect, Rule, check};

fn grant(told: &mut Told, place: usize, key: &TaskKey) {
    let event = PlanEvent::Granted { tasks: vec![key.clone()] };
    told.insert(place, Address::Plan(id(1)), Events::Plan(vec![event]), planner());
}

#[test]
fn a_canary_that_is_taken_back_is_sound() {
    let told = Told::canary();
    assert_eq!(check(&told.history, &told.journal), []);
}

#[test]
fn who_follows_before_the_canary_ended_or_people_said_yes_is_found() {
    let key = TaskKey::new("web".parse().unwrap(), "web-02".parse().unwrap());
    for (like, after, rule, words) in [
        (claimed as fn(&_) -> bool, 0, Rule::Limits, "the canary had not ended well"),
        (succeeded, 1, Rule::Gate, "the canary was not approved"),
    ] {
        let mut told = Told::canary();
        let place = told.task_event("web", like) + after;
        grant(&mut told, place, &key);
        let claim = told.history.iter().position(|r| r.address == Address::Task(id(1), key.clone())).unwrap();
        let real = told.history[..claim]
            .iter()
            .rposition(|r| matches!(&r.entry, Entry::Plan(e) if matches!(e.events[0], PlanEvent::Granted { .. })))
            .unwrap();
        let Entry::Plan(envelope) = &mut told.history[real].entry else { panic!("a grant") };
        envelope.events = vec![PlanEvent::Resumed];
        told.breaks(rule, words);
    }
}

#[test]
fn a_canary_that_stays_though_nobody_wanted_it_is_found() {
    let mut told = Told::canary();
    let place = told.plan_event(|event| matches!(event, PlanEvent::RestoreScheduled { .. }));
    let Entry::Plan(envelope) = &mut told.history[place].entry else { panic!("a plan's entry") };
    envelope.events.remove(0);
    told.breaks(Rule::Ends, "keeps a canary that nobody approved");
}

#[test]
fn a_new_container_that_stays_where_it_was_taken_back_is_found() {
    let mut told = Told::canary();
    let own = told.effect(|effect| matches!(effect, Effect::Park { parked: false, .. })) - 1;
    told.journal.lines.remove(own);
    told.breaks(Rule::Effects, "it was taken back, and its container is there");
}
