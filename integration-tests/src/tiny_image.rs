//! An image that can be resolved and is never run, put into a registry without any Docker engine.

use anyhow::{Context, Result};
use reqwest::{Client, header};
use serde_json::json;
use sha2::{Digest, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Pushes an image without layers under a tag.
pub async fn push(registry: &str, repository: &str, tag: &str) -> Result<()> {
    let http = Client::builder().no_proxy().build()?;
    let base = format!("http://{registry}/v2/{repository}");
    let config = serde_json::to_vec(
        &json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": [] } }),
    )?;
    let digest = format!("sha256:{}", hex(&Sha256::digest(&config)));
    let begun = http.post(format!("{base}/blobs/uploads/")).send().await?.error_for_status()?;
    let location =
        begun.headers().get(header::LOCATION).context("the registry says where to upload")?.to_str()?.to_owned();
    let mut upload = reqwest::Url::parse(&format!("http://{registry}"))?.join(&location)?;
    upload.query_pairs_mut().append_pair("digest", &digest);
    let size = config.len();
    http.put(upload).body(config).send().await?.error_for_status()?;
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
        "config": { "mediaType": CONFIG, "digest": digest, "size": size },
    });
    let put = http.put(format!("{base}/manifests/{tag}")).header(header::CONTENT_TYPE, MANIFEST);
    put.body(serde_json::to_vec(&manifest)?).send().await?.error_for_status()?;
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
