//! The address of a stand-in, and the listener behind it.
//!
//! The address is reserved for as long as the door exists, by a socket that is bound and never listens: while nobody
//! else listens, connections are refused, and no other world gets the address. What listens is a second socket, opened
//! and closed as faults want.

use socket2::{Domain, SockRef, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1_024;
/// A connection on loopback that takes longer than this hangs: it takes microseconds.
const HANGS_AFTER: Duration = Duration::from_millis(20);
/// With a backlog of 0 the queue has room for one; more are tried in case of strangers that leave it.
const FILLERS_MAX: usize = 8;

#[derive(Debug)]
pub(super) struct Door {
    address: SocketAddr,
    _reservation: Socket,
    listener: Option<TcpListener>,
    /// Our own connections that fill the queue of a door that hangs.
    fillers: Vec<TcpStream>,
}

impl Door {
    /// Reserves an address; port 0 is any. Nobody listens yet.
    pub(super) fn reserve(address: SocketAddr) -> io::Result<Self> {
        let reservation = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // Without SO_REUSEADDR: an address that anybody else uses, listening or not, is not free. With it from here on,
        // because the listener must be able to join.
        reservation.bind(&address.into())?;
        reservation.set_reuse_address(true)?;
        let address = reservation.local_addr()?.as_socket().unwrap_or(address);
        Ok(Self { address, _reservation: reservation, listener: None, fillers: Vec::new() })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets connections in.
    pub(super) fn open(&mut self) -> io::Result<()> {
        match &self.listener {
            Some(listener) => SockRef::from(listener).listen(BACKLOG)?,
            None => {
                let socket = Socket::new(Domain::for_address(self.address), Type::STREAM, None)?;
                socket.set_reuse_address(true)?;
                socket.set_nonblocking(true)?;
                socket.bind(&self.address.into())?;
                socket.listen(BACKLOG)?;
                self.listener = Some(TcpListener::from_std(socket.into())?);
            }
        }
        self.fillers.clear();
        Ok(())
    }

    /// Refuses connections, and resets those that wait to be accepted.
    pub(super) fn close(&mut self) {
        self.listener = None;
        self.fillers.clear();
    }

    /// Leaves connections hanging: the listener is there, its queue is full, and Linux drops what comes then.
    pub(super) async fn jam(&mut self) -> io::Result<()> {
        if self.listener.is_none() {
            self.open()?;
        }
        let Some(listener) = &self.listener else { return Ok(()) };
        SockRef::from(listener).listen(0)?;
        for _ in 0..FILLERS_MAX {
            match timeout(HANGS_AFTER, TcpStream::connect(self.address)).await {
                Ok(filler) => self.fillers.push(filler?),
                Err(_) => return Ok(()),
            }
        }
        Err(io::Error::other("the queue of the listener does not fill"))
    }

    /// The next connection; waits for ever while the door is closed or jammed.
    pub(super) async fn accept(&self, is_open: bool) -> io::Result<TcpStream> {
        match &self.listener {
            Some(listener) if is_open => listener.accept().await.map(|(stream, _)| stream),
            _ => std::future::pending().await,
        }
    }
}
