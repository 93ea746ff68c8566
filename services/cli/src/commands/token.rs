//! `slipway token`: who may call the API.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand, ValueEnum};
use reqwest::Method;
use slipway_domain::{
    api::{self, CreateToken, CreatedToken, TokenView},
    name::{PersonName, TeamName},
};

use super::{Shared, deploy::span};
use crate::{
    client::segment,
    failure::{Failure, Result},
    output, times,
};

#[derive(Debug, Subcommand)]
pub enum Token {
    /// Make a token; it is shown once
    Create(Create),
    /// List tokens
    List,
    /// Revoke a token
    Revoke {
        /// Id, from the list
        id: String,
    },
}

#[derive(Debug, Args)]
pub struct Create {
    /// Whose it is
    #[arg(long)]
    person: PersonName,
    /// Also make the person a member of this team
    #[arg(long)]
    team: Option<TeamName>,
    /// What it may do
    #[arg(long, value_enum, default_value = "deploy")]
    right: Right,
    /// How long it lasts, such as 90d; for ever without
    #[arg(long, value_name = "SPAN", value_parser = span)]
    expires_in: Option<std::time::Duration>,
}

/// What a token may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Right {
    /// Look
    Read,
    /// Look, make releases, deploy, vote, cancel
    Deploy,
    /// Everything
    Admin,
}

impl From<Right> for api::Right {
    fn from(right: Right) -> Self {
        match right {
            Right::Read => Self::Read,
            Right::Deploy => Self::Deploy,
            Right::Admin => Self::Admin,
        }
    }
}

impl Token {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let client = shared.client()?;
        match self {
            Self::Create(create) => {
                let expires = create.expires_in.map(|span| expiry(times::now(), span)).transpose()?;
                let body =
                    CreateToken { person: create.person, team: create.team, right: create.right.into(), expires };
                let made: CreatedToken = client.post("/api/v1/tokens", &body).await?;
                shared.output.show(&made, |_| format!("{}\n", made.token))?;
                if !shared.output.is_data() {
                    output::complain(&format!(
                        "token {} of {} is shown this once; give it to `slipway login`\n",
                        made.view.id, made.view.person
                    ));
                }
                Ok(())
            }
            Self::List => {
                let tokens: Vec<TokenView> = client.get("/api/v1/tokens").await?;
                shared.output.show(&tokens, |wide| list(&tokens, wide, times::now()))
            }
            Self::Revoke { id } => {
                client.call(client.request(Method::DELETE, &format!("/api/v1/tokens/{}", segment(&id)))).await?;
                output::complain(&format!("token {id} is revoked\n"));
                Ok(())
            }
        }
    }
}

fn expiry(now: DateTime<Utc>, span: std::time::Duration) -> Result<DateTime<Utc>> {
    chrono::Duration::from_std(span)
        .ok()
        .and_then(|span| now.checked_add_signed(span))
        .ok_or_else(|| Failure::Usage("--expires-in is too long".to_owned()))
}

fn list(tokens: &[TokenView], wide: bool, now: DateTime<Utc>) -> String {
    let row = |t: &TokenView| {
        let made = if wide { times::exact(t.created_at) } else { times::ago(t.created_at, now) };
        let state = match (t.revoked_at, t.expires) {
            (Some(at), _) => format!("revoked {}", times::ago(at, now)),
            (None, Some(at)) if at <= now => format!("expired {}", times::ago(at, now)),
            (None, Some(at)) => format!("expires {}", times::until(at, now)),
            (None, None) => "valid".to_owned(),
        };
        let right = match t.right {
            api::Right::Read => "read",
            api::Right::Deploy => "deploy",
            api::Right::Admin => "admin",
        };
        vec![t.id.clone(), t.person.to_string(), right.to_owned(), made, state]
    };
    output::table(&["id", "person", "right", "made", "state"], tokens.iter().map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_listed_with_what_became_of_it() {
        let tokens: Vec<TokenView> = serde_json::from_value(serde_json::json!([
            {"id": "t1", "person": "ana", "right": "admin", "created_at": "2026-11-21T11:50:00Z"},
            {"id": "t2", "person": "ben", "right": "deploy", "created_at": "2026-11-21T11:50:00Z", "expires": "2026-11-21T13:00:00Z"},
            {"id": "t3", "person": "cy", "right": "read", "created_at": "2026-11-21T11:50:00Z", "revoked_at": "2026-11-21T11:58:00Z"},
        ]))
        .unwrap();
        assert_eq!(
            list(&tokens, false, "2026-11-21T12:00:00Z".parse().unwrap()),
            "ID  PERSON  RIGHT   MADE     STATE\n\
             t1  ana     admin   10m ago  valid\n\
             t2  ben     deploy  10m ago  expires in 1h\n\
             t3  cy      read    10m ago  revoked 2m ago\n"
        );
    }
}
