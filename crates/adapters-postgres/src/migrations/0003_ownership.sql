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

-- The instances that share the partitions of a projection. An instance is told by its row and its session whether
-- it lives; behind a pooler by a time until which it does.
CREATE UNLOGGED TABLE highwater.member (
    instance text,
    -- Tells memberships of one instance apart.
    token bigint,
    projection text NOT NULL,
    -- The order in which all agree.
    number bigint GENERATED ALWAYS AS IDENTITY,
    expires_at timestamptz,
    PRIMARY KEY (instance, token)
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
        WHERE session.pid = old.pid AND session.application_name = old.application));
    DELETE FROM highwater.member AS old
    WHERE old.expires_at IS NULL
      AND NOT EXISTS (SELECT FROM highwater.instance AS known WHERE known.id = old.instance);
$$;

-- Makes the memberships of an instance these, until a time where there is one. Those that stay keep their numbers.
CREATE FUNCTION highwater.attend(me text, projections text[], tokens bigint[], until timestamptz)
RETURNS void LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    DELETE FROM highwater.member AS old
    WHERE old.instance = me AND NOT EXISTS (
        SELECT FROM unnest(projections, tokens) AS mine (projection, token)
        WHERE mine.projection = old.projection AND mine.token = old.token);
    UPDATE highwater.member SET expires_at = until WHERE instance = me AND expires_at IS DISTINCT FROM until;
    INSERT INTO highwater.member (instance, token, projection, expires_at)
    SELECT me, mine.token, mine.projection, until FROM unnest(projections, tokens) AS mine (projection, token)
    WHERE NOT EXISTS (
        SELECT FROM highwater.member AS there WHERE there.instance = me AND there.token = mine.token)
    ORDER BY mine.token;
END
$$;

-- Where each of these memberships stands among those of the instances that live, and how many they are. One's own
-- are all there, and count as living.
CREATE FUNCTION highwater.standing(
    me text, tokens bigint[], living text[], OUT ranks int[], OUT sizes int[]
) LANGUAGE sql VOLATILE
AS $$
    SELECT coalesce(array_agg(counted.rank ORDER BY mine.nth), '{}'),
        coalesce(array_agg(counted.size ORDER BY mine.nth), '{}')
    FROM unnest(tokens) WITH ORDINALITY AS mine (token, nth)
    JOIN highwater.member AS this ON this.instance = me AND this.token = mine.token
    CROSS JOIN LATERAL (
        SELECT count(*)::int AS size, count(*) FILTER (WHERE other.number < this.number)::int AS rank
        FROM highwater.member AS other
        WHERE other.projection = this.projection AND (other.instance = me OR other.instance = ANY (living))
    ) AS counted
$$;

-- Beats, and tries the locks of all keys that are wanted: the only question of an idle process. Says which
-- were won, and who holds the others and when that instance last beat; and where this instance stands among those
-- that it shares projections with. Of these, one that has not beaten for `lease` microseconds is not counted.
CREATE FUNCTION highwater.own(
    me text, shown text, wanted text[], projections text[], tokens bigint[], lease bigint,
    OUT clock bigint, OUT won text[], OUT holders text[], OUT beats bigint[], OUT ranks int[], OUT sizes int[]
) LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    living text[];
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
    ranks := '{}';
    sizes := '{}';
    IF cardinality(tokens) > 0 OR EXISTS (SELECT FROM highwater.member AS mine WHERE mine.instance = me) THEN
        PERFORM highwater.attend(me, projections, tokens, NULL);
        living := ARRAY(
            SELECT other.id FROM highwater.instance AS other
            JOIN pg_stat_activity AS session
              ON session.pid = other.pid AND session.application_name = other.application
            WHERE other.beat > clock - lease);
        SELECT place.ranks, place.sizes INTO ranks, sizes FROM highwater.standing(me, tokens, living) AS place;
    END IF;
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
    DELETE FROM highwater.member WHERE instance = me;
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

-- Renews the leases and memberships of an instance and takes those leases that it wants and that nobody has. It
-- waits for nobody who could wait for it: what is expired is taken with SKIP LOCKED, what is new is inserted in the
-- order of the keys.
CREATE FUNCTION highwater.renew(
    me text, shown text, held text[], wanted text[], projections text[], tokens bigint[], term_ms bigint,
    OUT kept text[], OUT won text[], OUT ranks int[], OUT sizes int[]
) LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
    living text[];
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
    PERFORM highwater.attend(me, projections, tokens, until);
    DELETE FROM highwater.member AS old WHERE (old.instance, old.token) IN (
        SELECT gone.instance, gone.token FROM highwater.member AS gone
        WHERE gone.expires_at < clock_timestamp() FOR UPDATE SKIP LOCKED);
    living := ARRAY(SELECT DISTINCT other.instance FROM highwater.member AS other);
    SELECT place.ranks, place.sizes INTO ranks, sizes FROM highwater.standing(me, tokens, living) AS place;
END
$$;

-- Gives up these leases, or everything.
CREATE FUNCTION highwater.give_up(me text, keys text[]) RETURNS void LANGUAGE sql VOLATILE
AS $$
    DELETE FROM highwater.lease WHERE instance = me AND (keys IS NULL OR key = ANY (keys));
    DELETE FROM highwater.member WHERE instance = me AND keys IS NULL;
$$;
