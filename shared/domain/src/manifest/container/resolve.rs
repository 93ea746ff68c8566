//! From what is written about a container to what its order says: texts rendered, sizes read, and every mistake found.

use indexmap::IndexMap;

use super::{Container, Networks, Scalar, Volume, VolumeOptions, read};
use crate::{
    manifest::reader::{Reader, Render, not_empty},
    order::{ContainerOptions, JoinNetwork, LogTo, MountTmpfs},
};

impl Container {
    /// Its options with their texts as `render` makes them. Errs with every mistake; a text that `render` errs
    /// about without words is taken for unknown, and so is what it is in.
    pub fn options(&self, render: Render<'_>) -> Result<ContainerOptions, Vec<String>> {
        let mut reader = Reader::new(render);
        let options = reader.options(self);
        reader.contradictions(self, &options);
        if reader.problems.is_empty() { Ok(options) } else { Err(reader.problems) }
    }

    /// The texts of its options that are templates.
    pub fn option_texts(&self) -> Vec<&str> {
        let scalars = [&self.user, &self.shm_size, &self.memory, &self.memory_swap, &self.cpus, &self.pids];
        let strings = [&self.workdir, &self.hostname, &self.network_mode, &self.stop_signal, &self.platform];
        let mut texts: Vec<&str> = scalars.into_iter().flatten().map(|scalar| scalar.0.as_str()).collect();
        texts.extend(strings.into_iter().flatten().map(String::as_str));
        texts.extend(self.entrypoint.iter().flatten().map(String::as_str));
        let lists = [&self.extra_hosts, &self.dns, &self.cap_add, &self.cap_drop, &self.security_opt, &self.devices];
        texts.extend(lists.into_iter().flatten().map(String::as_str));
        texts.extend(self.networks.iter().flat_map(Networks::texts));
        texts.extend(self.volumes.iter().flat_map(Volume::texts));
        let tmpfs = self.tmpfs.values().flat_map(|tmpfs| tmpfs.size.iter().chain(&tmpfs.mode));
        let options = self.log.iter().flat_map(|log| log.options.values());
        let values = self.labels.values().chain(self.ulimits.values()).chain(tmpfs).chain(options);
        texts.extend(values.map(|scalar| scalar.0.as_str()));
        texts.extend(self.log.iter().filter_map(|log| log.driver.as_deref()));
        texts.extend(self.tmpfs.keys().map(String::as_str));
        texts
    }
}

