//! Sizes, volumes, devices and limits, as people write them.

use crate::{
    manifest::{Networks, Volume, VolumeOptions},
    order::{MapDevice, MountVolume, Ulimit},
};

/// Docker takes no less memory than this for a container.
const LEAST_MEMORY: u64 = 6 << 20;

/// A size in bytes: `512m`, `1g`, `1.5GiB`, `64k`, `100b`. A bare number is refused, since nobody agrees on its unit.
pub fn size(text: &str) -> Result<u64, String> {
    let bad = || format!("`{text}` is no size: write it like 512m, 1g, 1.5g, 64k or 100b");
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(bad)?;
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_start().to_ascii_lowercase().as_str() {
        "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(bad()),
    };
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(1 << shift),
        Err(_) => number.parse::<f64>().ok().and_then(|part| whole_of(part * f64::from(1_u32 << 10).powi(shift / 10))),
    };
    bytes.filter(|bytes| (1..=i64::MAX.unsigned_abs()).contains(bytes)).ok_or_else(bad)
}

/// The whole number nearest to another.
fn whole_of(number: f64) -> Option<u64> {
    format!("{number:.0}").parse().ok()
}

/// Memory of a container.
pub fn memory(text: &str) -> Result<u64, String> {
    match size(text)? {
        bytes if bytes < LEAST_MEMORY => Err(format!("`{text}` is less than the 6m that Docker needs")),
        bytes => Ok(bytes),
    }
}

/// Memory and swap together; -1 is no limit.
pub fn memory_swap(text: &str) -> Result<i64, String> {
    if matches!(text, "unlimited" | "-1") {
        return Ok(-1);
    }
    size(text).map(|bytes| bytes.cast_signed()).map_err(|problem| format!("{problem}, or unlimited"))
}

/// Processors in billionths of one.
pub fn cpus(text: &str) -> Result<u64, String> {
    let number = text.trim().parse::<f64>().ok().filter(|cpus| (0.01..=10_000.0).contains(cpus));
    number.and_then(|cpus| whole_of(cpus * 1e9)).ok_or_else(|| {
        format!("`{text}` is no number of processors: write it like 2, 1.5 or 0.25, and no less than 0.01")
    })
}

/// A number of processes; -1 is no limit.
pub fn pids(text: &str) -> Result<i64, String> {
    match text.trim() {
        "unlimited" | "-1" => Ok(-1),
        number => {
            number.parse().ok().filter(|pids| *pids > 0).ok_or_else(|| {
                format!("`{text}` is no number of processes: write a whole number above 0, or unlimited")
            })
        }
    }
}

/// `SOFT` or `SOFT:HARD`; -1 is no limit.
pub fn ulimit(text: &str) -> Result<Ulimit, String> {
    let number = |part: &str| part.trim().parse::<i64>().ok().filter(|limit| *limit >= -1);
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    match (number(soft), number(hard)) {
        (Some(soft), Some(hard)) if hard == -1 || (soft != -1 && soft <= hard) => Ok(Ulimit { soft, hard }),
        (Some(_), Some(_)) => Err(format!("`{text}`: what holds is above what it may be raised to")),
        _ => Err(format!("`{text}` is no limit: write SOFT or SOFT:HARD, whole numbers; -1 is no limit")),
    }
}

/// A mode in octal.
pub fn mode(text: &str) -> Result<u32, String> {
    let mode = u32::from_str_radix(text, 8).ok().filter(|mode| *mode <= 0o7777);
    mode.ok_or_else(|| format!("`{text}` is no mode: write it in octal, such as \"1777\""))
}

