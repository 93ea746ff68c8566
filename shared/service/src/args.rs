//! Groups of command-line flags and `SLIPWAY_*` variables that several services share.
//!
//! Flatten them with `#[command(flatten)]`. Their `Debug` shows no password.

use std::{fmt, net::SocketAddr, path::PathBuf};

/// What a service is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::Subcommand)]
pub enum Command {
    /// Serve until SIGTERM (the default)
    #[default]
    Run,
    /// Print the effective settings, secrets redacted
    Config,
}

/// How to reach NATS.
#[derive(Clone, clap::Args)]
pub struct NatsArgs {
    /// NATS server, or several separated by commas
    #[arg(
        long = "nats-url",
        env = "SLIPWAY_NATS_URL",
        default_value = "nats://127.0.0.1:4222",
        hide_env_values = true
    )]
    pub url: String,
    /// File with the NATS credentials: an nkey seed (SU…) or a .creds file
    #[arg(long = "nats-creds", env = "SLIPWAY_NATS_CREDS")]
    pub creds: Option<PathBuf>,
    /// On how many servers each stream is kept: 1, or 3 or 5 in a cluster
    #[arg(long = "nats-replicas", env = "SLIPWAY_NATS_REPLICAS", default_value = "1", value_parser = replicas)]
    pub replicas: usize,
}

fn replicas(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(replicas @ (1 | 3 | 5)) => Ok(replicas),
        _ => Err("write 1, or 3 or 5 in a cluster of at least so many servers".to_owned()),
    }
}

impl NatsArgs {
    /// The URL without user and password.
    pub fn redacted_url(&self) -> String {
        self.url.split(',').map(redact_url).collect::<Vec<_>>().join(",")
    }
}

impl fmt::Debug for NatsArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NatsArgs")
            .field("url", &self.redacted_url())
            .field("creds", &self.creds)
            .field("replicas", &self.replicas)
            .finish()
    }
}

/// Where to listen for HTTP.
#[derive(Debug, Clone, clap::Args)]
pub struct ListenArgs {
    /// Address for HTTP, such as 127.0.0.1:7300; loopback and the service's own port if not said
    #[arg(long, env = "SLIPWAY_LISTEN")]
    pub listen: Option<SocketAddr>,
}

impl ListenArgs {
    /// The address; loopback with this port if none was given.
    pub fn or_port(&self, port: u16) -> SocketAddr {
        self.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], port)))
    }
}

/// A URL with what stands before `@` in its authority replaced by `***`.
pub fn redact_url(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").map_or(("", url), |(scheme, rest)| (scheme, rest));
    let authority_end = rest.find(['/', '?']).unwrap_or(rest.len());
    let shown = match rest[..authority_end].rfind('@') {
        Some(at) => format!("***{}", &rest[at..]),
        None => rest.to_owned(),
    };
    if scheme.is_empty() { shown } else { format!("{scheme}://{shown}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_user_and_password() {
        for (url, shown) in [
            ("nats://127.0.0.1:4222", "nats://127.0.0.1:4222"),
            ("nats://u:p@h:4222", "nats://***@h:4222"),
            ("postgres://u:p%40q@h/db?x=a@b", "postgres://***@h/db?x=a@b"),
            ("u:p@h", "***@h"),
        ] {
            assert_eq!(redact_url(url), shown);
        }
        let args = NatsArgs { url: "nats://u:hidden@h".into(), creds: None, replicas: 1 };
        assert!(!format!("{args:?}").contains("hidden"));
    }
}
