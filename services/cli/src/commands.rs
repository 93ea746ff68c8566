//! The commands: one file per noun. What they share: the server, the form of the output.

mod audit;
mod deploy;
mod deployment;
mod doctor;
mod drift;
mod explain;
mod gate;
mod get;
mod login;
mod manifests;
mod nats;
mod plan;
mod push;
mod release;
mod repair;
mod secret;
mod stack;
mod status;
mod target;
mod token;
mod webhook;

use clap::{Args, Parser, Subcommand};

use crate::{
    client::Client,
    failure::Result,
    output::OutputArgs,
    settings::{self, Places},
};

/// Deploys container images to Docker hosts, environment by environment
///
/// Exit codes: 0 ok, 1 failed, 2 usage, 3 refused by a rule, 4 waiting for a person.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, about, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    shared: Shared,
}

/// What every command may be told.
#[derive(Clone, Args)]
pub struct Shared {
    /// URL of the release service
    #[arg(long, env = "SLIPWAY_SERVER", global = true, value_name = "URL")]
    server: Option<String>,
    /// Token; better given by SLIPWAY_TOKEN than by this flag, which other users of the machine can see
    #[arg(long, env = "SLIPWAY_TOKEN", global = true, hide_env_values = true)]
    token: Option<String>,
    #[command(flatten)]
    pub output: OutputArgs,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("server", &self.server).field("output", &self.output).finish_non_exhaustive()
    }
}

impl Shared {
    /// A client of the server that was said or is stored.
    pub fn client(&self) -> Result<Client> {
        let full = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        Client::new(settings::find(full(&self.server), full(&self.token), &Places::of_process())?)
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Apply manifests: show the difference, then change it
    Apply(manifests::Apply),
    /// Show what applying manifests would change
    Diff(manifests::Diff),
    /// Check manifests without a server, all problems at once
    Check(manifests::Check),
    /// Print the JSON Schema of manifests, for editors
    Schema,
    /// Show manifests as the server has them
    Get(get::Get),
    /// Print all manifests, as apply takes them
    Export(get::Export),
    /// Releases: make, list, show, block, unblock
    #[command(subcommand)]
    Release(release::Release),
    /// Show what a deployment would do, without asking for it
    Plan(plan::Plan),
    /// Deploy a release to an environment
    Deploy(deploy::Deploy),
    /// Deploy to the next environment what has passed the ones before
    Promote(deploy::Promote),
    /// Go back to the release that an environment had before
    Rollback(deploy::Rollback),
    /// Deployments: list, show, watch, logs, cancel
    #[command(subcommand)]
    Deployment(deployment::Deployment),
    /// Say yes at a gate
    Approve(gate::Vote),
    /// Say no at a gate
    Reject(gate::Vote),
    /// Say what to do with a failed task that waits for guidance
    Guide(gate::Guide),
    /// Who runs what where, and what waits for whom
    Status(status::Status),
    /// Targets: who serves them, and what is there
    #[command(subcommand)]
    Target(target::Target),
    /// Show what is no more as it was deployed; exit code 1 if there is something
    Drift(drift::Drift),
    /// Secrets: set, list, delete
    #[command(subcommand)]
    Secret(secret::Secret),
    /// Tokens: create, list, revoke
    #[command(subcommand)]
    Token(token::Token),
    /// URLs for registry webhooks
    #[command(subcommand)]
    Webhook(webhook::Webhook),
    /// What registries sent
    #[command(subcommand)]
    Push(push::Push),
    /// Damage of the log: list, give up, make rows again
    #[command(subcommand)]
    Repair(repair::Repair),
    /// Who did what
    Audit(audit::Audit),
    /// Remember a server and a token
    Login(login::Login),
    /// Check a rule by hand, without a server
    #[command(subcommand)]
    Explain(explain::Explain),
    /// Start a local stack: NATS and the four services
    Up(stack::Up),
    /// Stop the local stack
    Down(stack::Down),
    /// Look for what is wrong, and say what to do
    Doctor(doctor::Doctor),
    /// NATS: configuration and credentials
    #[command(subcommand)]
    Nats(nats::Nats),
}

/// Does what the command line says.
pub async fn run(cli: Cli) -> Result<()> {
    let shared = cli.shared;
    match cli.command {
        Command::Apply(args) => args.run(&shared).await,
        Command::Diff(args) => args.run(&shared).await,
        Command::Check(args) => args.run(&shared),
        Command::Schema => manifests::schema(),
        Command::Get(args) => args.run(&shared).await,
        Command::Export(args) => args.run(&shared).await,
        Command::Release(args) => args.run(&shared).await,
        Command::Plan(args) => args.run(&shared).await,
        Command::Deploy(args) => args.run(&shared).await,
        Command::Promote(args) => args.run(&shared).await,
        Command::Rollback(args) => args.run(&shared).await,
        Command::Deployment(args) => args.run(&shared).await,
        Command::Approve(args) => args.run(&shared, slipway_domain::event::Verdict::Approve).await,
        Command::Guide(args) => args.run(&shared).await,
        Command::Reject(args) => args.run(&shared, slipway_domain::event::Verdict::Reject).await,
        Command::Status(args) => args.run(&shared).await,
        Command::Target(args) => args.run(&shared).await,
        Command::Drift(args) => args.run(&shared).await,
        Command::Secret(args) => args.run(&shared).await,
        Command::Token(args) => args.run(&shared).await,
        Command::Webhook(args) => args.run(&shared).await,
        Command::Push(args) => args.run(&shared).await,
        Command::Repair(args) => args.run(&shared).await,
        Command::Audit(args) => args.run(&shared).await,
        Command::Login(args) => args.run(&shared).await,
        Command::Explain(args) => args.run(&shared),
        Command::Up(args) => args.run(&shared).await,
        Command::Down(args) => args.run().await,
        Command::Doctor(args) => args.run(&shared).await,
        Command::Nats(args) => args.run(&shared),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent_and_every_command_says_what_it_does() {
        fn look(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            command.get_subcommands().for_each(look);
        }
        let command = super::Cli::command();
        command.clone().debug_assert();
        look(&command);
    }
}
