//! Redis, doing the same: a set for each blob, `SADD` and `SRANDMEMBER`.
//!
//! A member is what an answer must tell: the peer's key, and where it is reached.

use std::sync::mpsc::Sender;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::load::{Load, fill_then_run};
use super::{blob_id, peer_id};
use crate::Result;

/// Peers in an answer, as ours.
const WANTED: &[u8] = b"10";
/// `SADD`s of the beginning that are under way at once.
const FILLING: usize = 100;

/// Fills, says so, and announces until it is over.
pub(super) fn run(load: &'static Load, filled: &Sender<()>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut filling = JoinSet::new();
        for peer in 0..load.sessions {
            filling.spawn(async move { Session::open(load, peer).await?.fill().await });
        }
        fill_then_run(filling, filled, Session::run).await
    })
}

struct Session {
    load: &'static Load,
    peer: u32,
    member: [u8; 38],
    stream: TcpStream,
    received: Vec<u8>,
}

impl Session {
    async fn open(load: &'static Load, peer: u32) -> Result<Self> {
        let stream = TcpStream::connect(load.server).await?;
        stream.set_nodelay(true)?;
        let mut member = [0; 38];
        member[..32].copy_from_slice(&peer_id(peer));
        member[32..].copy_from_slice(&[127, 0, 0, 1, 15, 160]);
        Ok(Self { load, peer, member, stream, received: Vec::new() })
    }

    async fn fill(mut self) -> Result<Self> {
        let first: Vec<u32> = self.load.first_holdings(self.peer).collect();
        for blobs in first.chunks(FILLING) {
            let mut request = Vec::new();
            for blob in blobs {
                self.put_add(&mut request, *blob);
            }
            self.stream.write_all(&request).await?;
            let mut answers = 0;
            while answers < blobs.len() {
                self.receive().await?;
                answers += self.received.iter().filter(|byte| **byte == b'\n').count();
                self.received.clear();
            }
        }
        Ok(self)
    }

    async fn run(mut self) -> Result<()> {
        let mut rng = self.load.rng(self.peer);
        let mut under_way = 0;
        while !self.load.is_over() {
            let mut request = Vec::new();
            while under_way < self.load.window {
                let blob = self.load.draw_blob(&mut rng);
                self.put_add(&mut request, blob);
                put_command(&mut request, &[b"SRANDMEMBER", &blob_id(blob), WANTED]);
                under_way += 1;
            }
            self.stream.write_all(&request).await?;
            self.receive().await?;
            let mut taken = 0;
            while let Some((bytes, peers)) = pair(&self.received[taken..])? {
                taken += bytes;
                under_way -= 1;
                self.load.count(1, peers);
            }
            self.received.drain(..taken);
        }
        Ok(())
    }

    fn put_add(&self, request: &mut Vec<u8>, blob: u32) {
        put_command(request, &[b"SADD", &blob_id(blob), &self.member]);
    }

    async fn receive(&mut self) -> Result<()> {
        if self.stream.read_buf(&mut self.received).await? == 0 {
            return Err("redis-server closed the connection".into());
        }
        Ok(())
    }
}

/// A command in RESP: an array of bulk strings.
fn put_command(request: &mut Vec<u8>, words: &[&[u8]]) {
    request.extend(format!("*{}\r\n", words.len()).bytes());
    for word in words {
        request.extend(format!("${}\r\n", word.len()).bytes());
        request.extend_from_slice(word);
        request.extend(b"\r\n");
    }
}

/// How long the first two answers are, and how many members the second has;
/// `None` if they are not whole.
fn pair(received: &[u8]) -> Result<Option<(usize, u64)>> {
    let Some((_, add)) = header(received, b':')? else { return Ok(None) };
    let Some((members, array)) = header(&received[add..], b'*')? else { return Ok(None) };
    let mut taken = add + array;
    for _ in 0..members {
        let Some((length, bytes)) = header(&received[taken..], b'$')? else { return Ok(None) };
        taken += bytes + usize::try_from(length)? + 2;
        if taken > received.len() {
            return Ok(None);
        }
    }
    Ok(Some((taken, members)))
}

/// The number in a line that begins with `kind`, and the line's length.
fn header(received: &[u8], kind: u8) -> Result<Option<(u64, usize)>> {
    let Some(end) = received.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    let line = received[..end].strip_suffix(b"\r").and_then(|line| line.strip_prefix(&[kind]));
    let line =
        line.ok_or_else(|| format!("Redis says {}", String::from_utf8_lossy(&received[..end])))?;
    Ok(Some((std::str::from_utf8(line)?.parse()?, end + 1)))
}
