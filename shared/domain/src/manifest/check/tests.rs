//! Manifests that are well formed and wrong.

mod container;

use crate::manifest::parse::parse;

/// A project with these steps, and what is said about it.
#[track_caller]
fn steps(steps: &str, expected: &[&str]) {
    text(
        &format!("kind: Project\nname: p\nlifecycle: l\npackages: {{web: {{feed: f, image: i}}}}\nsteps:\n{steps}\n"),
        expected,
    );
}

#[track_caller]
fn text(text: &str, expected: &[&str]) {
    let problems: Vec<String> = match parse(None, text) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.iter().map(ToString::to_string).collect(),
    };
    assert_eq!(problems, expected, "\n{text}");
}

#[test]
fn a_limit_of_nothing_and_a_second_set_of_limits_are_refused() {
    let nothing = |line: &str, key: &str| {
        format!("{line}: `{key}` is 0: no deployment could ever start; write 1 or more, or leave it out for no limit")
    };
    text("kind: Environment\nname: e\nparallelism: 0\n", &[&nothing("line 1", "parallelism")]);
    text("kind: Limits\nname: all\ndeployments: 0\n", &[&nothing("line 1", "deployments")]);
    text(
        "kind: Limits\nname: mine\ndeployments: 1\n",
        &["line 1: there is one set of limits, and it is called `all`: write `name: all`; an environment has \
           `parallelism` of its own"],
    );
}

#[test]
fn steps_refer_to_each_other_by_names_that_exist() {
    steps("  - {name: a, wait: 1s}\n  - {name: b, needs: [a], wait: 1s}", &[]);
    steps(
        "  - {name: migrate, wait: 1s}\n  - {name: b, needs: [migarte], wait: 1s}",
        &["line 7: step `b`: `needs`: there is no step `migarte` (did you mean `migrate`?)"],
    );
    steps(
        "  - {name: a, wait: 1s}\n  - {name: a, needs: [a, a], wait: 1s}",
        &[
            "line 7: step `a`: the name is used by an earlier step: choose another",
            "line 7: step `a`: `needs` names `a` twice: keep one",
        ],
    );
    text(
        "kind: Project\nname: p\nlifecycle: l\nsteps: []\n",
        &["line 1: `steps` is empty: a project needs at least one"],
    );
}

#[test]
fn options_of_a_step_fit_its_kind() {
    steps(
        "  - {name: a, targets: {role: web}, rolling: {window: 1}, retry: {attempts: 1}, timeout: 1m, approval: {votes: 0}}",
        &[
            "line 6: step `a`: `approval` happens once and has no targets: remove `targets`",
            "line 6: step `a`: people are not asked again by themselves: remove `retry`",
            "line 6: step `a`: write the time-out inside of `approval`",
            "line 6: step `a`: `approval.votes` is 0: write 1 or more",
        ],
    );
    steps(
        "  - {name: a, rolling: {window: 0}, retry: {attempts: 0}, docker-run: {package: wbe}}",
        &[
            "line 6: step `a`: `rolling` goes over targets: add `targets` or remove it",
            "line 6: step `a`: `rolling.window` is 0: nothing could start; write 1 or more",
            "line 6: step `a`: `retry.attempts` is 0: it counts the first attempt too; write 1 or more",
            "line 6: step `a`: there is no package `wbe` (did you mean `web`?); add it to `packages`",
        ],
    );
    steps(
        "  - {name: a, timeout: 0s, when: {environments: []}, docker-job: {package: web}}",
        &[
            "line 6: step `a`: `timeout` is 0: write how long one attempt may take, such as 5m",
            "line 6: step `a`: `when.environments` is empty: the step would never happen",
        ],
    );
    steps(
        "  - {name: a, targets: {role: r}, docker-run: {package: web, health: {http: {port: 1, path: x}, tcp: {port: 1}}}}",
        &[
            "line 6: step `a`: `health` has both `http` and `tcp`: keep one",
            "line 6: step `a`: `health.http.path` must begin with `/`",
        ],
    );
}

