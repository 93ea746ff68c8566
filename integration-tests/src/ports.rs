//! Free TCP ports below 32768, where outgoing connections do not get theirs from. Each port is
//! locked through a file for as long as it is reserved, because tests run as processes of their own.

use std::{
    fs::{File, TryLockError},
    net::TcpListener,
};

use anyhow::{Context, Result, bail};

const FIRST: u16 = 20_000;
const LAST: u16 = 32_000;

/// A port that no other test takes while this lives.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// The number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// `127.0.0.1:<number>`
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.number)
    }
}

/// Reserves a port.
pub fn reserve() -> Result<Port> {
    let folder = std::env::temp_dir().join("slipway-test-ports");
    std::fs::create_dir_all(&folder)?;
    let span = LAST - FIRST;
    let start =
        u16::try_from(uuid::Uuid::new_v4().as_u128() % u128::from(span)).context("invariant: below the span")?;
    for step in 0..span {
        let number = FIRST + (start + step) % span;
        let lock = File::create(folder.join(number.to_string()))?;
        match lock.try_lock() {
            Ok(()) if TcpListener::bind(("0.0.0.0", number)).is_ok() => return Ok(Port { number, _lock: lock }),
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    bail!("no free port between {FIRST} and {LAST}")
}
