//! Host ports: parsing of port mappings, and the rule that one port of one daemon has one owner.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use slipway_domain::{
    manifest::Action,
    order::PortMapping,
    plan::{Plan, Runs},
    release::Request,
};

use crate::{compile::snapshots, variables};

/// Reads `CONTAINER`, `HOST:CONTAINER` or `IP:HOST:CONTAINER`, each with an optional `/tcp` or `/udp`.
pub fn parse(text: &str) -> Result<PortMapping, String> {
    let bad = |why: &str| {
        format!(
            "`{text}` is not a port mapping: {why}; write CONTAINER, HOST:CONTAINER or IP:HOST:CONTAINER, with /udp if it is not tcp"
        )
    };
    let (numbers, protocol) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    if !matches!(protocol, "tcp" | "udp") {
        return Err(bad("the protocol is neither tcp nor udp"));
    }
    let number = |part: &str| match part.trim().parse::<u16>() {
        Ok(0) | Err(_) => Err(bad(&format!("`{part}` is not a port from 1 to 65535"))),
        Ok(port) => Ok(port),
    };
    let mut parts = numbers.rsplitn(3, ':');
    let container = number(parts.next().unwrap_or_default())?;
    let host = parts.next().filter(|h| !h.is_empty()).map(number).transpose()?;
    let ip = parts.next().map(|ip| ip.trim_matches(['[', ']']).to_owned());
    if let Some(ip) = &ip {
        ip.parse::<std::net::IpAddr>().map_err(|_| bad(&format!("`{ip}` is not an IP address")))?;
    }
    Ok(PortMapping { ip, host, container, protocol: protocol.to_owned() })
}

/// Pairs of tasks of a plan that claim one host port of one daemon, as sentences.
/// Ports that depend on outputs of earlier steps are not known here and left to the daemon.
pub fn conflicts(request: &Request, plan: &Plan) -> Vec<String> {
    let mut owners: BTreeMap<(String, u16, String), (String, Option<String>)> = BTreeMap::new();
    let mut problems = Vec::new();
    let snapshots = snapshots(request);
    for planned in &plan.steps {
        let (Action::DockerRun(run), Runs::On(targets)) = (&planned.step.action, &planned.runs) else { continue };
        for target in targets {
            let target_snapshot = snapshots.get(target);
            let daemon = target_snapshot.map_or_else(|| target.to_string(), |t| t.docker.clone());
            let roles = target_snapshot.map(|t| t.roles.clone()).unwrap_or_default();
            let place = variables::Place::of(request, &planned.step, target, &roles);
            let renderer = variables::Renderer::new(request, place, "succeeded", Value::Object(Map::new()));
            for text in &run.ports {
                let Ok(rendered) = renderer.render(text) else { continue };
                let mapping = match parse(&rendered) {
                    Ok(mapping) => mapping,
                    Err(problem) => {
                        problems.push(format!("step `{}` on `{target}`: {problem}", planned.name()));
                        continue;
                    }
                };
                let Some(host) = mapping.host else { continue };
                let me = format!("step `{}` on `{target}`", planned.name());
                let key = (daemon.clone(), host, mapping.protocol.clone());
                match owners.get(&key) {
                    Some((other, ip)) if overlap(ip.as_deref(), mapping.ip.as_deref()) => problems.push(format!(
                        "{other} and {me} both want port {host}/{} of the Docker engine {daemon}; give one another port, for instance with a variable scoped to the target",
                        mapping.protocol
                    )),
                    Some(_) => {}
                    None => {
                        owners.insert(key, (me, mapping.ip));
                    }
                }
            }
        }
    }
    problems
}

fn overlap(a: Option<&str>, b: Option<&str>) -> bool {
    let any = |ip: Option<&str>| ip.is_none_or(|ip| matches!(ip, "0.0.0.0" | "::"));
    any(a) || any(b) || a == b
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_mappings_are_read_or_refused() {
        let show = |text: &str| parse(text).map(|m| (m.ip, m.host, m.container, m.protocol));
        assert_eq!(show("80").unwrap(), (None, None, 80, "tcp".into()));
        assert_eq!(show("8080:80").unwrap(), (None, Some(8080), 80, "tcp".into()));
        assert_eq!(show("127.0.0.1:53:53/udp").unwrap(), (Some("127.0.0.1".into()), Some(53), 53, "udp".into()));
        assert_eq!(show("[::1]:1:2").unwrap(), (Some("::1".into()), Some(1), 2, "tcp".into()));
        for bad in ["", "x", "0:80", "80:0", "70000", "1:2:3", "80/sctp", "host:80:80"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
