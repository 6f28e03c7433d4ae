//! Asking a name server over UDP and TCP.

use super::message::{Question, Reply};
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// No answer within this is none: the machine may be busy, and silence is asserted rarely.
pub const SILENCE: Duration = Duration::from_secs(2);

/// A client of one server.
#[derive(Debug)]
pub struct Asker {
    /// The server.
    pub server: SocketAddr,
    udp: UdpSocket,
    tcp: Option<TcpStream>,
    id: u16,
}

impl Asker {
    /// A client of the server there.
    pub fn of(server: SocketAddr) -> Self {
        let any = SocketAddr::new(server.ip(), 0);
        let udp = UdpSocket::bind(any).expect("a port");
        udp.connect(server).expect("a route");
        udp.set_read_timeout(Some(SILENCE)).expect("settable");
        Self { server, udp, tcp: None, id: 0 }
    }

    /// How long silence is waited for.
    pub fn patience(&self, patience: Duration) {
        self.udp.set_read_timeout(Some(patience)).expect("settable");
    }

    fn next_id(&mut self) -> u16 {
        self.id = self.id.wrapping_add(1);
        self.id
    }

    /// Asks over UDP; `None` if nothing comes back.
    pub fn udp(&mut self, question: &Question) -> Option<Reply> {
        let id = self.next_id();
        let octets = self.datagram(&question.octets(id), id)?;
        Some(Reply::read(&octets).unwrap_or_else(|error| panic!("{error} in the answer to {question}: {octets:02x?}")))
    }

    /// Sends any octets over UDP and gives what comes back with this id; answers to earlier ones are passed over.
    pub fn datagram(&self, octets: &[u8], id: u16) -> Option<Vec<u8>> {
        // A port that was closed tells so at the next send.
        let sent = self.udp.send(octets);
        sent.or_else(|_| self.udp.send(octets)).expect("sent");
        let mut buffer = vec![0; 65_535];
        loop {
            match self.udp.recv(&mut buffer) {
                Ok(length) if buffer.get(..2).is_some_and(|two| two == id.to_be_bytes()) => {
                    return Some(buffer[..length].to_vec());
                }
                Ok(_) => {}
                Err(_) => return None,
            }
        }
    }

    /// Asks over TCP, on the connection of the last time if there is one; `None` if nothing comes back.
    pub fn tcp(&mut self, question: &Question) -> Option<Reply> {
        let id = self.next_id();
        let octets = self.stream(&question.octets(id))?;
        Some(Reply::read(&octets).unwrap_or_else(|error| panic!("{error} in the answer to {question}: {octets:02x?}")))
    }

    /// Sends any octets as one message over TCP and gives the message that comes back.
    pub fn stream(&mut self, octets: &[u8]) -> Option<Vec<u8>> {
        if let Some(mut kept) = self.tcp.take()
            && let Ok(answer) = exchange(&mut kept, octets)
        {
            self.tcp = Some(kept);
            return Some(answer);
        }
        let mut fresh = TcpStream::connect(self.server).ok()?;
        fresh.set_nodelay(true).ok()?;
        fresh.set_read_timeout(Some(SILENCE)).ok()?;
        let answer = exchange(&mut fresh, octets).ok()?;
        self.tcp = Some(fresh);
        Some(answer)
    }
}

/// Sends one message and reads one.
pub fn exchange(stream: &mut TcpStream, octets: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(octets.len()).expect("a message");
    stream.write_all(&[&length.to_be_bytes()[..], octets].concat())?;
    read_message(stream)
}

/// Reads one message.
pub fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok(message)
}
