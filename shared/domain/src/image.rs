//! Image references. What Slipway deploys is always a digest; a tag is how it was found.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The content address of an image manifest: `sha256:` and 64 lower-case hex digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// Checks and takes a digest.
    pub fn new(value: impl Into<String>) -> Result<Self, String> {
        let value = value.into();
        let hex = value.strip_prefix("sha256:").unwrap_or("");
        if hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)) {
            Ok(Self(value))
        } else {
            Err(format!("`{value}` is not an image digest; expected sha256: and 64 lower-case hex digits"))
        }
    }

    /// The digest as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Digest {
    type Error = String;
    fn try_from(value: String) -> Result<Self, String> {
        Self::new(value)
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One image, exactly: where it is and which bits it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRef {
    /// Registry host and port, as in the Feed.
    pub registry: String,
    /// Repository, such as `shop/web`.
    pub repository: String,
    /// The tag that was resolved to the digest; for people to read.
    pub tag: String,
    /// What is pulled.
    pub digest: Digest,
}

impl ImageRef {
    /// The reference that pulls exactly this image: `registry/repository@digest`.
    pub fn pinned(&self) -> String {
        format!("{}/{}@{}", self.registry, self.repository, self.digest)
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}:{}@{}", self.registry, self.repository, self.tag, self.digest)
    }
}
