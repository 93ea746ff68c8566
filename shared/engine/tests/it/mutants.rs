//! Keeps the list of mutants in step with the source. `deploy/mutants` shows that they die.

mod list;

use std::{collections::BTreeSet, path::Path};

#[test]
fn every_mutant_still_fits_the_source_and_names_tests_that_are_there() {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mutants = list::list(engine).unwrap();
    let files = std::fs::read_dir(engine.join("tests/it")).unwrap().map(|file| file.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let tests: String = files.map(|path| std::fs::read_to_string(path).unwrap()).collect();
    let mut names = BTreeSet::new();
    for mutant in &mutants {
        assert!(names.insert(&mutant.name), "two mutants are called {}", mutant.name);
        let source = std::fs::read_to_string(engine.join(&mutant.file)).unwrap();
        mutant.applied(&source).unwrap_or_else(|problem| panic!("{problem}"));
        assert!(!mutant.rule.is_empty() && !mutant.killed_by.is_empty(), "{} is killed by no test", mutant.name);
        for test in &mutant.killed_by {
            assert!(tests.contains(&format!("fn {test}()")), "{}: there is no test {test}", mutant.name);
        }
    }
}
