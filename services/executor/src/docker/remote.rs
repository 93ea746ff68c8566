//! Engines of other hosts: over TCP, where both sides prove who they are, and over SSH. A link that is cut
//! without a word is noticed within about half a minute, by the kernel or by ssh.

use std::{
    future::Future,
    io,
    path::PathBuf,
    pin::Pin,
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bollard::{API_DEFAULT_VERSION, BollardRequest, Docker, errors::Error};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connect, Connected, Connection, HttpConnector},
    },
    rt::{TokioExecutor, TokioIo},
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use slipway_domain::manifest::DockerTls;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    process::{Child, ChildStdin, ChildStdout, Command},
};

use super::ANSWER_SECS;

/// How long a connection may take to come about.
const CONNECT: Duration = Duration::from_secs(10);
/// A connection over which nothing comes for so long is asked whether it is still there,
const KEEPALIVE: Duration = Duration::from_secs(10);
/// again after so long,
const AGAIN: Duration = Duration::from_secs(5);
/// and so often, before it counts as dead.
const TIMES: u32 = 3;
/// What was sent must be acknowledged by then.
const ACKNOWLEDGED: Duration = Duration::from_secs(20);
/// How long a connection waits for the next request.
const IDLE: Duration = Duration::from_secs(20);
/// Last words of ssh that are kept.
const LAST_WORDS: usize = 2_000;

/// What ssh said last, which tells more than that it has ended.
pub type LastWords = Arc<Mutex<String>>;

/// `user@host:port` of an SSH endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SshAddress {
    destination: String,
    port: Option<u16>,
}

/// An engine over TCP, believed only with a certificate of that authority.
pub fn tcp(address: &str, tls: &DockerTls) -> Result<Docker, String> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(AGAIN));
    tcp.set_keepalive_retries(Some(TIMES));
    tcp.set_tcp_user_timeout(Some(ACKNOWLEDGED));
    let https: HttpsConnector<_> =
        HttpsConnectorBuilder::new().with_tls_config(config(tls)?).https_only().enable_http1().wrap_connector(tcp);
    docker(https, &format!("https://{address}"))
}

fn config(tls: &DockerTls) -> Result<ClientConfig, String> {
    let unreadable = |path: &str, why: &dyn std::fmt::Display| format!("`{path}` of `tls` can not be read: {why}");
    let certificates = |path: &str| -> Result<Vec<CertificateDer<'static>>, String> {
        let pem = std::fs::read(path).map_err(|e| unreadable(path, &e))?;
        let found = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
        match found.map_err(|e| unreadable(path, &e))? {
            none if none.is_empty() => Err(unreadable(path, &"there is no certificate in it")),
            found => Ok(found),
        }
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca)? {
        roots.add(certificate).map_err(|e| unreadable(&tls.ca, &e))?;
    }
    let key = std::fs::read(&tls.key).map_err(|e| unreadable(&tls.key, &e))?;
    let key = PrivateKeyDer::from_pem_slice(&key).map_err(|e| unreadable(&tls.key, &e))?;
    ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(certificates(&tls.cert)?, key)
        .map_err(|e| unreadable(&tls.cert, &e))
}

/// An engine over SSH, by the `ssh` of this host and the `docker` of the other one.
pub fn ssh(endpoint: &str, config: Option<PathBuf>, last_words: LastWords) -> Result<Docker, String> {
    let address = SshAddress::parse(endpoint).ok_or("write ssh://user@host or ssh://user@host:port")?;
    docker(SshConnector { address: Arc::new(address), config, last_words }, "http://docker")
}

fn docker<C>(connector: C, address: &str) -> Result<Docker, String>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(IDLE).build(connector);
    let transport = move |request: BollardRequest| {
        let client = client.clone();
        async move { client.request(request).await.map_err(Error::from) }
    };
    Docker::connect_with_custom_transport(transport, Some(address), ANSWER_SECS, API_DEFAULT_VERSION)
        .map_err(|error| error.to_string())
}

