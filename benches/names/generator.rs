//! The load: questions in batches over connected sockets, each answered slot asked anew at once.
//!
//! It never sleeps: with a core of its own, it costs the server nothing, and a wait would cost the server wake-ups.

use anyhow::{Context, ensure};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, recvmmsg, sendmmsg};
use serde::{Deserialize, Serialize};
use std::io::{IoSlice, IoSliceMut};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

/// Sockets, so that a server that deals datagrams to workers by address would have something to deal.
const SOCKETS: usize = 8;
/// Questions that each socket has unanswered at any time: 128 of all.
const OUTSTANDING: usize = 16;
/// A question unanswered for so long is lost.
const LOST_AFTER: Duration = Duration::from_millis(200);
/// The load before that which is measured: caches and page tables of the server are warm then.
const WARM_UP: Duration = Duration::from_millis(200);
/// Longer than any answer here.
const ANSWER_BYTES_MAX: usize = 4_096;

/// What came of a load.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Told {
    /// Questions that were answered.
    pub answered: u64,
    /// Questions that were not.
    pub lost: u64,
    /// Answers that were refusals or failures.
    pub refused: u64,
    /// Octets of all answers.
    pub octets: u64,
}

/// Puts questions to the server there for `secs` seconds, after a line from our starter.
pub fn run(port: u16, file: &Path, secs: u64) -> anyhow::Result<()> {
    let questions = read(file)?;
    let mut next = 0;
    let mut asker = || -> &[u8] {
        next = (next + 1) % questions.len();
        &questions[next]
    };
    let mut sockets = Vec::with_capacity(SOCKETS);
    for _ in 0..SOCKETS {
        sockets.push(Socket::connected(port)?);
    }
    put(&mut sockets, &mut asker, WARM_UP, &mut Told::default())?;
    println!("ready");
    let mut go = String::new();
    std::io::stdin().read_line(&mut go)?;
    let mut told = Told::default();
    put(&mut sockets, &mut asker, Duration::from_secs(secs), &mut told)?;
    println!("{}", serde_json::to_string(&told)?);
    Ok(())
}

/// Messages as a TCP stream would have them: each after its length.
fn read(file: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
    let mut questions = Vec::new();
    let mut rest = &bytes[..];
    while let Some((length, after)) = rest.split_first_chunk() {
        let (message, after) =
            after.split_at_checked(usize::from(u16::from_be_bytes(*length))).context("a question cut short")?;
        questions.push(message.to_vec());
        rest = after;
    }
    ensure!(!questions.is_empty(), "{} has no questions", file.display());
    Ok(questions)
}

/// Asks for `time`, then waits for what is still out.
fn put<'q>(
    sockets: &mut [Socket],
    asker: &mut impl FnMut() -> &'q [u8],
    time: Duration,
    told: &mut Told,
) -> anyhow::Result<()> {
    let until = Instant::now() + time;
    loop {
        let now = Instant::now();
        if now > until {
            break;
        }
        for socket in &mut *sockets {
            socket.hear(now, told)?;
            socket.ask(asker, now)?;
        }
    }
    while sockets.iter().any(Socket::is_waiting) {
        for socket in &mut *sockets {
            socket.hear(Instant::now(), told)?;
        }
    }
    Ok(())
}

/// A connected socket and its questions.
#[derive(Debug)]
struct Socket {
    socket: UdpSocket,
    /// Since when each slot waits; the slot is in the low bits of the message's id.
    since: [Option<Instant>; OUTSTANDING],
    ids: [u16; OUTSTANDING],
    /// Counts questions; above the slot in the id, so that a late answer to a lost question is not taken for another's.
    turn: u16,
    heard: Instant,
    buffers: Box<[[u8; ANSWER_BYTES_MAX]; OUTSTANDING]>,
    headers: MultiHeaders<()>,
}

impl Socket {
    fn connected(port: u16) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        socket.connect((Ipv4Addr::LOCALHOST, port))?;
        socket.set_nonblocking(true)?;
        Ok(Self {
            socket,
            since: [None; OUTSTANDING],
            ids: [0; OUTSTANDING],
            turn: 0,
            heard: Instant::now(),
            buffers: Box::new([[0; ANSWER_BYTES_MAX]; OUTSTANDING]),
            headers: MultiHeaders::preallocate(OUTSTANDING, None),
        })
    }

    fn is_waiting(&self) -> bool {
        self.since.iter().any(Option::is_some)
    }

    /// Takes what has come.
    fn hear(&mut self, now: Instant, told: &mut Told) -> anyhow::Result<()> {
        let (lengths, came) = self.receive()?;
        for (buffer, length) in self.buffers.iter().zip(lengths).take(came) {
            let Some(&[high, low, _, code]) = buffer[..length].first_chunk() else { continue };
            let id = u16::from_be_bytes([high, low]);
            let slot = usize::from(id) % OUTSTANDING;
            if self.since[slot].is_some() && self.ids[slot] == id {
                self.since[slot] = None;
                told.answered += 1;
                told.octets += length as u64;
                told.refused += u64::from(!matches!(code & 15, 0 | 3));
            }
        }
        if came > 0 {
            self.heard = now;
        } else if now - self.heard > LOST_AFTER {
            for since in &mut self.since {
                told.lost += u64::from(since.take_if(|since| now - *since > LOST_AFTER).is_some());
            }
        }
        Ok(())
    }

    /// Fills the buffers with what is there: how long each message is, and how many there are.
    fn receive(&mut self) -> anyhow::Result<([usize; OUTSTANDING], usize)> {
        let mut lengths = [0; OUTSTANDING];
        let mut slices = self.buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let fd = self.socket.as_raw_fd();
        match recvmmsg(fd, &mut self.headers, slices.iter_mut(), MsgFlags::MSG_DONTWAIT, None) {
            Ok(messages) => {
                let mut came = 0;
                for message in messages {
                    lengths[came] = message.bytes;
                    came += 1;
                }
                Ok((lengths, came))
            }
            Err(Errno::EAGAIN) => Ok((lengths, 0)),
            Err(error) => Err(error).context("the server has gone"),
        }
    }

    /// Asks in every slot that waits for nothing.
    fn ask<'q>(&mut self, asker: &mut impl FnMut() -> &'q [u8], now: Instant) -> anyhow::Result<()> {
        let mut lengths = [0; OUTSTANDING];
        let mut asked = 0;
        for slot in 0..OUTSTANDING {
            if self.since[slot].is_some() {
                continue;
            }
            self.turn = self.turn.wrapping_add(1);
            let id = self.turn.wrapping_mul(OUTSTANDING as u16).wrapping_add(slot as u16);
            let question = asker();
            let buffer = &mut self.buffers[asked];
            buffer[..question.len()].copy_from_slice(question);
            buffer[..2].copy_from_slice(&id.to_be_bytes());
            lengths[asked] = question.len();
            self.ids[slot] = id;
            self.since[slot] = Some(now);
            asked += 1;
        }
        if asked == 0 {
            return Ok(());
        }
        let mut at = 0;
        let slices = self.buffers.each_ref().map(|buffer| {
            at += 1;
            [IoSlice::new(&buffer[..lengths[at - 1]])]
        });
        // What does not fit into the server's socket is lost, and counted when its time is over.
        sendmmsg(
            self.socket.as_raw_fd(),
            &mut self.headers,
            &slices[..asked],
            [None; OUTSTANDING],
            [],
            MsgFlags::empty(),
        )
        .map(drop)
        .context("the server has gone")
    }
}
