//! Permission violations. The server reports them beside the request, which then only times out;
//! this is where the two meet again.

use std::{
    collections::{HashSet, VecDeque},
    sync::Mutex,
    time::Instant,
};

use uuid::Uuid;

/// How many violations are remembered.
const REMEMBERED: usize = 256;
/// Where answers go to.
const INBOX: &str = "_inbox_";

/// The violations of late, and the patterns that were logged.
#[derive(Debug, Default)]
pub(crate) struct Denials {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    recent: VecDeque<(String, Instant)>,
    logged: HashSet<String>,
}

impl Denials {
    /// Takes note if the server's words are about a permission; logs each pattern once.
    pub(crate) fn note(&self, words: &str) {
        let Some(subject) = denied_subject(words) else { return };
        metrics::counter!("slipway_nats_denials_total").increment(1);
        let mut state = self.lock();
        if state.recent.len() == REMEMBERED {
            state.recent.pop_front();
        }
        state.recent.push_back((subject.to_lowercase(), Instant::now()));
        let pattern = pattern(subject);
        if state.logged.len() >= REMEMBERED || !state.logged.insert(pattern.clone()) {
            return;
        }
        if is_late_answer(words, subject) {
            tracing::info!(
                subject = pattern,
                "an answer was not let through: NATS had forgotten the request, as after its restart; \
                 if no answer ever is, this user needs `allow_responses`"
            );
        } else {
            tracing::error!(subject = pattern, "NATS denies this service a subject; check the permissions of its user");
        }
    }

    /// Whether the subject was denied since then.
    pub(crate) fn since(&self, subject: &str, since: Instant) -> bool {
        let subject = subject.to_lowercase();
        self.lock().recent.iter().rev().take_while(|(_, at)| *at >= since).any(|(denied, _)| *denied == subject)
    }

    /// Whether any subject that begins like this was denied since then.
    pub(crate) fn prefix_since(&self, prefix: &str, since: Instant) -> bool {
        let prefix = prefix.to_lowercase();
        self.lock()
            .recent
            .iter()
            .rev()
            .take_while(|(_, at)| *at >= since)
            .any(|(denied, _)| denied.starts_with(&prefix))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("invariant: nobody panics while holding the denials lock")
    }
}

/// The subject in `Permissions Violation for Publish to "subject"`.
fn denied_subject(words: &str) -> Option<&str> {
    words.to_lowercase().contains("permissions violation").then_some(())?;
    words.split('"').nth(1)
}

/// Whether it was an answer to somebody's request, which may be given while the server remembers the request.
fn is_late_answer(words: &str, subject: &str) -> bool {
    words.to_lowercase().contains("for publish to") && subject.to_lowercase().starts_with(INBOX)
}

/// The subject with every id replaced by `*`, so that a thousand deployments are one line.
fn pattern(subject: &str) -> String {
    if subject.to_lowercase().starts_with(INBOX) {
        return subject.split('.').next().map(|inbox| format!("{inbox}.>")).unwrap_or_default();
    }
    let token = |token: &str| if Uuid::parse_str(token).is_ok() { "*".to_owned() } else { token.to_owned() };
    subject.split('.').map(token).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_is_remembered_by_subject_and_other_words_are_not() {
        let denials = Denials::default();
        let start = Instant::now();
        denials.note("Permissions Violation for Publish to \"deployment.0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee.plan\"");
        denials.note("stale connection \"x\"");
        assert!(denials.since("deployment.0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee.plan", start));
        assert!(!denials.since("deployment.0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee.plan", Instant::now()));
        assert!(!denials.since("x", start));
    }

    #[test]
    fn ids_are_left_out_of_the_pattern() {
        assert_eq!(pattern("deployment.0192aaaa-bbbb-7ccc-8ddd-eeeeeeeeeeee.plan"), "deployment.*.plan");
        assert_eq!(pattern("_INBOX_planner_planner-1.sCu6iEoG8EpL.sCu6iEoG"), "_INBOX_planner_planner-1.>");
    }

    #[test]
    fn an_answer_that_comes_too_late_is_no_missing_right() {
        let inbox = "_INBOX_planner_planner-1.a.b";
        assert!(is_late_answer(&format!("Permissions Violation for Publish to \"{inbox}\""), inbox));
        assert!(!is_late_answer(&format!("Permissions Violation for Subscription to \"{inbox}\""), inbox));
        assert!(!is_late_answer("Permissions Violation for Publish to \"push.x\"", "push.x"));
    }
}
