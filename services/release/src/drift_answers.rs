//! Answers the notifier, which asks what drifted before a person approves in chat: the rule is that of the
//! API, and looking at hosts is for this service.

use slipway_bus::BusError;
use tokio_util::sync::CancellationToken;

use crate::{app::Shared, operations::inspections};

/// Answers until the shutdown.
pub async fn run(app: Shared, shutdown: CancellationToken) -> Result<(), BusError> {
    let mut questions = app.bus.drift_questions().await?;
    while let Some(Some((id, reply))) = shutdown.run_until_cancelled(questions.next()).await {
        let app = app.clone();
        tokio::spawn(async move {
            match inspections::of_deployment(&app, id).await {
                Ok(drift) => reply.answer(&drift).await,
                Err(problem) => tracing::warn!(detail = problem.detail(), "the notifier is not told about drift"),
            }
        });
    }
    Ok(())
}