#[test]
fn a_condition_is_a_template_and_written_once() {
    steps("  - {name: a, wait: 1s, when: {result: \"#{Target != 'x'}\"}}", &[]);
    steps(
        "  - {name: a, wait: 1s, when: {if: always}}",
        &[
            "line 6: step `a`: `when.if: always` is a plain text, so it is always the same: write what it depends on as \
           \"#{…}\", such as \"#{ Target != 'web-03' }\"",
        ],
    );
    let twice =
        "kind: Project\nname: p\nlifecycle: l\nsteps:\n  - {name: a, wait: 1s, when: {result: '#{A}', if: '#{B}'}}\n";
    text(twice, &["line 5: `when` has a condition both in `result` and in `if`: keep the one in `if`"]);
    let word = "kind: Project\nname: p\nlifecycle: l\nsteps:\n  - {name: a, wait: 1s, when: {result: sucess}}\n";
    text(
        word,
        &["line 5: `sucess` is not known here (did you mean `success`?); write one of success, failure, always"],
    );
}

#[test]
fn a_step_does_not_wait_longer_than_it_may_take() {
    steps("  - {name: a, wait: 10m}\n  - {name: b, timeout: 2h, wait: 1h}", &[]);
    steps(
        "  - {name: a, wait: 1h}",
        &["line 6: step `a`: waits 1h, longer than its time-out of 10m: give it a longer `timeout`"],
    );
}

#[test]
fn sql_takes_its_files_from_one_place() {
    steps("  - {name: a, sql: {database: x, package: web, path: /m}}", &[]);
    steps("  - {name: a, sql: {database: x, files: {1.sql: select 1}}}", &[]);
    for (sql, expected) in [
        ("database: x", "`sql` needs either `package` and `path`, or `files`"),
        ("database: x, package: web", "`sql` has `package` but no `path`: say where the files are"),
        ("database: x, path: /m", "`sql` has `path` but no `package`: say which image has the files"),
        ("database: x, files: {}", "`sql.files` is empty"),
        (
            "database: x, path: /m, files: {1.sql: select 1}",
            "`sql` has both `files` and `package` or `path`: keep one of the two",
        ),
    ] {
        steps(&format!("  - {{name: a, sql: {{{sql}}}}}"), &[&format!("line 6: step `a`: {expected}")]);
    }
}

#[test]
fn a_variable_set_knows_no_steps_and_channels_and_is_included_once() {
    text(
        "kind: VariableSet\nname: s\nvariables:\n  - {name: A, value: x, scope: {step: web}}\n  - {name: B, value: x, scope: {channel: beta}}\n  - {name: C}\n",
        &[
            "line 4: variable `A`: scope: steps and channels are a project's, a set can not know them: scope it by environment, target or role, or write the variable into the project",
            "line 5: variable `B`: scope: steps and channels are a project's, a set can not know them: scope it by environment, target or role, or write the variable into the project",
            "line 6: variable `C`: has neither `value` nor `secret`: give it one",
        ],
    );
    text(
        "kind: Project\nname: a\nlifecycle: l\nvariable-sets: [s, s]\nsteps:\n  - {name: w, wait: 1s}\n",
        &["line 4: `variable-sets` names `s` twice: keep one"],
    );
}

#[test]
fn variables_triggers_and_scopes_name_what_exists() {
    text(
        "kind: Project\nname: p\nlifecycle: l\npackages: {web: {feed: f, image: i}}\nchannels:\n  - name: stable\n  - name: stable\n\
         triggers:\n  - {on: push, packages: [wbe], channel: stabel}\nvariables:\n  - {name: A}\n  - {name: B, value: x, secret: y}\n  \
         - {name: C, value: x, scope: {step: wab, channel: [stable, nope]}}\nsteps:\n  - {name: web, wait: 1s}\n",
        &[
            "line 7: channel `stable` is there twice: keep one",
            "line 9: trigger: there is no package `wbe` (did you mean `web`?); add it to `packages`",
            "line 9: trigger: there is no channel `stabel` (did you mean `stable`?)",
            "line 11: variable `A`: has neither `value` nor `secret`: give it one",
            "line 12: variable `B`: has both `value` and `secret`: keep one",
            "line 13: variable `C`: scope: there is no step `wab` (did you mean `web`?)",
            "line 13: variable `C`: scope: there is no channel `nope`",
        ],
    );
}

