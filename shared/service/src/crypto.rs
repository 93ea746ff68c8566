//! The one TLS provider of the whole program: rustls with ring.

/// Installs it for the process. First thing in every `main`; a second call changes nothing.
pub fn install() {
    // Errs only when a provider is there already, which is what is wanted.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
