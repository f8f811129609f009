CREATE TABLE event_counts (
  type      TEXT PRIMARY KEY,
  events    INTEGER NOT NULL,
  last_seen TEXT NOT NULL
) WITHOUT ROWID;
