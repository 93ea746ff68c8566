//! `http`: calls a URL, and is done when the answer is as expected.
//!
//! Nothing is called again that may have changed something, unless somebody said so: `retry` and `retry-until` do, and
//! a call that may be repeated is made again after the loss of an executor. Any other has a checkpoint of its own before
//! it, by which whoever comes later knows that it may have been carried out.

mod answer;
mod client;
mod expectation;

use std::time::Instant;

use serde_json::json;
use slipway_domain::{manifest::Http, order::Outputs};
use slipway_service::failpoint;

use self::{answer::Answer, client::Call};
use crate::task::{Stop, Task, failed};

/// Calls until the answer is as expected, or once.
pub async fn perform(task: &Task<'_>, work: &Http) -> Result<Outputs, Stop> {
    if task.doorbell.stop {
        return Err(Stop::Cancelled);
    }
    let call = Call::new(task, work)?;
    if task.doorbell.adopt && !work.is_repeatable() && task.held.may_have_been_done().await? {
        return Err(Stop::Unknown(format!(
            "the executor that made the call {call} was lost before it could tell the answer, so nobody knows whether it \
             was carried out; look there, then deploy again with or without this step. A call that may be made twice \
             says `idempotent: true`"
        )));
    }
    let started = Instant::now();
    let mut tries = 0_u32;
    let mut told = String::new();
    loop {
        tries += 1;
        let problem = match ask(task, work, &call).await? {
            Ok(answer) => match expectation::unmet(task, &work.expect, &answer)? {
                None => return Ok(outputs(task, &call, &answer, started, tries)),
                Some(unmet) => unmet,
            },
            Err(problem) => format!("{call}: {problem}"),
        };
        let Some(until) = &work.retry_until else { return Err(failed(problem)) };
        if started.elapsed() + until.every.0 >= until.within.0 {
            let times = if tries == 1 { "once".to_owned() } else { format!("{tries} times") };
            return Err(failed(format!("not as expected within {}, asked {times}; at last: {problem}", until.within)));
        }
        if told != problem {
            task.held.say(format!("{problem}; asking again every {}", until.every));
            told = problem;
        }
        task.interruptible(tokio::time::sleep(until.every.0)).await?;
    }
}

/// One call; the inner error tells why there is no answer.
async fn ask(task: &Task<'_>, work: &Http, call: &Call) -> Result<Result<Answer, String>, Stop> {
    let intent = format!("call {call}");
    if work.is_repeatable() {
        task.effect(&intent).await?;
    } else {
        task.once(&intent).await?;
    }
    failpoint!("executor.http.before");
    let answer = task.interruptible(call.send()).await?;
    failpoint!("executor.http.after");
    Ok(answer)
}

fn outputs(task: &Task<'_>, call: &Call, answer: &Answer, started: Instant, tries: u32) -> Outputs {
    task.held.say(format!("{call} answered {} after {} ms, as expected", answer.status, answer.took.as_millis()));
    let (body, is_whole) = answer.shown_body(task);
    let mut outputs = Outputs::from([
        ("status".to_owned(), json!(answer.status.as_u16())),
        ("headers".to_owned(), json!(answer.shown_headers())),
        ("body".to_owned(), json!(body)),
        ("duration_ms".to_owned(), json!(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX))),
        ("tries".to_owned(), json!(tries)),
    ]);
    if !is_whole {
        outputs.insert("truncated".to_owned(), json!(true));
    } else if let Some(document) = &answer.json {
        outputs.insert("json".to_owned(), document.clone());
    }
    outputs
}
