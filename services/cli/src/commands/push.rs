//! `slipway push`: what registries sent, and what became of it.

use chrono::{DateTime, Utc};
use clap::Subcommand;
use reqwest::Method;
use slipway_domain::api::{PushView, PushedImage};

use super::Shared;
use crate::{failure::Result, output, times};

#[derive(Debug, Subcommand)]
pub enum Push {
    /// List what registries sent, newest first
    List,
    /// Deal with a push again, as if it had just arrived
    Replay {
        /// Its number, from the list
        seq: u64,
    },
}

impl Push {
    pub async fn run(self, shared: &Shared) -> Result<()> {
        let client = shared.client()?;
        match self {
            Self::List => {
                let pushes: Vec<PushView> = client.get("/api/v1/pushes").await?;
                shared.output.show(&pushes, |wide| list(&pushes, wide, times::now()))
            }
            Self::Replay { seq } => {
                client.call(client.request(Method::POST, &format!("/api/v1/pushes/{seq}/replay"))).await?;
                output::complain(&format!("push {seq} is dealt with again; see `slipway push list`\n"));
                Ok(())
            }
        }
    }
}

fn list(pushes: &[PushView], wide: bool, now: DateTime<Utc>) -> String {
    let mut rows = Vec::new();
    for push in pushes {
        let at = if wide { times::exact(push.at) } else { times::ago(push.at, now) };
        let head =
            |image: String, result: String| vec![push.seq.to_string(), at.clone(), push.webhook.clone(), image, result];
        if push.images.is_empty() {
            let result = if push.done { "nothing in it" } else { "being dealt with" };
            rows.push(head(String::new(), result.to_owned()));
        }
        for image in push.images.iter().filter(|image| wide || !image.ignored || push.images.len() == 1) {
            let verdict = if image.ignored { format!("ignored: {}", image.reason) } else { image.reason.clone() };
            rows.push(head(name(image, wide), verdict));
        }
    }
    output::table(&["push", "arrived", "webhook", "image", "result"], rows)
}

fn name(image: &PushedImage, wide: bool) -> String {
    let mut name = format!("{}/{}", image.registry, image.repository);
    match (&image.tag, &image.digest) {
        (Some(tag), _) => name.push_str(&format!(":{tag}")),
        (None, Some(digest)) if !wide => name.push_str(&format!("@{}", digest.chars().take(19).collect::<String>())),
        _ => {}
    }
    if let (true, Some(digest)) = (wide, &image.digest) {
        name.push_str(&format!("@{digest}"));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_is_listed_by_what_was_made_of_it() {
        let pushes: Vec<PushView> = serde_json::from_value(serde_json::json!([
            {"seq": 7, "at": "2026-11-21T11:59:00Z", "webhook": "local-pushes", "done": true, "images": [
                {"registry": "r:5000", "repository": "shop/web", "tag": "1.1.0", "ignored": false, "reason": "release 1.1.0 of shop"},
                {"registry": "r:5000", "repository": "shop/web", "digest": "sha256:0123456789abcdef", "ignored": true, "reason": "a layer"}
            ]},
            {"seq": 6, "at": "2026-11-21T11:58:00Z", "webhook": "local-pushes", "done": false, "images": []}
        ]))
        .unwrap();
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        assert_eq!(
            list(&pushes, false, now),
            "PUSH  ARRIVED  WEBHOOK       IMAGE                  RESULT\n\
             7     1m ago   local-pushes  r:5000/shop/web:1.1.0  release 1.1.0 of shop\n\
             6     2m ago   local-pushes                         being dealt with\n"
        );
        assert!(list(&pushes, true, now).contains("ignored: a layer"));
    }
}
