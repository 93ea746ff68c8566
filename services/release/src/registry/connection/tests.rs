//! A registry as it answers, and as it should not.

use super::*;

#[test]
fn plain_http_is_spoken_to_this_machine() {
    for (registry, loopback) in [
        ("127.0.0.1:5000", true),
        ("127.9.9.9", true),
        ("localhost:5000", true),
        ("[::1]:5000", true),
        ("ghcr.io", false),
        ("10.0.0.1:5000", false),
        ("localhost.example.com", false),
    ] {
        assert_eq!(is_loopback(registry), loopback, "{registry}");
    }
}

#[test]
fn nothing_but_repositories_and_tags_goes_into_an_address() {
    for good in ["web", "shop/web", "a.b/c_d/e-f", "0"] {
        assert!(is_repository(good), "{good}");
    }
    for bad in ["", "/web", "web/", "a//b", "../x", "a/../b", "Web", "a?b", "a b", "a/.b", "a#"] {
        assert!(!is_repository(bad), "{bad}");
    }
    for good in ["1.0", "latest", "_x", "v1-rc.1"] {
        assert!(is_tag(good), "{good}");
    }
    for bad in ["", ".1", "-1", "1/2", "..", "1?x", "é", &"1".repeat(129)] {
        assert!(!is_tag(bad), "{bad}");
    }
}