impl Reader<'_> {
    fn options(&mut self, c: &Container) -> ContainerOptions {
        ContainerOptions {
            entrypoint: c.entrypoint.as_ref().map(|words| self.words("entrypoint", words)),
            user: self.one("user", &c.user, not_empty),
            workdir: self.text("workdir", &c.workdir, read::path),
            hostname: self.text("hostname", &c.hostname, read::host_name),
            labels: self.labels(&c.labels),
            networks: self.networks(c.networks.as_ref()),
            network_mode: self.text("network-mode", &c.network_mode, read::network_mode),
            extra_hosts: self.list("extra-hosts", &c.extra_hosts, read::extra_host),
            dns: self.list("dns", &c.dns, read::ip),
            volumes: c.volumes.iter().filter_map(|volume| self.volume(volume)).collect(),
            tmpfs: self.tmpfs(c),
            shm_size: self.one("shm-size", &c.shm_size, read::size),
            read_only: c.read_only,
            cap_add: self.list("cap-add", &c.cap_add, not_empty),
            cap_drop: self.list("cap-drop", &c.cap_drop, not_empty),
            security_opt: self.list("security-opt", &c.security_opt, not_empty),
            privileged: c.privileged,
            devices: self.list("devices", &c.devices, read::device),
            memory: self.one("memory", &c.memory, read::memory),
            memory_swap: self.one("memory-swap", &c.memory_swap, read::memory_swap),
            nano_cpus: self.one("cpus", &c.cpus, read::cpus),
            pids: self.one("pids", &c.pids, read::pids),
            ulimits: self.ulimits(&c.ulimits),
            init: c.init,
            stop_signal: self.text("stop-signal", &c.stop_signal, not_empty),
            stop_grace: c.stop_grace,
            log: c.log.as_ref().map(|log| LogTo {
                driver: self.text("log.driver", &log.driver, not_empty),
                options: self.values("log.options", &log.options),
            }),
            platform: self.text("platform", &c.platform, read::platform),
        }
    }

    fn networks(&mut self, networks: Option<&Networks>) -> IndexMap<String, JoinNetwork> {
        let none = super::NetworkOptions::default();
        let all: Vec<(&String, &super::NetworkOptions)> = match networks {
            None => Vec::new(),
            Some(Networks::Names(names)) => names.iter().map(|name| (name, &none)).collect(),
            Some(Networks::With(map)) => map.iter().map(|(name, one)| (name, one.as_ref().unwrap_or(&none))).collect(),
        };
        let mut joined = IndexMap::new();
        for (name, one) in all {
            let Some(name) = self.read("networks", name, read::name) else { continue };
            let (aliases, ipv4) = (format!("networks.{name}.aliases"), format!("networks.{name}.ipv4"));
            let join = JoinNetwork {
                aliases: self.list(&aliases, &one.aliases, read::host_name),
                ipv4: self.text(&ipv4, &one.ipv4, read::ipv4),
            };
            if matches!(name.as_str(), "bridge" | "host" | "none") {
                self.say("networks", &format!("`{name}` is a mode: write `network-mode: {name}`"));
            } else if joined.insert(name.clone(), join).is_some() {
                self.say("networks", &format!("`{name}` is there twice: keep one"));
            }
        }
        joined
    }

    fn volume(&mut self, volume: &Volume) -> Option<crate::order::MountVolume> {
        let key = "volumes";
        let owned = |text: &str| Ok(text.to_owned());
        match volume {
            Volume::Short(text) => self.read(key, text, |text| read::volume(text).and_then(read::mount)),
            Volume::Long(long) => {
                let known = self.problems.len();
                let driver_options = long.driver_options.iter();
                let read = VolumeOptions {
                    source: self.text(key, &long.source, owned),
                    target: self.read(key, &long.target, owned)?,
                    driver: self.text(key, &long.driver, owned),
                    driver_options: driver_options
                        .filter_map(|(name, text)| Some((name.clone(), self.read(key, text, owned)?)))
                        .collect(),
                    ..long.clone()
                };
                if known != self.problems.len() {
                    return None;
                }
                read::mount(read).map_err(|problem| self.say(key, &problem)).ok()
            }
        }
    }

    fn tmpfs(&mut self, c: &Container) -> IndexMap<String, MountTmpfs> {
        let mut all = IndexMap::new();
        for (path, tmpfs) in &c.tmpfs {
            let Some(path) = self.read("tmpfs", path, read::path) else { continue };
            let (size, mode) = (format!("tmpfs.{path}.size"), format!("tmpfs.{path}.mode"));
            let mount = MountTmpfs {
                size: self.one(&size, &tmpfs.size, read::size),
                mode: self.one(&mode, &tmpfs.mode, read::mode),
            };
            all.insert(path, mount);
        }
        all
    }

    fn ulimits(&mut self, ulimits: &IndexMap<String, Scalar>) -> IndexMap<String, crate::order::Ulimit> {
        let mut all = IndexMap::new();
        for (name, text) in ulimits {
            if let Some(limit) = self.read(&format!("ulimits.{name}"), &text.0, read::ulimit) {
                all.insert(name.clone(), limit);
            }
        }
        all
    }

    /// What can not be had together.
    fn contradictions(&mut self, c: &Container, options: &ContainerOptions) {
        if c.networks.is_some() && c.network_mode.is_some() {
            self.say("network-mode", "it stands in the place of `networks`: keep one of the two");
        }
        let shares = options.network_mode.as_deref().is_some_and(|mode| mode.starts_with("container:"));
        for (key, there) in
            [("hostname", c.hostname.is_some()), ("extra-hosts", !c.extra_hosts.is_empty()), ("dns", !c.dns.is_empty())]
        {
            if shares && there {
                self.say(key, "a container in another one's network has that one's: leave it out");
            }
        }
        match (options.memory, options.memory_swap) {
            (None, Some(_)) if c.memory.is_none() => {
                self.say("memory-swap", "it is memory and swap together, so it needs `memory`");
            }
            (Some(memory), Some(swap)) if swap != -1 && swap.unsigned_abs() < memory => {
                self.say("memory-swap", "it is memory and swap together, so it can not be less than `memory`");
            }
            _ => {}
        }
        let mut targets: Vec<&str> = options.volumes.iter().map(|volume| volume.target.as_str()).collect();
        targets.extend(options.tmpfs.keys().map(String::as_str));
        for (at, target) in targets.iter().enumerate() {
            if targets[..at].contains(target) {
                self.say("volumes", &format!("two things are to be mounted at `{target}`: keep one"));
            }
        }
        self.hidden_files(c, &targets);
    }

    /// Files that would be lost, or would outlive the container.
    fn hidden_files(&mut self, c: &Container, targets: &[&str]) {
        for path in c.files.keys() {
            let above = |target: &&&str| path.strip_prefix(**target).is_some_and(|rest| rest.starts_with('/'));
            if let Some(target) = targets.iter().find(above) {
                self.say("files", &format!("`{path}` lies in `{target}`, where something else is mounted"));
            }
        }
        if c.read_only && !c.files.is_empty() {
            self.say(
                "files",
                "Docker puts none into a container that is `read-only`: give them as `secrets`, or mount them with `volumes`",
            );
        }
    }
}
