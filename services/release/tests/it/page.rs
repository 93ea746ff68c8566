//! The web page, as a browser sees it.

use anyhow::Result;
use reqwest::{StatusCode, header, redirect};

use crate::stage::Stage;

#[tokio::test]
async fn the_board_is_shown_to_who_signed_in_and_to_nobody_else() -> Result<()> {
    let stage = Stage::start().await?;
    stage.push("1.0.0", "one").await?;
    stage.verdicts("1.0.0", 1).await;
    let (base, token) = (stage.api.base(), stage.api.token().expect("the admin's token"));
    let browser = reqwest::Client::builder().no_proxy().redirect(redirect::Policy::none()).build()?;

    let answer = browser.get(format!("{base}/")).send().await?;
    assert_eq!((answer.status(), &answer.headers()[header::LOCATION]), (StatusCode::SEE_OTHER, &"/login".parse()?));
    let answer = browser.post(format!("{base}/login")).form(&[("token", "slw_nobody")]).send().await?;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert!(!answer.headers().contains_key(header::SET_COOKIE));

    let answer = browser.post(format!("{base}/login")).form(&[("token", token)]).send().await?;
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    let cookie = answer.headers()[header::SET_COOKIE].to_str()?.to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let cookie = cookie.split(';').next().expect("name and value").to_owned();

    let answer = browser.get(format!("{base}/")).header(header::COOKIE, &cookie).send().await?;
    assert!(answer.headers()[header::CONTENT_SECURITY_POLICY].to_str()?.starts_with("default-src 'none'"));
    let html = answer.text().await?;
    for text in ["shop", "1.0.0", "staging", "production", "trigger lifecycle"] {
        assert!(html.contains(text), "{text} in {html}");
    }

    let changed = browser.post(format!("{base}/api/v1/pushes/1/replay")).header(header::COOKIE, &cookie).send().await?;
    assert_eq!(changed.status(), StatusCode::UNAUTHORIZED, "a cookie changes nothing");
    Ok(())
}
