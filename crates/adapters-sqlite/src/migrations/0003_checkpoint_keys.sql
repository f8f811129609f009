-- All keys of checkpoints of which anything is known: whether there ever was a checkpoint, so that a lost one is told
-- from a new one, and whose the key is. `lease_until` is in microseconds since 1970, NULL with the owner.
CREATE TABLE highwater_checkpoint_key (
    key TEXT NOT NULL PRIMARY KEY,
    stored INTEGER NOT NULL,
    owner TEXT,
    lease_until INTEGER,
    epoch NOT NULL,
    generation NOT NULL
) WITHOUT ROWID;

INSERT INTO highwater_checkpoint_key (key, stored, epoch, generation)
    SELECT key, 1, 0, 0 FROM highwater_checkpoint;
