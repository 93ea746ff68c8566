//! Where server and token come from.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn stack(root: &Path, server: &str, token: &str) {
    let dir = root.join(STACK_DIR);
    write_private(&dir.join("admin.token"), format!("{token}\n").as_bytes()).unwrap();
    store(&dir, &Stored { server: server.to_owned(), token_file: "admin.token".into() }).unwrap();
}

fn text(s: &str) -> Option<String> {
    Some(s.to_owned())
}

#[test]
fn flags_win_over_the_stack_above_and_that_over_login() {
    let root = tempfile::tempdir().unwrap();
    let below = root.path().join("a/b");
    std::fs::create_dir_all(&below).unwrap();
    let user = root.path().join("home");
    write_private(&user.join("token"), b"of-login").unwrap();
    store(&user, &Stored { server: "https://far".to_owned(), token_file: "token".into() }).unwrap();
    let places = Places { slipway_dir: None, current: below, user: Some(user) };

    let found = find(None, None, &places).unwrap();
    assert_eq!((found.server.as_str(), found.token.as_deref()), ("https://far", Some("of-login")));

    stack(root.path(), "http://127.0.0.1:7300/", "of-stack");
    let found = find(None, None, &places).unwrap();
    assert_eq!((found.server.as_str(), found.token.as_deref()), ("http://127.0.0.1:7300", Some("of-stack")));

    let found = find(text("http://x/"), text("said"), &places).unwrap();
    assert_eq!((found.server.as_str(), found.token.as_deref()), ("http://x", Some("said")));

    let found = find(None, text("said"), &places).unwrap();
    assert_eq!((found.server.as_str(), found.token.as_deref()), ("http://127.0.0.1:7300", Some("said")));
}

#[test]
fn a_stored_token_is_not_sent_to_another_server() {
    let root = tempfile::tempdir().unwrap();
    stack(root.path(), "http://127.0.0.1:7300", "of-stack");
    let places = Places { slipway_dir: None, current: root.path().into(), user: None };
    assert_eq!(find(text("http://elsewhere"), None, &places).unwrap().token, None);
    assert_eq!(find(text("http://127.0.0.1:7300/"), None, &places).unwrap().token, text("of-stack"));
}

#[test]
fn slipway_dir_names_the_stack_and_nothing_at_all_means_the_default() {
    let root = tempfile::tempdir().unwrap();
    stack(root.path(), "http://one", "1");
    let elsewhere = tempfile::tempdir().unwrap();
    let dir = Some(root.path().join(STACK_DIR));
    let places = Places { slipway_dir: dir, current: elsewhere.path().into(), user: None };
    assert_eq!(find(None, None, &places).unwrap().server, "http://one");
    let places = Places { slipway_dir: Some("/nowhere".into()), current: root.path().into(), user: None };
    let found = find(None, None, &places).unwrap();
    assert_eq!((found.server.as_str(), found.token), (DEFAULT_SERVER, None));
}

#[test]
fn a_token_file_that_is_gone_is_named_and_files_are_private() {
    let root = tempfile::tempdir().unwrap();
    stack(root.path(), "http://one", "1");
    let file = root.path().join(STACK_DIR).join("admin.token");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    std::fs::remove_file(&file).unwrap();
    let places = Places { slipway_dir: None, current: root.path().into(), user: None };
    let shown = find(None, None, &places).unwrap_err().shown();
    assert!(shown.contains("admin.token"), "{shown}");
}
