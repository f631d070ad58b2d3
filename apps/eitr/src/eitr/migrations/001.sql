CREATE TABLE clients (
    id INTEGER PRIMARY KEY,
    pseudonym TEXT NOT NULL UNIQUE,
    token_hash BLOB NOT NULL UNIQUE,
    joined TEXT NOT NULL
) STRICT;

CREATE TABLE models (
    version INTEGER PRIMARY KEY,
    tensors BLOB NOT NULL,
    etag TEXT NOT NULL,
    accuracy REAL,
    published TEXT NOT NULL
) STRICT;

CREATE TABLE rounds (
    number INTEGER PRIMARY KEY,
    state TEXT NOT NULL CHECK (state IN ('open', 'aggregating', 'published', 'failed')),
    base INTEGER NOT NULL REFERENCES models (version),
    deadline REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT ''
) STRICT;

-- Whatever the processes do, at most one round is live.
CREATE UNIQUE INDEX one_live_round ON rounds ((1)) WHERE state IN ('open', 'aggregating');

CREATE TABLE updates (
    round INTEGER NOT NULL REFERENCES rounds (number),
    client INTEGER NOT NULL REFERENCES clients (id) ON DELETE CASCADE,
    tensors BLOB NOT NULL,
    PRIMARY KEY (round, client)
) STRICT;

-- Digests outlive the tensors they were made of: an update that was sent once cannot be sent again, by anybody.
CREATE TABLE digests (digest BLOB PRIMARY KEY) STRICT;
