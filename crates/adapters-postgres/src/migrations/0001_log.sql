-- The event log.
--
-- A position is the number of an append call, drawn from a sequence while the transaction is open: so a
-- higher number may become visible before a lower one, and some numbers never appear. What makes reading safe
-- all the same is the gate, a shared advisory lock that each appending transaction takes BEFORE it draws its
-- first number and that the server drops only AFTER its commit is visible. The lock's key carries a lower
-- bound of all numbers that its holder may draw. So a reader that sees number n, and only then lists the
-- holders, knows that everything up to the least of their bounds is decided: it is there for whoever looks
-- from now on, or it never will be.

DO $check$
BEGIN
    IF current_setting('server_encoding') <> 'UTF8' THEN
        RAISE EXCEPTION 'the database has the encoding %, and an event log needs ENCODING UTF8',
            current_setting('server_encoding') USING ERRCODE = '0A000';
    END IF;
END
$check$;

-- One number an append call. CACHE 1: a session that kept numbers in stock would hand out old ones later.
CREATE SEQUENCE highwater.position AS bigint MINVALUE 1 START 1 CACHE 1 NO CYCLE;

CREATE TABLE highwater.event (
    position    bigint NOT NULL,
    sequence    bigint NOT NULL,
    time        timestamptz NOT NULL,
    stream_hash bigint NOT NULL,
    "offset"    int NOT NULL,
    size        int NOT NULL,
    id          uuid NOT NULL,
    stream      text COLLATE "C" NOT NULL,
    category    text COLLATE "C" NOT NULL,
    type        text COLLATE "C" NOT NULL,
    data        json NOT NULL,
    metadata    json,
    CONSTRAINT event_position PRIMARY KEY (position, "offset") INCLUDE (size),
    CONSTRAINT event_id UNIQUE (id),
    CONSTRAINT event_seq UNIQUE (stream, sequence),
    CONSTRAINT event_numbers CHECK (position > 0 AND "offset" >= 0 AND sequence >= 0),
    CONSTRAINT event_stream_name CHECK (octet_length(stream) BETWEEN 1 AND 1024),
    CONSTRAINT event_type_name CHECK (octet_length(type) BETWEEN 1 AND 1024)
) WITH (
    -- Rows are never changed, only added: without these, a large table would be vacuumed (which is what lets
    -- ranges be read from the index alone) and analyzed after each fifth of it only.
    autovacuum_vacuum_insert_scale_factor = 0.01, autovacuum_vacuum_insert_threshold = 10000,
    autovacuum_analyze_scale_factor = 0.02
);

COMMENT ON TABLE highwater.event IS
    'The event log, in the order (position, "offset"). Append by the function append() only; never change a '
    'row. metadata NULL = empty. stream_hash = first four bytes of the SHA-256 of the stream''s name. size = '
    'bytes of data, metadata, stream and type.';

-- Numbers that were drawn and rolled back, as ranges; complete up to the mark. Informational: readers find
-- out by themselves.
CREATE TABLE highwater.skipped (
    first    bigint PRIMARY KEY,
    last     bigint NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now(),
    CHECK (first <= last)
);
COMMENT ON TABLE highwater.skipped IS
    'Positions that no event will ever have: their appends were rolled back. Complete up to settled_mark.';

