//! What the store promises, independent of the database behind it.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;
use slipway_domain::{
    api::{DeploymentSummary, DeploymentView, PushView, Right, Status, TaskStatus, TokenView},
    event::{Actor, Address, Entry, Envelope, Outcome, PlanEvent, Recorded, SCHEMA},
    id::DeploymentId,
    manifest::{Kind, Manifest, parse::parse_json},
    name::{EnvironmentName, PersonName, ProjectName, SecretName, WebhookName},
    release::LeftOutTarget,
    release::ReleaseSnapshot,
    secret::SecretRef,
    text::sha256_hex,
};
use slipway_store::{
    Audit, Batch, DeploymentChange, DeploymentFilter, ManifestChange, NewToken, Projected, ReleaseRow, SealedSecret,
    Store, StoreError,
};
use uuid::Uuid;

pub fn project() -> ProjectName {
    ProjectName::new("shop").unwrap()
}

fn ana() -> Actor {
    Actor::Person { name: PersonName::new("ana").unwrap(), via: "api".into() }
}

/// A time with nanoseconds, which views must keep.
fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + seconds, 123_456_789).unwrap()
}

fn audit(action: &'static str) -> Audit {
    Audit { at: at(0), actor: ana(), action, subject: "s".into(), detail: "d".into() }
}

fn view(n: u64, environment: &str, outcome: Option<Outcome>) -> DeploymentView {
    let id = DeploymentId::derive(&[&n.to_string()]);
    let status = if outcome.is_some() { Status::Finished } else { Status::WaitingForPerson };
    let summary = DeploymentSummary {
        id,
        seq: n,
        project: project(),
        environment: EnvironmentName::new(environment).unwrap(),
        version: format!("1.{n}.0"),
        status,
        outcome,
        reason: None,
        requested_by: ana(),
        requested_at: at(1),
        started_at: Some(at(2)),
        finished_at: outcome.map(|_| at(3)),
    };
    let steps = serde_json::from_value(json!([
        {"name": "ask", "kind": "approval", "needs": [], "rank": 0, "tasks": [],
         "gate": {"teams": ["ops"], "votes_needed": 1, "opened": 3, "votes": []}},
        {"name": "web", "kind": "docker-run", "needs": ["ask"], "rank": 1, "tasks": [
            {"target": "web-02", "status": "pending", "attempt": 0},
            {"target": "web-01", "status": "running", "attempt": 1, "started_at": at(2)}
        ]}
    ]))
    .unwrap();
    DeploymentView {
        summary,
        at_seq: n,
        packages: BTreeMap::new(),
        variables: BTreeMap::from([("Ticket".into(), "C-17".into())]),
        left_out: vec![LeftOutTarget { target: "web-03".parse().unwrap(), reason: "nobody serves it".into() }],
        plan_digest: Some("d".into()),
        problems: vec![],
        steps,
    }
}

fn cancel(seq: u64, id: DeploymentId) -> Recorded {
    let events = vec![PlanEvent::CancelRequested { reason: "x".into() }];
    let envelope =
        Envelope { id: Uuid::from_u128(seq.into()), schema: SCHEMA, at: at(0), actor: ana(), trace: None, events };
    Recorded { seq, at: at(0), address: Address::Plan(id), entry: Entry::Plan(envelope) }
}

fn batch(from: u64, to: u64, views: &[DeploymentView]) -> Batch {
    let id = DeploymentId::derive(&["1"]);
    Batch {
        from,
        to,
        events: (from + 1..=to).map(|seq| cancel(seq, id)).collect(),
        changes: views.iter().map(|view| DeploymentChange::between(None, view)).collect(),
        audits: vec![audit("deployment.cancel")],
    }
}

