//! A Postgres of one's own, in a folder of one's own.

use std::{os::unix::fs::PermissionsExt, path::Path};

use anyhow::{Context, Result};
use sqlx::{Connection, PgConnection};

use crate::{
    machine,
    ports::{self, Port},
    process::Process,
    settings, wait,
};

/// A Postgres process with one database.
pub struct Postgres {
    port: Port,
    process: Process,
}

impl Postgres {
    /// Starts one with its data in `folder`.
    pub async fn start(folder: &Path) -> Result<Self> {
        let (bin, data, port) = (settings::postgres(), folder.join("postgres"), ports::reserve()?);
        std::fs::create_dir_all(&data)?;
        let data_text = data.to_str().context("a folder with a plain name")?;
        let initdb = bin.join("initdb").display().to_string();
        // Postgres refuses to be started by root; its package made this user.
        let mut prefix = vec!["env"];
        if machine::run("id", &["-u"]).await?.trim() == "0" {
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))?;
            machine::run("chown", &["postgres", data_text]).await?;
            prefix = vec!["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"];
        }
        let make = [&prefix[1..], &[&initdb, "-D", data_text, "-U", "slipway", "--auth=trust", "--no-sync"]].concat();
        machine::run(prefix[0], &make).await?;
        let mut process = Process::new("postgres", prefix[0].into(), folder);
        for argument in &prefix[1..] {
            process = process.arg(argument);
        }
        process = process.arg(bin.join("postgres")).arg("-D").arg(data_text).arg("-p").arg(port.number().to_string());
        process = process.arg("-h").arg("127.0.0.1").arg("-k").arg("").arg("-F");
        process.start()?;
        let server = Self { port, process };
        wait::until("Postgres answers", || async { PgConnection::connect(&server.url("postgres")).await }).await;
        Ok(server)
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://slipway@{}/{database}", self.port.address())
    }

    /// The last lines that it printed.
    pub fn tail(&self) -> String {
        self.process.tail()
    }

    /// Makes a database.
    pub async fn create(&self, database: &str) -> Result<String> {
        let mut connection = PgConnection::connect(&self.url("postgres")).await?;
        sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {database}"))).execute(&mut connection).await?;
        Ok(self.url(database))
    }
}
