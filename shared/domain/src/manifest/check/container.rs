//! What the container of a step can get wrong by itself.

use indexmap::IndexMap;

use crate::manifest::{Container, DEFAULT_TIMEOUT, DockerRun, File, Health, SECRETS_FOLDER, Step, Switch};

/// A container that stays.
pub(super) fn check_run(step: &Step, run: &DockerRun, messages: &mut Vec<String>) {
    check_health(run, messages);
    check(step, &run.container, messages);
    check_switch(run, messages);
    for name in run.secrets.keys().filter(|name| !is_file_name(name)) {
        messages.push(format!(
            "`secrets`: `{name}` can not be a file in /run/secrets: use letters, digits, `.`, `-` and `_`"
        ));
    }
    if let Some(mode) = run.container.network_mode.as_deref().filter(|mode| *mode != "bridge" && !mode.contains("#{"))
        && !run.ports.is_empty()
    {
        messages.push(format!("`ports`: with `network-mode: {mode}` a container has no ports of its own to publish"));
    }
}

fn check_switch(run: &DockerRun, messages: &mut Vec<String>) {
    let Some(switch) = &run.switch else { return };
    let fixed = run.ports.iter().find(|port| port.contains(':') && !port.contains("#{"));
    if let (Switch::StartFirst | Switch::Proxy(_), Some(port)) = (switch, fixed) {
        messages.push(format!(
            "`switch`: both containers run at once, and `ports: {port}` is a port of the host that only one can have: publish the container's port alone"
        ));
    }
    let Switch::Proxy(proxy) = switch else { return };
    if !proxy.caddy.contains("#{") && !["http://", "https://"].iter().any(|scheme| proxy.caddy.starts_with(scheme)) {
        messages.push(format!("`switch.proxy.caddy: {}` is no URL: write http://HOST:2019", proxy.caddy));
    }
    if proxy.id.is_empty() || proxy.id.contains('/') {
        messages.push("`switch.proxy.id` is no `@id`: write the one of the reverse_proxy handler".to_owned());
    }
    if proxy.port == 0 {
        messages.push("`switch.proxy.port` is 0: write the container's port".to_owned());
    }
    if run.create_only {
        messages.push("`switch`: with `create-only` nothing runs that could be asked: take one of them out".to_owned());
    }
}

/// Any container.
pub(super) fn check(step: &Step, container: &Container, messages: &mut Vec<String>) {
    check_files(&container.files, messages);
    messages.extend(container.options(&literal).err().unwrap_or_default());
    let timeout = step.timeout.unwrap_or(DEFAULT_TIMEOUT);
    if let Some(grace) = container.stop_grace.filter(|grace| *grace >= timeout) {
        messages.push(format!(
            "`stop-grace: {grace}` is as long as the step's time-out of {timeout}: give it a longer `timeout`"
        ));
    }
}

/// What files are put into has to be told from what they replace.
pub(super) fn check_files(files: &IndexMap<String, File>, messages: &mut Vec<String>) {
    for (path, file) in files {
        let parts = || path.split('/').skip(1);
        if !path.starts_with('/') || parts().any(|part| matches!(part, "" | "." | "..")) {
            messages.push(format!(
                "`files`: `{path}` is no path of a file: write all of it, such as /etc/shop/settings.json"
            ));
        } else if path.starts_with(SECRETS_FOLDER) {
            messages
                .push(format!("`files`: `{path}` lies where `secrets` are: write the name under `secrets` instead"));
        }
        if file.mode().is_none() {
            messages.push(format!("`files`: the mode of `{path}` is none: write it in octal, such as \"0440\""));
        }
    }
}

fn is_file_name(name: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !matches!(name, "" | "." | "..") && name.chars().all(good)
}

/// A text that says itself what it is; what a template comes to is told when planning.
pub(super) fn literal(text: &str) -> Result<String, String> {
    if text.contains("#{") { Err(String::new()) } else { Ok(text.to_owned()) }
}

fn check_health(run: &DockerRun, messages: &mut Vec<String>) {
    let Some(health) = &run.health else { return };
    let Health { http, tcp, exec, healthcheck, .. } = health;
    let probes = [
        ("http", http.is_some()),
        ("tcp", tcp.is_some()),
        ("exec", exec.is_some()),
        ("healthcheck", healthcheck.is_some()),
    ];
    let there: Vec<&str> = probes.into_iter().filter(|(_, there)| *there).map(|(key, _)| key).collect();
    if let [first, second, ..] = there.as_slice() {
        messages.push(format!("`health` has both `{first}` and `{second}`: keep one"));
    }
    if http.as_ref().is_some_and(|http| !http.path.starts_with('/')) {
        messages.push("`health.http.path` must begin with `/`".to_owned());
    }
    if run.create_only {
        messages.push("`health`: with `create-only` nothing runs that could be good: take one of them out".to_owned());
    }
    let apart =
        run.container.network_mode.as_deref().is_some_and(|mode| mode == "none" || mode.starts_with("container:"));
    if apart && (http.is_some() || tcp.is_some()) {
        messages.push(
            "`health`: a container without a network of its own is not reached from outside: use `exec`".to_owned(),
        );
    }
    let commands = [("exec", exec.as_ref()), ("healthcheck", healthcheck.as_ref().map(|check| &check.command))];
    for (key, _) in commands.iter().filter(|(_, command)| command.is_some_and(Vec::is_empty)) {
        messages.push(format!("`health.{key}` has no command: write it as a list, such as [pg_isready]"));
    }
    if let Some(check) = healthcheck {
        let spans = [("interval", check.interval), ("timeout", check.timeout)];
        for (key, _) in spans.into_iter().filter(|(_, span)| span.is_some_and(|span| span.0.as_millis() == 0)) {
            messages.push(format!("`health.healthcheck.{key}` is 0: Docker needs 1ms at least"));
        }
        if check.retries == Some(0) {
            messages.push("`health.healthcheck.retries` is 0: write 1 or more".to_owned());
        }
    }
}
