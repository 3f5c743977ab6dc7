//! Links over TCP: Noise, records, and our own multiplexer.

pub(crate) mod driver;
pub(crate) mod greeting;
