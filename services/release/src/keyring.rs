//! The master key, and what is sealed with it: XChaCha20-Poly1305, bound to name and version, so
//! that rows can not be swapped.
//!
//! The database holds a sealed check value, so a wrong key is noticed at start and not when a
//! deployment needs a secret.

use std::{
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead as _, KeyInit as _, Payload},
};
use rand::RngCore as _;
use slipway_domain::{name::SecretName, secret::SecretRef};
use slipway_service::failpoint;
use slipway_store::{Audit, SealedSecret, Store, StoreError};
use zeroize::Zeroizing;

/// The setting that holds the check value.
const CHECK: &str = "master-key-check";
const CHECK_TEXT: &str = "slipway";

/// Why the keyring is of no use.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// The file can not be read or made.
    #[error(
        "the master key file {path} can not be used: {reason}; set SLIPWAY_MASTER_KEY_FILE to a file of this service alone"
    )]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The key does not open what the database holds.
    #[error(
        "the master key does not fit the database: its secrets were sealed with another key; bring back the key file that belongs to this database, or call `slipway-release rotate-master-key` again if it was interrupted"
    )]
    Wrong,
    /// A stored value does not open.
    #[error("secret {0} does not open with the master key; set it again")]
    Damaged(String),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Seals and opens secrets.
pub struct Keyring {
    cipher: XChaCha20Poly1305,
}

impl Keyring {
    /// The key that belongs to the database. It is made if neither the file nor the database knows of one.
    pub async fn of(path: &Path, store: &Store) -> Result<Self, KeyringError> {
        // In this order: a service that starts at the same time makes the file before it binds the database to it.
        let bound = store.setting(CHECK).await?.is_some();
        if bound && !path.exists() {
            return Err(KeyringError::File {
                path: path.to_owned(),
                reason: "it is not there, but the secrets of this database were sealed with it; bring it back"
                    .to_owned(),
            });
        }
        let keyring = Self::load(path)?;
        keyring.verify(store).await?;
        Ok(keyring)
    }

