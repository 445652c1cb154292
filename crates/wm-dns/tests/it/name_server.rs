//! BIND and NSD on free ports of loopback. Also used by the tests of `examples/server`.
#![allow(dead_code, reason = "shared by tests that each use a part")]

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A name server in a process of its own.
pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    process: Child,
    dir: TempDir,
}

/// A zone and its records, as text.
pub(crate) struct ZoneFile {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A key that may change every zone (`tsig-keygen` makes such).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) algorithm: &'static str,
    /// In base 64.
    pub(crate) secret: &'static str,
}

impl ZoneFile {
    /// A zone served by `ns` in it, on loopback, with further records.
    pub(crate) fn new(name: &str, records: &str) -> Self {
        let text = format!(
            "$TTL 60\n\
             {name}. IN SOA ns.{name}. hostmaster.{name}. 1 3600 600 86400 60\n\
             {name}. IN NS ns.{name}.\n\
             ns.{name}. IN A 127.0.0.1\n\
             {records}"
        );
        Self {
            name: name.to_owned(),
            text,
        }
    }
}

impl NameServer {
    /// BIND with these zones; `None`, with the reason printed, where it is absent.
    pub(crate) fn bind(zones: &[ZoneFile], key: Option<Key>) -> Option<Self> {
        let program = program("named")?;
        Some(Self::start(zones, &|dir, port| {
            let path = dir.display();
            let mut text = format!(
                "options {{ directory \"{path}\"; listen-on port {port} {{ 127.0.0.1; }};\n\
                 listen-on-v6 {{ none; }}; pid-file none; session-keyfile \"{path}/session.key\";\n\
                 managed-keys-directory \"{path}\"; recursion no; dnssec-validation no; notify no;\n\
                 max-records-per-type 0; }};\ncontrols {{ }};\n"
            );
            let mut policy = String::new();
            if let Some(key) = key {
                let Key {
                    name,
                    algorithm,
                    secret,
                } = key;
                text.push_str(&format!(
                    "key \"{name}\" {{ algorithm {algorithm}; secret \"{secret}\"; }};\n"
                ));
                policy = format!(" allow-update {{ key \"{name}\"; }};");
            }
            for zone in zones {
                // What people do to their zones is let in, whatever BIND thinks of it.
                text.push_str(&format!(
                    "zone \"{0}\" {{ type primary; file \"{0}.zone\"; check-names ignore; \
                     check-mx ignore; check-integrity no; check-spf ignore;{policy} }};\n",
                    zone.name
                ));
            }
            fs::write(dir.join("named.conf"), text).unwrap();
            let mut command = Command::new(&program);
            command.arg("-g").arg("-c").arg(dir.join("named.conf"));
            command
        }))
    }

    /// NSD with these zones; `None`, with the reason printed, where it is absent.
    pub(crate) fn nsd(zones: &[ZoneFile]) -> Option<Self> {
        let program = program("nsd")?;
        Some(Self::start(zones, &|dir, port| {
            let path = dir.display();
            let mut text = format!(
                "server:\n ip-address: 127.0.0.1\n port: {port}\n username: \"\"\n chroot: \"\"\n \
                 zonesdir: \"{path}\"\n database: \"\"\n pidfile: \"{path}/nsd.pid\"\n \
                 xfrdfile: \"{path}/xfrd.state\"\n zonelistfile: \"{path}/zone.list\"\n \
                 server-count: 1\nremote-control:\n control-enable: no\n"
            );
            for zone in zones {
                text.push_str(&format!(
                    "zone:\n name: {0}\n zonefile: {0}.zone\n",
                    zone.name
                ));
            }
            fs::write(dir.join("nsd.conf"), text).unwrap();
            let mut command = Command::new(&program);
            command.arg("-d").arg("-c").arg(dir.join("nsd.conf"));
            command
        }))
    }

    /// Starts the program, on another port where somebody else took the one that was free.
    fn start(zones: &[ZoneFile], prepare: &dyn Fn(&Path, u16) -> Command) -> Self {
        let mut said = String::new();
        for _ in 0..3 {
            let dir = TempDir::with_prefix("wm-dns-").unwrap();
            for zone in zones {
                fs::write(dir.path().join(format!("{}.zone", zone.name)), &zone.text).unwrap();
            }
            let port = free_port();
            let log = File::create(dir.path().join("log")).unwrap();
            let process = prepare(dir.path(), port)
                .stdin(Stdio::null())
                .stdout(log.try_clone().unwrap())
                .stderr(log)
                .spawn()
                .unwrap();
            let mut server = Self {
                address: ([127, 0, 0, 1], port).into(),
                process,
                dir,
            };
            if server.is_ready(&zones.last().unwrap().name) {
                return server;
            }
            said = server.log();
        }
        panic!("the name server does not start:\n{said}");
    }

    fn is_ready(&mut self, zone: &str) -> bool {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.process.try_wait().unwrap().is_none() && Instant::now() < deadline {
            if self.serves(zone) && TcpStream::connect(self.address).is_ok() {
                return true;
            }
            sleep(Duration::from_millis(20));
        }
        false
    }

    /// Whether it answers for a zone with authority.
    fn serves(&self, zone: &str) -> bool {
        let mut question = vec![7, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in zone.split('.') {
            question.push(u8::try_from(label.len()).unwrap());
            question.extend(label.as_bytes());
        }
        // The root, SOA, IN.
        question.extend([0, 0, 6, 0, 1]);
        let ask = || -> std::io::Result<bool> {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            socket.connect(self.address)?;
            socket.set_read_timeout(Some(Duration::from_millis(500)))?;
            socket.send(&question)?;
            let mut answer = [0; 512];
            socket.recv(&mut answer)?;
            Ok(answer[2] & 0x04 != 0 && answer[3] & 0x0f == 0)
        };
        ask().unwrap_or(false)
    }

    /// What the server has printed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        // As a service manager does, so that its own processes end too.
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").args(["-s", "TERM", &pid]).status();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- the name server printed:\n{}", self.log());
        }
    }
}

/// A port that is free for datagrams and streams.
fn free_port() -> u16 {
    loop {
        let stream = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = stream.local_addr().unwrap().port();
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// A program of a Debian package. `None`, with the reason printed, where it is absent; in CI that is a
/// failure.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path)
        .chain(["/usr/sbin".into()])
        .map(|dir| dir.join(name))
        .find(|file| file.is_file());
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{name} is absent");
        eprintln!("skipped: {name} is absent; .ci/tools installs it");
    }
    found
}
