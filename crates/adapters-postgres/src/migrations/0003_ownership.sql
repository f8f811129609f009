-- Who runs what. With session locks an instance is a row with a heartbeat, and what it owns are advisory
-- locks of the session that the row names. The rows may be lost with a crash of the server: so are the
-- sessions.
CREATE UNLOGGED TABLE highwater.instance (
    id text PRIMARY KEY,
    name text NOT NULL,
    -- Shown by all sessions of the instance and by no others.
    application text NOT NULL,
    -- The session that holds the locks.
    pid int NOT NULL,
    -- In microseconds of the clock of the server.
    beat bigint NOT NULL
) WITH (fillfactor = 50);

-- Behind a pooler in transaction mode: ownership until a time, by the clock of the server.
CREATE TABLE highwater.lease (
    key text PRIMARY KEY,
    instance text NOT NULL,
    name text NOT NULL,
    expires_at timestamptz NOT NULL
) WITH (fillfactor = 50);

CREATE FUNCTION highwater.micros() RETURNS bigint LANGUAGE sql VOLATILE
AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint $$;

-- The advisory lock of a key. The namespace is in the text that is hashed: with 64 bits nobody meets by
-- chance.
CREATE FUNCTION highwater.lock_of(key text) RETURNS bigint LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
AS $$ SELECT hashtextextended(('highwater owner ' || 'highwater_schema' || chr(10) || key) COLLATE "C", 0) $$;

-- The sessions of this database that hold the locks of these keys.
CREATE FUNCTION highwater.holders(keys text[]) RETURNS TABLE (pid int) LANGUAGE sql VOLATILE
AS $$
    SELECT DISTINCT held.pid FROM pg_locks AS held
    WHERE held.locktype = 'advisory' AND held.objsubid = 1 AND held.mode = 'ExclusiveLock' AND held.granted
      AND held.pid IS NOT NULL
      AND held.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND ((held.classid::bigint << 32) | held.objid::bigint)
          = ANY (ARRAY(SELECT highwater.lock_of(key) FROM unnest(keys) AS key))
$$;

-- Once a session, before its first lock: rows of instances that are gone are removed. A process id may be
-- given out again, so a row that names this session's own is old by definition.
CREATE FUNCTION highwater.enter(me text) RETURNS void LANGUAGE sql VOLATILE
AS $$
    DELETE FROM highwater.instance AS old
    WHERE old.id <> me AND (old.pid = pg_backend_pid() OR NOT EXISTS (
        SELECT FROM pg_stat_activity AS session
        WHERE session.pid = old.pid AND session.application_name = old.application))
$$;

-- Beats, and tries the locks of all keys that are wanted: the only question of an idle process. Says which
-- were won, and who holds the others and when that instance last beat.
CREATE FUNCTION highwater.own(
    me text, shown text, wanted text[],
    OUT clock bigint, OUT won text[], OUT holders text[], OUT beats bigint[]
) LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    clock := highwater.micros();
    INSERT INTO highwater.instance AS mine (id, name, application, pid, beat)
    VALUES (me, shown, current_setting('application_name'), pg_backend_pid(), clock)
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, application = excluded.application,
        pid = excluded.pid, beat = excluded.beat;
    won := ARRAY(SELECT key FROM unnest(wanted) AS key WHERE pg_try_advisory_lock(highwater.lock_of(key)));
    IF cardinality(won) < cardinality(wanted) THEN
        SELECT array_agg(other.id), array_agg(other.beat) INTO holders, beats
        FROM highwater.holders(wanted) AS held JOIN highwater.instance AS other ON other.pid = held.pid
        WHERE other.id <> me;
    END IF;
    holders := coalesce(holders, '{}');
    beats := coalesce(beats, '{}');
END
$$;

-- Ends the sessions of an instance that has not beaten since `seen`. An instance that beats at this very
-- moment has its row locked or changed, and is left alone; while its sessions are being ended it cannot beat.
CREATE FUNCTION highwater.fence(target text, seen bigint) RETURNS text LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    found_it highwater.instance;
BEGIN
    SELECT * INTO found_it FROM highwater.instance
    WHERE id = target AND beat = seen FOR UPDATE SKIP LOCKED;
    IF NOT FOUND OR position(target IN found_it.application) = 0 THEN
        RETURN 'beats';
    END IF;
    -- First those in whose transactions the state rows are locked; the one with the locks is waited for.
    PERFORM CASE WHEN session.pid = found_it.pid THEN pg_terminate_backend(session.pid, 500)
                 ELSE pg_terminate_backend(session.pid) END
    FROM (
        SELECT pid FROM pg_stat_activity
        WHERE application_name = found_it.application AND datname = current_database()
          AND pid <> pg_backend_pid()
        ORDER BY pid = found_it.pid
    ) AS session;
    RETURN 'fenced';
EXCEPTION WHEN insufficient_privilege THEN
    RETURN 'refused';
END
$$;

CREATE FUNCTION highwater.disown(keys text[]) RETURNS void LANGUAGE sql VOLATILE
AS $$ SELECT pg_advisory_unlock(highwater.lock_of(key)) FROM unnest(keys) AS key $$;

-- A clean end.
CREATE FUNCTION highwater.leave(me text) RETURNS void LANGUAGE sql VOLATILE
AS $$
    SELECT pg_advisory_unlock_all();
    DELETE FROM highwater.instance WHERE id = me;
$$;

-- The session that holds a key, for people.
CREATE FUNCTION highwater.owner_of(wanted text) RETURNS text LANGUAGE sql VOLATILE
AS $$
    SELECT coalesce(known.name, 'session ' || held.pid)
    FROM highwater.holders(ARRAY[wanted]) AS held
    LEFT JOIN highwater.instance AS known ON known.pid = held.pid
    LIMIT 1
$$;

-- Renews the leases of an instance and takes those that it wants and that nobody has. It waits for nobody who
-- could wait for it: what is expired is taken with SKIP LOCKED, what is new is inserted in the order of the
-- keys.
CREATE FUNCTION highwater.renew(
    me text, shown text, held text[], wanted text[], term_ms bigint, OUT kept text[], OUT won text[]
) LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    until timestamptz := clock_timestamp() + term_ms * interval '1 millisecond';
BEGIN
    WITH renewed AS (
        UPDATE highwater.lease SET expires_at = until WHERE key = ANY (held) AND instance = me RETURNING key
    ) SELECT coalesce(array_agg(key), '{}') INTO kept FROM renewed;
    WITH free AS (
        SELECT key FROM highwater.lease
        WHERE key = ANY (wanted) AND (expires_at < clock_timestamp() OR instance = me)
        ORDER BY key FOR UPDATE SKIP LOCKED
    ), taken AS (
        UPDATE highwater.lease AS old SET instance = me, name = shown, expires_at = until
        FROM free WHERE old.key = free.key RETURNING old.key
    ), added AS (
        INSERT INTO highwater.lease (key, instance, name, expires_at)
        SELECT want.key, me, shown, until FROM unnest(wanted) AS want (key)
        WHERE NOT EXISTS (SELECT FROM highwater.lease AS there WHERE there.key = want.key) ORDER BY want.key
        ON CONFLICT (key) DO NOTHING RETURNING key
    ) SELECT coalesce(array_agg(key), '{}') INTO won
    FROM (SELECT key FROM taken UNION ALL SELECT key FROM added) AS both_kinds;
END
$$;
