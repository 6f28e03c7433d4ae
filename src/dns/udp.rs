//! DNS over UDP: one thread and one socket for each worker, datagrams in batches.
//!
//! A thread of its own rather than a task beside HTTP: a flood of questions then takes its share of a core from the
//! scheduler, and not every request's turn. A batch is one call of the system to take it and one to send its answers.

use super::asker::Transport;
use super::bare::Opt;
use super::limit::{Kind, Limiter, Verdict};
use super::prepare::Answers;
use super::question::{HEADER_BYTES, Rcode};
use super::responder::{Outcome, Responder};
use super::tap::frame;
use crate::counters::{DoorCounters, WorkerCounters};
use crate::limits::{DNS_UDP_BATCH_MAX, DNS_UDP_QUESTION_BYTES_MAX, DNS_UDP_RESPONSE_BYTES_MAX};
use crate::moment::Clock;
use crate::secret::Secret;
use nix::cmsg_space;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg, sendmmsg, sendmsg,
    setsockopt, sockopt,
};
use std::array;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// How often the thread looks whether it shall end.
const LOOK: Duration = Duration::from_millis(100);
/// After an error that is no client's.
const ERROR_PAUSE: Duration = Duration::from_millis(10);
/// Ports below this are services', not resolvers': an answer there could come back as another question, for ever.
const SERVICE_PORTS: u16 = 1_024;
/// But some resolvers ask from where they answer.
const DNS_PORT: u16 = 53;

/// One worker's way of answering over UDP.
pub struct Datagrams {
    responder: Responder,
    clock: Clock,
    counters: Arc<WorkerCounters>,
    /// What is answered from, for the limits that the file sets.
    answers: Answers,
    /// Keeps those from getting too much who may not be who they say.
    limiter: Limiter,
}

/// Answers on `socket` until `ending` says so. Blocks.
///
/// # Errors
/// If the socket cannot be set up.
pub fn run(socket: &UdpSocket, mut datagrams: Datagrams, ending: &watch::Receiver<bool>) -> io::Result<()> {
    socket.set_nonblocking(false)?;
    socket.set_read_timeout(Some(LOOK))?;
    let local = socket.local_addr()?;
    // A socket of every address has to answer from the one that was asked.
    let is_everywhere = local.ip().is_unspecified();
    if is_everywhere && local.is_ipv4() {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
    } else if is_everywhere {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    }
    let mut batch = Batch::new(is_everywhere);
    while !*ending.borrow() {
        match batch.take(socket.as_raw_fd()) {
            Ok(0) | Err(Errno::EAGAIN | Errno::EINTR) => {}
            // What was sent to somebody who is gone.
            Err(Errno::ECONNREFUSED | Errno::EHOSTUNREACH | Errno::ENETUNREACH) => {}
            Err(error) => {
                tracing::warn!(%error, %local, "datagrams cannot be taken");
                std::thread::park_timeout(ERROR_PAUSE);
            }
            Ok(count) => {
                let taken = datagrams.clock.now();
                datagrams.follow();
                for slot in &mut batch.slots[..count] {
                    // A bug that one question finds costs that question.
                    let answered = catch_unwind(AssertUnwindSafe(|| datagrams.answer(slot, local)));
                    if answered.is_err() {
                        slot.answer.clear();
                    }
                }
                batch.send(socket.as_raw_fd(), count);
                datagrams.counters.dns.elapsed.add(datagrams.clock.now().since(taken), count as u64);
            }
        }
    }
    Ok(())
}

impl Datagrams {
    /// Answers by `responder`, within the limits in `answers`.
    #[must_use]
    pub fn new(responder: Responder, clock: Clock, counters: Arc<WorkerCounters>, answers: Answers) -> Self {
        let keys = Secret::random().keys("dns-limit");
        let key = keys.first().and_then(|key| key.first_chunk()).expect("a secret makes a key of 32 octets");
        Self { responder, clock, counters, answers, limiter: Limiter::new(*key) }
    }

