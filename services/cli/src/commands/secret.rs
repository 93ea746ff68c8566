//! `slipway secret`: values that nobody reads again. They come by stdin, so that no list of
//! processes and no history of a shell has them.

use std::io::{IsTerminal as _, Read as _};

use clap::Subcommand;
use reqwest::Method;
use slipway_domain::{
    api::{SecretView, SetSecret},
    name::SecretName,
};

use super::Shared;
use crate::{
    failure::{Failure, Result},
    output, times,
};

#[derive(Debug, Subcommand)]
pub enum Secret {
    /// Set a secret; the value is read from stdin, one line end at its end is dropped
    Set {
        /// Name
        name: SecretName,
    },
    /// List secrets; their values are never shown
    List,
    /// Delete a secret with all its versions
    Delete {
        /// Name
        name: SecretName,
    },
}

impl Secret {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        match self {
            Self::Set { name } => {
                let value = from_stdin("the value of the secret", &format!("slipway secret set {name}"))?;
                let client = shared.client()?;
                let request = client.request(Method::PUT, &format!("/api/v1/secrets/{name}"));
                client.call(request.json(&SetSecret { value })).await?;
                output::complain(&format!("secret {name} is set\n"));
                Ok(())
            }
            Self::List => {
                let secrets: Vec<SecretView> = shared.client()?.get("/api/v1/secrets").await?;
                let now = times::now();
                shared.output.show(&secrets, |wide| {
                    let row = |s: &SecretView| {
                        let set = if wide { times::exact(s.set_at) } else { times::ago(s.set_at, now) };
                        vec![s.name.to_string(), s.version.to_string(), set]
                    };
                    output::table(&["secret", "version", "set"], secrets.iter().map(row).collect())
                })
            }
            Self::Delete { name } => {
                let client = shared.client()?;
                client.call(client.request(Method::DELETE, &format!("/api/v1/secrets/{name}"))).await?;
                output::complain(&format!("secret {name} is deleted\n"));
                Ok(())
            }
        }
    }
}

/// Reads something secret from stdin; refuses a terminal, which would show what is typed.
pub fn from_stdin(what: &str, command: &str) -> Result<String> {
    let mut stdin = std::io::stdin();
    if stdin.is_terminal() {
        return Err(Failure::Usage(format!(
            "{what} is read from stdin, and a terminal would show it; give it by a file or a pipe: `{command} < FILE`"
        )));
    }
    let mut value = String::new();
    stdin.read_to_string(&mut value).map_err(|e| Failure::failed(format!("reading {what} from stdin: {e}")))?;
    if value.ends_with('\n') {
        value.pop();
        if value.ends_with('\r') {
            value.pop();
        }
    }
    if value.is_empty() {
        return Err(Failure::Usage(format!("{what} is empty; give it by stdin: `{command} < FILE`")));
    }
    Ok(value)
}
