//! A UDP socket of quinn's that keeps from it what is not QUIC.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use super::aside::Aside;

/// The bits of a first byte that are both 0 in STUN, and never in QUIC.
const QUIC_BITS: u8 = 0b1100_0000;

/// The socket of an [`Aside`], with what is left for QUIC.
pub(crate) struct Socket {
    aside: Arc<Aside>,
}

impl Socket {
    pub(crate) fn new(aside: Arc<Aside>) -> Self {
        Self { aside }
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.aside.socket().fmt(f)
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Arc::clone(self.aside.socket()).create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.aside.socket().try_send(transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        metas: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let count = ready!(self.aside.socket().poll_recv(context, buffers, metas))?;
        for (buffer, meta) in buffers.iter_mut().zip(metas).take(count) {
            let (from, to) = (meta.addr, meta.dst_ip);
            // What has become empty is no packet to quinn.
            meta.len = sift(buffer, meta.len, meta.stride, |datagram| {
                self.aside.hear(datagram, from, to);
            });
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.aside.socket().local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.aside.socket().max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.aside.socket().max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.aside.socket().may_fragment()
    }
}

/// Takes what is not QUIC out of `length` bytes of datagrams, which the kernel
/// has joined (GRO): each has `stride` bytes, the last perhaps fewer. The others
/// move together; how many bytes they have.
fn sift(
    buffer: &mut [u8],
    length: usize,
    stride: usize,
    mut is_not_quic: impl FnMut(&[u8]),
) -> usize {
    let (mut kept, mut start) = (0, 0);
    let length = length.min(buffer.len());
    while start < length {
        let end = length.min(start + stride.max(1));
        if buffer[start] & QUIC_BITS == 0 {
            is_not_quic(&buffer[start..end]);
        } else {
            if kept < start {
                buffer.copy_within(start..end, kept);
            }
            kept += end - start;
        }
        start = end;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sifted(datagrams: &[&[u8]], stride: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
        let mut buffer = datagrams.concat();
        let (length, mut others) = (buffer.len(), Vec::new());
        let kept = sift(&mut buffer, length, stride, |other| others.push(other.to_vec()));
        buffer.truncate(kept);
        (buffer, others)
    }

    #[test]
    fn what_is_quic_stays_in_its_order_and_the_rest_is_taken_out() {
        let (quic, stun): (&[u8], &[u8]) = (&[0x40, 1, 2], &[0x00, 9, 9]);
        let long: &[u8] = &[0xc0, 3, 4];
        assert_eq!(sifted(&[quic], 3), (quic.to_vec(), vec![]));
        assert_eq!(sifted(&[stun], 3), (vec![], vec![stun.to_vec()]));
        let last: &[u8] = &[0x7f];
        assert_eq!(
            sifted(&[stun, quic, stun, long, last], 3),
            ([quic, long, last].concat(), vec![stun.to_vec(); 2])
        );
        assert_eq!(sifted(&[quic, &[0x3f]], 3), (quic.to_vec(), vec![vec![0x3f]]));
    }

    #[test]
    fn no_sizes_confuse_it() {
        for length in 0..20 {
            for stride in 0..20 {
                let mut buffer = [0x40; 10];
                buffer[3] = 0;
                let kept = sift(&mut buffer, length, stride, |other| assert!(!other.is_empty()));
                assert!(kept <= length.min(10));
            }
        }
    }
}
