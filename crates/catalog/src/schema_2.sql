-- Version 2. Never change this file: a new version is a new file.
--
-- Whether listeners are named to each other.

-- 0 or 1, for each track: some licences forbid it.
ALTER TABLE tracks ADD COLUMN peers INTEGER NOT NULL DEFAULT 1;

-- One row, for the whole catalogue.
CREATE TABLE sharing (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    percent INTEGER NOT NULL CHECK (percent BETWEEN 0 AND 100),
    smallest_swarm INTEGER NOT NULL CHECK (smallest_swarm BETWEEN 0 AND 255)
) STRICT;

INSERT INTO sharing VALUES (1, 100, 0);
