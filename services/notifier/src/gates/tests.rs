//! The fold over small logs, and presses judged by it.

use chrono::{DateTime, Utc};
use serde_json::json;
use slipway_domain::{event::SCHEMA, id::TaskKey, name::TargetName};

use super::*;
use crate::slack::{interaction::Press, message::ButtonValue};

const PLAN: &str = "sha256:plan";

/// A log under construction; each message gets the next sequence.
#[derive(Default)]
struct Log {
    gates: Gates,
    seq: u64,
}

fn id() -> DeploymentId {
    DeploymentId::derive(&["gates"])
}

fn step() -> StepName {
    StepName::new("sign-off").unwrap()
}

fn planner() -> Actor {
    Actor::Planner { id: "planner-1".to_owned() }
}

fn person(name: &str) -> Actor {
    Actor::Person { name: PersonName::new(name).unwrap(), via: "api".to_owned() }
}

fn envelope<E>(actor: Actor, event: E) -> Envelope<E> {
    Envelope {
        id: DeploymentId::derive(&["any"]).0,
        schema: SCHEMA,
        at: DateTime::UNIX_EPOCH,
        actor,
        trace: None,
        events: vec![event],
    }
}

fn request(teams_of_gate: &[&str]) -> Request {
    let at: DateTime<Utc> = DateTime::UNIX_EPOCH;
    serde_json::from_value(json!({
        "id": id(),
        "environment": "production",
        "release": {
            "project": "shop", "version": "1.2.0", "channel": "stable", "packages": {}, "variables": [], "created_at": at,
            "steps": [
                {"name": "sign-off", "approval": {"teams": teams_of_gate, "slack": "#deploys"}},
                {"name": "tell", "needs": ["sign-off"], "slack": {"channel": "#deploys", "text": "done"}},
            ],
        },
        "targets": [], "secrets": [],
        "teams": {
            "ops": [{"name": "ana", "slack": "U0ANA"}, {"name": "ben", "slack": "U0BEN"}, "cem"],
            "leads": [{"name": "ana", "slack": "U0ANA"}],
            "other": [{"name": "dan", "slack": "U0DAN"}],
            "twins": [{"name": "eva", "slack": "U0TWO"}, {"name": "fay", "slack": "U0TWO"}],
        },
        "requested_by": {"kind": "trigger", "name": "push"},
        "body_digest": "sha256:body",
        "rules_version": 1,
    }))
    .unwrap()
}

impl Log {
    /// A deployment whose gate is open; returns the sequence of `Opened`.
    fn open(teams_of_gate: &[&str]) -> (Self, u64) {
        let mut log = Self::default();
        log.plan(PlanEvent::Requested { request: Box::new(request(teams_of_gate)) });
        log.gate(planner(), opened());
        let seq = log.seq;
        (log, seq)
    }

    fn record(&mut self, address: Address, entry: Entry) -> Vec<Closing> {
        self.seq += 1;
        self.gates.apply(&Recorded { seq: self.seq, at: DateTime::UNIX_EPOCH, address, entry })
    }

    fn plan(&mut self, event: PlanEvent) -> Vec<Closing> {
        self.record(Address::Plan(id()), Entry::Plan(envelope(planner(), event)))
    }

    fn gate(&mut self, actor: Actor, event: GateEvent) -> Vec<Closing> {
        self.record(Address::Gate(id(), step(), GateScope::All), Entry::Gate(envelope(actor, event)))
    }

    fn vote(&mut self, name: &str, opened: u64, verdict: Verdict, note: Option<&str>) {
        let person_name = PersonName::new(name).unwrap();
        let note = note.map(str::to_owned);
        let event =
            GateEvent::Voted { opened, plan_digest: PLAN.to_owned(), person: person_name, verdict, note, drift: None };
        assert_eq!(self.gate(person(name), event), []);
    }

    fn announced(&mut self, step: &str, ts: &str) -> Vec<Closing> {
        let key = TaskKey::new(StepName::new(step).unwrap(), TargetName::notifier());
        let outputs = Outputs::from([("channel".to_owned(), "C0".into()), ("ts".to_owned(), ts.into())]);
        self.record(Address::Task(id(), key), Entry::Task(envelope(planner(), TaskEvent::Succeeded { outputs })))
    }

    fn judge(&self, user: &str, opened: u64, verdict: Verdict) -> Result<Ruling, Refusal> {
        let button = ButtonValue { deployment: id(), step: step(), opened, plan: PLAN.to_owned() };
        let (trigger, message, response_url) = ("t".to_owned(), None, None);
        self.gates.judge(&Press { button, verdict, user: user.to_owned(), trigger, message, response_url })
    }
}

fn opened() -> GateEvent {
    GateEvent::Opened { plan_digest: PLAN.to_owned(), expires: DateTime::UNIX_EPOCH }
}