/// `/dev/x`, `/dev/x:/dev/y` or `/dev/x:/dev/y:rwm`.
pub fn device(text: &str) -> Result<MapDevice, String> {
    let bad = || format!("`{text}` is no device: write /dev/x, /dev/x:/dev/y or /dev/x:/dev/y:rw, of r, w and m");
    let parts: Vec<&str> = text.split(':').collect();
    let (host, container, permissions) = match parts.as_slice() {
        [host] => (*host, *host, "rwm"),
        [host, container] if container.starts_with('/') => (*host, *container, "rwm"),
        [host, permissions] => (*host, *host, *permissions),
        [host, container, permissions] => (*host, *container, *permissions),
        _ => return Err(bad()),
    };
    let good = host.starts_with('/')
        && container.starts_with('/')
        && !permissions.is_empty()
        && permissions.chars().all(|c| "rwm".contains(c));
    let owned = str::to_owned;
    if good {
        Ok(MapDevice { host: owned(host), container: owned(container), permissions: owned(permissions) })
    } else {
        Err(bad())
    }
}

/// `NAME:IP`, or `NAME:host-gateway`.
pub fn extra_host(text: &str) -> Result<String, String> {
    let good = text.split_once(':').is_some_and(|(name, ip)| {
        let ip = ip.trim_matches(['[', ']']);
        is_host_name(name) && (ip == "host-gateway" || ip.parse::<std::net::IpAddr>().is_ok())
    });
    if good { Ok(text.to_owned()) } else { Err(format!("`{text}`: write NAME:IP, or NAME:host-gateway for the host")) }
}

/// An address.
pub fn ip(text: &str) -> Result<String, String> {
    match text.parse::<std::net::IpAddr>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("`{text}` is no IP address")),
    }
}

/// Addresses: `10.5.0.0/16`.
pub fn subnet(text: &str) -> Result<String, String> {
    let good = text.split_once('/').is_some_and(|(ip, bits)| {
        let bits = bits.parse::<u8>().ok();
        match ip.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(_)) => bits.is_some_and(|bits| bits <= 32),
            Ok(std::net::IpAddr::V6(_)) => bits.is_some_and(|bits| bits <= 128),
            Err(_) => false,
        }
    });
    if good {
        Ok(text.to_owned())
    } else {
        Err(format!("`{text}` is no range of addresses: write it like 10.5.0.0/16"))
    }
}

/// An IPv4 address.
pub fn ipv4(text: &str) -> Result<String, String> {
    match text.parse::<std::net::Ipv4Addr>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("`{text}` is no IPv4 address")),
    }
}

/// A name of a host.
pub fn host_name(text: &str) -> Result<String, String> {
    if is_host_name(text) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is no host name: use letters, digits, `-` and `.`, 63 characters at most"))
}

fn is_host_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    (1..=63).contains(&text.len()) && text.chars().all(good) && !text.starts_with(['-', '.'])
}

/// The name of a network, a volume or a container.
pub fn name(text: &str) -> Result<String, String> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
    if text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.chars().all(good) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is no name for Docker: use letters, digits, `_`, `.` and `-`"))
}

/// `bridge`, `host`, `none` or `container:NAME`.
pub fn network_mode(text: &str) -> Result<String, String> {
    match text {
        "bridge" | "host" | "none" => Ok(text.to_owned()),
        _ => match text.strip_prefix("container:") {
            Some(container) => name(container).map(|_| text.to_owned()),
            None => Err(format!(
                "`{text}` is not known: write bridge, host, none or container:NAME; networks of your own go under \
                 `networks`"
            )),
        },
    }
}

/// An absolute path.
pub fn path(text: &str) -> Result<String, String> {
    let parts = || text.split('/').skip(1);
    if text.starts_with('/') && text.len() > 1 && !parts().any(|part| matches!(part, "." | "..")) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is no absolute path"))
}

/// `linux/amd64`, `linux/arm/v7`.
pub fn platform(text: &str) -> Result<String, String> {
    let part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '.');
    let parts: Vec<&str> = text.split('/').collect();
    if matches!(parts.len(), 2 | 3) && parts.into_iter().all(part) {
        return Ok(text.to_owned());
    }
    Err(format!("`{text}` is no platform: write it like linux/amd64 or linux/arm/v7"))
}

