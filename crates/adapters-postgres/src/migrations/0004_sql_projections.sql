-- Projections in SQL: what applies a slice of events in one round trip.
--
-- A session keeps what it was given: pg_temp.events is a view, made anew only when another projection had the
-- session before; pg_temp.hw_slice holds events that are not in this database, until the transaction ends; the
-- function of a projection's `on` entries stays in pg_temp under a name that says what is in it. All of it, and the
-- settings that tell what is there, go with a transaction that is rolled back.
--
-- pg_temp is searched before every other schema, so a table `events` of somebody else would be hidden for as long as
-- the session lives. So a session that has the view gets pg_temp at the END of its search path, and it comes first
-- only while `apply` runs.

-- Makes events stand for `definition` (a query) in pg_temp; for nothing where that is NULL. `key` names the definition.
CREATE FUNCTION highwater.sql_events(key text, definition text, keep boolean) RETURNS void
LANGUAGE plpgsql AS $function$
DECLARE
    path text;
BEGIN
    IF keep AND current_setting('hw.events', true) = key AND to_regclass('pg_temp.events') IS NOT NULL THEN
        RETURN;
    END IF;
    IF to_regclass('pg_temp.events') IS NOT NULL THEN
        DROP VIEW pg_temp.events;
    END IF;
    IF definition IS NULL THEN
        PERFORM set_config('hw.events', '', false);
        RETURN;
    END IF;
    EXECUTE 'CREATE TEMP VIEW events AS ' || definition;
    IF keep THEN
        PERFORM set_config('hw.events', key, false);
        path := current_setting('search_path');
        IF path NOT LIKE '%, pg\_temp' THEN
            PERFORM set_config('search_path', path || ', pg_temp', false);
        END IF;
    END IF;
END
$function$;

-- Puts events into pg_temp.hw_slice, in place of what was there. What a type cannot hold travels beside it, and is
-- cast when it is asked for: a payload that is no JSON in raw_*, numbers and times in `far`.
CREATE FUNCTION highwater.sql_fill(
    numbers int[], positions bigint[], offsets bigint[], ids uuid[], streams text[], categories text[],
    sequences bigint[], types text[], times timestamptz[], data text[], metadata text[], raw_data bytea[],
    raw_metadata bytea[], far text[]
) RETURNS void LANGUAGE plpgsql AS $function$
BEGIN
    IF to_regclass('pg_temp.hw_slice') IS NULL THEN
        CREATE TEMP TABLE hw_slice (
            n int, position bigint, "offset" bigint, id uuid, stream text, category text, sequence bigint,
            type text, time timestamptz, data json, metadata json, raw_data bytea, raw_metadata bytea, far text
        ) ON COMMIT DELETE ROWS;
    ELSE
        DELETE FROM pg_temp.hw_slice;
    END IF;
    INSERT INTO pg_temp.hw_slice
    SELECT e.n, e.p, e.o, e.id, e.stream, e.category, e.sequence, e.type, e.time, e.data::json, e.metadata::json,
           e.raw_data, e.raw_metadata, e.far
    FROM unnest(numbers, positions, offsets, ids, streams, categories, sequences, types, times, data, metadata,
                raw_data, raw_metadata, far)
        AS e (n, p, o, id, stream, category, sequence, type, time, data, metadata, raw_data, raw_metadata, far);
END
$function$;

-- Applies a slice: first `statements`, over the relation events as `events` defines it, then the function of the
-- `on` entries. NULL where the one or the other is not wanted. What fails in `statements` is raised; what an event
-- fails with in the function comes back: see there. The bounds are those of a range of the log, open below.
CREATE FUNCTION highwater.sql_apply(
    lo_position bigint, lo_offset int, hi_position bigint, hi_offset int, events_key text, events text,
    statements text[], on_name text, on_definition text, keep boolean
) RETURNS text[] LANGUAGE plpgsql AS $function$
DECLARE
    statement text;
    path text;
    failure text[];
BEGIN
    IF statements IS NOT NULL THEN
        PERFORM set_config('hw.lo_position', lo_position::text, true),
                set_config('hw.lo_offset', lo_offset::text, true),
                set_config('hw.hi_position', hi_position::text, true),
                set_config('hw.hi_offset', hi_offset::text, true);
        PERFORM highwater.sql_events(events_key, events, keep);
        path := current_setting('search_path');
        PERFORM set_config('search_path', regexp_replace(path, '(, pg_temp)+$', ''), true);
        FOREACH statement IN ARRAY statements LOOP
            EXECUTE statement;
        END LOOP;
        PERFORM set_config('search_path', path, true);
        IF NOT keep THEN
            DROP VIEW pg_temp.events;
        END IF;
    END IF;
    IF on_name IS NOT NULL THEN
        IF to_regproc('pg_temp.' || on_name) IS NULL THEN
            EXECUTE on_definition;
        END IF;
        EXECUTE 'SELECT pg_temp.' || on_name || '($1, $2, $3, $4)'
            INTO failure USING lo_position, lo_offset, hi_position, hi_offset;
    END IF;
    RETURN failure;
END
$function$;

-- The same for events that are handed over.
CREATE FUNCTION highwater.sql_apply_slice(
    numbers int[], positions bigint[], offsets bigint[], ids uuid[], streams text[], categories text[],
    sequences bigint[], types text[], times timestamptz[], data text[], metadata text[], raw_data bytea[],
    raw_metadata bytea[], far text[], events_key text, events text, statements text[], on_name text,
    on_definition text, keep boolean
) RETURNS text[] LANGUAGE plpgsql AS $function$
BEGIN
    PERFORM highwater.sql_fill(numbers, positions, offsets, ids, streams, categories, sequences, types, times, data,
                               metadata, raw_data, raw_metadata, far);
    RETURN highwater.sql_apply(0, 0, 0, 0, events_key, events, statements, on_name, on_definition, keep);
END
$function$;
