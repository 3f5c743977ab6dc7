//! What a disk may do wrong, and when.

use std::io::{Error, ErrorKind};

use crate::torture::draw::Draw;

/// What is asked of a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Op {
    Open,
    Create,
    Read,
    Len,
    Write,
    Sync,
    List,
    MakeFolder,
    Rename,
    Remove,
    SyncFolder,
    Lock,
    FreeBytes,
}

impl Op {
    pub(crate) const ALL: [Self; 13] = [
        Self::Open,
        Self::Create,
        Self::Read,
        Self::Len,
        Self::Write,
        Self::Sync,
        Self::List,
        Self::MakeFolder,
        Self::Rename,
        Self::Remove,
        Self::SyncFolder,
        Self::Lock,
        Self::FreeBytes,
    ];

    /// Those that a crash can cut in two.
    pub(crate) const MUTATING: [Self; 7] = [
        Self::Create,
        Self::Write,
        Self::Sync,
        Self::MakeFolder,
        Self::Rename,
        Self::Remove,
        Self::SyncFolder,
    ];

    pub(crate) fn is_mutating(self) -> bool {
        Self::MUTATING.contains(&self)
    }

    /// What it may fail with, the likely more than once.
    pub(crate) fn faults(self) -> &'static [Fault] {
        match self {
            Self::Open | Self::Lock | Self::List => &[Fault::Broken, Fault::NoFiles],
            Self::Create => &[Fault::Broken, Fault::Full, Fault::NoFiles],
            Self::Read => &[Fault::Broken, Fault::Broken, Fault::NoMemory],
            Self::Write => &[Fault::Broken, Fault::Full, Fault::Quota],
            Self::MakeFolder | Self::Rename => &[Fault::Broken, Fault::Full],
            Self::Len | Self::Sync | Self::Remove | Self::SyncFolder | Self::FreeBytes => {
                &[Fault::Broken]
            }
        }
    }
}

/// An error of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// EIO.
    Broken,
    /// ENOSPC.
    Full,
    /// EDQUOT.
    Quota,
    /// EROFS.
    ReadOnly,
    /// EMFILE.
    NoFiles,
    /// ENOMEM.
    NoMemory,
}

impl Fault {
    pub(crate) fn error(self) -> Error {
        match self {
            Self::Broken => Error::other("input/output error"),
            Self::Full => ErrorKind::StorageFull.into(),
            Self::Quota => ErrorKind::QuotaExceeded.into(),
            Self::ReadOnly => ErrorKind::ReadOnlyFilesystem.into(),
            // The standard library has no kind for it.
            Self::NoFiles if cfg!(unix) => Error::from_raw_os_error(24),
            Self::NoFiles | Self::NoMemory => ErrorKind::OutOfMemory.into(),
        }
    }
}

/// A failure that was ordered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) op: Op,
    pub(crate) fault: Fault,
    /// How many of these operations succeed before.
    pub(crate) after: u64,
    /// How many fail.
    pub(crate) times: u64,
}

/// What goes wrong at present.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    /// How often in a thousand an operation fails.
    pub(crate) odds: [u32; Op::ALL.len()],
    /// Bytes of room in all.
    pub(crate) capacity: Option<u64>,
    pub(crate) is_read_only: bool,
    pub(crate) has_no_files: bool,
    /// Nothing goes wrong, for now.
    pub(crate) are_paused: bool,
    orders: Vec<Order>,
}

impl Faults {
    pub(crate) fn order(&mut self, order: Order) {
        self.orders.push(order);
    }

    /// All is well from now on.
    pub(crate) fn mend(&mut self) {
        *self = Self::default();
    }

    /// Whether this operation fails, and how.
    pub(super) fn judge(&mut self, draw: &mut Draw, op: Op) -> Option<Fault> {
        if self.are_paused {
            return None;
        }
        for order in self.orders.iter_mut().filter(|order| order.op == op) {
            if order.after > 0 {
                order.after -= 1;
            } else if order.times > 0 {
                order.times -= 1;
                return Some(order.fault);
            }
        }
        if self.is_read_only && op.is_mutating() {
            return Some(Fault::ReadOnly);
        }
        if self.has_no_files && matches!(op, Op::Open | Op::Create | Op::List | Op::Lock) {
            return Some(Fault::NoFiles);
        }
        let odds = self.odds[op as usize];
        (odds > 0 && draw.per_mille(odds)).then(|| draw.pick(op.faults()))
    }
}
