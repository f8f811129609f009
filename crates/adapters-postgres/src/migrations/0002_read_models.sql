-- How far each projection got. numeric(20, 0) holds every u64; a time is microseconds since 1970. Texts of
-- ours that may come from elsewhere are escaped where they have a NUL character, see text.rs.
CREATE TABLE highwater.projection (
    name text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    "partition" bigint NOT NULL,
    generation numeric(20, 0) NOT NULL,
    position numeric(20, 0),
    position_offset numeric(20, 0),
    stream text COLLATE "C",
    category text COLLATE "C",
    sequence numeric(20, 0),
    event_id uuid,
    event_time bigint,
    scanned numeric(20, 0),
    scanned_offset numeric(20, 0),
    filter_fingerprint text NOT NULL,
    sql_fingerprint text NOT NULL,
    epoch numeric(20, 0) NOT NULL,
    paused boolean NOT NULL,
    crashes bigint NOT NULL,
    stopped_cleanly boolean NOT NULL,
    claimed numeric(20, 0),
    claimed_offset numeric(20, 0),
    fault text,
    updated_at bigint NOT NULL,
    PRIMARY KEY (name, version, "partition")
) WITH (fillfactor = 50); -- each batch writes its row again: there is room for it on the same page

-- The attempt row of each event that is not applied.
CREATE TABLE highwater.failed_event (
    projection text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    "partition" bigint NOT NULL,
    position numeric(20, 0) NOT NULL,
    "offset" numeric(20, 0) NOT NULL,
    generation numeric(20, 0) NOT NULL,
    id uuid NOT NULL,
    stream text COLLATE "C" NOT NULL,
    sequence numeric(20, 0) NOT NULL,
    type text COLLATE "C" NOT NULL,
    state text NOT NULL,
    class text NOT NULL,
    code text,
    message text NOT NULL,
    attempts bigint NOT NULL,
    first_failed bigint NOT NULL,
    last_failed bigint NOT NULL,
    next_attempt bigint,
    replay_requested boolean NOT NULL,
    PRIMARY KEY (projection, version, "partition", position, "offset")
);

-- Each batch asks for these; they are small or empty.
CREATE INDEX failed_event_retrying
    ON highwater.failed_event (projection, version, "partition", position, "offset") WHERE state = 'retrying';
CREATE INDEX failed_event_replay
    ON highwater.failed_event (projection, version, "partition", position, "offset") WHERE replay_requested;
CREATE INDEX failed_event_stream
    ON highwater.failed_event (projection, version, "partition", stream, position, "offset")
    WHERE state IN ('parked', 'held');
CREATE INDEX failed_event_open
    ON highwater.failed_event (projection, version, "partition") WHERE state <> 'retrying';

-- The payload kept with a parked or held event; the rest of the event is in its row.
CREATE TABLE highwater.dead_letter (
    projection text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    "partition" bigint NOT NULL,
    position numeric(20, 0) NOT NULL,
    "offset" numeric(20, 0) NOT NULL,
    category text COLLATE "C" NOT NULL,
    time bigint NOT NULL,
    content_type text NOT NULL,
    data bytea NOT NULL,
    metadata bytea NOT NULL,
    PRIMARY KEY (projection, version, "partition", position, "offset")
);

-- Which projection a table belongs to. `existed`: it was there when it was noted, so if it is not now, it was
-- dropped; a table that was only named is kept for its projection until it is created.
CREATE TABLE highwater.read_model_table (
    schema text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    projection text COLLATE "C" NOT NULL,
    existed boolean NOT NULL,
    PRIMARY KEY (schema, name)
);

-- Where runners that are not transactional got.
CREATE TABLE highwater.checkpoint (
    key text COLLATE "C" NOT NULL PRIMARY KEY,
    "commit" numeric(20, 0) NOT NULL,
    "prepare" numeric(20, 0) NOT NULL,
    updated_at timestamptz NOT NULL
) WITH (fillfactor = 70);

-- Events that handlers gave up.
CREATE TABLE highwater.letter (
    handler text COLLATE "C" NOT NULL,
    position numeric(20, 0) NOT NULL,
    "offset" numeric(20, 0) NOT NULL,
    generation numeric(20, 0) NOT NULL,
    id uuid NOT NULL,
    stream text COLLATE "C" NOT NULL,
    category text COLLATE "C" NOT NULL,
    sequence numeric(20, 0) NOT NULL,
    type text COLLATE "C" NOT NULL,
    time bigint NOT NULL,
    content_type text NOT NULL,
    data bytea NOT NULL,
    metadata bytea NOT NULL,
    class text NOT NULL,
    message text NOT NULL,
    attempts bigint NOT NULL,
    PRIMARY KEY (handler, position, "offset", generation)
);

-- The row of a projection, locked, or nothing where another transaction has it. `ROWS 1`: with the usual
-- guess of a thousand rows the planner thinks a batch's first statement so dear that it compiles it each
-- time.
CREATE FUNCTION highwater.lock_projection(of_name text, of_version bigint, of_partition bigint)
RETURNS SETOF highwater.projection LANGUAGE plpgsql VOLATILE ROWS 1 AS $$
BEGIN
    RETURN QUERY SELECT p.* FROM highwater.projection p
        WHERE p.name = of_name AND p.version = of_version AND p."partition" = of_partition
        FOR NO KEY UPDATE SKIP LOCKED;
