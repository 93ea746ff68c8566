//! A Docker host of its own: an engine in a network that is linked to this one, reached over TLS or SSH, that can
//! be cut off without a word.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::{engine::Engine, machine, process::Process, wait};

/// Port of the engine, and of the SSH server.
const DOCKER_PORT: u16 = 2376;
const SSH_PORT: u16 = 2222;
/// Networks that are tried until a free one is found.
const TRIES: u8 = 20;

/// Files by which both sides of a connection prove who they are.
#[derive(Debug, Clone)]
pub struct Proof {
    folder: PathBuf,
}

/// A host. Dropped, it is gone.
pub struct Host {
    /// Its engine.
    pub engine: Engine,
    /// Its address.
    pub address: String,
    _wire: Wire,
    sshd: Option<Process>,
}

impl Host {
    /// Starts a host in whose network the registry of this configuration answers. Its engine listens with a
    /// certificate of the proof's authority.
    pub async fn start(folder: &Path, registry: &Path, proof: &Proof) -> Result<Self> {
        let mut engine = Engine::prepare(folder, registry).await?;
        let wire = Wire::to(engine.network_holder()?).await?;
        let (n, address) = (wire.n, wire.there());
        let server = proof.issue(&format!("server-{n}"), &format!("subjectAltName=IP:{address}")).await?;
        engine.option("--bip", &format!("172.30.{n}.1/24"));
        engine.option("--host", &format!("tcp://{address}:{DOCKER_PORT}"));
        engine.option("--tlsverify", "true");
        engine.option("--tlscacert", &proof.path("ca.pem"));
        engine.option("--tlscert", &format!("{server}.pem"));
        engine.option("--tlskey", &format!("{server}.key"));
        let mut host = Self { engine, address, _wire: wire, sshd: None };
        host.engine.restart().await?;
        Ok(host)
    }

    /// For a Target, over TLS: the value of `docker`.
    pub fn tcp(&self) -> String {
        format!("tcp://{}:{DOCKER_PORT}", self.address)
    }

    /// Starts an SSH server there; the value of `docker` for a Target, and the client's configuration file.
    pub async fn serve_ssh(&mut self, folder: &Path) -> Result<(String, PathBuf)> {
        let path = |file: &str| folder.join(format!("ssh-{file}")).display().to_string();
        for key in ["host", "client"] {
            machine::run("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]).await?;
        }
        let public = |key: &str| std::fs::read_to_string(path(&format!("{key}.pub")));
        std::fs::write(path("authorized"), public("client")?)?;
        std::fs::write(path("known"), format!("[{}]:{SSH_PORT} {}", self.address, public("host")?))?;
        let server = format!(
            "Port {SSH_PORT}\nListenAddress {}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\n\
             PermitRootLogin yes\nSetEnv DOCKER_HOST={}\n",
            self.address,
            path("host"),
            path("authorized"),
            self.engine.endpoint()
        );
        std::fs::write(path("server.conf"), server)?;
        let client = format!(
            "Host *\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n",
            path("client"),
            path("known")
        );
        std::fs::write(path("client.conf"), client)?;
        std::fs::create_dir_all("/run/sshd")?;
        let network = format!("--net={}", self.engine.network()?.display());
        let mut sshd = Process::new("sshd", "nsenter".into(), folder).arg(network).arg("/usr/sbin/sshd");
        for argument in ["-D", "-e", "-f", &path("server.conf")] {
            sshd = sshd.arg(argument);
        }
        sshd.start()?;
        let listens = format!("{}:{SSH_PORT}", self.address);
        wait::until("the SSH server listens", || tokio::net::TcpStream::connect(listens.clone())).await;
        self.sshd = Some(sshd);
        Ok((format!("ssh://root@{}:{SSH_PORT}", self.address), path("client.conf").into()))
    }

    /// Nothing comes in any more, and nobody is told.
    pub async fn cut(&self) -> Result<()> {
        shell(&within(&self.engine, "iptables -I INPUT -i eth0 -j DROP")?).await
    }

    /// Whole again.
    pub async fn mend(&self) -> Result<()> {
        shell(&within(&self.engine, "iptables -D INPUT -i eth0 -j DROP")?).await
    }
}

impl Proof {
    /// A new authority, and a client that it vouches for; in `folder`.
    pub async fn new(folder: &Path, name: &str) -> Result<Self> {
        let folder = folder.join(name);
        std::fs::create_dir_all(&folder)?;
        let proof = Self { folder };
        let (key, certificate) = (proof.path("ca.key"), proof.path("ca.pem"));
        let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-x509", "-days", "2"];
        let own = ["-subj", "/CN=an authority of its own", "-keyout", &key, "-out", &certificate];
        machine::run("openssl", &[&new[..], &own].concat()).await?;
        proof.issue("client", "extendedKeyUsage=clientAuth").await?;
        Ok(proof)
    }

