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
    /// Reads `registry/repository@sha256:…`, with a tag before the `@` if there is one.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong =
            |why: &str| format!("`{text}` is no image by digest: {why}; write it as registry/repository@sha256:…");
        let (name, digest) = text.split_once('@').ok_or_else(|| wrong("what a tag means can change"))?;
        let digest = Digest::new(digest).map_err(|_| wrong("a digest is sha256: and 64 lower-case hex digits"))?;
        let (registry, rest) = name.split_once('/').ok_or_else(|| wrong("it names no registry"))?;
        if !registry.contains(['.', ':']) && registry != "localhost" {
            return Err(wrong("it names no registry, such as docker.io or 127.0.0.1:5000"));
        }
        let (repository, tag) = match rest.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => (repository, tag),
            _ => (rest, ""),
        };
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-/".contains(c);
        if repository.is_empty() || !repository.chars().all(good) || repository.split('/').any(str::is_empty) {
            return Err(wrong("its repository is none"));
        }
        Ok(Self { registry: registry.to_owned(), repository: repository.to_owned(), tag: tag.to_owned(), digest })
    }

    /// The reference that pulls exactly this image: `registry/repository@digest`.
    pub fn pinned(&self) -> String {
        format!("{}/{}@{}", self.registry, self.repository, self.digest)
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let colon = if self.tag.is_empty() { "" } else { ":" };
        write!(f, "{}/{}{colon}{}@{}", self.registry, self.repository, self.tag, self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_by_digest_is_read() {
        let digest = format!("sha256:{}", "0".repeat(64));
        for (name, parts) in [
            ("127.0.0.1:5000/tools/sh", ("127.0.0.1:5000", "tools/sh", "")),
            ("docker.io/library/alpine:3.20", ("docker.io", "library/alpine", "3.20")),
            ("localhost/a", ("localhost", "a", "")),
        ] {
            let image = ImageRef::parse(&format!("{name}@{digest}")).unwrap();
            assert_eq!((image.registry.as_str(), image.repository.as_str(), image.tag.as_str()), parts);
            assert_eq!(image.to_string(), format!("{name}@{digest}"));
        }
        for (text, why) in [
            ("ghcr.io/a:1".to_owned(), "what a tag means can change"),
            ("ghcr.io/a@sha256:1".to_owned(), "64 lower-case hex digits"),
            (format!("alpine@{digest}"), "names no registry"),
            (format!("library/alpine@{digest}"), "names no registry"),
            (format!("ghcr.io/A B@{digest}"), "repository is none"),
            (format!("ghcr.io/@{digest}"), "repository is none"),
        ] {
            let told = ImageRef::parse(&text).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }
}
