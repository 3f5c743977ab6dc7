//! Asking a router by PCP or NAT-PMP: one packet there, one back.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use rand::Rng as _;
use tokio::net::UdpSocket;
use tokio::time::{Instant, timeout_at};

use super::wire::{self, Granted, MAX_BYTES, Wanted};
use super::{Failure, Protocol};

/// How long each sending is waited for, milliseconds. (RFC 6886 goes on for two
/// minutes; a router is one hop away, and there is a next method.)
const PATIENCE_MS: [u64; 3] = [250, 500, 1_000];

/// A router that may speak one of them.
#[derive(Debug)]
pub(super) struct PcpRouter {
    /// Connected, so that only the router is heard.
    socket: UdpSocket,
    /// Our address as the router shall see it.
    client: Ipv4Addr,
    /// PCP: what shows that a renewal is ours, for TCP and for UDP.
    nonces: [[u8; 12]; 2],
}

impl PcpRouter {
    /// Makes a socket towards the router. Nothing is sent.
    pub(super) async fn at(router: SocketAddrV4, client: Ipv4Addr) -> Result<Self, Failure> {
        let socket = UdpSocket::bind((client, 0)).await.map_err(Failure::io)?;
        socket.connect(router).await.map_err(Failure::io)?;
        let mut nonces = [[0; 12]; 2];
        nonces.iter_mut().for_each(|nonce| rand::rng().fill_bytes(nonce));
        Ok(Self { socket, client, nonces })
    }

    /// Asks by PCP.
    pub(super) async fn pcp(&self, wanted: &Wanted) -> Result<Granted, Failure> {
        let nonce = &self.nonces[usize::from(wanted.protocol == Protocol::Udp)];
        let request = wire::pcp_request(wanted, self.client, nonce);
        self.ask(&request, |packet| wire::pcp_answer(packet, wanted, nonce)).await
    }

    /// Asks by NAT-PMP, for the mapping and for the address.
    pub(super) async fn nat_pmp(&self, wanted: &Wanted) -> Result<Granted, Failure> {
        let request = wire::nat_pmp_request(wanted);
        let granted = self.ask(&request, |packet| wire::nat_pmp_answer(packet, wanted)).await?;
        if wanted.lifetime == 0 {
            return Ok(granted);
        }
        let request = wire::nat_pmp_address_request();
        let address = self.ask(&request, wire::nat_pmp_address_answer).await?;
        Ok(Granted { address: Some(address), ..granted })
    }

    /// Sends until something comes that `read` makes an answer of.
    async fn ask<T>(
        &self,
        request: &[u8],
        read: impl Fn(&[u8]) -> Option<Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let mut buffer = [0; MAX_BYTES];
        for patience in PATIENCE_MS {
            self.socket.send(request).await.map_err(Failure::io)?;
            let until = Instant::now() + Duration::from_millis(patience);
            while let Ok(received) = timeout_at(until, self.socket.recv(&mut buffer)).await {
                let length = received.map_err(Failure::io)?;
                if let Some(answer) = read(&buffer[..length]) {
                    return answer;
                }
            }
        }
        Err(Failure::Silent)
    }
}