pub async fn a_batch_is_written_once_and_whole(store: &Store) {
    let first = view(1, "staging", None);
    let id = first.summary.id;
    assert_eq!(store.project(&batch(0, 3, std::slice::from_ref(&first))).await.unwrap(), Projected::Stored);
    // Somebody who believes the rows to stand elsewhere changes nothing at all.
    for stale in [0, 2, 4] {
        let late = batch(stale, 9, &[view(2, "staging", None)]);
        assert_eq!(store.project(&late).await.unwrap(), Projected::Elsewhere(3));
    }
    assert_eq!(store.projected().await.unwrap(), 3);
    assert_eq!(store.deployment(id).await.unwrap().unwrap(), DeploymentView { at_seq: 3, ..first });
    assert_eq!(store.deployments(&DeploymentFilter { limit: 9, ..Default::default() }).await.unwrap().len(), 1);
    let events = store.events_of(id, 1, 10).await.unwrap();
    assert_eq!(events, [cancel(2, id), cancel(3, id)]);
    let newest = store.newest_events(2).await.unwrap();
    assert_eq!(
        newest.iter().map(|mark| (mark.seq, mark.id)).collect::<Vec<_>>(),
        [3, 2].map(|seq| (seq, cancel(seq, id).entry.id()))
    );
    assert_eq!(store.audit_entries(10).await.unwrap().len(), 1);
    // An archive row that is there already fails the whole batch.
    let mut twice = batch(3, 4, &[view(2, "staging", None)]);
    twice.events = vec![cancel(3, id)];
    assert!(matches!(store.project(&twice).await, Err(StoreError::Exists { .. })));
    assert_eq!(store.projected().await.unwrap(), 3);
    assert_eq!(store.deployments(&DeploymentFilter { limit: 9, ..Default::default() }).await.unwrap().len(), 1);
}

pub async fn a_rebuilt_projection_is_the_same(store: &Store) {
    let views = [view(1, "staging", Some(Outcome::Succeeded)), view(2, "production", None)];
    store.project(&batch(0, 5, &views)).await.unwrap();
    let before = (store.deployment(views[1].summary.id).await.unwrap(), store.board().await.unwrap());
    // Rows that say something else, are missing, or are of nobody.
    let mut other = views[1].clone();
    other.summary.version = "9.9.9".into();
    other.steps.truncate(1);
    other.steps[0].tasks.truncate(1);
    let changes: Vec<_> =
        [other, view(3, "production", None)].iter().map(|v| DeploymentChange::between(None, v)).collect();
    assert!(!store.rewrite(&changes, Some(4)).await.unwrap(), "the offset is elsewhere");
    assert_eq!(before.1, store.board().await.unwrap());
    assert!(store.rewrite(&changes, Some(5)).await.unwrap());
    assert_ne!(before.1, store.board().await.unwrap());
    let changes: Vec<_> = views.iter().map(|view| DeploymentChange::between(None, view)).collect();
    assert!(store.rewrite(&changes, None).await.unwrap());
    let known = views.iter().map(|view| view.summary.id).collect();
    assert_eq!(store.drop_unknown(&known, 5).await.unwrap(), 1);
    let after = (store.deployment(views[1].summary.id).await.unwrap(), store.board().await.unwrap());
    assert_eq!(before, after);
    assert_eq!(store.projected().await.unwrap(), 5);
    assert_eq!(store.newest_events(1).await.unwrap()[0].seq, 5);
}

pub async fn an_archive_is_read_in_order_and_cut_where_its_log_was(store: &Store) {
    let view = view(1, "staging", None);
    let id = view.summary.id;
    store.project(&batch(0, 7, &[view])).await.unwrap();
    assert_eq!(store.first_event_of(id).await.unwrap().unwrap().seq, 1);
    let seqs = |events: Vec<slipway_domain::event::Recorded>| events.iter().map(|e| e.seq).collect::<Vec<_>>();
    assert_eq!(seqs(store.events_between(2, 6, 3).await.unwrap()), [3, 4, 5]);
    assert_eq!(seqs(store.events_between(5, 6, 3).await.unwrap()), [6]);
    assert_eq!(store.cut_archive(5).await.unwrap(), 2);
    assert_eq!(store.cut_archive(5).await.unwrap(), 0);
    assert_eq!((store.projected().await.unwrap(), store.newest_events(1).await.unwrap()[0].seq), (5, 5));
}

pub async fn a_purge_is_remembered_until_it_is_over(store: &Store) {
    let id = view(1, "staging", None).summary.id;
    assert_eq!(store.purges().await.unwrap(), []);
    store.purge_begins(id).await.unwrap();
    store.purge_begins(id).await.unwrap();
    assert_eq!(store.purges().await.unwrap(), [id]);
    store.purge_ended(id).await.unwrap();
    assert_eq!(store.purges().await.unwrap(), []);
}

