//! Authenticated, encrypted, multiplexed links over TCP and QUIC.
//!
//! This is where the sans-IO cores of `handshake` and `wire` meet sockets, and
//! where quinn's QUIC stands beside them behind the same interface
//! ([`Transport`]).
//! Read [`Connection`] and [`Stream`] first: a connection is dialled with
//! [`Connection::dial`] or accepted with [`Acceptor`], is known by the
//! [`NodeId`](antiphon_types::NodeId) of its other end, and carries many
//! streams of messages and blocks. What the messages mean is left to the
//! engines of client and server.
//!
//! Streams may be opened and written before a connection stands. Over TCP that
//! travels as early data in the first message of the handshake, over QUIC right
//! behind the handshake: a cold request costs two round trips either way.
//!
//! ```
//! use antiphon_handshake::identity::NodeSecret;
//! use antiphon_net::{Acceptor, AcceptorLimits, Connection, Dial, StreamItem};
//! use antiphon_types::Class;
//! use bytes::Bytes;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let server = NodeSecret::generate(&mut rand::rng());
//! let service = server.node_id();
//! let mut acceptor =
//!     Acceptor::bind("127.0.0.1:0".parse()?, server, service, AcceptorLimits::default()).await?;
//! let address = acceptor.local_address();
//!
//! let client = NodeSecret::generate(&mut rand::rng());
//! let addresses = vec![address.to_string()];
//! let connection = Connection::dial(Dial::new(addresses, service, service, client));
//! let mut stream = connection.open(Class::Control)?;
//! stream.send_message(Bytes::from_static(b"hello")).await?;
//!
//! let accepted = acceptor.accept().await;
//! let mut request = accepted.accept().await?;
//! let Some(StreamItem::Message(message)) = request.receive().await? else { panic!() };
//! assert_eq!(message, "hello");
//! # Ok(())
//! # }
//! ```

mod acceptor;
mod attempts;
mod bucket;
mod clock;
mod connection;
mod credentials;
mod dial;
mod dialler;
mod door;
mod early;
mod experience;
pub mod lan;
mod link;
mod metered;
pub mod portmap;
mod quic;
mod socket;
mod stream;
mod tcp;
mod transport;
mod udp;

pub use acceptor::Acceptor;
pub use antiphon_handshake::door::{DoorCounters, DoorLimits, Rate as DoorRate};
pub use antiphon_handshake::identity;
pub use attempts::{AttemptKind, Attempts, Tally};
pub use clock::{Clock, sleep_until, wall_clock_ms};
pub use connection::{Closed, Connection};
pub use credentials::{
    CredentialError, TICKET_LIFETIME_MS, check_manifest, check_peer_key, check_ticket,
    issue_ticket, prove_peer_key, sign_manifest,
};
pub use dial::{Dial, Effort};
pub use dialler::Dialler;
pub use door::AcceptorLimits;
pub use experience::Experience;
pub use link::{ParseLinkError, ServerLink};
pub use metered::metered;
pub use socket::site;
pub use stream::{Stream, StreamError, StreamItem, StreamReceiver, StreamSender, decode_message};
pub use transport::{ParseTransportError, Transport};
pub use udp::{Observed, PROOF_LIFETIME_MS, Proof, ProofError, ProofKey, stun};
