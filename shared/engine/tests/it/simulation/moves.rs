//! What can happen, as data: a run is a case, so it can be repeated, shortened and printed.

use rand::{Rng, SeedableRng, rngs::StdRng, seq::IndexedRandom};
use slipway_domain::{duration::Span, event::Verdict, manifest::Queue, release::Request};

use crate::fixture::{at, request, targets};

/// Approvals, windows, retries, conditions.
const MAIN: &str = "steps:
  - {name: migrate, wait: 0s, retry: {attempts: 3, backoff: 1s}}
  - {name: sign-off, needs: [migrate], approval: {teams: [ops], votes: 2, timeout: 10m, slack: '#ops'}}
  - {name: web, needs: [sign-off], targets: {role: web}, rolling: {window: 2, max-failures: 1}, retry: {attempts: 2, backoff: 1s}, timeout: 5m, wait: 0s}
  - {name: warm, needs: [sign-off], targets: {role: web}, wait: 0s}
  - {name: join, needs: [web, warm], wait: 0s}
  - {name: tell, needs: [join], wait: 0s, when: {result: always}}
  - {name: alarm, wait: 0s, when: {result: failure}}";

/// A canary that people look at, and what failed is taken back.
const ROLLOUT: &str = "steps:
  - {name: migrate, wait: 0s, retry: {attempts: 3, backoff: 1s}}
  - {name: sign-off, needs: [migrate], approval: {teams: [ops], timeout: 10m}}
  - name: web
    needs: [sign-off]
    targets: {role: web}
    rolling: {window: 2, canary: 2, then: {approval: {teams: [ops], timeout: 10m}}, pause: 1s, on-failure: restore}
    retry: {attempts: 2, backoff: 1s}
    timeout: 5m
    docker-run: {package: web}
  - {name: join, needs: [web], wait: 0s}
  - {name: tell, needs: [join], wait: 0s, when: {result: always}}
  - {name: alarm, wait: 0s, when: {result: failure}}";

/// Others may have the lane while people are asked.
const ASIDE: &str = "steps:
  - {name: migrate, wait: 0s}
  - {name: sign-off, needs: [migrate], approval: {teams: [ops], blocks: false, timeout: 10m, slack: '#ops'}}
  - {name: web, needs: [sign-off], targets: {role: web}, rolling: {window: 2}, wait: 0s, timeout: 5m}
  - {name: warm, wait: 0s}
  - {name: look, needs: [web], approval: {teams: [ops], blocks: false, timeout: 10m}}
  - {name: tell, needs: [look], wait: 0s, when: {result: always}}";

/// Failed tasks ask people.
const GUIDED: &str = "guided-failure: {teams: [ops], timeout: 10m}
steps:
  - {name: web, targets: {role: web}, rolling: {window: 1}, retry: {attempts: 2, backoff: 2s}, wait: 0s}
  - {name: next, needs: [web], targets: {role: web}, wait: 0s}
  - {name: tell, needs: [next], wait: 0s, when: {result: always}}";

