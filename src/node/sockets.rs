//! The listening sockets of a node: all bound before anything starts, so that a start fails whole or not at all.

use super::listen::Listen;
use super::{Options, StartError};
use crate::limits::WRITE_STALL_MAX;
use ipnet::IpNet;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

/// Connections that wait in the kernel to be accepted, at one worker.
const BACKLOG: i32 = 4_096;

/// Ports tried for DNS where any will do: the one that TCP got may be taken for UDP.
const PORTS_TRIED_MAX: usize = 16;

/// Everything bound.
pub(super) struct Sockets {
    pub(super) http: Vec<SocketAddr>,
    pub(super) https: Vec<SocketAddr>,
    pub(super) dns: Vec<SocketAddr>,
    pub(super) dot: Vec<SocketAddr>,
    /// For each worker its own.
    pub(super) workers: Vec<WorkerSockets>,
    pub(super) admin: Vec<TcpListener>,
    /// For the status page.
    pub(super) status: Vec<TcpListener>,
}

/// One worker's sockets.
#[derive(Default)]
pub(super) struct WorkerSockets {
    /// For HTTP.
    pub(super) doors: Vec<Bound>,
    /// For DNS over TCP.
    pub(super) dns_tcp: Vec<TcpListener>,
    /// For DNS over UDP, at the same addresses. They do not block.
    pub(super) dns_udp: Vec<UdpSocket>,
    /// For DNS over TLS.
    pub(super) dot: Vec<TcpListener>,
}

impl WorkerSockets {
    /// At which port HTTPS is spoken first, if anywhere.
    pub(super) fn https(&self) -> Option<u16> {
        let door = self.doors.iter().find(|door| door.is_tls)?;
        door.listener.local_addr().ok().map(|address| address.port())
    }
}

/// One worker's listener.
pub(super) struct Bound {
    pub(super) listener: TcpListener,
    /// Whether TLS is spoken there.
    pub(super) is_tls: bool,
    /// Who must say there whose a connection is.
    pub(super) balancers: Arc<[IpNet]>,
}

impl Sockets {
    pub(super) fn bind(options: &Options) -> Result<Self, StartError> {
        let (admin, status) = (bind_all(&options.admin)?, bind_all(&options.status)?);
        let workers = (0..options.workers).map(|_| WorkerSockets::default()).collect();
        let none = Vec::new;
        let mut sockets = Self { http: none(), https: none(), dns: none(), dot: none(), workers, admin, status };
        for listen in &options.http {
            let bound = sockets.bind_door(listen, false)?;
            sockets.http.push(bound);
        }
        for listen in &options.https {
            let bound = sockets.bind_door(listen, true)?;
            sockets.https.push(bound);
        }
        for address in &options.dns {
            let bound = sockets.bind_dns(*address)?;
            sockets.dns.push(bound);
        }
        for address in &options.dot {
            let listeners = bind_for_workers(*address, sockets.workers.len())?;
            sockets.dot.push(local(&listeners[0]));
            sockets.workers.iter_mut().zip(listeners).for_each(|(worker, listener)| worker.dot.push(listener));
        }
        Ok(sockets)
    }

    /// TCP and UDP at one address.
    fn bind_dns(&mut self, address: SocketAddr) -> Result<SocketAddr, StartError> {
        let count = self.workers.len();
        let mut left = if address.port() == 0 { PORTS_TRIED_MAX } else { 1 };
        let (bound, listeners, datagrams) = loop {
            left -= 1;
            match bind_both(address, count) {
                Err(_) if left > 0 => {}
                outcome => break outcome?,
            }
        };
        for ((worker, listener), datagram) in self.workers.iter_mut().zip(listeners).zip(datagrams) {
            worker.dns_tcp.push(listener);
            worker.dns_udp.push(datagram);
        }
        Ok(bound)
    }

    fn bind_door(&mut self, listen: &Listen, is_tls: bool) -> Result<SocketAddr, StartError> {
        let listeners = bind_for_workers(listen.address, self.workers.len())?;
        let bound = local(&listeners[0]);
        let balancers: Arc<[IpNet]> = listen.proxy.as_slice().into();
        for (worker, listener) in self.workers.iter_mut().zip(listeners) {
            worker.doors.push(Bound { listener, is_tls, balancers: Arc::clone(&balancers) });
        }
        Ok(bound)
    }
}

/// For the control plane: a listener for each.
fn bind_all(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, StartError> {
    addresses.iter().map(|address| bind(*address, false)).collect()
}

fn bind_for_workers(address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, StartError> {
    // Sockets that share a port would also share it with another program that does: without sharing it must be free.
    drop(bind(address, false)?);
    let first = bind(address, true)?;
    let bound = local(&first);
    let others = (1..workers).map(|_| bind(bound, true));
    std::iter::once(Ok(first)).chain(others).collect()
}

type Both = (SocketAddr, Vec<TcpListener>, Vec<UdpSocket>);

fn bind_both(address: SocketAddr, workers: usize) -> Result<Both, StartError> {
    let listeners = bind_for_workers(address, workers)?;
    let bound = local(&listeners[0]);
    Ok((bound, listeners, bind_udp_for_workers(bound, workers)?))
}

fn bind_udp_for_workers(address: SocketAddr, workers: usize) -> Result<Vec<UdpSocket>, StartError> {
    drop(bind_udp(address, false)?);
    (0..workers).map(|_| bind_udp(address, true)).collect()
}

fn bind_udp(address: SocketAddr, is_shared: bool) -> Result<UdpSocket, StartError> {
    let bound = || -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        socket.set_reuse_port(is_shared)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        Ok(socket.into())
    };
    bound().map_err(|source| StartError::Bind { address, source })
}

fn bind(address: SocketAddr, is_shared: bool) -> Result<TcpListener, StartError> {
    let bound = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(true)?;
        socket.set_reuse_port(is_shared)?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_nonblocking(true)?;
        // Connections inherit both: no call for each.
        socket.set_tcp_nodelay(true)?;
        socket.set_tcp_user_timeout(Some(WRITE_STALL_MAX))?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    };
    bound().map_err(|source| StartError::Bind { address, source })
}

/// Where they listen.
pub(super) fn locals(listeners: &[TcpListener]) -> Vec<SocketAddr> {
    listeners.iter().map(local).collect()
}

fn local(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a bound socket has an address")
}