END $$;

-- The first event that is retried, or that an operator wants tried again. Volatile, and a function of its
-- own: it reads what is committed when it is called, which is after the row was locked.
CREATE FUNCTION highwater.first_failed(of_name text, of_version bigint, of_partition bigint, replay boolean)
RETURNS SETOF highwater.failed_event LANGUAGE plpgsql VOLATILE STRICT ROWS 1 AS $$
BEGIN
    IF replay THEN
        RETURN QUERY SELECT f.* FROM highwater.failed_event f
            WHERE f.projection = of_name AND f.version = of_version AND f."partition" = of_partition
                AND f.replay_requested AND f.state <> 'retrying'
            ORDER BY f.position, f."offset" LIMIT 1;
    ELSE
        RETURN QUERY SELECT f.* FROM highwater.failed_event f
            WHERE f.projection = of_name AND f.version = of_version AND f."partition" = of_partition
                AND f.state = 'retrying'
            ORDER BY f.position, f."offset" LIMIT 1;
    END IF;
END $$;

-- Stands before each COMMIT of a batch, in the same flight: raises unless the state has moved, and unless
-- this is still the transaction that was begun.
CREATE FUNCTION highwater.confirm_move(moved bigint, unit text) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF current_setting('hw.unit', true) IS DISTINCT FROM unit THEN
        RAISE EXCEPTION 'highwater: the transaction was ended by the projection' USING ERRCODE = 'HW002';
    END IF;
    IF moved <> 1 THEN
        RAISE EXCEPTION 'highwater: the state of the projection is not as it was read'
            USING ERRCODE = 'HW001';
    END IF;
END $$;

-- Moves checkpoints forward, as if each had been moved alone. In the order of their keys, so that two callers
-- never wait for each other.
CREATE FUNCTION highwater.advance_checkpoints(keys text[], commits numeric[], prepares numeric[])
RETURNS TABLE (entry bigint, applied boolean, stored_commit numeric, stored_prepare numeric)
LANGUAGE plpgsql VOLATILE ROWS 100 AS $$
#variable_conflict use_column
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT u.key, u."commit", u."prepare", u.n
        FROM unnest(keys, commits, prepares) WITH ORDINALITY AS u (key, "commit", "prepare", n)
        ORDER BY u.key COLLATE "C", u.n
    LOOP
        INSERT INTO highwater.checkpoint AS c (key, "commit", "prepare", updated_at)
        VALUES (one.key, one."commit", one."prepare", clock_timestamp())
        ON CONFLICT (key) DO UPDATE SET
            "commit" = excluded."commit", "prepare" = excluded."prepare", updated_at = excluded.updated_at
        WHERE (excluded."commit", excluded."prepare") > (c."commit", c."prepare");
        applied := FOUND;
        entry := one.n;
        SELECT c."commit", c."prepare" INTO stored_commit, stored_prepare
            FROM highwater.checkpoint c WHERE c.key = one.key;
        RETURN NEXT;
    END LOOP;
END $$;

-- Schema and name of a table, as somebody wrote it: the name of a visible table as it stands, else an SQL
-- identifier, qualified or not.
CREATE FUNCTION highwater.table_of(written text, OUT schema text, OUT name text)
LANGUAGE plpgsql STABLE AS $$
DECLARE
    parts text[];
BEGIN
    parts := ARRAY[written];
    IF NOT EXISTS (SELECT FROM pg_class c WHERE c.relname = written AND pg_table_is_visible(c.oid)) THEN
        BEGIN
            parts := parse_ident(written);
        EXCEPTION WHEN invalid_parameter_value THEN
            NULL; -- no identifier: it can only be the name itself
        END;
    END IF;
    name := parts[array_upper(parts, 1)];
    IF array_length(parts, 1) > 1 THEN
        schema := parts[array_upper(parts, 1) - 1];
    ELSE
        SELECT n.nspname INTO schema FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relname = name AND pg_table_is_visible(c.oid);
        schema := coalesce(schema, current_schema(), '');
    END IF;
END $$;

-- Gives tables to a projection; answers those that are another's. `created`: there was no such table before
-- this transaction.
CREATE FUNCTION highwater.own_tables(owner text, tables text[], created boolean[])
RETURNS TABLE (taken text, by_projection text) LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT u.written, u.is_new, t.schema, t.name,
            EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE c.relname = t.name AND n.nspname = t.schema) AS is_there
        FROM unnest(tables, created) AS u (written, is_new), highwater.table_of(u.written) t
        ORDER BY t.schema COLLATE "C", t.name COLLATE "C"
    LOOP
        INSERT INTO highwater.read_model_table AS r (schema, name, projection, existed)
        VALUES (one.schema, one.name, owner, one.is_there)
        ON CONFLICT (schema, name) DO UPDATE SET projection = excluded.projection, existed = excluded.existed
        WHERE r.projection = excluded.projection
            OR (r.existed AND (one.is_new OR NOT one.is_there))
            OR NOT EXISTS (SELECT FROM highwater.projection p WHERE p.name = r.projection);
        IF NOT FOUND THEN
            taken := one.written;
            SELECT r.projection INTO by_projection FROM highwater.read_model_table r
                WHERE r.schema = one.schema AND r.name = one.name;
            RETURN NEXT;
        END IF;
    END LOOP;
END $$;
