//! The lock of a state directory: who holds it is the only living process of its name.

use std::{fs::File, io::Write as _, path::Path};

use nix::fcntl::{Flock, FlockArg};

use crate::WorkerError;

/// Locks the directory for as long as the answer is kept. The kernel gives it back when the process ends, however.
pub(crate) fn acquire(dir: &Path) -> Result<Flock<File>, WorkerError> {
    let unusable = |e: std::io::Error| WorkerError::StateDir { path: dir.display().to_string(), reason: e.to_string() };
    std::fs::create_dir_all(dir).map_err(unusable)?;
    let path = dir.join("lock");
    let file = File::options().create(true).append(true).open(&path).map_err(unusable)?;
    let mut lock = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| match errno {
        nix::errno::Errno::EWOULDBLOCK => WorkerError::Locked { path: path.display().to_string() },
        other => unusable(other.into()),
    })?;
    // For people who wonder; nothing reads it.
    let written = lock.set_len(0).and_then(|()| writeln!(lock, "{}", std::process::id()));
    written.map_err(unusable)?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_directory_is_refused_until_it_is_given_back() {
        let dir = std::env::temp_dir().join(format!("slipway-lock-{}", uuid::Uuid::new_v4()));
        let first = acquire(&dir).unwrap();
        assert!(matches!(acquire(&dir), Err(WorkerError::Locked { .. })));
        drop(first);
        assert!(acquire(&dir).is_ok());
        std::fs::remove_dir_all(dir).unwrap();
    }
}
