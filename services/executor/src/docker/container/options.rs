//! A container's options in the words of the engine's API.

use std::collections::HashMap;

use bollard::models::{
    ContainerCreateBody, DeviceMapping, EndpointIpamConfig, EndpointSettings, HealthConfig, HostConfigLogConfig, Mount,
    MountType, MountVolumeOptions, MountVolumeOptionsDriverConfig, NetworkingConfig, ResourcesUlimits, RestartPolicy,
    RestartPolicyNameEnum,
};
use slipway_domain::{
    duration::Span,
    manifest::{Healthcheck, Restart},
    order::{ContainerOptions, JoinNetwork, LogTo, MapDevice, MountTmpfs, MountVolume, Ulimit},
};

/// Puts options into what a container is created from.
pub fn apply(options: ContainerOptions, body: &mut ContainerCreateBody) {
    let first = options.networks.first().map(|(name, join)| (name.clone(), endpoint(join)));
    body.entrypoint = options.entrypoint;
    body.user = options.user;
    body.working_dir = options.workdir;
    body.hostname = options.hostname;
    body.stop_signal = options.stop_signal;
    body.stop_timeout = options.stop_grace.map(whole_secs);
    body.labels = Some(options.labels.into_iter().collect());
    let host = body.host_config.get_or_insert_default();
    host.network_mode = first.as_ref().map(|(name, _)| name.clone()).or(options.network_mode);
    host.extra_hosts = some(options.extra_hosts);
    host.dns = some(options.dns);
    host.mounts.get_or_insert_default().extend(options.volumes.into_iter().map(mount));
    host.tmpfs = Some(options.tmpfs.into_iter().map(|(path, tmpfs)| (path, tmpfs_words(&tmpfs))).collect());
    host.shm_size = options.shm_size.map(u64::cast_signed);
    host.readonly_rootfs = Some(options.read_only);
    host.cap_add = some(options.cap_add);
    host.cap_drop = some(options.cap_drop);
    host.security_opt = some(options.security_opt);
    host.privileged = Some(options.privileged);
    host.devices = some(options.devices.into_iter().map(device).collect());
    host.memory = options.memory.map(u64::cast_signed);
    host.memory_swap = options.memory_swap;
    host.nano_cpus = options.nano_cpus.map(u64::cast_signed);
    host.pids_limit = options.pids;
    host.ulimits = some(options.ulimits.into_iter().map(ulimit).collect());
    host.init = options.init.then_some(true);
    host.log_config = options.log.map(log);
    body.networking_config = first.map(|first| NetworkingConfig { endpoints_config: Some(HashMap::from([first])) });
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    Some(list).filter(|list| !list.is_empty())
}

/// How a container is known on a network.
pub fn endpoint(join: &JoinNetwork) -> EndpointSettings {
    EndpointSettings {
        aliases: some(join.aliases.clone()),
        ipam_config: join.ipv4.clone().map(|ip| EndpointIpamConfig { ipv4_address: Some(ip), ..Default::default() }),
        ..Default::default()
    }
}

/// When the engine starts it again.
pub fn restart_policy(restart: Restart) -> RestartPolicy {
    let (name, times) = match restart {
        Restart::No => (RestartPolicyNameEnum::NO, None),
        Restart::Always => (RestartPolicyNameEnum::ALWAYS, None),
        Restart::UnlessStopped => (RestartPolicyNameEnum::UNLESS_STOPPED, None),
        Restart::OnFailure(times) => (RestartPolicyNameEnum::ON_FAILURE, times.map(i64::from)),
    };
    RestartPolicy { name: Some(name), maximum_retry_count: times }
}

/// A HEALTHCHECK.
pub fn healthcheck(check: Healthcheck) -> HealthConfig {
    let test = ["CMD".to_owned()].into_iter().chain(check.command).collect();
    HealthConfig {
        test: Some(test),
        interval: check.interval.map(nanos),
        timeout: check.timeout.map(nanos),
        retries: check.retries.map(i64::from),
        start_period: check.start_period.map(nanos),
        start_interval: None,
    }
}

fn nanos(span: Span) -> i64 {
    i64::try_from(span.0.as_nanos()).unwrap_or(i64::MAX)
}

/// The engine counts whole seconds, and nobody gets less than was said.
fn whole_secs(span: Span) -> i64 {
    let more = u64::from(span.0.subsec_nanos() > 0);
    i64::try_from(span.0.as_secs().saturating_add(more)).unwrap_or(i64::MAX)
}

/// A path of the host that is not there is an error of the engine, which would otherwise make a folder of that name.
fn mount(volume: MountVolume) -> Mount {
    let of_host = volume.is_of_host();
    let driver = volume.driver.map(|name| MountVolumeOptionsDriverConfig {
        name: Some(name),
        options: Some(volume.driver_options.into_iter().collect()),
    });
    Mount {
        typ: Some(if of_host { MountType::BIND } else { MountType::VOLUME }),
        source: volume.source,
        target: Some(volume.target),
        read_only: Some(volume.read_only),
        volume_options: (!of_host).then(|| MountVolumeOptions {
            no_copy: Some(volume.no_copy),
            driver_config: driver,
            ..Default::default()
        }),
        ..Default::default()
    }
}

fn tmpfs_words(tmpfs: &MountTmpfs) -> String {
    let size = tmpfs.size.map(|bytes| format!("size={bytes}"));
    let mode = tmpfs.mode.map(|mode| format!("mode={mode:o}"));
    size.into_iter().chain(mode).collect::<Vec<_>>().join(",")
}

fn device(device: MapDevice) -> DeviceMapping {
    DeviceMapping {
        path_on_host: Some(device.host),
        path_in_container: Some(device.container),
        cgroup_permissions: Some(device.permissions),
    }
}

fn ulimit((name, Ulimit { soft, hard }): (String, Ulimit)) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name), soft: Some(soft), hard: Some(hard) }
}

fn log(LogTo { driver, options }: LogTo) -> HostConfigLogConfig {
    HostConfigLogConfig { typ: driver, config: Some(options.into_iter().collect()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_said_is_nothing_asked_for() {
        let mut body = ContainerCreateBody::default();
        apply(ContainerOptions::default(), &mut body);
        let host = body.host_config.unwrap();
        assert_eq!((host.network_mode, host.memory, host.init, host.log_config), (None, None, None, None));
        assert_eq!((body.entrypoint, body.user, body.networking_config), (None, None, None));
    }

    #[test]
    fn a_grace_is_never_less_than_was_said() {
        let secs = |text: &str| whole_secs(Span::try_from(text.to_owned()).unwrap());
        assert_eq!((secs("30s"), secs("1500ms"), secs("0s")), (30, 2, 0));
    }
}
