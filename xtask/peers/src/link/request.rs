//! What a client asks a server, over whatever stack: 64 bytes, answered by
//! pieces of at most 16 KiB.

use std::time::Duration;

use bytes::Bytes;

use crate::{Result, machine};

/// Length of a request.
pub(crate) const REQUEST_BYTES: usize = 64;
/// Length of a piece: a block.
pub(crate) const BLOCK_BYTES: usize = 16 * 1024;

const DATA: u8 = 1;
const USAGE: u8 = 2;
const USAGE_BYTES: usize = 16;

/// What is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// So many bytes.
    Data(u64),
    /// What the server's process has used up: a [`Usage`].
    Usage,
}

impl Request {
    /// The same as bytes.
    pub(crate) fn encode(self) -> [u8; REQUEST_BYTES] {
        let mut bytes = [0; REQUEST_BYTES];
        match self {
            Self::Data(length) => {
                bytes[0] = DATA;
                bytes[1..9].copy_from_slice(&length.to_le_bytes());
            }
            Self::Usage => bytes[0] = USAGE,
        }
        bytes
    }

    /// The request that these bytes are.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let bytes: &[u8; REQUEST_BYTES] = bytes.try_into()?;
        match bytes[0] {
            DATA => Ok(Self::Data(u64::from_le_bytes(bytes[1..9].try_into()?))),
            USAGE => Ok(Self::Usage),
            other => Err(format!("no such request: {other}").into()),
        }
    }

    /// How long the reply is.
    pub(crate) fn reply_bytes(self) -> u64 {
        match self {
            Self::Data(length) => length,
            Self::Usage => USAGE_BYTES as u64,
        }
    }
}

/// What a server's process has used up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Usage {
    /// CPU time since its start.
    pub(crate) cpu: Option<Duration>,
    /// Resident memory.
    pub(crate) resident_bytes: Option<u64>,
}

impl Usage {
    fn encode(self) -> Bytes {
        let cpu = self.cpu.and_then(|cpu| u64::try_from(cpu.as_micros()).ok());
        let numbers = [cpu, self.resident_bytes].map(|number| number.unwrap_or_default());
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// The usage that these bytes are; zero stands for what is not known.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let bytes: &[u8; USAGE_BYTES] = bytes.try_into()?;
        let cpu = u64::from_le_bytes(bytes[..8].try_into()?);
        let resident = u64::from_le_bytes(bytes[8..].try_into()?);
        Ok(Self {
            cpu: (cpu > 0).then(|| Duration::from_micros(cpu)),
            resident_bytes: (resident > 0).then_some(resident),
        })
    }
}

/// What a server answers from: one block, of which each reply sends views.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    block: Bytes,
}

impl Source {
    /// A block that is not all zeros.
    pub(crate) fn new() -> Self {
        Self { block: (0..=u8::MAX).cycle().take(BLOCK_BYTES).collect() }
    }

    /// The pieces of a reply, in order.
    pub(crate) fn reply(&self, request: Request) -> impl Iterator<Item = Bytes> + Send + use<> {
        let block = match request {
            Request::Data(_) => self.block.clone(),
            Request::Usage => {
                let resident_bytes = machine::resident_bytes();
                Usage { cpu: machine::cpu_time(), resident_bytes }.encode()
            }
        };
        let mut left = request.reply_bytes();
        std::iter::from_fn(move || {
            let length = block.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            left -= length as u64;
            (length > 0).then(|| block.slice(..length))
        })
    }
}
