CREATE TABLE aircraft (
  tail         TEXT PRIMARY KEY,
  open_flights INTEGER NOT NULL DEFAULT 0, -- departed, neither landed nor diverted
  flights      INTEGER NOT NULL DEFAULT 0,
  heading_to   TEXT,
  landed_at    TEXT,
  seen_at      TEXT NOT NULL
) WITHOUT ROWID;
