//! Texts and what is said about them.

use super::*;

const EXAMPLE: &str = include_str!("example.yml");

/// Parses `text` and compares the problems, one per line, with `expected`.
#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let problems = match parse(None, text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(problems, expected, "\n{text}");
}

#[test]
fn the_example_of_every_kind_is_read_fully() {
    let manifests = parse(Some("example.yml"), EXAMPLE)
        .unwrap_or_else(|problems| panic!("{}", problems.iter().map(|p| format!("{p}\n")).collect::<String>()));
    let kinds: Vec<Kind> = manifests.iter().map(Manifest::kind).collect();
    assert_eq!(
        kinds,
        [
            Kind::Feed,
            Kind::Webhook,
            Kind::Environment,
            Kind::Environment,
            Kind::Limits,
            Kind::Freeze,
            Kind::Target,
            Kind::Lifecycle,
            Kind::Team,
            Kind::Project
        ]
    );
    let Some(Manifest::Project(project)) = manifests.last() else { panic!("the last one is the project") };
    let actions: Vec<&str> = project.steps.iter().map(|step| step.action.kind()).collect();
    assert_eq!(
        actions,
        ["sql", "approval", "docker-run", "docker-job", "script", "http", "http", "wait", "slack", "steps"]
    );
    assert_eq!(project.variables[3].value, None);
    assert_eq!(project.steps[2].needs.len(), 2);
    let parts: Vec<&str> = project.steps[9].children().iter().map(|step| step.action.kind()).collect();
    assert_eq!(parts, ["docker-job", "docker-run", "docker-job"]);
}

#[test]
fn what_is_sent_as_json_is_what_was_read_from_yaml() {
    for manifest in parse(None, EXAMPLE).unwrap() {
        let json = serde_json::to_value(&manifest).unwrap();
        assert_eq!(parse_json(&json), Ok(manifest));
    }
}

#[test]
fn unknown_words_are_told_with_line_and_the_nearest_known_one() {
    check(
        "kind: Feed\nname: local\nregistri: x\n",
        &[
            "line 3: unknown key `registri` (did you mean `registry`?); known here: name, registry, credentials, plain-http, ca",
        ],
    );
    check(
        "kind: Fed\nname: local\n",
        &["line 1: unknown kind `Fed` (did you mean `Feed`?); the kinds are Feed, Environment, Limits, Target, \
           Lifecycle, Team, VariableSet, Project, Freeze, Webhook"],
    );
    check(
        "kind: Webhook\nname: a\nsource: distributon\nfeeds: [local]\n",
        &["line 3: `distributon` is not known here (did you mean `distribution`?); write one of distribution"],
    );
    check(
        "kind: Project\nname: shop\nlifecycle: standard\npackages: {web: {feed: local, image: shop/web}}\nsteps:\n  - name: web\n    docker-run:\n      package: web\n      prots: [\"80\"]\n",
        &["line 9: unknown key `prots` (did you mean `ports`?); known here: package, env, pass-variables, \
             command, entrypoint, files, user, workdir, hostname, labels, networks, network-mode, extra-hosts, dns, \
             volumes, tmpfs, shm-size, read-only, cap-add, cap-drop, security-opt, privileged, devices, memory, \
             memory-swap, cpus, pids, ulimits, init, stop-signal, stop-grace, log, platform, name, ports, secrets, \
             health, restart, switch, create-only"],
    );
    check(
        "kind: Project\nname: shop\nlifecycle: standard\nsteps:\n  - name: web\n    docker-rum: {package: web}\n",
        &["line 6: unknown key `docker-rum` (did you mean `docker-run`?); known here: name, needs, targets, rolling, \
           retry, timeout, when, required, docker-run, docker-job, script, docker-pull, docker-network, sql, http, approval, slack, wait, demo, steps"],
    );
}

#[test]
fn all_documents_are_looked_at_and_lines_count_from_the_top_of_the_file() {
    check(
        "# two\nkind: Environment\nname: Staging\n---\n\nkind: Team\nname: ops\nmember: [ana]\n---\nkind: Environment\nname: ok\n",
        &[
            "line 3: `Staging` is not a environment name: it contains other characters; use 1 to 63 of a-z, 0-9 and `-`, \
             beginning and ending with a letter or digit",
            "line 8: unknown key `member` (did you mean `members`?); known here: name, members",
        ],
    );
}

#[test]
fn headers_are_checked_and_then_dropped() {
    check("apiVersion: slipway/v1\nkind: Environment\nname: a\n", &[]);
    check("name: a\nkind: Environment\n", &[]);
    check("---\n---\nkind: Environment\nname: a\n---\n# nothing\n", &[]);
    check("", &[]);
    check(
        "apiVersion: v2\nkind: Environment\nname: a\n",
        &["line 1: `apiVersion: v2` is not known: write `apiVersion: slipway/v1` or leave it out"],
    );
    check(
        "name: a\n",
        &[
            "line 1: `kind` is missing: begin the document with one of `kind: Feed`, `kind: Environment`, `kind: Limits`, `kind: Target`, \
           `kind: Lifecycle`, `kind: Team`, `kind: VariableSet`, `kind: Project`, `kind: Freeze`, `kind: Webhook`",
        ],
    );
}

#[test]
fn what_is_there_twice_is_refused() {
    check("kind: Environment\nname: a\nname: b\n", &["line 3: key `name` is there twice: keep one"]);
    check("kind: Team\nname: a\nkind: Team\n", &["line 3: key `kind` is there twice: keep one"]);
    check(
        "kind: Environment\nname: a\n---\nkind: Team\nname: a\n---\nkind: Environment\nname: a\n",
        &["line 7: Environment `a` is already on line 1: keep one"],
    );
}

