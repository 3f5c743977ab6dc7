//! Who may log in.

use antiphon_types::NodeId;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::{Catalog, DatabaseError, Device, RegisterDeviceError, rows};

/// Characters of a device's name that are kept.
const MAX_NAME_CHARS: usize = 100;

impl Catalog {
    /// Registers a device at `now_ms` since 1970, under a name of which the
    /// first 100 characters are kept.
    ///
    /// One that is registered already takes the new name and is seen; it keeps
    /// its tier, so that logging in again gains and costs nothing.
    pub fn register_device(
        &self,
        node: NodeId,
        name: &str,
        tier: u32,
        now_ms: u64,
    ) -> Result<(), RegisterDeviceError> {
        let name: String = name.chars().take(MAX_NAME_CHARS).collect();
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if number_of(&transaction, node)?.is_none() {
            // Devices are never deleted, so the last number is their count.
            let count: u64 = transaction.query_row(
                "SELECT coalesce(max(number), 0) FROM devices",
                [],
                |row| row.get(0),
            )?;
            if count >= self.limits.devices {
                return Err(RegisterDeviceError::Full(count));
            }
        }
        transaction.execute(
            "INSERT INTO devices (node, name, tier, registered_at_ms, last_seen_ms)
             VALUES (?1, ?2, ?3, ?4, ?4)
             ON CONFLICT (node) DO UPDATE SET
                 name = excluded.name,
                 last_seen_ms = max(last_seen_ms, excluded.last_seen_ms)",
            params![node.as_bytes(), name, tier, now_ms],
        )?;
        transaction.commit()?;
        Ok(())
    }

    /// Notes that a device was seen at `now_ms` since 1970; false if it is not
    /// registered.
    pub fn device_seen(&self, node: NodeId, now_ms: u64) -> Result<bool, DatabaseError> {
        let changed = self.connection().execute(
            "UPDATE devices SET last_seen_ms = max(last_seen_ms, ?2) WHERE node = ?1",
            params![node.as_bytes(), now_ms],
        )?;
        Ok(changed == 1)
    }

    /// The device with that key, if it is registered.
    pub fn device(&self, node: NodeId) -> Result<Option<Device>, DatabaseError> {
        let device = self
            .connection()
            .query_row("SELECT * FROM devices WHERE node = ?1", [node.as_bytes()], rows::device)
            .optional()?;
        Ok(device)
    }
}

/// The number of a device's row.
pub(crate) fn number_of(connection: &Connection, node: NodeId) -> rusqlite::Result<Option<i64>> {
    connection
        .query_row("SELECT number FROM devices WHERE node = ?1", [node.as_bytes()], |row| {
            row.get(0)
        })
        .optional()
}