#[test]
fn the_next_page_is_what_link_says() {
    for (link, next) in [
        (r#"</v2/a/tags/list?last=x&n=2>; rel="next""#, Some("/v2/a/tags/list?last=x&n=2")),
        (r"<x>; foo=bar; rel=next", Some("x")),
        (r#"<x>; rel="prev""#, None),
        ("x", None),
    ] {
        assert_eq!(next_link(link), next, "{link}");
    }
}

/// A registry that gives its tags in pages, as large ones do; `pages[i]` is its answer to `?page=i`.
async fn paging(pages: Vec<(u16, &'static str, &'static str)>) -> Connection {
    use axum::{extract::Query, http::StatusCode, routing::get};
    slipway_service::crypto::install();
    let answer = move |Query(query): Query<std::collections::HashMap<String, String>>| async move {
        let (status, link, body) = pages[query.get("page").map_or(0, |page| page.parse().unwrap())];
        (StatusCode::from_u16(status).unwrap(), [("link", link)], body)
    };
    let router = axum::Router::new().route("/v2/", get(|| async {})).route("/v2/shop/web/tags/list", get(answer));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let registry = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let feed = serde_json::json!({"name": "local", "registry": registry.to_string()});
    Connection::open(&serde_json::from_value(feed).unwrap(), None).unwrap()
}

#[tokio::test]
async fn all_pages_of_tags_are_read() {
    let registry = paging(vec![
        (200, r#"</v2/shop/web/tags/list?page=1>; rel="next""#, r#"{"tags": ["1.0", "1.1"]}"#),
        (200, r#"<?page=2>; rel="next""#, r#"{"tags": ["1.2"]}"#),
        (200, "", r#"{"tags": null}"#),
    ]);
    assert_eq!(registry.await.tags("shop/web").await.unwrap(), ["1.0", "1.1", "1.2"]);
}

#[tokio::test]
async fn a_list_of_tags_that_can_not_be_had_is_an_error_and_not_a_shorter_list() {
    for (pages, trouble, text) in [
        (vec![(404, "", "")], Trouble::Missing, "has no shop/web"),
        (vec![(403, "", "")], Trouble::Denied, "does not show shop/web to anonymous users"),
        (vec![(503, "", "")], Trouble::Unreachable, "it answered 503"),
        (vec![(200, "", "<html>")], Trouble::Invalid, "its list of tags can not be read"),
        (
            vec![(200, r#"<http://other.example.com/x>; rel="next""#, r#"{"tags": []}"#)],
            Trouble::Invalid,
            "other.example.com",
        ),
        (vec![(200, r#"<?page=1>; rel="next""#, r#"{"tags": ["1"]}"#), (500, "", "")], Trouble::Unreachable, "500"),
    ] {
        let error = paging(pages).await.tags("shop/web").await.unwrap_err();
        assert_eq!(error.trouble, trouble, "{error}");
        assert!(error.message.contains(text), "{error}");
    }
}

/// A registry that gives nothing without a token, and nobody a token without the password.
async fn guarded(challenge: &'static str, credentials: Option<(&str, &str)>) -> Connection {
    use axum::{extract::Query, http::HeaderMap, http::StatusCode, routing::get};
    use base64::Engine as _;
    slipway_service::crypto::install();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let basic = format!("Basic {}", base64::prelude::BASE64_STANDARD.encode("reader:right"));
    let authorization = |headers: &HeaderMap| Some(headers.get("authorization")?.to_str().ok()?.to_owned());
    let known = basic.clone();
    let token = move |headers: HeaderMap, Query(query): Query<HashMap<String, String>>| async move {
        let asked = (query["service"].as_str(), query["scope"].as_str());
        assert_eq!(asked, ("here", "repository:shop/web:pull"));
        let good = authorization(&headers).is_none_or(|given| given == known);
        (if good { StatusCode::OK } else { StatusCode::UNAUTHORIZED }, r#"{"access_token": "let-me-in"}"#)
    };
    let challenge = challenge.replace("REALM", &format!("http://{address}/token"));
    let manifest = move |headers: HeaderMap| async move {
        let accepted = headers["accept"].to_str().unwrap();
        assert!(accepted.contains("oci.image.index") && accepted.contains("docker.distribution.manifest.v2"));
        let given = authorization(&headers);
        let good = given == Some("Bearer let-me-in".to_owned()) || given == Some(basic.clone());
        let status = if good { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        // Without the digest in its headers, as some registries answer.
        (status, [("www-authenticate", challenge.clone())], "{}")
    };
    let router = axum::Router::new().route("/token", get(token)).route("/v2/shop/web/manifests/1.0", get(manifest));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let feed = serde_json::json!({"name": "local", "registry": address.to_string()});
    Connection::open(&serde_json::from_value(feed).unwrap(), credentials).unwrap()
}

#[tokio::test]
async fn a_registry_gets_the_proof_that_it_asks_for() {
    const TOKEN: &str = r#"Bearer realm="REALM",service="here",scope="repository:shop/web:pull""#;
    const PASSWORD: &str = r#"Basic realm="here""#;
    let right = Some(("reader", "right"));
    for (challenge, credentials, good) in [
        (TOKEN, right, true),
        (TOKEN, None, true),
        (TOKEN, Some(("reader", "wrong")), false),
        (PASSWORD, right, true),
        (PASSWORD, Some(("reader", "wrong")), false),
        (PASSWORD, None, false),
        ("Negotiate", right, false),
    ] {
        let registry = guarded(challenge, credentials).await;
        for _ in 0..2 {
            match registry.resolve("shop/web", "1.0").await {
                // sha256 of `{}`.
                Ok(digest) if good => assert!(digest.as_str().starts_with("sha256:44136fa3"), "{digest}"),
                Err(error) if !good => assert_eq!(error.trouble, Trouble::Denied, "{error}"),
                other => panic!("{challenge} {credentials:?}: {other:?}"),
            }
        }
    }
}

#[test]
#[ignore = "only where there are no CA certificates, as the test below makes it"]
fn https_is_refused_for_want_of_ca_certificates() {
    slipway_service::crypto::install();
    let open = |registry: &str| {
        let feed = serde_json::json!({"name": "local", "registry": registry});
        Connection::open(&serde_json::from_value(feed).unwrap(), None)
    };
    assert!(open("127.0.0.1:5000").is_ok());
    let error = open("ghcr.io").unwrap_err();
    assert_eq!(error.trouble, Trouble::Unreachable);
    assert!(error.message.contains("ghcr.io") && error.message.contains("ca-certificates"), "{error}");
}

#[test]
fn without_ca_certificates_plain_http_works_and_https_says_what_is_missing() {
    let ran = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "registry::connection::tests::https_is_refused_for_want_of_ca_certificates"])
        .env("SSL_CERT_FILE", "/dev/null")
        .env("SSL_CERT_DIR", "/dev/null")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && said.contains("1 passed"), "{said}");
}