    /// For a Target: the value of `tls`.
    pub fn tls(&self) -> serde_json::Value {
        let [ca, cert, key] = ["ca.pem", "client.pem", "client.key"].map(|file| self.path(file));
        serde_json::json!({ "ca": ca, "cert": cert, "key": key })
    }

    fn path(&self, file: &str) -> String {
        self.folder.join(file).display().to_string()
    }

    /// A key and a certificate with this extension; where they are, without `.key` and `.pem`.
    async fn issue(&self, name: &str, extension: &str) -> Result<String> {
        let path = |end: &str| self.path(&format!("{name}.{end}"));
        let (key, request, certificate, extensions) = (path("key"), path("csr"), path("pem"), path("ext"));
        std::fs::write(&extensions, extension)?;
        let new = ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
        let subject = format!("/CN={name}");
        machine::run("openssl", &[&new[..], &["-subj", &subject, "-keyout", &key, "-out", &request]].concat()).await?;
        let (ca, ca_key) = (self.path("ca.pem"), self.path("ca.key"));
        let sign = ["x509", "-req", "-in", &request, "-CA", &ca, "-CAkey", &ca_key, "-CAcreateserial", "-days", "2"];
        machine::run("openssl", &[&sign[..], &["-extfile", &extensions, "-out", &certificate]].concat()).await?;
        Ok(self.path(name))
    }
}

/// A link between this network and that of a process, where it is `eth0` and the way to everywhere. Dropped, it is gone.
pub struct Wire {
    name: String,
    n: u8,
}

impl Wire {
    /// Links the network of a process.
    pub async fn to(process: u32) -> Result<Self> {
        let wire = Self::claimed(process).await?;
        let (name, here, there) = (&wire.name, wire.here(), wire.there());
        let within = format!("nsenter --net=/proc/{process}/ns/net");
        for command in [
            format!("ip addr add {here}/24 dev {name}"),
            format!("ip link set {name} up"),
            format!("{within} ip addr add {there}/24 dev eth0"),
            format!("{within} ip link set eth0 up"),
            format!("{within} ip route add default via {here}"),
        ] {
            shell(&command).await?;
        }
        Ok(wire)
    }

    /// The name is the claim: whoever else has the number is refused.
    async fn claimed(process: u32) -> Result<Self> {
        let mut last = None;
        for _ in 0..TRIES {
            let n = uuid::Uuid::new_v4().as_bytes()[0].clamp(2, 250);
            let wire = Self { name: format!("slipway{n}"), n };
            let add = format!("ip link add {} type veth peer name eth0 netns {process}", wire.name);
            match shell(&add).await {
                Ok(()) => return Ok(wire),
                Err(error) => {
                    last = Some(error);
                    // It is somebody else's.
                    std::mem::forget(wire);
                }
            }
        }
        Err(last.context("a number was tried")?)
    }

    /// The address of this side.
    pub fn here(&self) -> String {
        format!("10.203.{}.1", self.n)
    }

    /// The address of the other side.
    pub fn there(&self) -> String {
        format!("10.203.{}.2", self.n)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        let _ = std::process::Command::new("ip").args(["link", "del", &self.name]).output();
    }
}

/// A command in the network of an engine.
fn within(engine: &Engine, command: &str) -> Result<String> {
    Ok(format!("nsenter --net={} {command}", engine.network()?.display()))
}

async fn shell(command: &str) -> Result<()> {
    machine::run("sh", &["-c", command]).await.map(drop)
}

/// Waits until a process has a network of its own.
pub async fn own_network(process: u32) -> Result<()> {
    let ours = std::fs::read_link("/proc/self/ns/net")?;
    wait::until("it has a network of its own", || async {
        match std::fs::read_link(format!("/proc/{process}/ns/net")) {
            Ok(its) if its != ours => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    Ok(())
}
