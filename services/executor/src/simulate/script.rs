//! How long simulated steps take and which of them fail: drawn from a seed and the attempt's own
//! identity, so that the same attempt always goes the same way, whoever performs it.

use std::time::Duration;

use slipway_domain::id::{DeploymentId, TaskKey, derive};

/// What is drawn from.
#[derive(Debug, Clone, Copy)]
pub struct Script {
    pub shortest: Duration,
    pub longest: Duration,
    /// Of a hundred attempts.
    pub failures: u8,
    pub seed: u64,
}

/// What an attempt is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    pub lasts: Duration,
    pub fails: bool,
}

impl Script {
    /// The part of one attempt.
    pub fn part(&self, deployment: DeploymentId, task: &TaskKey, attempt: u32) -> Part {
        let drawn = derive(&[&self.seed.to_string(), &deployment.to_string(), &task.to_string(), &attempt.to_string()]);
        let (high, low) = drawn.as_u64_pair();
        let span = self.longest.saturating_sub(self.shortest);
        // The upper bits of a version 5 id are as good as random; the fixed ones are left out.
        let share = (high >> 32) as f64 / f64::from(u32::MAX);
        Part { lasts: self.shortest + span.mul_f64(share), fails: (low & 0xffff_ffff) % 100 < u64::from(self.failures) }
    }
}

#[cfg(test)]
mod tests {
    use slipway_domain::name::{StepName, TargetName};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn an_attempt_always_goes_the_same_way_and_attempts_differ() {
        let key = TaskKey::new(StepName::new("web").unwrap(), TargetName::new("web-01").unwrap());
        let script =
            Script { shortest: Duration::from_secs(1), longest: Duration::from_secs(3), failures: 25, seed: 7 };
        let parts: Vec<Part> = (0..400).map(|n| script.part(DeploymentId(Uuid::from_u128(n)), &key, 1)).collect();
        let again: Vec<Part> = (0..400).map(|n| script.part(DeploymentId(Uuid::from_u128(n)), &key, 1)).collect();
        assert_eq!(parts, again);
        let failed = parts.iter().filter(|part| part.fails).count();
        assert!((60..140).contains(&failed), "{failed} of 400 failed");
        assert!(parts.iter().all(|part| (script.shortest..=script.longest).contains(&part.lasts)));
        assert!(parts.iter().any(|part| part.lasts > Duration::from_secs(2)));
        assert!(parts.iter().any(|part| part.lasts < Duration::from_secs(2)));
        let other = Script { seed: 8, ..script };
        assert_ne!(parts[0], other.part(DeploymentId(Uuid::from_u128(0)), &key, 1));
        let never = Script { failures: 0, ..script };
        assert!((0..400).all(|n| !never.part(DeploymentId(Uuid::from_u128(n)), &key, 1).fails));
        let always = Script { failures: 100, ..script };
        assert!((0..400).all(|n| always.part(DeploymentId(Uuid::from_u128(n)), &key, 1).fails));
    }
}
