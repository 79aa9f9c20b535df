-- Searches, parses and downloads: those under way and those that ended. `task` is what clients are given, as JSON and
-- without its results; the columns beside it are what is asked for.
CREATE TABLE tasks (
    seq         INTEGER PRIMARY KEY AUTOINCREMENT,  -- in the order of creation; pages continue from it
    id          TEXT NOT NULL UNIQUE,
    kind        TEXT NOT NULL,
    status      TEXT NOT NULL,
    plugin      TEXT,
    task        BLOB NOT NULL,
    checkpoint  BLOB                                -- where a download goes on, as its plugin gave it
);

CREATE INDEX tasks_by_status ON tasks (status, seq);
CREATE INDEX tasks_by_kind ON tasks (kind, seq);
CREATE INDEX tasks_by_plugin ON tasks (plugin, seq);

-- The results of a task in the order in which they came, as JSON arrays.
CREATE TABLE task_results (
    task    TEXT NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    number  INTEGER NOT NULL,
    results BLOB NOT NULL,
    PRIMARY KEY (task, number)
) WITHOUT ROWID;