fn decided(verdict: Verdict, reason: &str) -> GateEvent {
    GateEvent::Decided { verdict, reason: reason.to_owned() }
}

fn closing(ts: &str, result: &str) -> Vec<Closing> {
    vec![Closing {
        deployment: id(),
        step: step(),
        posted: Posted { channel: "C0".to_owned(), ts: ts.to_owned() },
        title: "shop 1.2.0 to production: sign-off".to_owned(),
        result: result.to_owned(),
    }]
}

#[test]
fn a_member_of_a_deciding_team_may_press_and_the_vote_goes_to_the_head() {
    let (mut log, opened) = Log::open(&["ops", "leads"]);
    log.vote("ben", opened, Verdict::Approve, None);
    let Ok(Ruling::Cast(ballot)) = log.judge("U0ANA", opened, Verdict::Reject) else { panic!("refused") };
    assert_eq!((ballot.person.as_str(), ballot.verdict, ballot.opened), ("ana", Verdict::Reject, opened));
    assert_eq!((ballot.head, ballot.plan_digest.as_str()), (log.seq, PLAN));
}

#[test]
fn who_is_not_known_or_in_no_deciding_team_can_not_decide() {
    let (log, opened) = Log::open(&["ops"]);
    for user in ["U0NOBODY", "U0DAN", "", "cem", "u0ana"] {
        let refusal = log.judge(user, opened, Verdict::Approve).unwrap_err();
        assert!(matches!(refusal, Refusal::NoRight { .. }), "{user}: {refusal:?}");
        assert!(refusal.to_string().to_lowercase().contains("you can not decide this"), "{refusal}");
    }
}

#[test]
fn whoever_asked_for_the_deployment_is_sent_to_others_where_the_approval_says_so() {
    let mut own = request(&["ops"]);
    own.requested_by = person("ana");
    for (excludes, expected) in [(false, None), (true, Some(Refusal::OwnWish))] {
        let Action::Approval(approval) = &mut own.release.steps[0].action else { panic!("an approval") };
        approval.exclude_requester = excludes;
        let mut log = Log::default();
        log.plan(PlanEvent::Requested { request: Box::new(own.clone()) });
        log.gate(planner(), opened());
        assert_eq!(log.judge("U0ANA", log.seq, Verdict::Approve).err(), expected);
        assert!(log.judge("U0BEN", log.seq, Verdict::Approve).is_ok(), "others may");
    }
}

#[test]
fn a_canary_is_decided_by_a_press_like_an_approval() {
    let mut rolling = request(&["ops"]);
    let step = json!({
        "name": "sign-off", "targets": {"role": "web"}, "wait": "0s",
        "rolling": {"window": 1, "canary": 1, "then": {"approval": {"teams": ["ops"], "slack": "#deploys"}}},
    });
    rolling.release.steps[0] = serde_json::from_value(step).unwrap();
    let mut log = Log::default();
    log.plan(PlanEvent::Requested { request: Box::new(rolling) });
    log.gate(planner(), opened());
    assert!(matches!(log.judge("U0ANA", log.seq, Verdict::Approve), Ok(Ruling::Cast(_))));
    assert!(matches!(log.judge("U0DAN", log.seq, Verdict::Approve), Err(Refusal::NoRight { .. })));
}

#[test]
fn a_slack_id_of_two_persons_is_nobodys() {
    let (log, opened) = Log::open(&["twins"]);
    let refusal = log.judge("U0TWO", opened, Verdict::Approve).unwrap_err();
    assert_eq!(refusal, Refusal::Ambiguous { user: "U0TWO".to_owned(), persons: "eva, fay".to_owned() });
}

#[test]
fn a_gate_without_teams_is_not_decided_by_chat() {
    let (log, opened) = Log::open(&[]);
    assert_eq!(log.judge("U0ANA", opened, Verdict::Approve), Err(Refusal::NoTeams));
}

#[test]
fn saying_the_same_again_is_no_second_vote_but_changing_ones_mind_is() {
    let (mut log, opened) = Log::open(&["ops"]);
    log.vote("ana", opened, Verdict::Approve, None);
    let same = log.judge("U0ANA", opened, Verdict::Approve);
    assert_eq!(same, Ok(Ruling::AlreadyCast(PersonName::new("ana").unwrap())));
    assert!(matches!(log.judge("U0ANA", opened, Verdict::Reject), Ok(Ruling::Cast(_))));
}

