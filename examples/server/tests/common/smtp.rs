//! A client that says exactly what it is told to, and notes what was answered.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A connection in clear.
pub struct Smtp {
    stream: BufReader<TcpStream>,
}

/// A reply, its lines joined by line feeds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    pub code: u16,
    pub text: String,
}

impl Smtp {
    /// Connects, reads the greeting and says EHLO.
    pub fn connect(address: SocketAddr) -> io::Result<Self> {
        let mut smtp = Self::connect_only(address)?;
        smtp.reply()?.expect(220)?;
        smtp.command("EHLO client.example")?.expect(250)?;
        Ok(smtp)
    }

    /// Connects and says nothing.
    pub fn connect_only(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(120)))?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// Sends a line and reads the reply.
    pub fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.send(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// Sends octets.
    pub fn send(&mut self, octets: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(octets)
    }

    /// Reads a reply.
    pub fn reply(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            let (code, text) = line.split_at_checked(3).ok_or(io::ErrorKind::InvalidData)?;
            let code = code.parse().map_err(|_| io::ErrorKind::InvalidData)?;
            let last = !text.starts_with('-');
            lines.push(text.get(1..).unwrap_or_default().to_owned());
            if last {
                return Ok(Reply {
                    code,
                    text: lines.join("\n"),
                });
            }
        }
    }

    /// Sends one message; answers the reply that decided about it: the last one, or the first that
    /// refused.
    pub fn message(&mut self, from: &str, to: &[&str], message: &[u8]) -> io::Result<Reply> {
        let mut reply = self.command(&format!("MAIL FROM:<{from}>"))?;
        for recipient in to {
            if reply.code == 250 {
                reply = self.command(&format!("RCPT TO:<{recipient}>"))?;
            }
        }
        if reply.code == 250 {
            reply = self.command("DATA")?;
        }
        if reply.code == 354 {
            self.send(&dot_stuffed(message))?;
            reply = self.reply()?;
        }
        Ok(reply)
    }
}

impl Reply {
    fn expect(self, code: u16) -> io::Result<Self> {
        if self.code == code {
            Ok(self)
        } else {
            Err(io::Error::other(format!("{self:?} instead of {code}")))
        }
    }
}

/// The message as DATA carries it, its end included (RFC 5321 §4.5.2).
fn dot_stuffed(message: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(message.len() + 5);
    for line in message.split_inclusive(|&octet| octet == b'\n') {
        if line.starts_with(b".") {
            data.push(b'.');
        }
        data.extend_from_slice(line);
    }
    if !data.ends_with(b"\r\n") {
        data.extend_from_slice(b"\r\n");
    }
    data.extend_from_slice(b".\r\n");
    data
}
