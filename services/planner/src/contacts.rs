//! Whose connection to NATS is gone. A holder that died shows so at once, and what it held and others
//! can adopt need not wait for the whole lease.
//!
//! Only who has answered on this planner's present connection can be found gone, so that neither
//! a holder that may not answer nor a restart of NATS looks like a death.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use slipway_bus::{Bus, Sign};
use slipway_domain::name::HolderName;
use tokio::{task::JoinSet, time::Instant};

/// How often who holds something is asked.
pub const ASK_EVERY: Duration = Duration::from_millis(500);
/// After that a holder without connection begins no effect any more: none of its appends was stored since.
pub const SILENCE: Duration = Duration::from_secs(2);

/// What came back, and from whom.
pub type Heard = (HolderName, Sign);

/// The holders that answered.
pub struct Contacts {
    bus: Bus,
    /// Since when the server says that nobody is there.
    gone: HashMap<HolderName, Option<Instant>>,
    asked: HashSet<HolderName>,
    answers: JoinSet<Heard>,
}

impl Contacts {
    /// Nobody was asked yet.
    pub fn new(bus: Bus) -> Self {
        Self { bus, gone: HashMap::new(), asked: HashSet::new(), answers: JoinSet::new() }
    }

    /// Asks somebody, unless an answer is out. Whoever renews is asked, so that it is known before it holds something,
    /// and whoever holds something again and again.
    pub fn ask(&mut self, holder: &HolderName) {
        if self.asked.insert(holder.clone()) {
            let (bus, holder) = (self.bus.clone(), holder.clone());
            self.answers.spawn(async move {
                let sign = bus.sign_of(&holder).await;
                (holder, sign)
            });
        }
    }

    /// The next answer; pending while none is out.
    pub async fn answer(&mut self) -> Heard {
        loop {
            match self.answers.join_next().await {
                Some(Ok(heard)) => return heard,
                Some(Err(error)) => tracing::error!(%error, "a question died"),
                None => std::future::pending::<()>().await,
            }
        }
    }

    /// Takes an answer in.
    pub fn heard(&mut self, (holder, sign): Heard) {
        self.asked.remove(&holder);
        take(&mut self.gone, holder, sign, Instant::now());
    }

    /// It renewed, or wrote to the log.
    pub fn lives(&mut self, holder: &HolderName) {
        if let Some(gone) = self.gone.get_mut(holder) {
            *gone = None;
        }
    }

    /// It said goodbye.
    pub fn left(&mut self, holder: &HolderName) {
        self.gone.remove(holder);
    }

    /// This planner's own connection was lost: who is there has to show again.
    pub fn forget(&mut self) {
        self.gone.clear();
    }

    /// Who has been gone for long enough. The silence of each begins again.
    pub fn take_gone(&mut self, now: Instant) -> Vec<HolderName> {
        let mut gone = Vec::new();
        for (holder, since) in &mut self.gone {
            if since.is_some_and(|since| now >= since + SILENCE) {
                *since = Some(now);
                gone.push(holder.clone());
            }
        }
        gone
    }

    /// When somebody has been gone for long enough.
    pub fn next(&self) -> Option<Instant> {
        self.gone.values().flatten().min().map(|since| *since + SILENCE)
    }
}

fn take(gone: &mut HashMap<HolderName, Option<Instant>>, holder: HolderName, sign: Sign, now: Instant) {
    match (sign, gone.get_mut(&holder)) {
        (Sign::Here(_), _) => drop(gone.insert(holder, None)),
        (Sign::Nobody, Some(since)) => drop(since.get_or_insert(now)),
        (Sign::Unknown, Some(since)) => *since = None,
        (Sign::Nobody | Sign::Unknown, None) => {}
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn gone_is_only_who_was_there_and_only_the_server_says_so() {
        let (now, later) = (Instant::now(), Instant::now() + SILENCE);
        let here = Sign::Here(Uuid::nil());
        for (signs, expected) in [
            (vec![Sign::Nobody, Sign::Nobody], None),
            (vec![here, Sign::Unknown], Some(None)),
            (vec![here, Sign::Nobody], Some(Some(now))),
            (vec![here, Sign::Nobody, Sign::Nobody], Some(Some(now))),
            (vec![here, Sign::Nobody, Sign::Unknown], Some(None)),
            (vec![here, Sign::Nobody, here], Some(None)),
        ] {
            let mut gone = HashMap::new();
            let holder = HolderName::new("executor-1").unwrap();
            for (n, sign) in signs.iter().enumerate() {
                take(&mut gone, holder.clone(), *sign, if n < 2 { now } else { later });
            }
            assert_eq!(gone.get(&holder).copied(), expected, "{signs:?}");
        }
    }
}
