//! Endpoints of regions: well until they are killed.

use super::message::{Question, kind, option};
use super::servers::BOUND;
use super::talk::Asker;
use anyfront::moment::{Clock, Moment};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

/// One that says 200 to everything until it is killed.
#[derive(Debug)]
pub struct Endpoint {
    /// Where.
    pub address: SocketAddr,
    is_dead: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Endpoint {
    /// A living one.
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let is_dead = Arc::new(AtomicBool::new(false));
        let dead = Arc::clone(&is_dead);
        let thread = std::thread::spawn(move || {
            for mut connection in listener.incoming().flatten() {
                if dead.load(SeqCst) {
                    return;
                }
                if connection.read(&mut [0; 4_096]).is_ok() {
                    let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                }
            }
        });
        Self { address, is_dead, thread: Some(thread) }
    }

    /// Refuses every connection from now on.
    pub fn kill(&mut self) {
        self.is_dead.store(true, SeqCst);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no panic");
        }
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until the answers for `name` may be believed for `ttl` seconds, their most: nothing is changing any more.
pub fn until_settled(node: &mut Asker, name: &str, ttl: u32) {
    let clock = Clock::start();
    let nobody = super::message::subnet(1, 0, 0, &[]);
    loop {
        let reply = node.udp(&Question::new(name, kind::A).option(option::CLIENT_SUBNET, nobody.clone()));
        if reply.is_some_and(|reply| reply.answers().iter().any(|record| record.ttl == ttl)) {
            return;
        }
        assert!(clock.now() < Moment::at(BOUND), "{name} never settles");
        // Whoever looks without a pause takes the processor from what it waits for.
        std::thread::park_timeout(Duration::from_millis(10));
    }
}