#[test]
fn only_the_present_opening_of_the_present_plan_can_be_decided() {
    let (mut log, first) = Log::open(&["ops"]);
    log.gate(planner(), opened());
    assert_eq!(log.judge("U0ANA", first, Verdict::Approve), Err(Refusal::Outdated));
    assert!(log.judge("U0ANA", log.seq, Verdict::Approve).is_ok());
    let other_plan = ButtonValue { deployment: id(), step: step(), opened: log.seq, plan: "sha256:other".to_owned() };
    let press = Press {
        button: other_plan,
        verdict: Verdict::Approve,
        user: "U0ANA".to_owned(),
        trigger: String::new(),
        message: None,
        response_url: None,
    };
    assert_eq!(log.gates.judge(&press), Err(Refusal::Outdated));
}

#[test]
fn what_is_decided_or_over_stays_so() {
    let (mut log, opened) = Log::open(&["ops"]);
    log.vote("ben", opened, Verdict::Reject, Some("no <!channel>"));
    log.gate(planner(), decided(Verdict::Reject, "rejected by ben"));
    let Err(Refusal::Decided { result, .. }) = log.judge("U0ANA", opened, Verdict::Approve) else { panic!("allowed") };
    assert_eq!(result, "Rejected by ben: no &lt;!channel&gt;");
    log.plan(PlanEvent::Finished { outcome: Outcome::Failed, reason: None });
    assert_eq!(log.judge("U0ANA", opened, Verdict::Approve), Err(Refusal::Over));
    assert!(log.gates.deployments.is_empty());
}

#[test]
fn only_a_planner_opens_and_decides() {
    let (mut log, opened) = Log::open(&["ops"]);
    log.announced("sign-off", "1.0");
    assert_eq!(log.gate(person("ana"), decided(Verdict::Approve, "I say so")), []);
    assert!(matches!(log.judge("U0ANA", opened, Verdict::Approve), Ok(Ruling::Cast(_))));
}

#[test]
fn the_decision_closes_the_announcement_once() {
    let (mut log, opened) = Log::open(&["ops"]);
    assert_eq!(log.announced("sign-off", "1.0"), []);
    log.vote("ana", opened, Verdict::Approve, None);
    log.vote("ben", opened, Verdict::Reject, Some("too early"));
    log.vote("ben", opened, Verdict::Approve, None);
    let closings = log.gate(planner(), decided(Verdict::Approve, "approved by ana, ben"));
    assert_eq!(closings, closing("1.0", "Approved by ana, ben"));
    assert_eq!(log.plan(PlanEvent::Finished { outcome: Outcome::Succeeded, reason: None }), []);
}

#[test]
fn an_announcement_that_comes_after_the_decision_is_closed_when_it_comes() {
    let (mut log, _) = Log::open(&["ops"]);
    let reason = "nobody decided within 4h";
    assert_eq!(log.gate(planner(), decided(Verdict::Reject, reason)), []);
    assert_eq!(log.announced("tell", "1.0"), [], "another step's message is not the announcement");
    assert_eq!(log.announced("sign-off", "2.0"), closing("2.0", "Expired: nobody decided within 4h"));
}

#[test]
fn the_end_of_the_deployment_closes_what_is_still_open() {
    let (mut log, _) = Log::open(&["ops"]);
    log.announced("sign-off", "1.0");
    let closings = log.plan(PlanEvent::Finished { outcome: Outcome::Cancelled, reason: None });
    assert_eq!(closings, closing("1.0", "Closed: the deployment was cancelled"));
}

#[test]
fn a_step_that_is_left_out_closes_its_gate() {
    let (mut log, opened) = Log::open(&["ops"]);
    log.announced("sign-off", "1.0");
    let reason = "the deployment is being cancelled".to_owned();
    let closings = log.plan(PlanEvent::StepSkipped { step: step(), target: None, reason });
    assert_eq!(closings, closing("1.0", "Closed: the deployment is being cancelled"));
    assert!(matches!(log.judge("U0ANA", opened, Verdict::Approve), Err(Refusal::Decided { .. })));
}

#[test]
fn a_vote_in_another_persons_name_does_not_count() {
    let (mut log, opened) = Log::open(&["ops"]);
    let person_name = PersonName::new("ana").unwrap();
    let (plan_digest, verdict) = (PLAN.to_owned(), Verdict::Approve);
    log.gate(
        person("ben"),
        GateEvent::Voted { opened, plan_digest, person: person_name, verdict, note: None, drift: None },
    );
    assert!(matches!(log.judge("U0ANA", opened, Verdict::Approve), Ok(Ruling::Cast(_))));
}

#[test]
fn a_deployment_without_gates_or_without_its_request_is_not_kept() {
    let mut log = Log::default();
    log.gate(planner(), opened());
    let mut plain = request(&[]);
    plain.release.steps.remove(0);
    log.plan(PlanEvent::Requested { request: Box::new(plain) });
    assert!(log.gates.deployments.is_empty());
    assert_eq!(log.gates.folded(), 2);
}
