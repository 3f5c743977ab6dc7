//! Records, a multiplexer with priorities, and messages, sans-IO.
//!
//! What two nodes need between a cipher and their requests: bytes of a socket
//! become records ([`record`]), the plaintext of records becomes many
//! streams with priorities and flow control ([`Mux`]), and the bytes of a
//! stream become messages and blocks ([`message`]). Read [`Mux`] and [`Limits`]
//! first; [`frame`] is the format, [`proto`] what messages say.
//!
//! Left to others: sockets, time and tasks (the driver's), the cipher between
//! record and plaintext (any AEAD that adds 16 bytes; a Noise transport here),
//! and what messages mean.
//!
//! # Driving it
//!
//! The contract is the one of every sans-IO core (see `antiphon_types`): after
//! any `handle_*` or command, drain [`Mux::poll_event`]; whenever the socket
//! can take bytes, drain [`Mux::poll_record`]; sleep until
//! [`Mux::poll_timeout`] and [`RecordDecoder::poll_timeout`] at most, and
//! [release](RecordDecoder::release_if_empty) the read buffer before. Here in
//! memory, with no cipher between:
//!
//! ```
//! use antiphon_types::{Class, Timestamp};
//! use antiphon_wire::message::{Envelope, MessageReader, encode_message};
//! use antiphon_wire::mux::{Event, Limits, Mux, Role};
//! use antiphon_wire::record::MAX_PLAINTEXT_BYTES;
//! use bytes::BytesMut;
//!
//! let now = Timestamp::ZERO;
//! let mut client = Mux::new(Role::Initiator, Limits::default(), now);
//! let mut server = Mux::new(Role::Responder, Limits::default(), now);
//!
//! let stream = client.open(Class::Now)?;
//! client.write(stream, encode_message(b"play the song"))?;
//! client.finish(stream);
//!
//! let mut record = BytesMut::new();
//! let mut reader = MessageReader::default();
//! while client.poll_record(now, &mut record, MAX_PLAINTEXT_BYTES) > 0 {
//!     // A driver encrypts here, and the other decrypts.
//!     server.handle_record(now, record.split().freeze())?;
//!     while let Some(event) = server.poll_event() {
//!         match event {
//!             Event::Opened { class, .. } => assert_eq!(class, Class::Now),
//!             Event::Data { id, data } => {
//!                 server.consume(id, data.len());
//!                 reader.push(data);
//!             }
//!             Event::Finished { .. } => {
//!                 assert_eq!(reader.next()?, Some(Envelope::Message("play the song".into())));
//!                 reader.finish()?;
//!             }
//!             _ => {}
//!         }
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Panics and errors
//!
//! No input from the other side causes a panic, and everything it can make
//! grow has a bound in [`Limits`] or a constant beside the format. A
//! [`ConnectionError`] ends the connection: the multiplexer frees its streams,
//! has one last record that tells the other side why, and refuses all else.

mod code;
pub mod frame;
mod limits;
pub mod message;
pub mod mux;
mod patience;
pub mod proto;
pub mod record;
mod text;

pub use code::{CloseCode, reset_code};
pub use frame::StreamId;
pub use limits::{Limits, Rate};
pub use message::{Envelope, MessageError, MessageReader};
pub use mux::{ConnectionError, Event, Mux, Role};
pub use patience::Patience;
pub use record::{RecordDecoder, RecordError};
pub use text::{MAX_TEXT_CHARS, printable};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
