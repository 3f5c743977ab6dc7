//! `redb`: a key for each block, transactions of as many blocks as are made
//! durable at once, one long transaction for reading. It verifies nothing.

use std::ops::Range;
use std::path::Path;

use antiphon_types::BlobId;
use redb::{
    Database, Durability, ReadOnlyTable, ReadableDatabase as _, TableDefinition, WriteTransaction,
};

use super::keeper::Keeper;
use super::set::{Member, Source};
use crate::Result;

/// The blob's id, then the block's number, so that a blob lies together.
const KEY_BYTES: usize = BlobId::BYTES + 4;

const BLOCKS: TableDefinition<'_, &[u8; KEY_BYTES], &[u8]> = TableDefinition::new("blocks");

/// A database of its default settings.
pub(super) struct Redb {
    /// Ends before the database does.
    reading: Option<Reading>,
    writing: Option<WriteTransaction>,
    database: Database,
    buffer: Vec<u8>,
}

struct Reading {
    table: ReadOnlyTable<&'static [u8; KEY_BYTES], &'static [u8]>,
    members: Vec<Member>,
}

impl Redb {
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let database = Database::create(folder.join("redb"))?;
        let buffer = Vec::with_capacity(antiphon_types::BLOCK_BYTES as usize);
        Ok(Self { reading: None, writing: None, database, buffer })
    }
}

impl Keeper for Redb {
    fn begin(&mut self, _source: &Source) -> Result<()> {
        Ok(())
    }

    fn put(&mut self, source: &Source, blocks: Range<u32>) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut table = transaction.open_table(BLOCKS)?;
            for block in blocks {
                table.insert(&key(source.id, block), source.block(block))?;
            }
        }
        self.writing = Some(transaction);
        Ok(())
    }

    fn sync(&mut self, _source: &Source) -> Result<()> {
        Ok(self.writing.take().ok_or("nothing was put")?.commit()?)
    }

    fn ready_to_read(&mut self, members: &[Member]) -> Result<()> {
        let table = self.database.begin_read()?.open_table(BLOCKS)?;
        self.reading = Some(Reading { table, members: members.to_vec() });
        Ok(())
    }

    /// The value is copied: its page stays in the cache of the database, and
    /// the caller gets bytes of its own, as the others give.
    fn read(&mut self, member: usize, block: u32) -> Result<&[u8]> {
        let reading = self.reading.as_ref().ok_or("nothing is being read")?;
        let key = key(reading.members[member].id, block);
        let value = reading.table.get(&key)?.ok_or("the database lacks a block")?;
        self.buffer.clear();
        self.buffer.extend_from_slice(value.value());
        Ok(&self.buffer)
    }
}

fn key(id: BlobId, block: u32) -> [u8; KEY_BYTES] {
    let mut key = [0; KEY_BYTES];
    key[..BlobId::BYTES].copy_from_slice(id.as_bytes());
    key[BlobId::BYTES..].copy_from_slice(&block.to_be_bytes());
    key
}