CREATE TABLE highwater.settled_mark (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    position bigint NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO highwater.settled_mark (position) VALUES (0);
COMMENT ON TABLE highwater.settled_mark IS
    'Up to this position all events are visible and all missing numbers are dead; noted now and then.';

-- Takes the gate, once in a transaction, and before the first number is drawn.
CREATE FUNCTION highwater.take_gate(log oid) RETURNS void LANGUAGE plpgsql AS $gate$
DECLARE
    -- One setting a log: a transaction may append to two. Both it and the lock go with the savepoint that
    -- they were taken in. Its value belongs to the transaction, so that one that was set for the session
    -- opens nothing.
    gate CONSTANT text := 'hw.gate_' || log;
    mine CONSTANT text := now()::text;
    low bigint;
    idle interval;
BEGIN
    IF current_setting(gate, true) IS NOT DISTINCT FROM mine THEN
        RETURN;
    END IF;
    IF current_setting('transaction_read_only')::boolean THEN
        RAISE EXCEPTION 'cannot append events in a read-only transaction' USING ERRCODE = '25006';
    END IF;
    -- No number that is drawn from here on is at or below `low`. A sequence that was never used says 1, too.
    SELECT p.last_value - (NOT p.is_called)::int INTO low FROM highwater.position p;
    PERFORM pg_advisory_xact_lock_shared(
        (CASE WHEN log::bigint > 2147483647 THEN log::bigint - 4294967296 ELSE log::bigint END)::int,
        (low & 2147483647)::int);
    PERFORM set_config(gate, mine, true);
    -- Readers in other databases act on what they see: it must not be lost any more.
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);
    END IF;
    -- Readers wait for whoever holds the gate: a client that fell asleep must not hold it for ever.
    idle := current_setting('idle_in_transaction_session_timeout')::interval;
    IF idle = interval '0' OR idle > interval '60 s' THEN
        PERFORM set_config('idle_in_transaction_session_timeout', '60s', true);
    END IF;
END
$gate$;

-- One append, under the gate. `nth` is only for the error. A careful one looks up the ids first in any case.
CREATE FUNCTION highwater.append_one(
    nth int, stream_name text, stream_category text, hash bigint, expected bigint, careful boolean,
    ids uuid[], types text[], times timestamptz[], payloads text[], metas text[],
    OUT last_position bigint, OUT last_offset int, OUT next_sequence bigint, OUT duplicate boolean)
LANGUAGE plpgsql AS $one$
DECLARE
    upcoming bigint;
    number bigint;
    here int;
    other uuid;
    one uuid;
    look boolean;
    written CONSTANT timestamptz := clock_timestamp();
BEGIN
    SELECT coalesce(max(e.sequence), -1) + 1 INTO upcoming
      FROM highwater.event e WHERE e.stream = stream_name;
    look := expected <> upcoming;
    IF look IS NULL OR careful AND NOT look THEN
        look := EXISTS (SELECT FROM unnest(ids) u(id)
                         WHERE (SELECT e.id FROM highwater.event e WHERE e.id = u.id) IS NOT NULL);
        IF NOT look AND cardinality(ids) > 1 THEN
            look := cardinality(ids) > (SELECT count(DISTINCT u.id) FROM unnest(ids) u(id));
        END IF;
    END IF;
    IF look THEN
        -- What stands there already, and whether it is the same: in this stream, in this order, with this
        -- content.
        SELECT count(f.position), (array_agg(f.id ORDER BY f.k) FILTER (WHERE f.differs))[1],
               (array_agg(f.id ORDER BY f.k) FILTER (WHERE f.position IS NOT NULL OR f.twice))[1],
               (array_agg(f.position ORDER BY f.k DESC))[1], (array_agg(f."offset" ORDER BY f.k DESC))[1]
          INTO here, other, one, last_position, last_offset
          FROM (SELECT n.id, n.k, s.position, s."offset",
                       count(*) OVER (PARTITION BY n.id) > 1 AS twice,
                       s.position IS NOT NULL AND NOT (
                           s.stream = stream_name AND s.type = n.type AND s.data::text = n.data
                           AND s.metadata::text IS NOT DISTINCT FROM n.metadata
                           AND s.sequence > coalesce(max(s.sequence) OVER (ORDER BY n.k
                               ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), -1)) AS differs
                  FROM unnest(ids, types, payloads, metas) WITH ORDINALITY n(id, type, data, metadata, k)
                  LEFT JOIN LATERAL (SELECT e.*
                                       FROM highwater.event e WHERE e.id = n.id LIMIT 1) s ON true) f;
        IF other IS NULL AND here = cardinality(ids) THEN
            next_sequence := upcoming;
            duplicate := true;
            RETURN;
        END IF;
        IF other IS NULL AND expected <> upcoming THEN
            RAISE EXCEPTION 'the next event of stream % has the sequence %, and not %',
                quote_literal(stream_name), upcoming, expected
                USING ERRCODE = 'HW001', DETAIL = format('append %s actual %s', nth, upcoming),
                HINT = 'Read the stream again, and decide anew.';
        END IF;
        other := coalesce(other, one);
        IF other IS NOT NULL THEN
            RAISE EXCEPTION
                'an event with the id % was appended before, with other content or elsewhere', other
                USING ERRCODE = 'HW002', DETAIL = format('append %s id %s', nth, other),
                HINT = 'Give the event an id of its own.';
        END IF;
    END IF;
    number := nextval(to_regclass(quote_ident('highwater_schema') || '.position'));
    INSERT INTO highwater.event
        (position, sequence, time, stream_hash, "offset", size, id, stream, category, type, data, metadata)
    SELECT number, upcoming + n.k - 1, coalesce(n.time, written), hash, n.k - 1,
           octet_length(n.data) + coalesce(octet_length(n.metadata), 0)
               + octet_length(n.type) + octet_length(stream_name),
           n.id, stream_name, stream_category, n.type, n.data::json, n.metadata::json
      FROM unnest(ids, types, times, payloads, metas) WITH ORDINALITY n(id, type, time, data, metadata, k);
    last_position := number;
    last_offset := cardinality(ids) - 1;
    next_sequence := upcoming + cardinality(ids);
    duplicate := false;