impl SshAddress {
    /// What begins with a dash would be an option of ssh.
    fn parse(endpoint: &str) -> Option<Self> {
        let rest = endpoint.strip_prefix("ssh://")?;
        let (destination, port) = match rest.rsplit_once(':') {
            Some((destination, port)) => (destination, Some(port.parse().ok()?)),
            None => (rest, None),
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '@');
        let good = destination.chars().all(plain)
            && destination.split('@').count() <= 2
            && destination.split('@').all(|part| !part.is_empty() && !part.starts_with('-'));
        good.then(|| Self { destination: destination.to_owned(), port })
    }
}

/// Makes connections that are the standard streams of `ssh … docker system dial-stdio`.
#[derive(Clone)]
struct SshConnector {
    address: Arc<SshAddress>,
    config: Option<PathBuf>,
    last_words: LastWords,
}

impl SshConnector {
    fn open(&self) -> io::Result<TokioIo<SshStream>> {
        let mut ssh = Command::new("ssh");
        ssh.args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=10"]);
        ssh.args(["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=4"]);
        if let Some(config) = &self.config {
            ssh.arg("-F").arg(config);
        }
        if let Some(port) = self.address.port {
            ssh.arg("-p").arg(port.to_string());
        }
        ssh.arg("--").arg(&self.address.destination).args(["docker", "system", "dial-stdio"]);
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = ssh.spawn().map_err(|e| io::Error::other(format!("`ssh` can not be started: {e}")))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("`ssh` has no standard streams"));
        };
        if let Some(mut words) = child.stderr.take() {
            let last_words = self.last_words.clone();
            tokio::spawn(async move {
                let mut chunk = [0; 1024];
                while let Ok(n @ 1..) = words.read(&mut chunk).await {
                    let said = String::from_utf8_lossy(&chunk[..n]).into_owned();
                    let mut all = last_words.lock().unwrap_or_else(PoisonError::into_inner);
                    all.push_str(&said);
                    let from = all.len().saturating_sub(LAST_WORDS);
                    *all = all.get(from..).unwrap_or_default().to_owned();
                }
            });
        }
        self.last_words.lock().unwrap_or_else(PoisonError::into_inner).clear();
        Ok(TokioIo::new(SshStream { input, output, _child: child }))
    }
}

impl tower_service::Service<hyper::Uri> for SshConnector {
    type Response = TokioIo<SshStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: hyper::Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { connector.open() })
    }
}

/// The standard streams of an ssh, which ends with them.
struct SshStream {
    input: ChildStdin,
    output: ChildStdout,
    _child: Child,
}

impl Connection for SshStream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for SshStream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(cx, buffer)
    }
}

impl AsyncWrite for SshStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.input).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.input).poll_shutdown(cx)
    }
}

/// The host's name or address in an endpoint of another host, by which its published ports can be reached; none for
/// an engine of this host.
pub fn host_of(endpoint: &str) -> Option<String> {
    let rest = endpoint.strip_prefix("tcp://").or_else(|| endpoint.strip_prefix("ssh://"))?;
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    let host = match (host.strip_prefix('['), host.rsplit_once(':')) {
        (Some(v6), _) => format!("[{}]", v6.split(']').next()?),
        (None, Some((host, _))) => host.to_owned(),
        (None, None) => host.to_owned(),
    };
    Some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ssh_endpoint_has_a_destination_and_may_have_a_port() {
        let parse = |text: &str| SshAddress::parse(text).map(|a| (a.destination, a.port));
        assert_eq!(parse("ssh://deploy@web-01"), Some(("deploy@web-01".into(), None)));
        assert_eq!(parse("ssh://web-01.example.org:2222"), Some(("web-01.example.org".into(), Some(2222))));
        for bad in
            ["ssh://", "ssh://-oProxyCommand=x", "ssh://a@-x", "ssh://a b", "ssh://a@b@c", "ssh://a:x", "unix:///x"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn published_ports_of_another_host_are_at_its_name() {
        assert_eq!(host_of("unix:///var/run/docker.sock"), None);
        assert_eq!(host_of("tcp://10.0.0.1:2376").as_deref(), Some("10.0.0.1"));
        assert_eq!(host_of("tcp://[fd00::1]:2376").as_deref(), Some("[fd00::1]"));
        assert_eq!(host_of("ssh://deploy@web-01:22").as_deref(), Some("web-01"));
        assert_eq!(host_of("ssh://web-01").as_deref(), Some("web-01"));
    }
}
