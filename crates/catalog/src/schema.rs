//! Opening the database, and bringing it to the present schema.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, TransactionBehavior};

use crate::OpenError;

/// What leads from each version of the schema to the next; the first makes it
/// out of nothing. A released step is never changed, only followed by another.
const STEPS: &[&str] = &[include_str!("schema_1.sql"), include_str!("schema_2.sql")];

/// How long a call waits for another process (an ingest beside a server).
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn open(path: &Path) -> Result<Connection, OpenError> {
    let connection = Connection::open(path).map_err(|error| OpenError::Unreachable {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    prepare(connection)
}

pub(crate) fn open_in_memory() -> Result<Connection, OpenError> {
    prepare(Connection::open_in_memory()?)
}

fn prepare(mut connection: Connection) -> Result<Connection, OpenError> {
    // First of all, since even the change to WAL may find the file locked.
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // Before anything is written: a file of another program stays untouched.
    version(&connection, STEPS)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    migrate(&mut connection, STEPS)?;
    Ok(connection)
}

/// Takes the missing steps, all or none.
fn migrate(connection: &mut Connection, steps: &[&str]) -> Result<(), OpenError> {
    if version(connection, steps)? == steps.len() {
        return Ok(());
    }
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Asked again, since another process may have been quicker.
    let version = version(&transaction, steps)?;
    if version == 0 {
        transaction.execute_batch(
            "CREATE TABLE schema_version (version INTEGER NOT NULL) STRICT;
             INSERT INTO schema_version VALUES (0);",
        )?;
    }
    for step in steps.iter().skip(version) {
        transaction.execute_batch(step)?;
    }
    transaction.execute("UPDATE schema_version SET version = ?1", [steps.len()])?;
    Ok(transaction.commit()?)
}

/// How many of the steps the database has taken: 0 if it is new.
fn version(connection: &Connection, steps: &[&str]) -> Result<usize, OpenError> {
    let tables: u32 = connection
        .query_row("SELECT count(*) FROM sqlite_master", [], |row| row.get(0))
        .map_err(not_a_catalog)?;
    if tables == 0 {
        return Ok(0);
    }
    let found: u32 = connection
        .query_row("SELECT version FROM schema_version", [], |row| row.get(0))
        .map_err(not_a_catalog)?;
    let known = steps.len();
    match usize::try_from(found) {
        Ok(version @ 1..) if version <= known => Ok(version),
        Ok(0) => Err(OpenError::NotACatalog),
        _ => Err(OpenError::Newer { found, known: u32::try_from(known).unwrap_or(u32::MAX) }),
    }
}

/// No database at all, or one without our table of one row.
fn not_a_catalog(error: rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::Unknown) => OpenError::NotACatalog,
        None if error == rusqlite::Error::QueryReturnedNoRows => OpenError::NotACatalog,
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: &str = "CREATE TABLE songs (title TEXT) STRICT;";
    const SECOND: &str = "ALTER TABLE songs ADD COLUMN year INTEGER NOT NULL DEFAULT 1970;";

    fn with_one_song() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &[FIRST]).unwrap();
        connection.execute("INSERT INTO songs VALUES ('old')", []).unwrap();
        connection
    }

    #[test]
    fn an_older_schema_is_brought_forward_with_its_data() {
        let mut connection = with_one_song();
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
        let song: (String, u32) = connection
            .query_row("SELECT title, year FROM songs", [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        assert_eq!(song, ("old".to_owned(), 1970));
        assert_eq!(version(&connection, &[FIRST, SECOND]).unwrap(), 2);
        migrate(&mut connection, &[FIRST, SECOND]).expect("there is nothing left to do");
    }

    #[test]
    fn tracks_of_the_first_version_may_be_shared() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, &STEPS[..1]).unwrap();
        connection
            .execute(
                "INSERT INTO tracks VALUES (
                     1, zeroblob(16), zeroblob(32), 't', 'a', 'l', 'aa', 1, 1, 1999, 'g', '', 1,
                     -9.0, -1.0, -5.0, NULL, x'00', 1)",
                [],
            )
            .unwrap();
        migrate(&mut connection, STEPS).unwrap();
        let allowed: bool =
            connection.query_row("SELECT peers FROM tracks", [], |row| row.get(0)).unwrap();
        assert!(allowed);
    }

    #[test]
    fn a_step_that_fails_leaves_the_old_schema() {
        let mut connection = with_one_song();
        let broken = [FIRST, SECOND, "CREATE TABLE songs (again TEXT);"];
        assert!(matches!(migrate(&mut connection, &broken), Err(OpenError::Database(_))));
        assert_eq!(version(&connection, &broken).unwrap(), 1);
        connection.execute("INSERT INTO songs VALUES ('one column still')", []).unwrap();
    }

    #[test]
    fn a_newer_schema_is_refused() {
        let mut connection = with_one_song();
        migrate(&mut connection, &[FIRST, SECOND]).unwrap();
        let refused = migrate(&mut connection, &[FIRST]);
        assert!(matches!(refused, Err(OpenError::Newer { found: 2, known: 1 })));
    }
}