    /// Takes over what the file says now.
    fn follow(&mut self) {
        let per_second = self.answers.load().as_deref().map_or(0, |prepared| prepared.zone.answers_per_second);
        self.limiter.limit(per_second);
    }

    /// Leaves the answer in the slot, or nothing.
    fn answer(&mut self, slot: &mut Slot, local: SocketAddr) {
        slot.answer.clear();
        let Some(peer) = slot.peer else { return };
        let is_implausible = peer.port() < SERVICE_PORTS && peer.port() != DNS_PORT || peer == local;
        if is_implausible {
            DoorCounters::count(&self.counters.dns.implausible);
            return;
        }
        let Slot { question, bytes, answer, .. } = slot;
        let question = &question[..*bytes];
        let outcome = self.responder.answer(Transport::Udp, (peer, local), question, answer);
        let Outcome::Answer { rcode, question_end, is_proven, opt } = outcome else { return };
        if !is_proven {
            self.limit(peer, (question, question_end), (rcode, opt), answer);
        }
        if !answer.is_empty() {
            self.responder.log(frame::Kind::Response, Transport::Udp, (peer, local), answer);
        }
    }

    /// Cuts the answer short, or takes it away, where its source may be a lie and gets too much.
    fn limit(
        &mut self,
        peer: SocketAddr,
        (question, question_end): (&[u8], usize),
        (rcode, opt): (Rcode, Option<Opt>),
        answer: &mut Vec<u8>,
    ) {
        let kind = match rcode {
            Rcode::NoError if answer[6..8] != [0, 0] => Kind::Positive,
            Rcode::NoError | Rcode::NxDomain => Kind::Negative,
            _ => Kind::Refused,
        };
        let name = &question[HEADER_BYTES..question_end];
        match self.limiter.check(peer.ip(), kind, name, self.clock.now()) {
            Verdict::Pass => {}
            Verdict::Slip => {
                DoorCounters::count(&self.counters.dns.slipped);
                Responder::truncate(question, question_end, opt, answer);
            }
            Verdict::Drop => {
                DoorCounters::count(&self.counters.dns.dropped);
                answer.clear();
            }
        }
    }
}

/// One datagram and its answer.
struct Slot {
    question: Box<[u8]>,
    /// Octets of it.
    bytes: usize,
    peer: Option<SocketAddr>,
    /// The same, as the system has it.
    address: Option<SockaddrStorage>,
    /// At which of our addresses it came, on a socket of all of them.
    at: Option<ControlMessageOwned>,
    answer: Vec<u8>,
}

struct Batch {
    slots: Vec<Slot>,
    taken: MultiHeaders<SockaddrStorage>,
    sent: MultiHeaders<SockaddrStorage>,
    is_everywhere: bool,
}

impl Batch {
    fn new(is_everywhere: bool) -> Self {
        let slot = || Slot {
            question: vec![0; DNS_UDP_QUESTION_BYTES_MAX].into(),
            bytes: 0,
            peer: None,
            address: None,
            at: None,
            answer: Vec::with_capacity(DNS_UDP_RESPONSE_BYTES_MAX),
        };
        let control = is_everywhere.then(|| cmsg_space!(nix::libc::in6_pktinfo, nix::libc::in_pktinfo));
        Self {
            slots: std::iter::repeat_with(slot).take(DNS_UDP_BATCH_MAX).collect(),
            taken: MultiHeaders::preallocate(DNS_UDP_BATCH_MAX, control),
            sent: MultiHeaders::preallocate(DNS_UDP_BATCH_MAX, None),
            is_everywhere,
        }
    }