pub async fn rows_keep_what_a_partial_change_leaves_alone(store: &Store) {
    let before = view(1, "staging", None);
    store.project(&batch(0, 1, std::slice::from_ref(&before))).await.unwrap();
    let mut after = before.clone();
    after.steps[1].tasks[1].status = TaskStatus::Succeeded;
    after.summary.status = Status::Running;
    let change = DeploymentChange::between(Some(&before), &after);
    let batch = Batch { changes: vec![change], events: vec![], audits: vec![], ..batch(1, 2, &[]) };
    store.project(&batch).await.unwrap();
    let read = store.deployment(after.summary.id).await.unwrap().unwrap();
    assert_eq!(read, DeploymentView { at_seq: 2, ..after });
    let prefix = read.summary.id.to_string()[..6].to_owned();
    assert_eq!(store.deployments_like(&prefix, 2).await.unwrap(), [read.summary.id]);
    assert_eq!(store.deployments_like("%", 2).await.unwrap(), []);
}

pub async fn the_board_tells_what_runs_and_what_waits(store: &Store) {
    let views = [
        view(1, "staging", Some(Outcome::Succeeded)),
        view(2, "staging", Some(Outcome::Failed)),
        view(3, "production", None),
    ];
    store.project(&batch(0, 3, &views)).await.unwrap();
    let board = store.board().await.unwrap();
    let told: Vec<_> =
        board.iter().map(|row| (row.latest.seq, row.current.as_ref().map(|current| current.seq))).collect();
    assert_eq!(told, [(3, None), (2, Some(1))]);
    // An open gate of a deployment that is over waits for nobody.
    let waiting = store.waiting_gates().await.unwrap();
    assert_eq!(waiting.iter().map(|(id, _)| *id).collect::<Vec<_>>(), [views[2].summary.id]);
    let over = view(3, "production", Some(Outcome::Cancelled));
    let change = DeploymentChange::between(Some(&views[2]), &over);
    store.project(&Batch { changes: vec![change], ..batch(3, 4, &[]) }).await.unwrap();
    assert_eq!(store.waiting_gates().await.unwrap(), []);
}

fn environment(name: &str) -> Manifest {
    parse_json(&json!({"kind": "Environment", "name": name})).unwrap()
}

pub async fn manifests_change_together_with_their_audit(store: &Store) {
    let put = |name: &str| ManifestChange::Put(Box::new(environment(name)));
    store.change_manifests(&[put("b"), put("a"), put("b")], &[audit("apply")]).await.unwrap();
    assert_eq!(store.manifests_of(Kind::Environment).await.unwrap(), [environment("a"), environment("b")]);
    assert_eq!(store.manifest(Kind::Environment, "b").await.unwrap(), Some(environment("b")));
    assert_eq!(store.manifest(Kind::Target, "b").await.unwrap(), None);
    let remove = ManifestChange::Remove(Kind::Environment, "a".into());
    store.change_manifests(&[remove], &[audit("remove")]).await.unwrap();
    assert_eq!(store.all_manifests().await.unwrap(), [environment("b")]);
    let actions: Vec<_> = store.audit_entries(10).await.unwrap().into_iter().map(|entry| entry.action).collect();
    assert_eq!(actions, ["remove", "apply"]);
}

fn release(version: &str) -> ReleaseRow {
    let snapshot = ReleaseSnapshot {
        project: project(),
        version: version.into(),
        channel: serde_json::from_value(json!("default")).unwrap(),
        packages: BTreeMap::new(),
        steps: vec![],
        variables: vec![],
        created_at: at(0),
        variable_sets: Vec::new(),
        notes: None,
    };
    ReleaseRow { snapshot, created_by: ana() }
}

pub async fn a_release_version_is_taken_once(store: &Store) {
    store.add_release(&release("1.0.0"), &audit("release.create")).await.unwrap();
    let again = store.add_release(&release("1.0.0"), &audit("release.create")).await;
    assert!(matches!(again, Err(StoreError::Exists { .. })), "{again:?}");
    assert_eq!(store.audit_entries(10).await.unwrap().len(), 1, "what was refused is not audited");
    assert_eq!(store.release(&project(), "1.0.0").await.unwrap(), Some(release("1.0.0")));
    assert_eq!(store.release(&project(), "1.0").await.unwrap(), None);
}