/// `TARGET`, `SOURCE:TARGET` or `SOURCE:TARGET:ro`.
pub fn volume(text: &str) -> Result<VolumeOptions, String> {
    let bad = |why: &str| {
        format!("`{text}` is no volume: {why}; write NAME:/path or /host:/path, with :ro if it is not to be written")
    };
    let owned = str::to_owned;
    let parts: Vec<&str> = text.split(':').collect();
    let (source, target, words) = match parts.as_slice() {
        [target] => (None, *target, ""),
        [source, target] => (Some(owned(source)), *target, ""),
        [source, target, words] => (Some(owned(source)), *target, *words),
        _ => return Err(bad("it has too many parts")),
    };
    let mut volume = VolumeOptions {
        source,
        target: owned(target),
        read_only: false,
        no_copy: false,
        driver: None,
        driver_options: [].into(),
    };
    for word in words.split(',').filter(|_| parts.len() == 3) {
        match word {
            "ro" => volume.read_only = true,
            "rw" => {}
            "nocopy" => volume.no_copy = true,
            other => return Err(bad(&format!("`{other}` is none of ro, rw and nocopy"))),
        }
    }
    Ok(volume)
}

/// A volume that makes sense.
pub fn mount(volume: VolumeOptions) -> Result<MountVolume, String> {
    let VolumeOptions { source, target, read_only, no_copy, driver, driver_options } = volume;
    let target = path(&target).map_err(|problem| format!("target {problem}"))?;
    if target.starts_with(super::SECRETS_FOLDER) || format!("{target}/") == super::SECRETS_FOLDER {
        return Err(format!("target `{target}` lies where `secrets` are"));
    }
    let of_host = source.as_ref().is_some_and(|source| source.starts_with('/'));
    if let Some(source) = &source {
        if of_host { path(source) } else { name(source) }.map_err(|problem| {
            format!("source {problem}; write an absolute path of the host, or the name of a volume")
        })?;
    }
    if of_host && (no_copy || driver.is_some() || !driver_options.is_empty()) {
        return Err(format!("`{target}`: a path of the host is no volume, it has no `no-copy` and no `driver`"));
    }
    if driver.is_none() && !driver_options.is_empty() {
        return Err(format!("`{target}` has `driver-options` without a `driver`"));
    }
    Ok(MountVolume { source, target, read_only, no_copy, driver, driver_options })
}

impl Volume {
    /// Its texts that are templates.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::Short(text) => vec![text],
            Self::Long(long) => {
                let parts = long.source.iter().chain([&long.target]).chain(&long.driver);
                parts.chain(long.driver_options.values()).map(String::as_str).collect()
            }
        }
    }
}