    /// Waits for a datagram, and takes it and all that came meanwhile.
    fn take(&mut self, socket: RawFd) -> Result<usize, Errno> {
        let Self { slots, taken, is_everywhere, .. } = self;
        let mut about: [(usize, bool, Option<SockaddrStorage>, Option<ControlMessageOwned>); DNS_UDP_BATCH_MAX] =
            array::from_fn(|_| (0, false, None, None));
        let mut buffers = slots.iter_mut();
        let mut slices: [[IoSliceMut<'_>; 1]; DNS_UDP_BATCH_MAX] = array::from_fn(|_| {
            let slot = buffers.next().expect("there are as many");
            [IoSliceMut::new(&mut slot.question)]
        });
        let mut count = 0;
        for (about, message) in
            about.iter_mut().zip(recvmmsg(socket, taken, &mut slices, MsgFlags::MSG_WAITFORONE, None)?)
        {
            let at = if *is_everywhere { came_at(&message) } else { None };
            *about = (message.bytes, message.flags.contains(MsgFlags::MSG_TRUNC), message.address, at);
            count += 1;
        }
        for (slot, (bytes, is_cut, address, at)) in slots.iter_mut().zip(about).take(count) {
            let peer = address.as_ref().and_then(address_of);
            // What is cut off cannot be understood.
            (slot.bytes, slot.peer, slot.address, slot.at) = (bytes, peer.filter(|_| !is_cut), address, at);
        }
        Ok(count)
    }

    /// Sends the answers of the first `count` slots. Who cannot be sent one asks again.
    fn send(&mut self, socket: RawFd, count: usize) {
        let Self { slots, sent, is_everywhere, .. } = self;
        if *is_everywhere {
            slots[..count].iter().filter(|slot| !slot.answer.is_empty()).for_each(|slot| slot.send(socket));
            return;
        }
        let mut addresses = [None; DNS_UDP_BATCH_MAX];
        let mut slices: [[IoSlice<'_>; 1]; DNS_UDP_BATCH_MAX] = array::from_fn(|_| [IoSlice::new(&[])]);
        let mut answered = 0;
        for slot in slots[..count].iter().filter(|slot| !slot.answer.is_empty()) {
            (slices[answered], addresses[answered]) = ([IoSlice::new(&slot.answer)], slot.address);
            answered += 1;
        }
        let mut done = 0;
        while done < answered {
            let (slices, addresses) = (&slices[done..answered], &addresses[done..answered]);
            match sendmmsg(socket, sent, slices, addresses, [], MsgFlags::empty()) {
                Ok(results) => done += results.count().max(1),
                Err(Errno::EINTR) => {}
                // One that cannot be sent must not hold up the others.
                Err(_) => done += 1,
            }
        }
    }
}

impl Slot {
    /// Sends the answer from the address that was asked.
    fn send(&self, socket: RawFd) {
        let slices = [IoSlice::new(&self.answer)];
        let address = self.address.as_ref();
        let _ = match &self.at {
            Some(ControlMessageOwned::Ipv4PacketInfo(info)) => {
                let mut info = *info;
                (info.ipi_spec_dst, info.ipi_ifindex) = (info.ipi_addr, 0);
                sendmsg(socket, &slices, &[ControlMessage::Ipv4PacketInfo(&info)], MsgFlags::empty(), address)
            }
            Some(ControlMessageOwned::Ipv6PacketInfo(info)) => {
                sendmsg(socket, &slices, &[ControlMessage::Ipv6PacketInfo(info)], MsgFlags::empty(), address)
            }
            _ => sendmsg(socket, &slices, &[], MsgFlags::empty(), address),
        };
    }
}

fn came_at(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<ControlMessageOwned> {
    let is_it = |control: &ControlMessageOwned| {
        matches!(control, ControlMessageOwned::Ipv4PacketInfo(_) | ControlMessageOwned::Ipv6PacketInfo(_))
    };
    message.cmsgs().ok()?.find(is_it)
}

fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::from((v4.ip(), v4.port())));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::from((v6.ip(), v6.port()))))
}
