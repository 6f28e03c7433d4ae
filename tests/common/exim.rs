//! Exim, a real mail server, with a configuration of its own: it takes every mail for everybody and puts it into a folder.

#![allow(dead_code, reason = "each test uses its part")]
#![allow(clippy::panic, reason = "this is how a test fails")]

use super::needs;
use super::tls::{Pair, until};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// How often it is started before something else than a port must be wrong.
const TRIES: u32 = 5;

/// The user called mail on every Debian, for when the tests are run by root.
const MAIL_USER: u32 = 8;

/// A mail server that runs.
pub struct Exim {
    /// Where it takes mails.
    pub address: SocketAddr,
    child: Child,
    folder: TempDir,
}

/// Where it is, if only among Debian's programs for root; or a note that its tests were skipped.
fn program() -> Option<PathBuf> {
    let debian = Path::new("/usr/sbin/exim4");
    if debian.is_file() { Some(debian.to_owned()) } else { needs::program("exim4") }
}

/// What is to be said before the server takes mails, if anything: a user and a password.
pub type Login = Option<(&'static str, &'static str)>;

impl Exim {
    /// A new one, with STARTTLS if it has a pair for it; `None` where it is not installed.
    pub fn start(pair: Option<&Pair>, login: Login) -> Option<Self> {
        let program = program()?;
        for _ in 0..TRIES {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let address = listener.local_addr().expect("an address");
            drop(listener);
            if let Some(exim) = Self::at(&program, address, pair, login) {
                return Some(exim);
            }
        }
        panic!("{} does not start", program.display());
    }

    fn at(program: &Path, address: SocketAddr, pair: Option<&Pair>, login: Login) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        for name in ["spool", "mail"] {
            std::fs::create_dir(path(name)).expect("made");
        }
        let id = |flag: &str| {
            let output = Command::new("id").arg(flag).output().expect("id is there").stdout;
            String::from_utf8(output).expect("text").trim().to_owned()
        };
        let (mut user, mut group) = (id("-u"), id("-g"));
        if user == "0" {
            // It never delivers as root.
            (user, group) = (MAIL_USER.to_string(), MAIL_USER.to_string());
            for name in ["", "spool", "mail"] {
                chown(path(name), Some(MAIL_USER), Some(MAIL_USER)).expect("root may");
            }
        }
        let mut tls = "tls_advertise_hosts =\n".to_owned();
        if let Some(pair) = pair {
            std::fs::write(path("cert.pem"), &pair.pem).expect("written");
            std::fs::write(path("key.pem"), &pair.key_pem).expect("written");
            if id("-u") == "0" {
                chown(path("key.pem"), Some(MAIL_USER), Some(MAIL_USER)).expect("root may");
            }
            tls = format!(
                "tls_advertise_hosts = *\ntls_certificate = {}\ntls_privatekey = {}\n",
                path("cert.pem"),
                path("key.pem")
            );
        }
        let (needs, authenticator) = match login {
            None => ("accept", String::new()),
            Some((user, password)) => (
                "accept authenticated = *\n",
                format!(
                    "begin authenticators\nplain:\n driver = plaintext\n public_name = PLAIN\n server_prompts = :\n \
                     server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}\n \
                     server_set_id = $auth2\n"
                ),
            ),
        };
        let config = format!(
            "primary_hostname = mail.test\nexim_user = {user}\nexim_group = {group}\nnever_users =\n\
             spool_directory = {spool}\nlog_file_path = {folder}/%s.log\npid_file_path = {folder}/pid\n\
             local_interfaces = 127.0.0.1\ndaemon_smtp_ports = {port}\nqueue_run_max = 5\nsmtp_accept_max = 50\n\
             smtp_accept_queue_per_connection = 0\nsmtp_accept_max_per_connection = 100000\n\
             deliver_drop_privilege = true\nkeep_environment =\nhost_lookup =\nrfc1413_query_timeout = 0s\n{tls}\
             acl_smtp_rcpt = rcpt\nacl_smtp_data = data\nbegin acl\nrcpt:\n deny local_parts = refused\n {needs}\ndata:\n accept\n\
             begin routers\nall:\n driver = accept\n transport = box\n\
             begin transports\nbox:\n driver = appendfile\n maildir_format\n directory = {mail}\n \
             create_directory\n user = {user}\n group = {group}\n envelope_to_add\n{authenticator}",
            spool = path("spool"),
            folder = folder.path().display(),
            port = address.port(),
            mail = path("mail"),
        );
        std::fs::write(path("exim.conf"), config).expect("written");
        let said = std::fs::File::create(path("said")).expect("made");
        let child = Command::new(program)
            .args(["-C", &path("exim.conf"), "-bdf", "-q5s"])
            .stdin(Stdio::null())
            .stdout(said.try_clone().expect("a second"))
            .stderr(said)
            .spawn()
            .expect("it starts");
        let mut exim = Self { address, child, folder };
        let mut has_ended = false;
        until("exim listens", || {
            has_ended = exim.child.try_wait().expect("a child").is_some();
            has_ended || TcpStream::connect(address).is_ok()
        });
        if has_ended {
            println!("exim said: {}", std::fs::read_to_string(exim.folder.path().join("said")).unwrap_or_default());
            return None;
        }
        Some(exim)
    }

    /// The mails that came for `local`, oldest first, as they are in the folder.
    pub fn mails(&self, local: &str) -> Vec<String> {
        let to = format!("{local}@");
        self.all().into_iter().filter(|mail| field(mail, "Envelope-To").is_some_and(|at| at.starts_with(&to))).collect()
    }

    /// Everybody who got a mail.
    pub fn everybody(&self) -> Vec<String> {
        let to =
            |mail: &String| field(mail, "Envelope-To").map(|to| to.split('@').next().unwrap_or_default().to_owned());
        self.all().iter().filter_map(to).collect()
    }

    /// Every mail, in the order in which they were put into the folder: names begin with the time.
    fn all(&self) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(self.folder.path().join("mail/new")) else { return Vec::new() };
        let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
        files.sort();
        files.iter().map(|file| std::fs::read_to_string(file).expect("text")).collect()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("main.log")).unwrap_or_default()
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A header of a mail, unfolded.
pub fn field(mail: &str, name: &str) -> Option<String> {
    fields(mail).into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// All headers of a mail, unfolded.
pub fn fields(mail: &str) -> Vec<(String, String)> {
    let head = mail.replace("\r\n", "\n");
    let head = head.split("\n\n").next().unwrap_or_default().to_owned();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in head.lines() {
        match (line.starts_with([' ', '\t']), fields.last_mut()) {
            (true, Some((_, value))) => value.push_str(&format!(" {}", line.trim())),
            _ => {
                let (name, value) = line.split_once(':').unwrap_or((line, ""));
                fields.push((name.to_owned(), value.trim().to_owned()));
            }
        }
    }
    fields
}

/// The parts of a mail, put together as they were written: quoted-printable undone.
pub fn body(mail: &str) -> String {
    let text = mail.replace("\r\n", "\n");
    let (_, text) = text.split_once("\n\n").expect("a head");
    let text = text.replace("=\n", "");
    let mut octets = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.filter(|_| *first == b'=').and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(octet) => {
                octets.push(octet);
                rest = &after[2..];
            }
            None => {
                octets.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&octets).into_owned()
}
