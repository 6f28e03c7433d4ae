//! The listening sockets of a node: all bound before anything starts, so that a start fails whole or not at all.

use super::listen::Listen;
use super::{Options, StartError};
use crate::limits::WRITE_STALL_MAX;
use ipnet::IpNet;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

/// Connections that wait in the kernel to be accepted, at one worker.
const BACKLOG: i32 = 4_096;

/// Everything bound.
pub(super) struct Sockets {
    pub(super) http: Vec<SocketAddr>,
    pub(super) https: Vec<SocketAddr>,
    /// For each worker its listeners.
    pub(super) workers: Vec<Vec<Bound>>,
    pub(super) admin: Vec<TcpListener>,
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
        let admin = options.admin.iter().map(|address| bind(*address, false)).collect::<Result<_, _>>()?;
        let workers = (0..options.workers).map(|_| Vec::new()).collect();
        let mut sockets = Self { http: Vec::new(), https: Vec::new(), workers, admin };
        for listen in &options.http {
            let bound = sockets.bind_door(listen, false)?;
            sockets.http.push(bound);
        }
        for listen in &options.https {
            let bound = sockets.bind_door(listen, true)?;
            sockets.https.push(bound);
        }
        Ok(sockets)
    }

    fn bind_door(&mut self, listen: &Listen, is_tls: bool) -> Result<SocketAddr, StartError> {
        let listeners = bind_for_workers(listen.address, self.workers.len())?;
        let bound = local(&listeners[0]);
        let balancers: Arc<[IpNet]> = listen.proxy.as_slice().into();
        for (worker, listener) in self.workers.iter_mut().zip(listeners) {
            worker.push(Bound { listener, is_tls, balancers: Arc::clone(&balancers) });
        }
        Ok(bound)
    }
}

fn bind_for_workers(address: SocketAddr, workers: usize) -> Result<Vec<TcpListener>, StartError> {
    // Sockets that share a port would also share it with another program that does: without sharing it must be free.
    drop(bind(address, false)?);
    let first = bind(address, true)?;
    let bound = local(&first);
    let others = (1..workers).map(|_| bind(bound, true));
    std::iter::once(Ok(first)).chain(others).collect()
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

pub(super) fn local(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().expect("a bound socket has an address")
}
