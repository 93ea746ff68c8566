//! Images put into a registry without any Docker engine: one that can be resolved and is never run, and one with
//! busybox.

use anyhow::{Context, Result};
use reqwest::{Client, header};
use serde_json::json;
use sha2::{Digest, Sha256};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// Pushes an image without layers under a tag; each tag is an image of its own.
pub async fn push(registry: &str, repository: &str, tag: &str) -> Result<()> {
    push_layers(registry, repository, tag, "amd64", Vec::new()).await
}

/// Pushes the image with busybox as one for another processor.
pub async fn push_for(registry: &str, repository: &str, tag: &str, architecture: &str) -> Result<()> {
    push_layers(registry, repository, tag, architecture, vec![busybox()?]).await
}

/// Pushes an image under a tag that has busybox, as `/bin/sh` too, and starts nothing by itself.
pub async fn push_busybox(registry: &str, repository: &str, tag: &str) -> Result<()> {
    push_layers(registry, repository, tag, "amd64", vec![busybox()?]).await
}

async fn push_layers(
    registry: &str,
    repository: &str,
    tag: &str,
    architecture: &str,
    layers: Vec<Vec<u8>>,
) -> Result<()> {
    let http = Client::builder().no_proxy().build()?;
    let base = format!("http://{registry}/v2/{repository}");
    // The layers are not compressed, so they are their own differences.
    let differences: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let config = serde_json::to_vec(&json!({
        "architecture": architecture, "os": "linux", "config": { "Env": ["PATH=/bin"], "Labels": { "tag": tag } },
        "rootfs": { "type": "layers", "diff_ids": differences },
    }))?;
    let mut described = Vec::new();
    for layer in layers {
        described.push(json!({ "mediaType": LAYER, "digest": digest(&layer), "size": layer.len() }));
        upload(&http, registry, &base, layer).await?;
    }
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": described,
        "config": { "mediaType": CONFIG, "digest": digest(&config), "size": config.len() },
    });
    upload(&http, registry, &base, config).await?;
    let put = http.put(format!("{base}/manifests/{tag}")).header(header::CONTENT_TYPE, MANIFEST);
    put.body(serde_json::to_vec(&manifest)?).send().await?.error_for_status()?;
    Ok(())
}

async fn upload(http: &Client, registry: &str, base: &str, blob: Vec<u8>) -> Result<()> {
    let begun = http.post(format!("{base}/blobs/uploads/")).send().await?.error_for_status()?;
    let location =
        begun.headers().get(header::LOCATION).context("the registry says where to upload")?.to_str()?.to_owned();
    let mut address = reqwest::Url::parse(&format!("http://{registry}"))?.join(&location)?;
    address.query_pairs_mut().append_pair("digest", &digest(&blob));
    http.put(address).body(blob).send().await?.error_for_status()?;
    Ok(())
}

fn busybox() -> Result<Vec<u8>> {
    let program = std::fs::read("/bin/busybox").context("Debian's busybox-static is installed")?;
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(program.len() as u64);
    archive.append_data(&mut header, "bin/busybox", &program[..])?;
    let mut link = tar::Header::new_gnu();
    link.set_entry_type(tar::EntryType::Symlink);
    link.set_mode(0o777);
    link.set_size(0);
    for name in ["sh", "sleep", "touch"] {
        archive.append_link(&mut link, format!("bin/{name}"), "busybox")?;
    }
    Ok(archive.into_inner()?)
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
