//! Following a deployment to its end, through restarts of the server. On a terminal a table that
//! is drawn anew, elsewhere a line for each change.

mod draw;
mod feed;
#[cfg(test)]
mod tests;

use std::{
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use slipway_domain::{
    api::{DeploymentView, Status},
    event::Outcome,
    id::DeploymentId,
};

pub use self::draw::details;
use self::feed::Feed;
use crate::{
    client::{Client, segment},
    failure::{Failure, Result},
    output::{self, OutputArgs},
    times,
};

/// How long a server may be away.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to pause before asking again.
const RETRY: Duration = Duration::from_millis(500);
/// The view is fetched at least this often, should a connection be dead without telling.
const REFRESH: Duration = Duration::from_secs(15);

/// The beginning of an id that people are shown and may type: long enough that ids made in one second differ.
pub fn short(id: DeploymentId) -> String {
    id.to_string().chars().take(13).collect()
}

/// Follows a deployment until it is finished, or until only a person can let it go on for `wait_timeout`.
/// `at_least` is a place in the log that the first view must have reached.
pub async fn follow(
    client: &Client,
    output: &OutputArgs,
    deployment: &str,
    at_least: Option<u64>,
    wait_timeout: Option<Duration>,
) -> Result<()> {
    let path = format!("/api/v1/deployments/{}", segment(deployment));
    let mut seen = at_least.unwrap_or(0);
    let mut view = fetch(client, &path, seen).await?;
    let mut screen = Screen::new(output);
    let mut feed = Feed::new(client.clone(), format!("{path}/events"), view.at_seq);
    let mut waiting = None;
    loop {
        screen.show(&view);
        if view.summary.status == Status::Finished {
            return end(output, &view, screen);
        }
        waiting = match view.summary.status {
            Status::WaitingForPerson => waiting.or_else(|| Some(Instant::now())),
            _ => None,
        };
        let deadline = waiting.zip(wait_timeout).map(|(since, limit)| since + limit);
        match next_change(&mut feed, &mut screen, &view, deadline).await? {
            Next::Changed(seq) => seen = seen.max(seq),
            Next::Waited => return Err(Failure::Waiting(draw::waits(&view))),
        }
        view = fetch(client, &path, seen).await?;
    }
}

enum Next {
    /// Something happened up to that place in the log, or it is time to look.
    Changed(u64),
    /// A person did not come in time.
    Waited,
}

async fn next_change(
    feed: &mut Feed,
    screen: &mut Screen,
    view: &DeploymentView,
    deadline: Option<Instant>,
) -> Result<Next> {
    let changed = feed.changed();
    tokio::pin!(changed);
    let refresh = tokio::time::sleep(REFRESH);
    tokio::pin!(refresh);
    let never = Instant::now() + Duration::from_secs(365 * 24 * 3600);
    let waited = tokio::time::sleep_until(deadline.unwrap_or(never).into());
    tokio::pin!(waited);
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            seq = &mut changed => return Ok(Next::Changed(seq?)),
            () = &mut waited => return Ok(Next::Waited),
            () = &mut refresh => return Ok(Next::Changed(0)),
            _ = tick.tick() => screen.tick(view),
        }
    }
}

/// The view, asked for again while the server is away.
async fn fetch(client: &Client, path: &str, at_least: u64) -> Result<DeploymentView> {
    let path = if at_least > 0 { format!("{path}?at_least={at_least}") } else { path.to_owned() };
    let started = Instant::now();
    let mut told = false;
    loop {
        match client.get(&path).await {
            Err(failure) if failure.is_passing() && started.elapsed() < PATIENCE => {
                if !told {
                    output::complain("the server does not answer; trying for a minute\n");
                    told = true;
                }
                tokio::time::sleep(RETRY).await;
            }
            result => return result,
        }
    }
}

fn end(output: &OutputArgs, view: &DeploymentView, mut screen: Screen) -> Result<()> {
    screen.close();
    if output.is_data() {
        output.show(view, |_| String::new())?;
    } else {
        output::say(&draw::end(view, times::now()));
    }
    match view.summary.outcome {
        Some(Outcome::Succeeded) => Ok(()),
        _ => Err(Failure::Told),
    }
}

/// Where progress is shown.
enum Screen {
    /// A table of so many lines, drawn anew.
    Terminal { lines: usize },
    /// A line for each change, to stdout or, when data goes there, to stderr.
    Lines { last: Option<Box<DeploymentView>>, to_stderr: bool },
}

impl Screen {
    fn new(output: &OutputArgs) -> Self {
        if std::io::stdout().is_terminal() && !output.is_data() {
            Self::Terminal { lines: 0 }
        } else {
            Self::Lines { last: None, to_stderr: output.is_data() }
        }
    }

    fn show(&mut self, view: &DeploymentView) {
        match self {
            Self::Terminal { .. } => self.redraw(view),
            Self::Lines { last, to_stderr } => {
                let text: String = draw::changes(last.as_deref(), view).into_iter().map(|line| line + "\n").collect();
                if *to_stderr {
                    output::complain(&text);
                } else {
                    output::say(&text);
                }
                *last = Some(Box::new(view.clone()));
            }
        }
    }

    fn tick(&mut self, view: &DeploymentView) {
        if matches!(self, Self::Terminal { .. }) {
            self.redraw(view);
        }
    }

    fn redraw(&mut self, view: &DeploymentView) {
        let Self::Terminal { lines } = self else { return };
        let table = draw::table(view, times::now());
        let back = if *lines > 0 { format!("\x1b[{lines}A\x1b[J") } else { String::new() };
        *lines = table.lines().count();
        // Without wrapping a long line is cut, and the number of lines stays true.
        output::say(&format!("{back}\x1b[?7l{table}\x1b[?7h"));
    }

    fn close(&mut self) {
        if let Self::Terminal { lines } = self {
            *lines = 0;
        }
    }
}