pub async fn a_token_counts_until_it_is_revoked_or_expires(store: &Store) {
    assert!(!store.has_tokens().await.unwrap());
    let token = |id: &str, expires| NewToken {
        view: TokenView {
            id: id.into(),
            person: PersonName::new("ana").unwrap(),
            right: Right::Deploy,
            created_at: at(0),
            expires,
            revoked_at: None,
        },
        hash: sha256_hex(id.as_bytes()),
    };
    let team = parse_json(&json!({"kind": "Team", "name": "ops", "members": ["ana"]})).unwrap();
    let joins = [ManifestChange::Put(Box::new(team))];
    store.add_token(&token("a", None), &joins, &audit("token.create")).await.unwrap();
    store.add_token(&token("b", Some(at(60))), &[], &audit("token.create")).await.unwrap();
    assert_eq!(store.manifests_of(Kind::Team).await.unwrap().len(), 1);
    let owner = |token: &'static str, now| async move { store.owner_of_token(token, now).await.unwrap() };
    assert_eq!(owner("a", at(0)).await.unwrap().right, Right::Deploy);
    assert!(owner("b", at(59)).await.is_some());
    assert!(owner("b", at(60)).await.is_none());
    assert!(owner("c", at(0)).await.is_none());
    assert!(store.revoke_token("a", &audit("token.revoke")).await.unwrap());
    assert!(store.revoke_token("a", &audit("token.revoke")).await.unwrap());
    assert!(!store.revoke_token("c", &audit("token.revoke")).await.unwrap());
    assert!(owner("a", at(0)).await.is_none());
    assert_eq!(store.audit_entries(10).await.unwrap().len(), 3);
    assert!(store.tokens().await.unwrap()[0].revoked_at.is_some());
}

pub async fn a_deleted_secret_never_gives_its_versions_again(store: &Store) {
    let name = SecretName::new("db").unwrap();
    let sealed = |text: &str| SealedSecret { ciphertext: text.into(), nonce: "n".into() };
    for version in 1..=2 {
        assert_eq!(store.next_secret_version(&name).await.unwrap(), version);
        let secret = SecretRef { name: name.clone(), version };
        store.add_secret(&secret, &sealed(&format!("v{version}")), at(0), &audit("secret.set")).await.unwrap();
        let twice = store.add_secret(&secret, &sealed("x"), at(0), &audit("secret.set")).await;
        assert!(matches!(twice, Err(StoreError::Exists { .. })));
    }
    assert_eq!(store.secrets().await.unwrap()[0].version, 2);
    let first = SecretRef { name: name.clone(), version: 1 };
    assert_eq!(store.secret(&first).await.unwrap().unwrap().ciphertext, "v1");
    assert!(store.delete_secret(&name, &audit("secret.delete")).await.unwrap());
    assert!(!store.delete_secret(&name, &audit("secret.delete")).await.unwrap());
    assert!(store.secret(&first).await.unwrap().is_none());
    assert!(store.secrets().await.unwrap().is_empty());
    assert_eq!(store.next_secret_version(&name).await.unwrap(), 3);
}

pub async fn a_webhook_has_one_token_at_a_time(store: &Store) {
    let name = WebhookName::new("local").unwrap();
    store.set_webhook_token(&name, "one", &audit("webhook.token")).await.unwrap();
    assert_eq!(store.webhook_of_token("one").await.unwrap(), Some(name.clone()));
    store.set_webhook_token(&name, "two", &audit("webhook.token")).await.unwrap();
    assert_eq!(store.webhook_of_token("one").await.unwrap(), None);
    assert_eq!(store.webhook_of_token("two").await.unwrap(), Some(name));
}

pub async fn pushes_and_their_offset(store: &Store) {
    let push = |seq, done| PushView { seq, at: at(0), webhook: "local".into(), images: vec![], done };
    for push in [push(1, true), push(2, false), push(3, false), push(3, true)] {
        store.save_push(&push).await.unwrap();
    }
    assert_eq!(store.pushes(2).await.unwrap(), [push(3, true), push(2, false)]);
    assert_eq!(store.open_pushes().await.unwrap(), [push(2, false)]);
    assert_eq!(store.push(1).await.unwrap(), Some(push(1, true)));
    assert_eq!(store.push(9).await.unwrap(), None);
    assert!(store.advance_push_offset(0, 3).await.unwrap());
    assert!(!store.advance_push_offset(0, 4).await.unwrap());
    assert_eq!(store.push_offset().await.unwrap(), 3);
}

pub async fn the_first_value_of_a_setting_stays(store: &Store) {
    assert_eq!(store.setting("check").await.unwrap(), None);
    assert_eq!(store.setting_or("check", "a").await.unwrap(), "a");
    assert_eq!(store.setting_or("check", "b").await.unwrap(), "a");
}

pub async fn many_writers_do_not_disturb_each_other(store: &Store) {
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..40_i64 {
        let store = store.clone();
        writers.spawn(async move {
            let entry = Audit { at: at(0) + TimeDelta::seconds(n), ..audit("apply") };
            store.audit(&entry).await.unwrap();
            store.audit_entries(1).await.unwrap();
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    assert_eq!(store.audit_entries(100).await.unwrap().len(), 40);
}
