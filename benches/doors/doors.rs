//! The proxies compared: how each is configured, started and asked whether it works.

use super::shared::machine;
use super::shared::process::{Core, Running, command, free_ports, wait_until};
use anyhow::{Context, bail, ensure};
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The program that is a door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Debian's nginx.
    Nginx,
    /// Debian's HAProxy.
    Haproxy,
    /// A build of anyfront.
    Anyfront(PathBuf),
}

/// What every door is given.
#[derive(Debug)]
pub struct Surroundings {
    /// Where configurations and logs go.
    pub dir: PathBuf,
    /// The endpoint's port.
    pub endpoint: u16,
    /// Where the endpoint takes gRPC.
    pub grpc: u16,
    /// The certificate of `localhost` and `grpc.localhost`, its key, and both in one file.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Both.
    pub bundle: PathBuf,
}

/// A running proxy.
#[derive(Debug)]
pub struct Door {
    /// As in the report.
    pub name: String,
    /// HTTP/1.1 in the clear.
    pub http: u16,
    /// HTTP/1.1 and HTTP/2 over TLS.
    pub https: u16,
    process: Running,
}

impl Surroundings {
    /// A folder of our own, a certificate, a port for the endpoint.
    pub fn prepare(dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
        let dir = dir.canonicalize()?;
        // P-256 is what rcgen makes unless told otherwise.
        let made = rcgen::generate_simple_self_signed(["localhost", "grpc.localhost"].map(str::to_owned))?;
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let file = |name: &str, text: &str| -> anyhow::Result<PathBuf> {
            fs::write(dir.join(name), text)?;
            Ok(dir.join(name))
        };
        let [endpoint, grpc] = free_ports()?;
        Ok(Self {
            endpoint,
            grpc,
            bundle: file("bundle.pem", &format!("{certificate}{key}"))?,
            certificate: file("certificate.pem", &certificate)?,
            key: file("key.pem", &key)?,
            dir,
        })
    }

    fn filled(&self, template: &str, dir: &Path, http: u16, https: u16) -> String {
        template
            .replace("@DIR@", &dir.display().to_string())
            .replace("@HTTP@", &http.to_string())
            .replace("@HTTPS@", &https.to_string())
            .replace("@ENDPOINT@", &self.endpoint.to_string())
            .replace("@GRPC@", &self.grpc.to_string())
            .replace("@CERTIFICATE@", &self.certificate.display().to_string())
            .replace("@KEY@", &self.key.display().to_string())
            .replace("@BUNDLE@", &self.bundle.display().to_string())
    }
}

impl Kind {
    /// Where its program is; nowhere if it is not installed.
    pub fn program(&self) -> Option<PathBuf> {
        match self {
            Self::Nginx => machine::program("nginx"),
            Self::Haproxy => machine::program("haproxy"),
            Self::Anyfront(file) => Some(file.clone()).filter(|file| file.is_file()),
        }
    }

    /// Whether it is one of those to be compared with.
    pub fn is_peer(&self) -> bool {
        !matches!(self, Self::Anyfront(_))
    }
}

impl Door {
    /// Starts it on the core of the doors and waits until it forwards.
    pub fn open(name: &str, kind: &Kind, around: &Surroundings) -> anyhow::Result<Self> {
        let dir = around.dir.join(name);
        fs::create_dir_all(&dir)?;
        let program = kind.program().with_context(|| format!("{name} is not installed"))?;
        let [http, https] = free_ports()?;
        let configured = |file: &str, template: &str| -> anyhow::Result<PathBuf> {
            let file = dir.join(file);
            fs::write(&file, around.filled(template, &dir, http, https))?;
            Ok(file)
        };
        let process = match kind {
            Kind::Nginx => {
                let file = configured("nginx.conf", include_str!("nginx.conf"))?;
                let mut command = command(Core::Door, "TERM", program); // its master then ends the worker
                command.arg("-p").arg(&dir).arg("-e").arg("stderr").arg("-c").arg(file);
                command
            }
            Kind::Haproxy => {
                let file = configured("haproxy.cfg", include_str!("haproxy.cfg"))?;
                let mut command = command(Core::Door, "KILL", program);
                command.args(["-db", "-q", "-f"]).arg(file);
                command
            }
            Kind::Anyfront(_) => {
                let file = configured("regions.toml", include_str!("regions.toml"))?;
                let mut command = command(Core::Door, "KILL", program);
                command.arg("serve").arg("--config").arg(file).arg("--state-dir").arg(dir.join("state"));
                command.args(["--http", &format!("127.0.0.1:{http}"), "--https", &format!("127.0.0.1:{https}")]);
                command.args(["--admin", "127.0.0.1:0", "--workers", "1"]);
                command.arg("--tls-cert").arg(&around.certificate).arg("--tls-key").arg(&around.key);
                command
            }
        };
        let log = dir.join("log");
        let process = Running::logged(process, &log)?;
        let mut door = Self { name: name.to_owned(), http, https, process };
        let works = wait_until(Duration::from_secs(20), || {
            if let Some(status) = door.process.ended()? {
                bail!("it ended with {status}");
            }
            Ok(answers(http).is_ok())
        });
        works.with_context(|| {
            let last = answers(http).err().map(|error| error.to_string()).unwrap_or_default();
            format!("{name} does not forward: {last}; its log: {}", fs::read_to_string(&log).unwrap_or_default())
        })?;
        Ok(door)
    }

    /// The id of its first process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// Starts the endpoint on the core of the load.
pub fn endpoint(around: &Surroundings) -> anyhow::Result<Running> {
    let mut command = command(Core::Load, "KILL", std::env::current_exe()?);
    command.args(["endpoint", &around.endpoint.to_string(), &around.grpc.to_string()]);
    let mut process = Running::logged(command, &around.dir.join("endpoint.log"))?;
    wait_until(Duration::from_secs(10), || {
        if let Some(status) = process.ended()? {
            bail!("the endpoint ended with {status}");
        }
        Ok(answers(around.endpoint).is_ok())
    })?;
    Ok(process)
}

/// Whether what listens there answers as the endpoint does.
fn answers(port: u16) -> anyhow::Result<()> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    connection.set_read_timeout(Some(Duration::from_secs(2)))?;
    connection.write_all(b"GET /1k HTTP/1.1\r\nHost: localhost\r\n\r\n")?;
    let mut head = [0; 12];
    connection.read_exact(&mut head)?;
    ensure!(&head == b"HTTP/1.1 200", "it answers {}", String::from_utf8_lossy(&head));
    Ok(())
}