#[test]
fn the_other_kinds_make_sense() {
    text(
        "kind: Target\nname: notifier\nenvironments: []\ndocker: /var/run/docker.sock\nparallelism: 0\n",
        &[
            "line 1: a target can not be called `notifier`: the name is taken",
            "line 1: `environments` is empty: name at least one",
            "line 1: `parallelism` is 0: nothing could run; write 1 or more",
            "line 1: `docker: /var/run/docker.sock` is not an endpoint: write unix:///path/to/docker.sock, tcp://host:2376 or ssh://user@host",
        ],
    );
    let endpoint = |endpoint: &str, words: &str| {
        let expected = if words.is_empty() { vec![] } else { vec![format!("line 1: {words}")] };
        let expected: Vec<_> = expected.iter().map(String::as_str).collect();
        text(&format!("kind: Target\nname: t\nenvironments: [e]\n{endpoint}\n"), &expected);
    };
    let tls = "tls: {ca: /ca, cert: /cert, key: /key}";
    endpoint("docker: ssh://deploy@web-01:2222", "");
    endpoint("docker: ssh://web-01", "");
    endpoint(&format!("docker: tcp://10.0.0.1:2376\n{tls}"), "");
    for bad in ["tcp://10.0.0.1", "tcp://10.0.0.1:99999", "ssh://", "ssh://-oProxyCommand=x", "ssh://a@-b", "unix://x"]
    {
        let words = "is not an endpoint: write unix:///path/to/docker.sock, tcp://host:2376 or ssh://user@host";
        endpoint(&format!("docker: {bad}"), &format!("`docker: {bad}` {words}"));
    }
    endpoint(
        "docker: tcp://10.0.0.1:2376",
        "`docker: tcp://10.0.0.1:2376` has no `tls: {ca, cert, key}`: whoever reaches an engine without it is root on its host; give it certificates, or use ssh://user@host",
    );
    endpoint(&format!("docker: ssh://web-01\n{tls}"), "`tls` is for tcp:// endpoints; leave it out for ssh://web-01");
    text(
        "kind: Lifecycle\nname: l\nphases:\n  - {name: A, environments: [a]}\n  - {name: B, environments: [b, b], required: {minimum: 3}}\n  - {name: C}\n  - {name: D, environments: []}\n",
        &[
            "line 5: environment `b` is in the phase twice: keep one",
            "line 5: phase `B` requires a minimum of 3 of its 2 environments: write 1 to 2",
            "line 7: phase `D` would have no environments: an earlier phase has all that are not named",
        ],
    );
    text(
        "kind: Feed\nname: f\nregistry: x\nplain-http: true\nca: /ca.pem\n",
        &["line 1: `ca` is for https, and `plain-http` says http: take one of them out"],
    );
    text(
        "kind: Feed\nname: f\nregistry: x\nca: ca.pem\n",
        &[
            "line 1: `ca: ca.pem` is not a whole path: write it as the release service finds it, such as /etc/slipway/registry-ca.pem",
        ],
    );
    text(
        "kind: Feed\nname: f\nregistry: http://x\n",
        &["line 1: `registry: http://x` is not a host: write host and port alone, such as 127.0.0.1:5000 or ghcr.io \
         (`plain-http: true` for http)"],
    );
    text(
        "kind: Webhook\nname: w\nsource: distribution\nfeeds: []\n",
        &["line 1: `feeds` is empty: name the feeds whose images the webhook may announce"],
    );
    text(
        "kind: Team\nname: t\nmembers: [ana, {name: ana, slack: U1}, {name: ben, slack: U1}]\n",
        &["line 3: `ana` is a member twice: keep one", "line 3: two members have the Slack id `U1`: keep one"],
    );
}

