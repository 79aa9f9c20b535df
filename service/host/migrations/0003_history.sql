-- Every revision that served, newest last; its files are kept by content under data/revisions/.
CREATE TABLE revisions (
    seq      INTEGER PRIMARY KEY AUTOINCREMENT,  -- grows with every time that one serves; the newest is the largest
    identity TEXT NOT NULL,
    unit     TEXT NOT NULL,                      -- the plugin's file or folder, relative to plugins/
    revision TEXT NOT NULL,
    version  TEXT NOT NULL,
    at       TEXT NOT NULL,
    origin   BLOB NOT NULL,
    saved_ns INTEGER NOT NULL,
    retired  INTEGER NOT NULL DEFAULT 0,         -- its plugin was deleted since: nothing falls back to it by itself
    UNIQUE (identity, revision)
);

CREATE INDEX revisions_by_unit ON revisions (unit, seq);

CREATE TABLE revision_files (
    revision INTEGER NOT NULL REFERENCES revisions (seq) ON DELETE CASCADE,
    path     TEXT NOT NULL,
    part     TEXT NOT NULL,                      -- own, helper or requirements
    sha256   TEXT NOT NULL,
    PRIMARY KEY (revision, path)
) WITHOUT ROWID;

-- What was done to files, configuration, origins and data folders. What exactly is in the blob `changeset`, and not
-- here: there are passwords in it, and this file may be read by more people than the blobs.
CREATE TABLE changes (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    id        TEXT NOT NULL UNIQUE,
    at        TEXT NOT NULL,
    kind      TEXT NOT NULL,
    plugin    TEXT,
    summary   BLOB NOT NULL,
    changeset TEXT NOT NULL,
    undoable  INTEGER NOT NULL,
    undoes    TEXT,
    undone_by TEXT
);

CREATE INDEX changes_by_plugin ON changes (plugin, seq);

-- The contents and the folders in the trash that undoing a change takes.
CREATE TABLE change_needs (
    change INTEGER NOT NULL REFERENCES changes (seq) ON DELETE CASCADE,
    kind   TEXT NOT NULL,                        -- blob or trash
    key    TEXT NOT NULL,
    PRIMARY KEY (change, kind, key)
) WITHOUT ROWID;
