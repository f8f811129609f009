-- The log. A position is the number of an append call and the offset of the event in it. `data` and `metadata`
-- have no type, so that text stays TEXT (JSON, which SQL can read) and bytes stay BLOB.
CREATE TABLE highwater_event (
    position INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    id BLOB NOT NULL,
    stream TEXT NOT NULL,
    category TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    type TEXT NOT NULL,
    time INTEGER NOT NULL,
    data NOT NULL,
    metadata NOT NULL,
    PRIMARY KEY (position, "offset"),
    UNIQUE (id),
    UNIQUE (stream, sequence)
) WITHOUT ROWID;

-- How far each projection got. Columns without a type hold u64: INTEGER where it fits, else 8 bytes.
CREATE TABLE highwater_projection (
    name TEXT NOT NULL,
    version INTEGER NOT NULL,
    "partition" INTEGER NOT NULL,
    generation NOT NULL,
    position,
    position_offset,
    stream TEXT,
    category TEXT,
    sequence,
    event_id BLOB,
    event_time INTEGER,
    scanned,
    scanned_offset,
    filter_fingerprint TEXT NOT NULL,
    sql_fingerprint TEXT NOT NULL,
    epoch NOT NULL,
    paused INTEGER NOT NULL,
    crashes INTEGER NOT NULL,
    stopped_cleanly INTEGER NOT NULL,
    claimed,
    claimed_offset,
    fault TEXT,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (name, version, "partition")
) WITHOUT ROWID;

-- The attempt row of each event that is not applied.
CREATE TABLE highwater_failed_event (
    projection TEXT NOT NULL,
    version INTEGER NOT NULL,
    "partition" INTEGER NOT NULL,
    position NOT NULL,
    "offset" NOT NULL,
    generation NOT NULL,
    id BLOB NOT NULL,
    stream TEXT NOT NULL,
    sequence NOT NULL,
    type TEXT NOT NULL,
    state TEXT NOT NULL,
    class TEXT NOT NULL,
    code TEXT,
    message TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    first_failed INTEGER NOT NULL,
    last_failed INTEGER NOT NULL,
    next_attempt INTEGER,
    replay_requested INTEGER NOT NULL,
    PRIMARY KEY (projection, version, "partition", position, "offset")
) WITHOUT ROWID;

-- Each batch asks for these; they are small or empty.
CREATE INDEX highwater_failed_event_retrying
    ON highwater_failed_event (projection, version, "partition", position, "offset") WHERE state = 'retrying';
CREATE INDEX highwater_failed_event_replay
    ON highwater_failed_event (projection, version, "partition", position, "offset") WHERE replay_requested = 1;
CREATE INDEX highwater_failed_event_stream
    ON highwater_failed_event (projection, version, "partition", stream, position, "offset")
    WHERE state IN ('parked', 'held');
CREATE INDEX highwater_failed_event_open
    ON highwater_failed_event (projection, version, "partition") WHERE state <> 'retrying';

-- The payload kept with a parked or held event; the rest of the event is in its row.
CREATE TABLE highwater_dead_letter (
    projection TEXT NOT NULL,
    version INTEGER NOT NULL,
    "partition" INTEGER NOT NULL,
    position NOT NULL,
    "offset" NOT NULL,
    category TEXT NOT NULL,
    time INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    data BLOB NOT NULL,
    metadata BLOB NOT NULL,
    PRIMARY KEY (projection, version, "partition", position, "offset")
);

-- Where runners that are not transactional got; 8 bytes a half, greatest first.
CREATE TABLE highwater_checkpoint (
    key TEXT NOT NULL PRIMARY KEY,
    "commit" BLOB NOT NULL CHECK (typeof("commit") = 'blob' AND length("commit") = 8),
    "prepare" BLOB NOT NULL CHECK (typeof("prepare") = 'blob' AND length("prepare") = 8),
    updated_at INTEGER NOT NULL
) WITHOUT ROWID;

-- Events that handlers gave up.
CREATE TABLE highwater_letter (
    handler TEXT NOT NULL,
    position NOT NULL,
    "offset" NOT NULL,
    generation NOT NULL,
    id BLOB NOT NULL,
    stream TEXT NOT NULL,
    category TEXT NOT NULL,
    sequence NOT NULL,
    type TEXT NOT NULL,
    time INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    data BLOB NOT NULL,
    metadata BLOB NOT NULL,
    class TEXT NOT NULL,
    message TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    PRIMARY KEY (handler, position, "offset", generation)
);
