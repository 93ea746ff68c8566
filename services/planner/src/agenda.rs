//! Which deployments are to be looked at, what for, and when. In order of time, so that a thousand
//! that wait cost nothing.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use slipway_domain::id::DeploymentId;
use slipway_engine::decide::News;
use tokio::time::Instant;

/// The deployments to look at.
#[derive(Debug, Default)]
pub struct Agenda {
    looks: HashMap<DeploymentId, (Instant, News)>,
    look_times: BTreeSet<(Instant, DeploymentId)>,
    wakes: HashMap<DeploymentId, DateTime<Utc>>,
    wake_times: BTreeSet<(DateTime<Utc>, DeploymentId)>,
}

impl Agenda {
    /// Something is new of a deployment; look at it then, or earlier if that was meant already.
    pub fn touch(&mut self, id: DeploymentId, at: Instant, news: News) {
        match self.looks.get_mut(&id) {
            Some((known, before)) => {
                before.add(news);
                if at < *known {
                    self.look_times.remove(&(*known, id));
                    self.look_times.insert((at, id));
                    *known = at;
                }
            }
            None => {
                self.look_times.insert((at, id));
                self.looks.insert(id, (at, news));
            }
        }
    }

    /// Takes a deployment to look at by now.
    pub fn next_due(&mut self, now: Instant) -> Option<(DeploymentId, News)> {
        let (_, id) = self.look_times.first().copied().filter(|(at, _)| *at <= now)?;
        self.look_times.pop_first();
        self.looks.remove(&id).map(|(_, news)| (id, news))
    }

    /// Nothing of a deployment is new any more.
    pub fn leave(&mut self, id: DeploymentId) {
        if let Some((at, _)) = self.looks.remove(&id) {
            self.look_times.remove(&(at, id));
        }
    }

    /// Time alone makes something new of a deployment then, and no earlier; never, if none.
    pub fn wake_at(&mut self, id: DeploymentId, at: Option<DateTime<Utc>>) {
        if let Some(known) = self.wakes.remove(&id) {
            self.wake_times.remove(&(known, id));
        }
        if let Some(at) = at {
            self.wakes.insert(id, at);
            self.wake_times.insert((at, id));
        }
    }

    /// Time alone makes something new of a deployment also then.
    pub fn wake_also_at(&mut self, id: DeploymentId, at: Option<DateTime<Utc>>) {
        if at.is_some_and(|at| self.wakes.get(&id).is_none_or(|known| at < *known)) {
            self.wake_at(id, at);
        }
    }

    /// Takes a deployment of which time has made something new.
    pub fn next_woken(&mut self, now: DateTime<Utc>) -> Option<DeploymentId> {
        let (_, id) = self.wake_times.first().copied().filter(|(at, _)| *at <= now)?;
        self.wake_at(id, None);
        Some(id)
    }

    /// When the next deployment is to be looked at.
    pub fn next_look(&self) -> Option<Instant> {
        self.look_times.first().map(|(at, _)| *at)
    }

    /// When time next makes something new.
    pub fn next_wake(&self) -> Option<DateTime<Utc>> {
        self.wake_times.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_deployment_is_looked_at_once_at_the_earliest_time_for_all_that_is_new() {
        let (a, b) = (DeploymentId::derive(&["a"]), DeploymentId::derive(&["b"]));
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let mut agenda = Agenda::default();
        agenda.touch(a, later, News::shared());
        agenda.touch(b, later, News::shared());
        agenda.touch(a, now, News::All);
        agenda.touch(a, later, News::shared());
        assert_eq!(agenda.next_look(), Some(now));
        assert_eq!(agenda.next_due(now), Some((a, News::All)));
        assert_eq!(agenda.next_due(now), None);
        assert_eq!(agenda.next_due(later), Some((b, News::shared())));
        agenda.touch(b, now, News::All);
        agenda.leave(b);
        assert_eq!((agenda.next_due(later), agenda.next_look()), (None, None));
    }

    #[test]
    fn what_some_news_say_makes_the_next_wake_earlier_and_never_later() {
        let id = DeploymentId::derive(&["a"]);
        let second = |n| DateTime::from_timestamp(n, 0);
        let mut agenda = Agenda::default();
        agenda.wake_also_at(id, second(5));
        agenda.wake_also_at(id, second(9));
        agenda.wake_also_at(id, None);
        assert_eq!(agenda.next_wake(), second(5));
        agenda.wake_at(id, second(9));
        assert_eq!(agenda.next_woken(second(8).unwrap()), None);
        assert_eq!(agenda.next_woken(second(9).unwrap()), Some(id));
        assert_eq!(agenda.next_wake(), None);
    }
}