#[test]
fn parts_of_a_step_leave_to_it_what_is_about_targets_and_other_steps() {
    let web = |more: &str, parts: &str| format!("  - {{name: web, {more}, steps: [{parts}]}}");
    let on = "targets: {role: web}, rolling: {window: 1, on-failure: restore}";
    let serve = "{name: serve, docker-run: {package: web}}";
    steps(&web(on, &format!("{{name: drain, wait: 1s, retry: {{attempts: 2}}, required: true}}, {serve}")), &[]);
    steps(
        &web("retry: {attempts: 2}, timeout: 1m", "{name: a, wait: 1s}"),
        &[
            "line 6: step `web`: its `steps` follow each other on each target: add `targets`",
            "line 6: step `web`: `retry` is about one attempt, and it makes none itself: write it at those of its steps that it is for",
            "line 6: step `web`: `timeout` is about one attempt, and it makes none itself: write it at those of its steps that it is for",
        ],
    );
    steps(
        &web(on, "{name: a, wait: 1s}"),
        &["line 6: step `web`: none of its steps can be taken back: `on-failure: restore` is for docker-run"],
    );
    steps(
        &web("targets: {role: web}", ""),
        &[
            "line 6: step `web`: `steps` is empty: write the steps that follow each other on each target, or give it a kind",
        ],
    );
    steps(
        &web(
            "targets: {role: web}",
            "{name: a, needs: [web], targets: {role: x}, rolling: {window: 1}, slack: {channel: c, text: t}}",
        ),
        &[
            "line 6: step `a`: a part of `web` follows the one before it on the same target: remove `needs`, or write it at `web`",
            "line 6: step `a`: it runs on the targets of `web`, which it is a part of: remove `targets`",
            "line 6: step `a`: `web`, which it is a part of, goes over the targets: write `rolling` there",
            "line 6: step `a`: `slack` happens once and not on each target, so it can not be a part of `web`: make it a step of its own before or after `web`; people look after the canary with `rolling.then`",
        ],
    );
    steps(
        &web("targets: {role: web}", "{name: a, steps: [{name: b, wait: 1s}]}, {name: web, wait: 1s}"),
        &[
            "line 6: step `a`: a part of `web` has no `steps` of its own: write them into `web`",
            "line 6: step `web`: the name is used by an earlier step: choose another",
        ],
    );
    steps(
        &format!("{}\n  - {{name: next, needs: [serve], wait: 1s}}", web("targets: {role: web}", serve)),
        &["line 7: step `next`: `needs`: `serve` is a part of `web`: need `web`, which has ended when all of it has"],
    );
    steps(
        &web("targets: {role: web}, wait: 1s", serve),
        &["line 6: step `web` has 2 kinds (wait, steps): make each a step of its own"],
    );
}

#[test]
fn a_variable_is_scoped_to_a_part_and_not_to_the_step_that_does_nothing_itself() {
    let project = |step: &str| {
        format!(
            "kind: Project\nname: p\nlifecycle: l\nvariables:\n  - {{name: A, value: a, scope: {{step: {step}}}}}\nsteps:\n  \
             - {{name: web, targets: {{role: web}}, steps: [{{name: part, wait: 1s}}]}}\n"
        )
    };
    text(&project("part"), &[]);
    text(
        &project("web"),
        &["line 5: variable `A`: scope: `web` does nothing itself: name those of its steps that it is for"],
    );
}

/// What is said about an `http` step.
#[track_caller]
fn http(keys: &str, expected: &[&str]) {
    let expected: Vec<String> = expected.iter().map(|e| format!("line 6: step `a`: {e}")).collect();
    steps(&format!("  - {{name: a, http: {{{keys}}}}}"), &expected.iter().map(String::as_str).collect::<Vec<_>>());
}

#[test]
fn a_call_has_a_url_that_can_be_called() {
    for good in ["#{Base}/x", "http#{S}://a", "https://a.org:8443/x?y#z", "http://#{Host}/", "http://[::1]:80/"] {
        http(&format!("url: '{good}'"), &[]);
    }
    http("url: 'ftp://a.org'", &["`http.url: ftp://a.org` is no URL to call: begin it with http:// or https://"]);
    http("url: 'a.org/#{X}'", &["`http.url: a.org/#{X}` is no URL to call: begin it with http:// or https://"]);
    http("url: 'http://'", &["`http.url: http://` names no host"]);
    http("url: 'http:///x'", &["`http.url: http:///x` names no host"]);
    http("url: 'http://a b'", &["`http.url: http://a b` has a blank: write %20 for it"]);
}

