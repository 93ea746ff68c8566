//! Every code that the sources give a problem has a page in docs/errors.

use std::{collections::BTreeSet, fs, path::Path};

const CONSTRUCTORS: [&str; 8] = [
    "refusal(",
    "unprocessable(",
    "not_found(",
    "invalid(",
    "forbidden(",
    "unavailable(",
    "Problem::new(",
    "Self::new(",
];

fn sources(folder: &Path, texts: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, texts);
        } else if path.extension().is_some_and(|e| e == "rs") && !path.ends_with("problem/codes.rs") {
            texts.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// The first argument that is a text literal, if it comes before any other call.
fn code(arguments: &str) -> Option<&str> {
    let (before, rest) = arguments.split_once('"')?;
    let plain = before.chars().all(|c| c.is_alphanumeric() || c.is_whitespace() || matches!(c, ':' | ',' | '_'));
    let (literal, _) = rest.split_once('"')?;
    let slug = !literal.is_empty() && literal.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    (plain && slug).then_some(literal)
}

#[test]
fn every_code_has_its_page() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts = Vec::new();
    sources(&root.join("src"), &mut texts);
    let codes: BTreeSet<&str> = texts
        .iter()
        .flat_map(|text| {
            CONSTRUCTORS.iter().flat_map(move |c| text.match_indices(c).map(move |(i, _)| &text[i + c.len()..]))
        })
        .filter_map(code)
        .collect();
    assert!(codes.contains("lifecycle") && codes.contains("unauthorized") && codes.len() > 40, "{codes:?}");
    let pages = root.join("../../docs/errors");
    for code in codes {
        let page = fs::read_to_string(pages.join(format!("{code}.md")))
            .unwrap_or_else(|_| panic!("`{code}` has no page: write docs/errors/{code}.md"));
        assert!(page.starts_with(&format!("# {code}\n")), "docs/errors/{code}.md does not begin with its code");
        assert!(page.lines().filter(|line| !line.is_empty()).count() >= 3, "docs/errors/{code}.md says too little");
    }
}
