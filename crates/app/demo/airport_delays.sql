CREATE TABLE airport_delays (
  origin        TEXT PRIMARY KEY,
  departures    INTEGER NOT NULL DEFAULT 0,
  late_over_60  INTEGER NOT NULL DEFAULT 0,
  delay_minutes INTEGER NOT NULL DEFAULT 0,
  cancelled     INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

CREATE TABLE diversions (
  aircraft TEXT NOT NULL,
  at       TEXT NOT NULL,
  origin   TEXT NOT NULL,
  planned  TEXT NOT NULL,
  PRIMARY KEY (aircraft, at)
) WITHOUT ROWID;