#[test]
fn the_keys_of_a_call_fit_together() {
    http(
        "url: 'http://a', method: HEAD, body: a, json: {}, ca: /x, headers: {'a b': \"x\\ny\"}",
        &[
            "`http.headers`: `a b` can not be the name of a header",
            "`http.headers`: the value of `a b` has several lines: write it on one",
            "`http` has both `body` and `json`: keep one",
            "`http.method: HEAD` sends no body: take it out, or choose another method",
            "`http.ca` is for https, and `url` says http: take `ca` out or write https",
        ],
    );
    http(
        "url: 'http://a', method: HEAD, expect: {status: [99, 7xx], headers: {'': a}, json: {'': 1}}",
        &[
            "`http.expect.status`: `99` is no status: write one from 100 to 599, or a class such as 2xx",
            "`http.expect.status`: `7xx` is no status: write one from 100 to 599, or a class such as 2xx",
            "`http.expect.headers`: `` can not be the name of a header",
            "`http.expect.json` has an empty path: write where the value is, such as `state.ready`",
            "`http.method: HEAD` is answered without a body: expect status and headers alone",
        ],
    );
    http(
        "url: 'http://a', expect: {status: []}, timeout: 0s, retry-until: {within: 11m, every: 0s}",
        &[
            "`http.expect.status` is empty: nothing would be good; write one, such as 200",
            "`http.timeout` is 0: write how long one answer may take, such as 10s",
            "`http.retry-until.within` of 11m is longer than the step's time-out of 10m: give it a longer `timeout`",
            "`http.retry-until.every` is 0: write the pause between two calls, such as 2s",
        ],
    );
    http(
        "url: 'http://a', timeout: 11m",
        &["`http.timeout` of 11m is longer than the step's of 10m: give it a longer `timeout`"],
    );
    let form = |keys: &str, told: &str| {
        let told = format!("line 6: {told}");
        steps(&format!("  - {{name: a, http: {{url: 'http://a', {keys}}}}}"), &[&told]);
    };
    form(
        "method: FETCH",
        "`FETCH` is not known here (did you mean `PATCH`?); write one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
    );
    form("expect: {status: {a: 1}}", "expected a status such as 200, a class of them such as 2xx, or a list of these");
    form(
        "expect: {headers: {A: {is: 1}}}",
        "expected the text that the header must be, or {contains: TEXT} with no other keys",
    );
    form(
        "insecure: true",
        "`insecure` is not offered: a certificate is always verified; name the file of the authority that signed it as `ca`",
    );
}

#[test]
fn a_script_has_one_image_and_something_to_do() {
    let script = |keys: &str, expected: &[&str]| {
        let expected: Vec<String> = expected.iter().map(|e| format!("line 6: step `a`: {e}")).collect();
        steps(
            &format!("  - {{name: a, script: {{{keys}}}}}"),
            &expected.iter().map(String::as_str).collect::<Vec<_>>(),
        );
    };
    let pinned = format!("ghcr.io/tools/sh@sha256:{}", "0".repeat(64));
    script("run: 'exit 0', package: web", &[]);
    script(&format!("run: 'exit 0', image: '{pinned}', workdir: '#{{Folder}}'"), &[]);
    script("run: 'exit 0'", &["`script` needs an image to run in: `package` or `image`"]);
    script("run: x, package: wbe", &["there is no package `wbe` (did you mean `web`?); add it to `packages`"]);
    script(
        &format!(
            "run: ' ', package: web, image: '{pinned}', shell: ' ', workdir: a, env: {{SLIPWAY_OUTPUT: x, A=B: y}}"
        ),
        &[
            "`script` has both `package` and `image`: keep one",
            "`script.run` is empty: write what is to be done",
            "`script.shell` is empty: leave it out for /bin/sh",
            "`script.workdir` is no whole path: begin it with `/`",
            "`script.env`: `A=B` can not be the name of a variable",
            "`script.env`: SLIPWAY_OUTPUT is set by Slipway: choose another name",
        ],
    );
    script(
        "run: x, image: 'ghcr.io/a:1', files: {/slipway/output: x, relative: y}",
        &[
            "`script.image`: `ghcr.io/a:1` is no image by digest: what a tag means can change; write it as \
             registry/repository@sha256:…",
            "`files`: `/slipway/output` lies where Slipway puts the script: choose another folder",
            "`files`: `relative` is no path of a file: write all of it, such as /etc/shop/settings.json",
        ],
    );
    steps(
        "  - {name: a, script: {run: x, host: true}}",
        &["line 6: a script runs in a container; `host` is not offered: give it an image with what it needs as \
           `package` or `image`"],
    );
}
