//! What is done to the processes. Time passes here on purpose: trouble comes when it comes.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};

use super::Plan;
use crate::stack::Stack;

/// Longer than a lease.
const ZOMBIE: std::ops::Range<u64> = 16_000..22_000;
/// Longer than a service takes to end what it holds.
const DRAIN: Duration = Duration::from_secs(40);

/// Trouble, and what is to be set right again.
pub struct Faults {
    plan: Plan,
    chance: StdRng,
    /// How a process is hurt, and when that ends.
    hurt: BTreeMap<String, (Hurt, Instant)>,
    /// By kind and process.
    pub done: BTreeMap<String, usize>,
    /// Processes that ended by themselves.
    pub deaths: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hurt {
    Killed,
    Frozen,
    /// Told to end; it is started again as soon as it did.
    Leaving,
}

impl Faults {
    pub fn new(plan: Plan) -> Self {
        let chance = StdRng::seed_from_u64(plan.seed);
        Self { plan, chance, hurt: BTreeMap::new(), done: BTreeMap::new(), deaths: Vec::new() }
    }

    /// Hurts one process after the other until the time for that is over. Dropped, it leaves them as they are.
    pub async fn rage(&mut self, stack: &mut Stack) -> Result<()> {
        let end = Instant::now() + self.plan.faults_for;
        let names = stack.names();
        while Instant::now() < end {
            let pause = self.millis(100..600);
            tokio::time::sleep(pause).await;
            self.look(stack).await?;
            let Some(victim) = names.choose(&mut self.chance).filter(|name| !self.hurt.contains_key(*name)) else {
                continue;
            };
            self.hurt(stack, victim).await?;
        }
        Ok(())
    }

    /// Sets everything right and waits until all is ready.
    pub async fn end(&mut self, stack: &mut Stack) -> Result<()> {
        for (_, until) in self.hurt.values_mut() {
            *until = Instant::now();
        }
        let end = Instant::now() + self.plan.patience;
        for name in stack.names() {
            // Whoever ends by itself even now is started again, and told of.
            while let Err(seen) = {
                self.look(stack).await?;
                stack.is_ready(&name).await
            } {
                ensure!(Instant::now() < end, "{name} does not get ready: {seen}\n{}", stack.tails());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }

    async fn hurt(&mut self, stack: &mut Stack, victim: &str) -> Result<()> {
        let (kind, hurt, lasts) = match self.chance.random_range(0..100) {
            0..50 => {
                let lasts = if self.chance.random_bool(0.6) { Duration::ZERO } else { self.millis(100..1500) };
                stack.kill(victim).await?;
                ("kill", Hurt::Killed, lasts)
            }
            50..65 => {
                stack.process(victim).signal("TERM").await?;
                ("end", Hurt::Leaving, DRAIN)
            }
            drawn => {
                let zombie = self.plan.zombies && victim.starts_with("executor") && drawn < 76;
                let lasts = self.millis(if zombie { ZOMBIE } else { 200..3000 });
                stack.process(victim).signal("STOP").await?;
                (if zombie { "zombie" } else { "freeze" }, Hurt::Frozen, lasts)
            }
        };
        *self.done.entry(format!("{kind} {victim}")).or_default() += 1;
        self.hurt.insert(victim.to_owned(), (hurt, Instant::now() + lasts));
        Ok(())
    }

    /// Ends what has lasted long enough, and starts again what ended by itself.
    async fn look(&mut self, stack: &mut Stack) -> Result<()> {
        for name in stack.names() {
            match self.hurt.get(&name) {
                None if !stack.process(&name).is_running() => {
                    self.deaths.push(stack.process(&name).tail());
                    stack.restart(&name)?;
                }
                Some((Hurt::Leaving, until)) if *until > Instant::now() && stack.process(&name).is_running() => {}
                Some((Hurt::Killed | Hurt::Frozen, until)) if *until > Instant::now() => {}
                Some((hurt, _)) => {
                    match hurt {
                        Hurt::Killed => stack.restart(&name)?,
                        Hurt::Frozen => stack.process(&name).signal("CONT").await?,
                        Hurt::Leaving => {
                            stack.kill(&name).await?;
                            stack.restart(&name)?;
                        }
                    }
                    self.hurt.remove(&name);
                }
                None => {}
            }
        }
        Ok(())
    }

    fn millis(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.chance.random_range(range))
    }
}