END
$one$;

-- Many appends, one number each, all or none. `owners` says for each event to which append it belongs, from
-- 1; `firsts` for each append which is its first event, from 1. One that queues waits for others that append
-- to the same streams, instead of failing when it lost the race; it must be the only call of its transaction.
CREATE FUNCTION highwater.append_all(
    queues boolean, careful boolean,
    streams text[], categories text[], hashes bigint[], expected bigint[], firsts int[], counts int[],
    owners int[], ids uuid[], types text[], times timestamptz[], payloads text[], metas text[])
RETURNS TABLE (last_position bigint, last_offset int, next_sequence bigint, duplicate boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $all$
DECLARE
    log CONSTANT oid := to_regclass(quote_ident('highwater_schema') || '.position');
    bases bigint[];
    numbers bigint[];
    lasts int[];
    fits boolean;
    written CONSTANT timestamptz := clock_timestamp();
BEGIN
    IF queues THEN
        -- Before the gate: whoever waits here must not hold up readers. In one order, so that nobody waits in
        -- a ring.
        PERFORM pg_advisory_xact_lock(k.key)
           FROM (SELECT DISTINCT hashtextextended(u.stream, log::bigint) AS key FROM unnest(streams) u(stream)
                 ORDER BY 1) k;
    END IF;
    PERFORM highwater.take_gate(log);
    IF cardinality(streams) = 1 THEN
        SELECT o.* INTO last_position, last_offset, next_sequence, duplicate FROM highwater.append_one(
            0, streams[1], categories[1], hashes[1], expected[1], careful,
            ids, types, times, payloads, metas) o;
        RETURN NEXT;
        RETURN;
    END IF;
    -- All at once, if nothing is there yet and every stream is where it is expected. Lookups are written so
    -- that the planner can only take them from the index, however many they are.
    SELECT array_agg(c.base ORDER BY c.i), coalesce(bool_and(c.expected IS NULL OR c.expected = c.base), true)
           AND (SELECT count(DISTINCT u.id) = cardinality(ids) FROM unnest(ids) u(id))
      INTO bases, fits
      FROM (SELECT a.i, a.expected, h.upcoming + coalesce(sum(a.count) OVER (
                       PARTITION BY a.stream COLLATE "C" ORDER BY a.i
                       ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)::bigint AS base
              FROM unnest(streams, expected, counts) WITH ORDINALITY a(stream, expected, count, i)
              JOIN (SELECT d.stream, coalesce((SELECT max(e.sequence) FROM highwater.event e
                                                WHERE e.stream = d.stream), -1) + 1 AS upcoming
                      FROM (SELECT DISTINCT u.stream COLLATE "C" AS stream
                              FROM unnest(streams) u(stream)) d) h
                ON h.stream = a.stream) c;
    IF fits AND (careful OR array_position(expected, NULL) IS NOT NULL) THEN
        fits := NOT EXISTS (SELECT FROM unnest(ids) u(id)
                             WHERE (SELECT e.id FROM highwater.event e WHERE e.id = u.id) IS NOT NULL);
    END IF;
    IF fits THEN
        numbers := ARRAY(SELECT nextval(log::regclass) FROM generate_series(1, cardinality(streams)));
        INSERT INTO highwater.event
            (position, sequence, time, stream_hash, "offset", size,
             id, stream, category, type, data, metadata)
        SELECT a.number, a.base + n.k - a.first, coalesce(n.time, written), a.hash, n.k - a.first,
               octet_length(n.data) + coalesce(octet_length(n.metadata), 0)
                   + octet_length(n.type) + octet_length(a.stream),
               n.id, a.stream, a.category, n.type, n.data::json, n.metadata::json
          FROM unnest(owners, ids, types, times, payloads, metas) WITH ORDINALITY
               n(owner, id, type, time, data, metadata, k)
          JOIN unnest(numbers, streams, categories, hashes, bases, firsts) WITH ORDINALITY
               a(number, stream, category, hash, base, first, i) ON a.i = n.owner
         ORDER BY n.k;
        RETURN QUERY SELECT a.number, a.count - 1, a.base + a.count, false
                       FROM unnest(numbers, counts, bases) WITH ORDINALITY a(number, count, base, i)
                      ORDER BY a.i;
        RETURN;
    END IF;
    -- All there already, as when an import is repeated.
    IF EXISTS (SELECT FROM highwater.event e WHERE e.id = ids[1]) THEN
        SELECT array_agg(d.position ORDER BY d.owner), array_agg(d.last ORDER BY d.owner), bool_and(d.same)
          INTO numbers, lasts, fits
          FROM (SELECT f.owner, bool_and(f.same) AS same,
                       (array_agg(f.position ORDER BY f.k DESC))[1] AS position,
                       (array_agg(f."offset" ORDER BY f.k DESC))[1] AS last
                  FROM (SELECT n.owner, n.k, s.position, s."offset",
                               (s.stream = a.stream AND s.type = n.type AND s.data::text = n.data
                                AND s.metadata::text IS NOT DISTINCT FROM n.metadata
                                AND s.sequence > coalesce(
                                    lag(s.sequence) OVER (PARTITION BY n.owner ORDER BY n.k), -1)) IS TRUE
                               AS same
                          FROM unnest(owners, ids, types, payloads, metas) WITH ORDINALITY
                               n(owner, id, type, data, metadata, k)
                          JOIN unnest(streams) WITH ORDINALITY a(stream, i) ON a.i = n.owner
                          LEFT JOIN LATERAL (
                               SELECT e.position, e."offset", e.stream, e.sequence, e.type, e.data, e.metadata
                                 FROM highwater.event e WHERE e.id = n.id LIMIT 1) s ON true) f
                 GROUP BY f.owner) d;
        IF fits THEN
            RETURN QUERY SELECT a.number, a.last,
                                (SELECT max(e.sequence) + 1 FROM highwater.event e
                                  WHERE e.stream = a.stream), true
                           FROM unnest(numbers, lasts, streams) WITH ORDINALITY a(number, last, stream, i)
                          ORDER BY a.i;
            RETURN;
        END IF;
    END IF;
    -- One after the other, each seeing the ones before it.
    RETURN QUERY
        SELECT o.*
          FROM (SELECT a.i, a.stream, a.category, a.hash, a.expected,
                       n.ids, n.types, n.times, n.payloads, n.metas
                  FROM unnest(streams, categories, hashes, expected) WITH ORDINALITY
                       a(stream, category, hash, expected, i)
                  JOIN (SELECT u.owner,
                               array_agg(u.id ORDER BY u.k) AS ids,
                               array_agg(u.type ORDER BY u.k) AS types,
                               array_agg(u.time ORDER BY u.k) AS times,
                               array_agg(u.data ORDER BY u.k) AS payloads,
                               array_agg(u.metadata ORDER BY u.k) AS metas
                          FROM unnest(owners, ids, types, times, payloads, metas) WITH ORDINALITY
                               u(owner, id, type, time, data, metadata, k)
                         GROUP BY u.owner) n ON n.owner = a.i
                 ORDER BY a.i) c
         CROSS JOIN LATERAL highwater.append_one(
               (c.i - 1)::int, c.stream, c.category, c.hash, c.expected, careful,
               c.ids, c.types, c.times, c.payloads, c.metas) o;
END
$all$;

-- For people, and for programs in other languages.
CREATE FUNCTION highwater.append(
    stream text, events json, expected bigint DEFAULT NULL, category text DEFAULT NULL,
    OUT "position" bigint, OUT last_offset int, OUT next_sequence bigint, OUT duplicate boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $append$
#variable_conflict use_column
DECLARE
    log CONSTANT oid := to_regclass(quote_ident('highwater_schema') || '.position');
    list CONSTANT json := CASE json_typeof(events) WHEN 'array' THEN events ELSE json_build_array(events) END;
    unknown text;
    i_ uuid[];
    t_ text[];
    at_ timestamptz[];
    d_ text[];
    m_ text[];
    done record;
BEGIN
    IF stream IS NULL OR octet_length(stream) NOT BETWEEN 1 AND 1024 THEN
        RAISE EXCEPTION 'a stream''s name has 1 to 1024 bytes' USING ERRCODE = '22023';
    END IF;
    IF EXISTS (SELECT FROM json_array_elements(list) e WHERE json_typeof(e.value) <> 'object') THEN
        RAISE EXCEPTION 'events is an object, or an array of objects' USING ERRCODE = '22023';
    END IF;
    SELECT k.key INTO unknown FROM json_array_elements(list) e, json_object_keys(e.value) k(key)
     WHERE k.key NOT IN ('id', 'type', 'time', 'data', 'metadata') LIMIT 1;
    IF unknown IS NOT NULL THEN
        RAISE EXCEPTION 'an event has id, type, time, data and metadata, and not %', quote_literal(unknown)
            USING ERRCODE = '22023';
    END IF;
    SELECT array_agg(coalesce((e.value ->> 'id')::uuid, gen_random_uuid()) ORDER BY e.k),
           array_agg(e.value ->> 'type' ORDER BY e.k),
           array_agg((e.value ->> 'time')::timestamptz ORDER BY e.k),
           array_agg(coalesce(e.value -> 'data', '{}')::text ORDER BY e.k),
           array_agg((e.value -> 'metadata')::text ORDER BY e.k)
      INTO i_, t_, at_, d_, m_
      FROM json_array_elements(list) WITH ORDINALITY e(value, k);
    IF i_ IS NULL OR array_position(t_, NULL) IS NOT NULL THEN
        RAISE EXCEPTION 'there is at least one event, and each has a type' USING ERRCODE = '22023';
    END IF;
    PERFORM highwater.take_gate(log);
    SELECT o.* INTO done FROM highwater.append_one(
        0, append.stream, coalesce(append.category, split_part(append.stream, '-', 1)),
        ('x' || encode(substr(sha256(convert_to(append.stream, 'UTF8')), 1, 4), 'hex'))::bit(32)::bigint,
        append.expected, true, i_, t_, at_, d_, m_) o;
    "position" := done.last_position;
    last_offset := done.last_offset;
    next_sequence := done.next_sequence;
    duplicate := done.duplicate;
END
$append$;

COMMENT ON FUNCTION highwater.append(text, json, bigint, text) IS
$comment$Appends events to a stream, as one append: visible together when the transaction commits.

    SELECT * FROM highwater.append('order-17', '{"type": "OrderPlaced", "data": {"total": 12.50}}');
    SELECT * FROM highwater.append('order-17', '[{"type": "Picked"}, {"type": "Packed"}]', expected => 1);

events: an object, or an array of objects, each with type (required), data (default {}), metadata (default
none), time (default now) and id (default random; give one to make a repetition harmless). data is kept as it
is written. expected: the sequence that the first of the events gets, 0 for a new stream; NULL (the default)
for wherever the stream is. category: default what stands before the first - of the stream's name.
Answers where the last event stands, and which sequence the stream's next event gets. Events that are there
already are reported as duplicate, and nothing is written. SQLSTATE HW001: the stream is not where it was
expected. HW002: the id of an event is in use for another one. 23505: another transaction appended to the
stream at the same time; roll back and try again. Readers wait for a transaction that has appended: commit
soon. To let a role append: GRANT USAGE ON SCHEMA, and GRANT EXECUTE ON FUNCTION append.$comment$;

-- Notes that everything up to `through` is settled, and which numbers in between are dead. A bounded piece a
-- call.
CREATE FUNCTION highwater.note_settled(through bigint) RETURNS bigint LANGUAGE plpgsql AS $note$
DECLARE
    noted bigint;
    upto bigint;
BEGIN
    SELECT m.position INTO noted FROM highwater.settled_mark m FOR UPDATE SKIP LOCKED;
    IF noted IS NULL OR noted >= through THEN
        RETURN noted;
    END IF;
    SELECT least(through, e.position) INTO upto FROM highwater.event e
     WHERE e.position > noted AND e."offset" = 0 ORDER BY e.position OFFSET 100000 LIMIT 1;
    upto := coalesce(upto, through);
    INSERT INTO highwater.skipped (first, last)
    SELECT g.previous + 1, g.position - 1
      FROM (SELECT e.position, lag(e.position, 1, noted) OVER (ORDER BY e.position) AS previous
              FROM (SELECT e.position FROM highwater.event e
                     WHERE e.position > noted AND e.position <= upto AND e."offset" = 0
                    UNION ALL SELECT upto + 1) e) g
     WHERE g.position > g.previous + 1
        ON CONFLICT (first) DO NOTHING;
    UPDATE highwater.settled_mark SET position = upto, noted_at = now();
    RETURN upto;
END
$note$;

REVOKE ALL ON TABLE highwater.event, highwater.skipped, highwater.settled_mark FROM PUBLIC;
REVOKE ALL ON SEQUENCE highwater.position FROM PUBLIC;
REVOKE ALL ON FUNCTION highwater.take_gate(oid) FROM PUBLIC;
REVOKE ALL ON FUNCTION highwater.append_one(
    int, text, text, bigint, bigint, boolean, uuid[], text[], timestamptz[], text[], text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION highwater.append_all(
    boolean, boolean, text[], text[], bigint[], bigint[], int[], int[], int[],
    uuid[], text[], timestamptz[], text[], text[]) FROM PUBLIC;
REVOKE ALL ON FUNCTION highwater.append(text, json, bigint, text) FROM PUBLIC;
REVOKE ALL ON FUNCTION highwater.note_settled(bigint) FROM PUBLIC;
