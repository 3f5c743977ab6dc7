//! Neighbours of a node in a peer-to-peer mesh, and its upload slots.
//!
//! [`Mesh`] holds whom a node is connected with, what each is worth, who is
//! banned, and who is being served. Its bounds are [`Limits`]. Read these two
//! first. [`RateMeter`] measures a source by what it delivers.
//!
//! Left to others: sockets and messages (`net`, `wire`), which block to ask of
//! whom (`listener`). Drop orders come out of [`Mesh::poll_output`]; the owner
//! drains it after every call, as the contract in `antiphon_types` says.
//!
//! ```
//! use std::time::Duration;
//! use antiphon_mesh::{Grant, Limits, Mesh};
//! use antiphon_types::{Class, NodeId, Timestamp};
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
pub use mesh::{DropReason, Mesh, Output};
pub use neighbour::{Met, Neighbour};
pub use network::Network;
pub use offers::Interest;
pub use rate::RateMeter;
pub use search::QueryId;
pub use uploads::Grant;
