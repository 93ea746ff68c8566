//! Registry webhooks: from the bytes that a sender posted to the images it speaks of.
//!
//! The result is hearsay. Whether an image exists, and which bits it has, only its registry can
//! tell; this module asks nobody.

use std::collections::HashSet;

use serde_json::Value;
use slipway_domain::{api::PushedImage, image::Digest, manifest::WebhookSource};

/// Media types of what a tag can name: a manifest of one platform, or an index of several.
const MANIFESTS: [&str; 4] = [
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
];

/// Why a body is not what its source sends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the body is not {expected}: {reason}")]
pub struct Malformed {
    expected: &'static str,
    reason: String,
}

/// The media types in which the source sends its bodies; nothing else is read.
pub const fn content_types(source: WebhookSource) -> &'static [&'static str] {
    match source {
        WebhookSource::Distribution => &[
            "application/vnd.docker.distribution.events.v1+json",
            "application/vnd.docker.distribution.events.v2+json",
            "application/json",
        ],
    }
}

/// The images that a body speaks of, one per event and in its order; those to leave alone are marked and say why.
pub fn normalise(source: WebhookSource, body: &[u8]) -> Result<Vec<PushedImage>, Malformed> {
    match source {
        WebhookSource::Distribution => distribution(body),
    }
}

fn distribution(body: &[u8]) -> Result<Vec<PushedImage>, Malformed> {
    let malformed = |reason: String| Malformed { expected: "a notification envelope, {\"events\": [..]}", reason };
    let envelope: Value = serde_json::from_slice(body).map_err(|e| malformed(e.to_string()))?;
    let events = envelope.get("events").ok_or_else(|| malformed("it has no `events`".to_owned()))?;
    let events = events.as_array().ok_or_else(|| malformed("`events` is not a list".to_owned()))?;
    if let Some(index) = events.iter().position(|event| !event.is_object()) {
        return Err(malformed(format!("event {index} is not an object")));
    }
    let mut images: Vec<PushedImage> = events.iter().map(distribution_event).collect();
    ignore_repeated(&mut images);
    Ok(images)
}

/// Every field may be missing or of another type: senders differ, and one odd event must not hide the others.
fn distribution_event(event: &Value) -> PushedImage {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).filter(|t| !t.is_empty());
    let registry = text("/request/host").or_else(|| text("/target/url").and_then(authority)).unwrap_or_default();
    let refusal = refusal(&text);
    PushedImage {
        registry: registry.to_owned(),
        repository: text("/target/repository").unwrap_or_default().to_owned(),
        tag: text("/target/tag").map(str::to_owned),
        digest: text("/target/digest").map(str::to_owned),
        ignored: refusal.is_some(),
        reason: refusal.unwrap_or_default(),
    }
}

/// Why an event announces no image that could become a release.
fn refusal<'a>(text: &impl Fn(&str) -> Option<&'a str>) -> Option<String> {
    match text("/action") {
        Some("push") => {}
        Some(action) => return Some(format!("the action is `{action}`, not `push`")),
        None => return Some("it has no action".to_owned()),
    }
    let media_type = text("/target/mediaType").unwrap_or("not told");
    if !MANIFESTS.contains(&media_type) {
        return Some(format!("its media type is {media_type}, not that of an image manifest or index"));
    }
    if text("/target/repository").is_none() {
        return Some("it names no repository".to_owned());
    }
    let Some(tag) = text("/target/tag") else { return Some("it has no tag".to_owned()) };
    if belongs_to_another(tag) {
        return Some(format!("`{tag}` holds a signature, an attestation or another companion of an image"));
    }
    text("/target/digest").map_or_else(|| Some("it has no digest".to_owned()), |d| Digest::new(d).err())
}

