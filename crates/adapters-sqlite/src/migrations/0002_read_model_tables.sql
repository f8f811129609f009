-- Whose the tables are that set-ups have created: a table has one projection, in all its versions.
CREATE TABLE highwater_read_model_table (
    name TEXT NOT NULL COLLATE NOCASE PRIMARY KEY,
    projection TEXT NOT NULL
) WITHOUT ROWID;
