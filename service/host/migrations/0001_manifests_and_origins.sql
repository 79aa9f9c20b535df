-- What each content of a plugin's file said of itself, so that a disabled plugin is known without running it.
CREATE TABLE manifests (
    hash     TEXT PRIMARY KEY,
    manifest BLOB NOT NULL,
    seen     INTEGER NOT NULL      -- grows with every use; the smallest are dropped first
) WITHOUT ROWID;

CREATE INDEX manifests_by_use ON manifests (seen);

-- Where a file under plugins/ came from; a file that is not here was put in place by hand.
CREATE TABLE origins (
    file   TEXT PRIMARY KEY,
    origin BLOB NOT NULL
) WITHOUT ROWID;