/// Tags such as `sha256-<hex>.sig`, by which signing tools attach files to an image.
fn belongs_to_another(tag: &str) -> bool {
    tag.strip_prefix("sha256-")
        .and_then(|rest| rest.get(..64))
        .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

fn authority(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    rest.split('/').next().filter(|a| !a.is_empty())
}

fn ignore_repeated(images: &mut [PushedImage]) {
    let mut seen = HashSet::new();
    for image in images.iter_mut().filter(|i| !i.ignored) {
        let key = (image.registry.clone(), image.repository.clone(), image.tag.clone(), image.digest.clone());
        if !seen.insert(key) {
            image.ignored = true;
            image.reason = "an earlier event of the delivery says the same".to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn event(action: &str, media_type: &str, tag: Option<&str>) -> Value {
        let mut event = json!({
            "id": "5f1c", "timestamp": "2026-11-21T10:00:00Z", "action": action,
            "target": {"mediaType": media_type, "digest": DIGEST, "size": 708, "length": 708, "repository": "acme/web",
                       "url": "https://reg.example.com/v2/acme/web/manifests/x"},
            "request": {"id": "1", "addr": "192.0.2.7:42961", "host": "reg.example.com", "method": "PUT"},
            "actor": {}, "source": {"addr": "reg-1:5000", "instanceID": "a5"}
        });
        if let Some(tag) = tag {
            event["target"]["tag"] = json!(tag);
        }
        event
    }

    fn read(events: &[Value]) -> Vec<PushedImage> {
        normalise(WebhookSource::Distribution, json!({ "events": events }).to_string().as_bytes()).unwrap()
    }

    #[test]
    fn a_pushed_tag_is_an_image() {
        let image = PushedImage {
            registry: "reg.example.com".to_owned(),
            repository: "acme/web".to_owned(),
            tag: Some("1.4.2".to_owned()),
            digest: Some(DIGEST.to_owned()),
            ignored: false,
            reason: String::new(),
        };
        assert_eq!(read(&[event("push", INDEX, Some("1.4.2"))]), [image]);
    }

    #[test]
    fn what_is_no_pushed_tag_is_kept_as_ignored_with_the_reason() {
        let layer = "application/vnd.docker.container.image.rootfs.diff+x-gtar";
        let signature = format!("sha256-{}.sig", "b".repeat(64));
        for (action, media_type, tag, reason) in [
            ("push", "application/octet-stream", None, "its media type is application/octet-stream, not"),
            ("push", layer, Some("1.0"), "its media type is"),
            ("mount", "application/octet-stream", None, "the action is `mount`, not `push`"),
            ("pull", INDEX, Some("1.0"), "the action is `pull`"),
            ("delete", INDEX, Some("1.0"), "the action is `delete`"),
            ("push", INDEX, None, "it has no tag"),
            ("push", INDEX, Some(&signature), "holds a signature"),
        ] {
            let images = read(&[event(action, media_type, tag)]);
            assert!(
                images[0].ignored && images[0].reason.contains(reason),
                "{action} {media_type}: {}",
                images[0].reason
            );
        }
    }

    #[test]
    fn an_event_of_odd_shape_is_ignored_and_hides_no_other() {
        let mut numeric_tag = event("push", INDEX, None);
        numeric_tag["target"]["tag"] = json!(1.5);
        let mut bad_digest = event("push", INDEX, Some("1.0"));
        bad_digest["target"]["digest"] = json!("sha256:0123");
        let images = read(&[
            json!({}),
            json!({"action": "push", "target": "x"}),
            numeric_tag,
            bad_digest,
            event("push", INDEX, Some("1.0")),
        ]);
        let ignored: Vec<_> = images.iter().map(|i| i.ignored).collect();
        assert_eq!(ignored, [true, true, true, true, false]);
    }

    #[test]
    fn the_same_image_twice_in_a_delivery_counts_once() {
        let images = read(&[
            event("push", INDEX, Some("1.0")),
            event("push", INDEX, Some("1.0")),
            event("push", INDEX, Some("1.1")),
        ]);
        let ignored: Vec<_> = images.iter().map(|i| i.ignored).collect();
        assert_eq!(ignored, [false, true, false]);
    }

    #[test]
    fn without_a_host_the_registry_is_taken_from_the_url() {
        let mut pushed = event("push", INDEX, Some("1.0"));
        pushed["request"] = json!({});
        pushed["target"]["url"] = json!("http://127.0.0.1:5055/v2/acme/web/manifests/x");
        assert_eq!(read(&[pushed])[0].registry, "127.0.0.1:5055");
    }

    #[test]
    fn a_body_that_is_no_envelope_is_malformed() {
        for (body, reason) in [
            ("", "EOF"),
            ("{", "EOF"),
            ("[]", "it has no `events`"),
            ("{}", "it has no `events`"),
            (r#"{"events": {}}"#, "`events` is not a list"),
            (r#"{"events": [1]}"#, "event 0 is not an object"),
            ("\u{fffd}", "expected value"),
        ] {
            let error = normalise(WebhookSource::Distribution, body.as_bytes()).expect_err(body).to_string();
            assert!(error.contains(reason), "{body}: {error}");
        }
        assert_eq!(read(&[]), []);
    }
}
