CREATE TABLE landings (
  dest              TEXT PRIMARY KEY,
  landings          INTEGER NOT NULL,
  arr_delay_minutes INTEGER NOT NULL,
  air_time_minutes  INTEGER NOT NULL,
  distance_miles    INTEGER NOT NULL
) WITHOUT ROWID;