    /// Reads the key, or makes it if the file is not there.
    fn load(path: &Path) -> Result<Self, KeyringError> {
        let file = |reason: String| KeyringError::File { path: path.to_owned(), reason };
        let text = match std::fs::read_to_string(path) {
            Ok(text) => Zeroizing::new(text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => match create(path) {
                // Another service that starts at the same time was faster.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
                    Zeroizing::new(std::fs::read_to_string(path).map_err(|e| file(e.to_string()))?)
                }
                made => made.map_err(|e| file(e.to_string()))?,
            },
            Err(e) => return Err(file(e.to_string())),
        };
        let mode = std::fs::metadata(path).map_err(|e| file(e.to_string()))?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(file(format!("others may read it (mode {:o}); chmod 600 it", mode & 0o777)));
        }
        let key = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| file("it is not base64".to_owned()))?);
        let cipher = XChaCha20Poly1305::new_from_slice(&key)
            .map_err(|_| file(format!("it holds {} bytes, not 32", key.len())))?;
        Ok(Self { cipher })
    }

    /// Seals all secrets of the database with a new key, and puts that one into the file; how many there are, and where
    /// the old key is kept. Interrupted, it is to be called again.
    pub async fn rotate(path: &Path, store: &Store, audit: &Audit) -> Result<(usize, PathBuf), KeyringError> {
        let (new_path, old_path) = (beside(path, "new"), beside(path, "old"));
        let old = Self::load_only(path)?;
        let new = Self::load(&new_path)?;
        let sealed = match old.verify(store).await {
            Ok(()) => {
                let reseal = |secret: &SecretRef, sealed: SealedSecret| {
                    Ok::<_, KeyringError>(new.seal(secret, &old.open(secret, &sealed)?))
                };
                failpoint!("release.rotated.before");
                let sealed = store.reseal_secrets(reseal, (CHECK, &new.check_value()), audit).await?;
                failpoint!("release.rotated.after");
                sealed
            }
            // It was interrupted just before the files changed places.
            Err(KeyringError::Wrong) => {
                new.verify(store).await?;
                0
            }
            Err(error) => return Err(error),
        };
        let file = |error: std::io::Error| KeyringError::File { path: path.to_owned(), reason: error.to_string() };
        std::fs::copy(path, &old_path).map_err(file)?;
        std::fs::rename(&new_path, path).map_err(file)?;
        Ok((sealed, old_path))
    }

    /// Reads the key, which must be there.
    fn load_only(path: &Path) -> Result<Self, KeyringError> {
        if path.exists() {
            return Self::load(path);
        }
        Err(KeyringError::File { path: path.to_owned(), reason: "it is not there".to_owned() })
    }

    /// By which the database knows the key again.
    fn check_value(&self) -> String {
        let sealed = self.seal(&check(), CHECK_TEXT);
        format!("{} {}", sealed.nonce, sealed.ciphertext)
    }

    /// Refuses if the database belongs to another key; a new database is bound to this one.
    async fn verify(&self, store: &Store) -> Result<(), KeyringError> {
        let kept = store.setting_or(CHECK, &self.check_value()).await?;
        let (nonce, ciphertext) = kept.split_once(' ').ok_or(KeyringError::Wrong)?;
        let sealed = SealedSecret { ciphertext: ciphertext.to_owned(), nonce: nonce.to_owned() };
        self.open(&check(), &sealed).map(|_| ()).map_err(|_| KeyringError::Wrong)
    }

    /// Seals a value.
    pub fn seal(&self, secret: &SecretRef, value: &str) -> SealedSecret {
        let mut nonce = [0_u8; 24];
        rand::rng().fill_bytes(&mut nonce);
        let aad = format!("{}@{}", secret.name, secret.version);
        let payload = Payload { msg: value.as_bytes(), aad: aad.as_bytes() };
        let ciphertext = self
            .cipher
            .encrypt(XNonce::from_slice(&nonce), payload)
            .expect("invariant: a secret is shorter than the cipher's limit of 256 GiB");
        SealedSecret { ciphertext: STANDARD.encode(ciphertext), nonce: STANDARD.encode(nonce) }
    }

    /// Opens a value.
    pub fn open(&self, secret: &SecretRef, sealed: &SealedSecret) -> Result<Zeroizing<String>, KeyringError> {
        let aad = format!("{}@{}", secret.name, secret.version);
        let open = || {
            let (nonce, msg) = (STANDARD.decode(&sealed.nonce).ok()?, STANDARD.decode(&sealed.ciphertext).ok()?);
            let nonce: [u8; 24] = nonce.try_into().ok()?;
            let payload = Payload { msg: &msg, aad: aad.as_bytes() };
            let plain = self.cipher.decrypt(XNonce::from_slice(&nonce), payload).ok()?;
            String::from_utf8(plain).ok().map(Zeroizing::new)
        };
        open().ok_or_else(|| KeyringError::Damaged(aad.clone()))
    }
}

fn check() -> SecretRef {
    SecretRef { name: SecretName::new(CHECK).expect("invariant: the name is a slug"), version: 0 }
}

/// A file of the same name with something behind it.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{end}"));
    path.with_file_name(name)
}

fn create(path: &Path) -> std::io::Result<Zeroizing<String>> {
    let mut key = Zeroizing::new([0_u8; 32]);
    rand::rng().fill_bytes(&mut *key);
    let text = Zeroizing::new(STANDARD.encode(key.as_slice()));
    write_private(path, &text)?;
    tracing::info!(path = %path.display(), "made a master key; keep a copy of it, secrets can not be read without");
    Ok(text)
}

/// Writes a file that only this user may read, whole or not at all; fails if it exists.
fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    let draft = draft(path, text)?;
    let placed = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    placed
}

/// Writes a file that only this user may read, whole or not at all, in place of one that is there.
pub fn replace_private(path: &Path, text: &str) -> std::io::Result<()> {
    std::fs::rename(draft(path, text)?, path)
}

