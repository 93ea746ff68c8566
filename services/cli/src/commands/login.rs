//! `slipway login`: remembers a server and a token for this user.

use clap::Args;
use slipway_domain::api::WhoAmI;

use super::{Shared, secret::from_stdin};
use crate::{
    client::Client,
    failure::{Failure, Result},
    output,
    settings::{self, DEFAULT_SERVER, Places, Settings, Stored},
};

const TOKEN_FILE: &str = "token";

#[derive(Debug, Args)]
pub struct Login {}

impl Login {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let server = shared.server.clone().filter(|url| !url.is_empty()).unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        let server = server.trim_end_matches('/').to_owned();
        let token = match shared.token.clone().filter(|token| !token.is_empty()) {
            Some(token) => token,
            None => from_stdin("the token", &format!("slipway login --server {server}"))?.trim().to_owned(),
        };
        let source = "the command line".to_owned();
        let client = Client::new(Settings { server: server.clone(), token: Some(token.clone()), source })?;
        let me: WhoAmI = client.get("/api/v1/whoami").await?;
        let dir = Places::of_process().user.ok_or_else(|| {
            Failure::failed("there is neither HOME nor XDG_CONFIG_HOME to keep the token in; use SLIPWAY_TOKEN")
        })?;
        settings::write_private(&dir.join(TOKEN_FILE), format!("{token}\n").as_bytes())?;
        let file = settings::store(&dir, &Stored { server: server.clone(), token_file: TOKEN_FILE.into() })?;
        output::complain(&format!("signed in to {server}; remembered in {}\n", file.display()));
        shared.output.show(&me, |_| {
            let teams: Vec<String> = me.teams.iter().map(ToString::to_string).collect();
            format!(
                "{}{}\n",
                me.person,
                if teams.is_empty() { String::new() } else { format!(" ({})", teams.join(", ")) }
            )
        })
    }
}
