-- Who saw it: the site of a node.
CREATE TABLE vantage (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;
-- One region or hostname, as one vantage point sees it.
CREATE TABLE series (
    id INTEGER PRIMARY KEY CHECK (id BETWEEN 1 AND 65535),
    vantage INTEGER NOT NULL REFERENCES vantage (id),
    subject TEXT NOT NULL,
    UNIQUE (vantage, subject)
) STRICT;
-- Milliseconds at each level, as far as it was watched; attempts; how long probes took (bucket, count, bucket, count …).
-- id is the slot of time since the epoch times 65 536, and the series.
CREATE TABLE minute (
    id INTEGER PRIMARY KEY,
    operational INTEGER NOT NULL, maintenance INTEGER NOT NULL, unknown INTEGER NOT NULL,
    degraded INTEGER NOT NULL, partial INTEGER NOT NULL, major INTEGER NOT NULL,
    requests INTEGER NOT NULL, failures INTEGER NOT NULL, times BLOB NOT NULL,
    at_s INTEGER GENERATED ALWAYS AS ((id >> 16) * 60) VIRTUAL,
    series INTEGER GENERATED ALWAYS AS (id & 65535) VIRTUAL
) STRICT;
CREATE TABLE hour (
    id INTEGER PRIMARY KEY,
    operational INTEGER NOT NULL, maintenance INTEGER NOT NULL, unknown INTEGER NOT NULL,
    degraded INTEGER NOT NULL, partial INTEGER NOT NULL, major INTEGER NOT NULL,
    requests INTEGER NOT NULL, failures INTEGER NOT NULL, times BLOB NOT NULL,
    at_s INTEGER GENERATED ALWAYS AS ((id >> 16) * 3600) VIRTUAL,
    series INTEGER GENERATED ALWAYS AS (id & 65535) VIRTUAL
) STRICT;
CREATE TABLE day (
    id INTEGER PRIMARY KEY,
    operational INTEGER NOT NULL, maintenance INTEGER NOT NULL, unknown INTEGER NOT NULL,
    degraded INTEGER NOT NULL, partial INTEGER NOT NULL, major INTEGER NOT NULL,
    requests INTEGER NOT NULL, failures INTEGER NOT NULL, times BLOB NOT NULL,
    at_s INTEGER GENERATED ALWAYS AS ((id >> 16) * 86400) VIRTUAL,
    series INTEGER GENERATED ALWAYS AS (id & 65535) VIRTUAL
) STRICT;
-- The level of a series when it was last seen.
CREATE TABLE level (
    series INTEGER PRIMARY KEY REFERENCES series (id),
    level TEXT NOT NULL, since_ms INTEGER NOT NULL, seen_ms INTEGER NOT NULL
) STRICT;
-- Changes of standing, of hostnames' levels, and drains, with their reasons.
CREATE TABLE change (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms INTEGER NOT NULL,
    vantage INTEGER NOT NULL REFERENCES vantage (id),
    kind TEXT NOT NULL, name TEXT NOT NULL, was TEXT NOT NULL, is_now TEXT NOT NULL, reason TEXT NOT NULL
) STRICT;
CREATE INDEX change_at ON change (at_ms);
-- How far hours and days are made, in hours and days since the epoch; and up to which minute minutes are forgotten.
CREATE TABLE progress (
    what TEXT PRIMARY KEY,
    until INTEGER NOT NULL
) STRICT;
