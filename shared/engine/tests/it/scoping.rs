//! Which of many definitions of a variable holds: the rule against one that is slow and obvious.

use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use slipway_domain::{
    manifest::{OneOrMany, Scope, Variable},
    name::{ChannelName, EnvironmentName, RoleName, StepName, TargetName, VariableSetName},
};
use slipway_engine::variables::{Definition, Place, select};

/// A place, owned.
struct Somewhere {
    environment: EnvironmentName,
    channel: ChannelName,
    step: StepName,
    target: TargetName,
    roles: Vec<RoleName>,
    aimed_at: Option<RoleName>,
}

impl Somewhere {
    fn place(&self) -> Place<'_> {
        Place {
            environment: &self.environment,
            channel: &self.channel,
            step: &self.step,
            target: &self.target,
            roles: &self.roles,
            aimed_at: self.aimed_at.as_ref(),
        }
    }
}

/// What the manual says, sentence by sentence: take away what does not fit; then go through the
/// dimensions from the most specific one, and where some of what is left says that dimension, drop
/// what does not. `None`: nothing fits; several: a tie.
fn obvious<'a>(definitions: &[Definition<'a>], at: &Somewhere) -> Vec<Definition<'a>> {
    fn says<T: PartialEq>(scope: Option<&OneOrMany<T>>, name: &T) -> bool {
        scope.is_some_and(|names| names.as_slice().iter().any(|n| n == name))
    }
    let fits = |scope: &Scope| {
        (scope.step.is_none() || says(scope.step.as_ref(), &at.step))
            && (scope.target.is_none() || says(scope.target.as_ref(), &at.target))
            && (scope.role.is_none() || at.roles.iter().any(|role| says(scope.role.as_ref(), role)))
            && (scope.environment.is_none() || says(scope.environment.as_ref(), &at.environment))
            && (scope.channel.is_none() || says(scope.channel.as_ref(), &at.channel))
    };
    let mut left: Vec<Definition<'a>> = definitions.iter().copied().filter(|(v, _)| fits(&v.scope)).collect();
    let aimed = |v: &Variable| {
        at.aimed_at.as_ref().is_some_and(|role| at.roles.contains(role) && says(v.scope.role.as_ref(), role))
    };
    let dimensions: [&dyn Fn(&Definition<'a>) -> bool; 7] = [
        &|(v, _)| v.scope.step.is_some(),
        &|(v, _)| v.scope.target.is_some(),
        &|(v, _)| aimed(v),
        &|(v, _)| v.scope.role.is_some(),
        &|(v, _)| v.scope.environment.is_some(),
        &|(v, _)| v.scope.channel.is_some(),
        &|(_, set)| set.is_none(),
    ];
    for says_it in dimensions {
        if left.iter().any(says_it) {
            left.retain(says_it);
        }
    }
    left
}

fn some<T: std::str::FromStr<Err: std::fmt::Debug> + PartialEq>(
    rng: &mut StdRng,
    names: &[&str],
) -> Option<OneOrMany<T>> {
    let one = |rng: &mut StdRng| names.choose(rng).unwrap().parse().unwrap();
    match rng.random_range(0..6) {
        0..3 => None,
        3..5 => Some(OneOrMany::One(one(rng))),
        _ => Some(OneOrMany::Many(vec![one(rng), one(rng)])),
    }
}

fn variable(rng: &mut StdRng, i: usize, own: bool) -> Variable {
    let (step, channel) = if own { (some(rng, &["a", "b"]), some(rng, &["stable", "beta"])) } else { (None, None) };
    Variable {
        name: "V".into(),
        value: Some(format!("v{i}")),
        secret: None,
        prompt: None,
        scope: Scope {
            environment: some(rng, &["test", "live"]),
            target: some(rng, &["t1", "t2"]),
            role: some(rng, &["web", "db", "edge"]),
            step,
            channel,
        },
    }
}

fn somewhere(rng: &mut StdRng) -> Somewhere {
    let roles = ["web", "db", "edge"];
    Somewhere {
        environment: ["test", "live"].choose(rng).unwrap().parse().unwrap(),
        channel: ["stable", "beta"].choose(rng).unwrap().parse().unwrap(),
        step: ["a", "b"].choose(rng).unwrap().parse().unwrap(),
        target: ["t1", "t2"].choose(rng).unwrap().parse().unwrap(),
        roles: roles.iter().filter(|_| rng.random_bool(0.5)).map(|r| r.parse().unwrap()).collect(),
        aimed_at: rng.random_bool(0.6).then(|| roles.choose(rng).unwrap().parse().unwrap()),
    }
}

#[test]
fn the_value_that_holds_is_the_one_that_the_slow_and_obvious_rule_finds() {
    let set: VariableSetName = "shared".parse().unwrap();
    let (mut none, mut one, mut tied) = (0, 0, 0);
    for seed in 0..20_000 {
        let rng = &mut StdRng::seed_from_u64(seed);
        let variables: Vec<(Variable, bool)> = (0..rng.random_range(1..7))
            .map(|i| {
                let own = rng.random_bool(0.6);
                (variable(rng, i, own), own)
            })
            .collect();
        let definitions: Vec<Definition<'_>> = variables.iter().map(|(v, own)| (v, (!own).then_some(&set))).collect();
        let at = somewhere(rng);
        let found = select(definitions.iter().copied(), "V", &at.place());
        let context = || format!("seed {seed}: {definitions:#?}");
        match obvious(&definitions, &at).as_slice() {
            [] => {
                none += 1;
                assert_eq!(found, Ok(None), "{}", context());
            }
            [winner] => {
                one += 1;
                assert_eq!(found, Ok(Some(*winner)), "{}", context());
            }
            equal => {
                tied += 1;
                let message = found.unwrap_err();
                let named = equal.iter().filter(|(v, _)| message.contains(v.value.as_deref().unwrap())).count();
                assert_eq!(named, 2, "{message}: {}", context());
            }
        }
    }
    assert!(none > 1000 && one > 1000 && tied > 300, "{none} {one} {tied}: the cases are too alike");
}