/// The text in a file beside the one that it is meant for.
fn draft(path: &Path, text: &str) -> std::io::Result<PathBuf> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{:016x}", rand::rng().next_u64()));
    let draft = path.with_file_name(name);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    Ok(draft)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(name: &str, version: u32) -> SecretRef {
        SecretRef { name: SecretName::new(name).unwrap(), version }
    }

    #[test]
    fn services_that_start_at_once_have_one_key_and_a_torn_file_is_never_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys/master.key");
        let secret = reference("a", 1);
        let sealed: Vec<SealedSecret> = std::thread::scope(|scope| {
            let start = || Keyring::load(&path).unwrap().seal(&secret, "value");
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let keyring = Keyring::load(&path).unwrap();
        assert!(sealed.iter().all(|sealed| keyring.open(&secret, sealed).is_ok()));
        let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[tokio::test]
    async fn a_new_master_key_opens_everything_and_an_interrupted_rotation_is_finished() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::connect(&format!("sqlite://{}/db?mode=rwc", folder.path().display())).await.unwrap();
        let path = folder.path().join("master.key");
        let keyring = Keyring::of(&path, &store).await.unwrap();
        let audit = || {
            let actor = slipway_domain::event::Actor::Trigger { name: "test".to_owned() };
            crate::operations::audit(&actor, "test", "test".to_owned(), String::new())
        };
        let text = |secret: &SecretRef| format!("{} {}", secret.name, secret.version);
        let secrets = [reference("a", 1), reference("a", 2), reference("b", 1)];
        for secret in &secrets {
            let sealed = keyring.seal(secret, &text(secret));
            store.add_secret(secret, &sealed, chrono::Utc::now(), &audit()).await.unwrap();
        }
        let opens = async |keyring: &Keyring| {
            for secret in &secrets {
                let sealed = store.secret(secret).await.unwrap().unwrap();
                assert_eq!(**keyring.open(secret, &sealed).unwrap(), text(secret));
            }
        };
        let before = std::fs::read(&path).unwrap();
        let (sealed, old) = Keyring::rotate(&path, &store, &audit()).await.unwrap();
        assert_eq!((sealed, std::fs::read(&old).unwrap()), (3, before.clone()));
        assert_ne!(std::fs::read(&path).unwrap(), before);
        opens(&Keyring::of(&path, &store).await.unwrap()).await;
        let first = store.secret(&secrets[0]).await.unwrap().unwrap();
        assert!(keyring.open(&secrets[0], &first).is_err(), "the old key opens nothing any more");

        // As if it had been interrupted between the transaction and the files.
        std::fs::rename(&path, beside(&path, "new")).unwrap();
        std::fs::rename(&old, &path).unwrap();
        assert!(matches!(Keyring::of(&path, &store).await, Err(KeyringError::Wrong)));
        assert_eq!(Keyring::rotate(&path, &store, &audit()).await.unwrap().0, 0);
        opens(&Keyring::of(&path, &store).await.unwrap()).await;

        std::fs::write(&path, STANDARD.encode([7; 32])).unwrap();
        let wrong = Keyring::rotate(&path, &store, &audit()).await;
        assert!(matches!(wrong, Err(KeyringError::Wrong)), "a key of nobody changes nothing");
    }

    #[test]
    fn a_value_opens_only_under_its_own_name_and_version() {
        let folder = tempfile::tempdir().unwrap();
        let keyring = Keyring::load(&folder.path().join("new/master.key")).unwrap();
        let sealed = keyring.seal(&reference("db", 1), "canary");
        assert!(!sealed.ciphertext.contains("canary"));
        assert_eq!(*keyring.open(&reference("db", 1), &sealed).unwrap(), "canary");
        assert!(keyring.open(&reference("db", 2), &sealed).is_err());
        assert!(keyring.open(&reference("dc", 1), &sealed).is_err());
    }

    #[tokio::test]
    async fn a_wrong_key_is_noticed_at_start() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::connect(&format!("sqlite://{}/s.db?mode=rwc", folder.path().display())).await.unwrap();
        let path = folder.path().join("master.key");
        Keyring::of(&path, &store).await.unwrap();
        Keyring::of(&path, &store).await.unwrap();
        let other = folder.path().join("other.key");
        assert!(matches!(Keyring::of(&other, &store).await, Err(KeyringError::File { .. })));
        assert!(!other.exists(), "no key is made that could not fit");
        Keyring::load(&other).unwrap();
        assert!(matches!(Keyring::of(&other, &store).await, Err(KeyringError::Wrong)));
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master.key");
        Keyring::load(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(Keyring::load(&path), Err(KeyringError::File { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, "c2hvcnQ=").unwrap();
        assert!(matches!(Keyring::load(&path), Err(KeyringError::File { .. })));
    }
}