/// Many tasks on the same targets.
const CROWD: &str = "steps:
  - {name: web, targets: {role: web}, wait: 0s, timeout: 30s}
  - {name: warm, targets: {role: web}, wait: 0s, timeout: 30s}
  - {name: also, targets: {role: web}, rolling: {window: 2}, wait: 0s, timeout: 30s, when: {if: \"#{Target != 'web-02'}\"}}
  - {name: join, needs: [web, warm, also], wait: 0s}";

/// Series on each target, each time others.
fn series(rng: &mut StdRng) -> String {
    let mut one = |of: &[&'static str]| of.choose(rng).copied().unwrap();
    let guided = one(&["", "guided-failure: {teams: [ops], timeout: 10m}\n"]);
    let canary = one(&["", "canary: 1, ", "canary: 2, then: {approval: {teams: [ops], timeout: 10m}}, "]);
    let rest = one(&["on-failure: restore", "max-failures: 1, on-failure: restore", "pause: 1s", "deadline: 40s"]);
    let rolling = format!("{{window: {}, {canary}{rest}}}", one(&["1", "2", "3"]));
    let when = one(&["", "when: {result: always}", "when: {if: \"#{Target != 'web-02'}\"}"]);
    let parts: Vec<String> = (1..=one(&["1", "2", "3", "4"]).parse().unwrap())
        .map(|n: usize| {
            let what = one(&["wait: 0s", "docker-run: {package: web}"]);
            let when = one(&["", "", "", "when: {result: failure}, ", "when: {if: \"#{Target != 'web-02'}\"}, "]);
            let retry = one(&["", "retry: {attempts: 2, backoff: 1s}, "]);
            format!("      - {{name: part-{n}, {when}{retry}timeout: 5m, {what}}}\n")
        })
        .collect();
    format!(
        "{guided}steps:
  - {{name: migrate, wait: 0s}}
  - name: web
    needs: [migrate]
    targets: {{role: web}}
    rolling: {rolling}
    {when}
    steps:
{}      - {{name: serve, docker-run: {{package: web}}, timeout: 5m}}
      - {{name: last, wait: 0s, when: {{result: always}}}}
  - {{name: join, needs: [web], wait: 0s}}
  - {{name: tell, needs: [join], wait: 0s, when: {{result: always}}}}
  - {{name: alarm, wait: 0s, when: {{result: failure}}}}",
        parts.concat()
    )
}

/// A deployment that is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    pub name: String,
    pub body: String,
    pub project: &'static str,
    pub queue: Queue,
    pub parallelism: u32,
    pub scheduled: Option<i64>,
    pub timeout: Option<Span>,
}

impl Asked {
    fn draw(rng: &mut StdRng, name: String) -> Self {
        Self {
            name,
            body: match [MAIN, MAIN, ROLLOUT, ROLLOUT, ASIDE, ASIDE, GUIDED, CROWD, "", "", ""].choose(rng).unwrap() {
                &"" => series(rng),
                body => (*body).to_owned(),
            },
            project: ["shop", "shop", "shop", "till"].choose(rng).copied().unwrap(),
            queue: [Queue::Wait, Queue::Wait, Queue::LatestOnly, Queue::Reject].choose(rng).copied().unwrap(),
            parallelism: rng.random_range(1..3),
            scheduled: rng.random_bool(0.2).then(|| rng.random_range(1..60)),
            timeout: rng.random_bool(0.2).then(|| Span::secs(rng.random_range(20..200))),
        }
    }

    pub fn request(&self) -> Request {
        let mut request = request(&self.name, &self.body, targets(4, self.parallelism));
        request.release.project = self.project.parse().unwrap();
        request.queue = self.queue;
        request.not_before = self.scheduled.map(at);
        request.timeout = self.timeout;
        request
    }
}

/// What becomes of something that is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Arrives,
    /// It never does.
    Lost,
    /// Somewhen, with a later [`Move::Land`]; the sender does not know.
    Late,
}

/// What an executor does with something it believes to hold.
#[derive(Debug, Clone, Copy)]
pub enum Deed {
    Checkpoint,
    Succeed,
    Fail,
    Unknown,
}

/// What a person does.
#[derive(Debug, Clone, Copy)]
pub enum Wish {
    Cancel,
    Pause,
    Resume,
    /// Tells a step to go on, whether it holds or not.
    Tell,
}

/// One thing that happens. Numbers choose among what is there, so a move fits every state.
#[derive(Debug, Clone, Copy)]
pub enum Move {
    /// The next deployment is asked for.
    Ask,
    /// A planner reads so many entries.
    Read {
        planner: usize,
        entries: usize,
    },
    /// A planner writes what it decides on what it knows.
    Decide {
        planner: usize,
        fate: Fate,
    },
    /// A planner rings for what it believes to be due.
    Ring {
        planner: usize,
    },
    /// An executor answers any doorbell that ever rang.
    Claim {
        executor: usize,
        bell: usize,
        fate: Fate,
    },
    Work {
        executor: usize,
        task: usize,
        deed: Deed,
        fate: Fate,
    },
    /// Something late arrives.
    Land {
        message: usize,
    },
    /// An executor is killed and starts again, knowing nothing.
    Kill {
        executor: usize,
    },
    /// A planner takes an executor for gone (or for restarted), rightly or not: what it holds makes it a zombie.
    Expire {
        planner: usize,
        executor: usize,
        restarted: bool,
    },
    /// A planner is killed and reads the log from its start.
    Restart {
        planner: usize,
    },
    Pass {
        seconds: i64,
    },
    /// A vote at any gate; `stale` binds it to another plan or opening.
    Vote {
        gate: usize,
        person: &'static str,
        verdict: Verdict,
        stale: bool,
    },
    Wish {
        deployment: usize,
        wish: Wish,
    },
    /// The release service writes other limits.
    Limit {
        total: Option<u32>,
        production: Option<u32>,
        frozen: bool,
    },
}

/// A whole run: what is asked for, and what happens until the faults end.
#[derive(Debug, Clone)]
pub struct Case {
    pub asked: Vec<Asked>,
    pub moves: Vec<Move>,
}

pub const PLANNERS: usize = 3;
pub const EXECUTORS: usize = 2;

impl Case {
    pub fn draw(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let asked: Vec<_> = (0..rng.random_range(1..4)).map(|i| Asked::draw(&mut rng, format!("{seed}-{i}"))).collect();
        let mut moves = vec![Move::Ask];
        moves.extend((0..rng.random_range(300..1_500)).map(|_| draw(&mut rng)));
        Self { asked, moves }
    }
}

fn draw(rng: &mut StdRng) -> Move {
    let (planner, executor) = (rng.random_range(0..PLANNERS), rng.random_range(0..EXECUTORS));
    let any = rng.random_range(0..1_000);
    let fate = match rng.random_range(0..10) {
        0 => Fate::Lost,
        1 => Fate::Late,
        _ => Fate::Arrives,
    };
    match rng.random_range(0..1_000) {
        0..250 => Move::Read { planner, entries: rng.random_range(1..12) },
        250..430 => Move::Decide { planner, fate },
        430..520 => Move::Ring { planner },
        520..650 => Move::Claim { executor, bell: any, fate },
        650..850 => Move::Work { executor, task: any, deed: deed(rng), fate },
        850..880 => Move::Land { message: any },
        880..890 => Move::Kill { executor },
        890..910 => Move::Expire { planner, executor, restarted: rng.random_bool(0.5) },
        910..915 => Move::Restart { planner },
        915..955 => Move::Pass { seconds: rng.random_range(1..5) },
        955..990 => vote(rng, any),
        990..994 => Move::Ask,
        994..996 => {
            let mut limit = || rng.random_bool(0.5).then(|| rng.random_range(1..3));
            Move::Limit { total: limit(), production: limit(), frozen: rng.random_bool(0.3) }
        }
        _ => {
            let wish = [
                Wish::Cancel,
                Wish::Pause,
                Wish::Pause,
                Wish::Resume,
                Wish::Resume,
                Wish::Resume,
                Wish::Tell,
                Wish::Tell,
            ];
            Move::Wish { deployment: any, wish: wish.choose(rng).copied().unwrap() }
        }
    }
}

fn deed(rng: &mut StdRng) -> Deed {
    match rng.random_range(0..20) {
        0..4 => Deed::Checkpoint,
        4..8 => Deed::Fail,
        8 => Deed::Unknown,
        _ => Deed::Succeed,
    }
}

fn vote(rng: &mut StdRng, gate: usize) -> Move {
    use Verdict::{Approve, Exclude, Ignore, Reject, Retry};
    let verdict = [Approve, Approve, Approve, Approve, Reject, Retry, Retry, Ignore, Exclude];
    Move::Vote {
        gate,
        person: ["ana", "ben", "eve"].choose(rng).copied().unwrap(),
        verdict: verdict.choose(rng).copied().unwrap(),
        stale: rng.random_bool(0.2),
    }
}
