//! What can go wrong at a registry, in the words that people are told.

/// Why a registry gave no answer to use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RegistryError {
    /// What kind of trouble.
    pub trouble: Trouble,
    /// What failed, why, what to check.
    pub message: String,
}

/// Kinds of trouble with a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It has no such repository or tag.
    Missing,
    /// It does not let us look.
    Denied,
    /// It does not answer now; asking again may help.
    Unreachable,
    /// The question or the answer can not be used; asking again does not help.
    Invalid,
}

impl Trouble {
    /// The trouble that a status tells of.
    pub(super) fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Denied,
            404 => Self::Missing,
            408 | 429 | 500.. => Self::Unreachable,
            _ => Self::Invalid,
        }
    }
}

/// An error with its causes, for those whose text leaves them out.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}