#[test]
fn a_template_that_yaml_would_drop_as_a_comment_is_an_error() {
    let project = |value: &str| {
        format!(
            "kind: Project\nname: a\nlifecycle: l\nvariables:\n  - name: V\n    value: {value}\nsteps:\n  - {{name: w, wait: 1s}}\n"
        )
    };
    let told = |shown: &str| {
        format!("line 6: YAML takes `#{shown}` for a comment and drops it: quote this value, such as \"… #{{Name}}\"")
    };
    check(&project("#{Other}"), &[&told("{Other}")]);
    check(&project("a #{Other}"), &[&told("{Other}")]);
    check(&project("\"a\" #{Other}"), &[&told("{Other}")]);
    for good in ["\"a #{Other}\"", "'#{Other}'", "a#{Other}", "|\n      a #{Other}\n      #{Other}", "a # see #{Other}"]
    {
        check(&project(good), &[]);
    }
    check("#{this: one, is: commented out}\nkind: Environment\nname: a\n", &[]);
    check(
        "kind: Team\nname: a\nmembers:\n  #{Members}\n",
        &["line 4: YAML takes `#{Members}` for a comment and drops it: quote this value, such as \"… #{Name}\""],
    );
}

#[test]
fn the_marks_of_secrets_are_refused() {
    check(
        "kind: Lifecycle\nname: a\nphases: [{name: \"\u{f8f0}\", environments: [b]}]\n",
        &[&format!("line 3: {}", scan::MARKERS)],
    );
    check(
        "kind: Lifecycle\nname: a\nphases: [{name: \"\\uF8F1\", environments: [b]}]\n",
        &[&format!("line 3: {}", scan::MARKERS)],
    );
    let json =
        serde_json::json!({"kind": "Lifecycle", "name": "a", "phases": [{"name": "\u{f8f1}", "environments": ["b"]}]});
    assert_eq!(parse_json(&json).unwrap_err().message, format!("Lifecycle `a`: {}", scan::MARKERS));
}

#[test]
fn values_of_the_wrong_form_are_told_with_line_and_form() {
    check("kind: Environment\n", &["line 1: key `name` is missing"]);
    check(
        "kind: Target\nname: a\nenvironments: [b]\ndocker: unix:///x\nparallelism: many\n",
        &["line 5: expected a value of type u32"],
    );
    check(
        "kind: Lifecycle\nname: a\nphases:\n  - name: One\n    environments: [{name: b, auto: true}]\n",
        &["line 5: expected the name of an environment, or {name: NAME, automatic: true} with no other keys"],
    );
    check(
        "kind: Project\nname: a\nlifecycle: l\nsteps:\n  - name: one\n    wait: 30\n",
        &[
            "line 6: `30` is not a span of time (time unit needed, for example 30sec or 30ms); write it like 30s, 5m, 4h or 250ms",
        ],
    );
    check(
        "kind: Project\nname: a\nlifecycle: l\nsteps:\n  - name: ok\n    wait: 1s\n  - name: nothing\n    needs: [ok]\n",
        &[
            "line 7: step `nothing` does nothing: give it one of docker-run, docker-job, script, docker-pull, docker-network, sql, http, approval, slack, wait, demo, or `steps`",
        ],
    );
    check(
        "just words\n",
        &[
            "line 1: `kind` is missing: begin the document with one of `kind: Feed`, `kind: Environment`, `kind: Limits`, \
        `kind: Target`, `kind: Lifecycle`, `kind: Team`, `kind: VariableSet`, `kind: Project`, `kind: Freeze`, `kind: Webhook`",
        ],
    );
}

#[test]
fn a_syntax_error_does_not_hide_the_documents_before_it() {
    let problems = parse(Some("a.yml"), "kind: Team\nnam: a\n---\nkind: [\n").unwrap_err();
    assert_eq!(problems[0].to_string(), "a.yml:2: unknown key `nam` (did you mean `name`?); known here: name, members");
    assert!(problems[1].message.starts_with("this is not YAML: "), "{}", problems[1]);
    assert_eq!(problems.len(), 2);
}

#[test]
fn json_gets_the_same_words() {
    let told = |value: serde_json::Value| parse_json(&value).unwrap_err().to_string();
    assert_eq!(
        told(serde_json::json!({"kind": "Feed", "name": "local", "registri": "x"})),
        "Feed `local`: unknown key `registri` (did you mean `registry`?); known here: name, registry, credentials, plain-http, ca"
    );
    assert_eq!(told(serde_json::json!({"kind": "Team"})), "Team: key `name` is missing");
    assert_eq!(
        told(serde_json::json!({"kind": "Environment", "name": 5})),
        "Environment: expected a string, found integer `5`"
    );
    assert_eq!(told(serde_json::json!([])), "a manifest is a JSON object with `kind` and `name`");
    assert_eq!(
        told(serde_json::json!({"kind": "Target", "name": "worker", "environments": ["a"], "docker": "unix:///x"})),
        "Target `worker`: a target can not be called `worker`: the name is taken"
    );
}

#[test]
fn every_manifest_in_the_documentation_is_one() {
    let page = include_str!("../../../../../docs/manifests.md");
    let examples: Vec<&str> = page.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() >= Kind::ALL.len(), "{} examples", examples.len());
    examples.into_iter().for_each(|example| check(example, &[]));
}