impl Networks {
    /// Its texts that are templates.
    pub fn texts(&self) -> Vec<&str> {
        match self {
            Self::Names(names) => names.iter().map(String::as_str).collect(),
            Self::With(networks) => {
                let options = networks.values().flatten().flat_map(|one| one.aliases.iter().chain(&one.ipv4));
                networks.keys().chain(options).map(String::as_str).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [
            ("100b", 100),
            ("64k", 64 << 10),
            ("512m", 512 << 20),
            ("512 MB", 512 << 20),
            ("1g", 1 << 30),
            ("1.5GiB", 3 << 29),
            ("2T", 2 << 40),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "512", "m", "-1m", "0m", "1x", "1.2.3m", "99999999999t", "1 2m", "1e3m", "inf"] {
            assert!(size(bad).unwrap_err().contains("is no size: write it like 512m"), "{bad}");
        }
        assert!(memory("5m").unwrap_err().contains("less than the 6m"));
        assert_eq!(memory_swap("unlimited"), Ok(-1));
        assert!(memory_swap("lots").unwrap_err().ends_with("or unlimited"));
    }

    #[test]
    fn other_limits_are_numbers_that_make_sense() {
        assert_eq!(cpus("1.5"), Ok(1_500_000_000));
        for bad in ["0", "-1", "many", "NaN", "inf", "0.001"] {
            assert!(cpus(bad).is_err(), "{bad}");
        }
        assert_eq!((pids("100"), pids("unlimited")), (Ok(100), Ok(-1)));
        for bad in ["0", "-2", "1.5", ""] {
            assert!(pids(bad).is_err(), "{bad}");
        }
        assert_eq!(ulimit("10:20"), Ok(Ulimit { soft: 10, hard: 20 }));
        assert_eq!(ulimit("10"), Ok(Ulimit { soft: 10, hard: 10 }));
        assert_eq!(ulimit("10:-1"), Ok(Ulimit { soft: 10, hard: -1 }));
        for bad in ["20:10", "-1:10", "x", "1:2:3", "-5"] {
            assert!(ulimit(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn volumes_are_read_or_refused() {
        let show = |text: &str| volume(text).and_then(mount).map(|m| (m.source, m.target, m.read_only, m.no_copy));
        let named = |source: &str, ro, no_copy| Ok((Some(source.to_owned()), "/var/lib/x".to_owned(), ro, no_copy));
        assert_eq!(show("data:/var/lib/x"), named("data", false, false));
        assert_eq!(show("data:/var/lib/x:ro,nocopy"), named("data", true, true));
        assert_eq!(show("/srv/x:/var/lib/x:rw"), named("/srv/x", false, false));
        assert_eq!(show("/var/cache"), Ok((None, "/var/cache".to_owned(), false, false)));
        for (bad, why) in [
            ("data:var", "target `var` is no absolute path"),
            ("./data:/var", "source `./data` is no name for Docker"),
            ("data:/var:z", "`z` is none of ro, rw and nocopy"),
            ("a:/b:ro:c", "too many parts"),
            ("/srv/../etc:/x", "source `/srv/../etc` is no absolute path"),
            ("/srv:/x:nocopy", "a path of the host is no volume"),
            ("data:/run/secrets", "lies where `secrets` are"),
            ("data:", "target `` is no absolute path"),
            (":/x", "source `` is no name"),
        ] {
            let problem = show(bad).unwrap_err();
            assert!(problem.contains(why), "{bad}: {problem}");
        }
    }

    #[test]
    fn devices_hosts_modes_and_platforms_are_read_or_refused() {
        let show = |text: &str| device(text).map(|d| format!("{}>{}={}", d.host, d.container, d.permissions));
        assert_eq!(show("/dev/fuse").unwrap(), "/dev/fuse>/dev/fuse=rwm");
        assert_eq!(show("/dev/a:/dev/b").unwrap(), "/dev/a>/dev/b=rwm");
        assert_eq!(show("/dev/a:/dev/b:r").unwrap(), "/dev/a>/dev/b=r");
        assert!(device("fuse").is_err() && device("/dev/a:/dev/b:x").is_err() && device("/dev/a:").is_err());
        assert!(extra_host("db:10.0.0.1").is_ok() && extra_host("h:host-gateway").is_ok());
        assert!(extra_host("db:::1").is_ok() && extra_host("db").is_err() && extra_host("db:nowhere").is_err());
        assert_eq!(mode("1777"), Ok(0o1777));
        assert!(mode("8").is_err() && mode("17777").is_err());
        assert!(platform("linux/arm/v7").is_ok() && platform("linux").is_err() && platform("linux/").is_err());
        assert!(network_mode("container:web-1").is_ok() && network_mode("shop").unwrap_err().contains("`networks`"));
        assert!(host_name("web-1").is_ok() && host_name("a b").is_err() && host_name("").is_err());
        assert!(subnet("10.5.0.0/16").is_ok() && subnet("10.5.0.0").is_err() && subnet("10.5.0.0/33").is_err());
        assert!(ip("1.2.3.4").is_ok() && ip("::1").is_ok() && ipv4("::1").is_err());
    }
}
