//! Neighbours of a node in a peer-to-peer mesh: whom to keep, whom to serve, who has
//! what, and how to find who has it.
//!
//! [`Mesh`] holds whom a node is connected with and what each is worth, who is banned,
//! who is being served, what is wanted here and by the neighbours, and the queries on
//! their way. Its bounds and [`Weights`] are [`Limits`]. Read these three first.
//! [`RateMeter`] measures a source by what it delivers, [`Allowance`] holds uploads to
//! [`Caps`].
//!
//! Left to others: sockets and messages (`net`, `wire`), which block to ask of
//! whom (`listener`). What is to be said and done comes out of [`Mesh::poll_output`];
//! the owner drains it after every call, as the contract in `antiphon_types` says.
//!
//! Everybody but the owner is a stranger here: notices, queries, requests in vain and
//! newcomers are bounded for each neighbour, strangers for each network, and who goes
//! beyond is dropped with a [`DropReason`].
//!
//! ```
//! use std::time::Duration;
//! use antiphon_mesh::{Grant, Interest, Limits, Mesh};
//! use antiphon_types::{BlobId, BlobSize, BlockRange, Class, NodeId, Timestamp};
//!
//! let now = Timestamp::ZERO;
//! let mut mesh = Mesh::new(Limits::default());
//! for n in 0..5 {
//!     mesh.handle_peer_up(now, NodeId::new([n; 32]), Duration::from_millis(20));
//! }
//! assert_eq!(mesh.poll_output(), None, "five neighbours are no crowd");
//!
//! // Four peers are served at a time; the fifth is told when to ask again.
//! for n in 0..4 {
//!     let grant = mesh.request_upload(now, NodeId::new([n; 32]), Class::Now);
//!     assert_eq!(grant, Grant::Served);
//! }
//! let fifth = mesh.request_upload(now, NodeId::new([4; 32]), Class::Now);
//! assert!(matches!(fifth, Grant::Busy { .. }));
//!
//! // One of them holds some of what we want, and says so.
//! let (blob, size) = (BlobId::new([9; 32]), BlobSize::new(1_000_000)?);
//! mesh.want(now, &[Interest { blob, size, class: Class::Now }]);
//! mesh.handle_have(now, NodeId::new([2; 32]), blob, [BlockRange::new(0, 10)]);
//! assert!(mesh.offer(NodeId::new([2; 32]), blob).is_some_and(|held| held.contains(9)));
//! # Ok::<(), antiphon_types::BlobSizeError>(())
//! ```

mod admission;
mod allowance;
mod bans;
mod bucket;
mod limits;
mod mesh;
mod neighbour;
mod network;
mod offers;
mod rate;
mod search;
mod uploads;

pub use allowance::{Allowance, Allowed, Caps, Date, Given};
pub use limits::{Limits, Weights};
pub use mesh::{DropReason, Mesh, Notice, Output};
pub use neighbour::{Met, Neighbour};
pub use network::Network;
pub use offers::Interest;
pub use rate::RateMeter;
pub use search::QueryId;
pub use uploads::Grant;
