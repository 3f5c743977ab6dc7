-- Version 1. Never change this file: a new version is a new file.
--
-- Rows have small numbers of their own, so that references are short; the ids
-- that the world knows stand in unique columns.

CREATE TABLE covers (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    mime TEXT NOT NULL,
    bytes BLOB NOT NULL
) STRICT;

CREATE TABLE tracks (
    number INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    source_hash BLOB NOT NULL UNIQUE CHECK (length(source_hash) = 32),
    title TEXT NOT NULL,
    artist TEXT NOT NULL,
    album TEXT NOT NULL,
    album_artist TEXT NOT NULL,
    track_number INTEGER NOT NULL,
    disc_number INTEGER NOT NULL,
    year INTEGER NOT NULL,
    genre TEXT NOT NULL,
    isrc TEXT NOT NULL,
    samples INTEGER NOT NULL,
    source_lufs REAL NOT NULL,
    source_true_peak_dbtp REAL NOT NULL,
    gain_db REAL NOT NULL,
    cover BLOB REFERENCES covers (hash),
    manifest BLOB NOT NULL,
    added_at_ms INTEGER NOT NULL
) STRICT;

-- The order of a list without search words.
CREATE INDEX tracks_in_order ON tracks (
    artist COLLATE NOCASE, album COLLATE NOCASE, disc_number, track_number, number
);

-- Two sources with the same sound have the same blobs, so `blob` is not unique.
CREATE TABLE renditions (
    track INTEGER NOT NULL REFERENCES tracks (number) ON DELETE CASCADE,
    kbps INTEGER NOT NULL,
    blob BLOB NOT NULL CHECK (length(blob) = 32),
    bytes INTEGER NOT NULL,
    samples INTEGER NOT NULL,
    plaintext_hash BLOB NOT NULL CHECK (length(plaintext_hash) = 32),
    PRIMARY KEY (track, kbps)
) STRICT, WITHOUT ROWID;

CREATE INDEX renditions_by_blob ON renditions (blob, track);

-- The index holds no text of its own; triggers keep it in step.
CREATE VIRTUAL TABLE search USING fts5 (
    title, artist, album,
    content = 'tracks', content_rowid = 'number',
    tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);

CREATE TRIGGER tracks_inserted AFTER INSERT ON tracks BEGIN
    INSERT INTO search (rowid, title, artist, album)
    VALUES (new.number, new.title, new.artist, new.album);
END;

CREATE TRIGGER tracks_deleted AFTER DELETE ON tracks BEGIN
    INSERT INTO search (search, rowid, title, artist, album)
    VALUES ('delete', old.number, old.title, old.artist, old.album);
END;

CREATE TRIGGER tracks_renamed AFTER UPDATE OF number, title, artist, album ON tracks BEGIN
    INSERT INTO search (search, rowid, title, artist, album)
    VALUES ('delete', old.number, old.title, old.artist, old.album);
    INSERT INTO search (rowid, title, artist, album)
    VALUES (new.number, new.title, new.artist, new.album);
END;

CREATE TABLE devices (
    number INTEGER PRIMARY KEY,
    node BLOB NOT NULL UNIQUE CHECK (length(node) = 32),
    name TEXT NOT NULL,
    tier INTEGER NOT NULL,
    registered_at_ms INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE plays (
    number INTEGER PRIMARY KEY,
    device INTEGER NOT NULL REFERENCES devices (number),
    id BLOB NOT NULL CHECK (length(id) = 16),
    track INTEGER NOT NULL REFERENCES tracks (number),
    kbps INTEGER NOT NULL,
    started_at_ms INTEGER NOT NULL,
    listened_ms INTEGER NOT NULL,
    bytes_cache INTEGER NOT NULL,
    bytes_peers INTEGER NOT NULL,
    bytes_edge INTEGER NOT NULL,
    bytes_server INTEGER NOT NULL,
    first_byte_us INTEGER,
    first_sound_us INTEGER,
    stalls INTEGER NOT NULL,
    stalled_us INTEGER NOT NULL,
    finished INTEGER NOT NULL,
    UNIQUE (device, id)
) STRICT;

-- AUTOINCREMENT: a higher number is a later report, even after deletions.
CREATE TABLE bad_peers (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    peer BLOB NOT NULL CHECK (length(peer) = 32),
    reporter INTEGER NOT NULL REFERENCES devices (number),
    blob BLOB NOT NULL CHECK (length(blob) = 32),
    block INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    UNIQUE (peer, reporter, blob, block)
) STRICT;

CREATE INDEX bad_peers_by_reporter ON bad_peers (reporter, number);
