//! A simulated `sql`: each file is one transaction, and the database's history takes it once.

use serde_json::json;
use slipway_domain::order::{Outputs, RunSql, SqlSource};
use slipway_service::failpoint;

use super::Scene;
use crate::task::{Stop, failed};

pub(super) async fn perform(scene: &Scene<'_>, work: &RunSql) -> Result<Outputs, Stop> {
    let task = scene.task;
    if task.doorbell.stop {
        return Err(Stop::Cancelled);
    }
    scene.fill([&work.database])?;
    let order = task.order();
    // The real one's URL may hold a password.
    let database = format!("{}/{}", order.project, order.environment);
    let files: Vec<String> = match &work.files {
        SqlSource::Inline(files) => files.keys().cloned().collect(),
        SqlSource::Image { image, path, .. } => vec![format!("{path}@{}", image.digest.as_str())],
    };
    let by = scene.by();
    let part = scene.script.part(by.deployment, &by.task, by.attempt);
    let each = part.lasts / u32::try_from(files.len().max(1)).unwrap_or(u32::MAX);
    let (mut applied, mut already) = (Vec::new(), 0_usize);
    for (i, file) in files.iter().enumerate() {
        let (history, name) = (database.clone(), file.clone());
        if scene.journal.act(move |ledger| Ok(ledger.is_applied(&history, &name))).await? {
            already += 1;
            continue;
        }
        task.effect(&format!("apply {file}")).await?;
        task.interruptible(tokio::time::sleep(each)).await?;
        if part.fails && i + 1 == files.len() {
            return Err(failed(format!("simulated failure: {file} was rolled back")));
        }
        let (by, history, name) = (scene.by(), database.clone(), file.clone());
        failpoint!("executor.migrate.before");
        let new = scene.journal.act(move |ledger| ledger.apply(&by, &history, &name)).await?;
        failpoint!("executor.migrate.after");
        match new {
            true => applied.push(file.clone()),
            false => already += 1,
        }
    }
    Ok(Outputs::from([("applied".to_owned(), json!(applied)), ("already".to_owned(), json!(already))]))
}
