//! What processes cost: CPU seconds and memory, as the kernel counts them.

use std::{collections::BTreeMap, fmt};

use anyhow::{Context, Result};
use slipway_integration_tests::{process::Process, stack::Stack};

/// Ticks of a second in which the kernel counts CPU time; fixed for programs on Linux.
const TICKS: f64 = 100.0;

/// Counters of processes at one moment, by name.
#[derive(Debug, Clone, Default)]
pub struct Usage(BTreeMap<String, Counters>);

/// Counters of one process.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counters {
    /// CPU seconds, of the program and for it in the kernel.
    pub cpu: f64,
    /// Resident memory, in MB.
    pub rss: f64,
    /// The most that it ever was.
    pub peak: f64,
}

impl Usage {
    /// Of all processes of a stack, and of this one, which is the load generator.
    pub fn of(stack: &mut Stack) -> Result<Self> {
        let mut all = BTreeMap::from([("load generator".to_owned(), counters("self")?)]);
        for name in stack.names() {
            if let Some(id) = stack.process(&name).id() {
                all.insert(name, counters(&id.to_string())?);
            }
        }
        Ok(Self(all))
    }

    /// CPU seconds since then; memory as it is now.
    pub fn since(&self, before: &Self) -> Self {
        let used = self.0.iter().map(|(name, now)| {
            let then = before.0.get(name).copied().unwrap_or_default();
            (name.clone(), Counters { cpu: now.cpu - then.cpu, ..*now })
        });
        Self(used.collect())
    }

    /// CPU seconds of both, memory as it is in the later one.
    pub fn and(&self, later: &Self) -> Self {
        let both =
            later.0.iter().map(|(name, now)| (name.clone(), Counters { cpu: now.cpu + self.get(name).cpu, ..*now }));
        Self(both.collect())
    }

    /// Of one process.
    pub fn get(&self, name: &str) -> Counters {
        self.0.get(name).copied().unwrap_or_default()
    }
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |(name, c): (&String, &Counters)| format!("{name} {:.2} s, {:.0} MB", c.cpu, c.rss);
        f.write_str(&self.0.iter().map(of).collect::<Vec<_>>().join("; "))
    }
}

/// Of one process.
pub fn of(process: &Process) -> Result<Counters> {
    counters(&process.id().context("the process runs")?.to_string())
}

fn counters(process: &str) -> Result<Counters> {
    let read = |file: &str| {
        let path = format!("/proc/{process}/{file}");
        std::fs::read_to_string(&path).context(path)
    };
    let stat = read("stat")?;
    // The name, in parentheses, may hold spaces; what follows it does not.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    let status = read("status")?;
    let megabytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
        line.split_whitespace().find_map(|word| word.parse::<f64>().ok()).unwrap_or_default() / 1024.0
    };
    Ok(Counters { cpu: (ticks(11) + ticks(12)) / TICKS, rss: megabytes("VmRSS:"), peak: megabytes("VmHWM:") })
}
