//! `slipway audit`: who did what.

use clap::Args;
use slipway_domain::api::AuditEntry;

use super::Shared;
use crate::{failure::Result, output, times};

#[derive(Debug, Args)]
pub struct Audit {
    /// How many entries, newest first
    #[arg(long, default_value_t = 50)]
    limit: u32,
}

impl Audit {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let entries: Vec<AuditEntry> = shared.client()?.get(&format!("/api/v1/audit?limit={}", self.limit)).await?;
        let now = times::now();
        shared.output.show(&entries, |wide| {
            let row = |e: &AuditEntry| {
                let at = if wide { times::exact(e.at) } else { times::ago(e.at, now) };
                vec![at, e.actor.to_string(), e.action.clone(), e.subject.clone(), e.detail.clone()]
            };
            output::table(&["when", "who", "did", "to", "detail"], entries.iter().map(row).collect())
        })
    }
}
