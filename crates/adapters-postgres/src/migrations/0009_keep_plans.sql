-- A statement of `apply` is planned once for many slices. To plan one costs as much as to apply some hundred events,
-- and a small slice is nearly nothing else.

-- Runs the statement of this number of an `apply`. Its plan stays with the session, and is made anew
-- * for slices of another order of magnitude, and after a while: it is made for what the tables hold at the time;
-- * by the server itself, when a table, a view or its statistics have changed.
-- What cannot be prepared is planned each time.
CREATE FUNCTION highwater.sql_run(events_key text, number int, statement text, width bigint) RETURNS void
LANGUAGE plpgsql AS $function$
DECLARE
    -- How often and for how long a plan is used at least.
    uses CONSTANT bigint := 20;
    age CONSTANT interval := '100 milliseconds';
    -- How many plans a session keeps.
    most CONSTANT bigint := 32;
    plan text;
    used bigint;
    made timestamptz;
    kept bigint;
    oldest text;
BEGIN
    IF statement !~* '^(\s|--[^\n]*\n|/\*.*?\*/)*(insert|update|delete|merge|with|select|values)\M' THEN
        EXECUTE statement;
        RETURN;
    END IF;
    plan := 'hw_' || number || '_' || md5(events_key || statement) || '_' || length(width::text);
    SELECT p.generic_plans, p.prepare_time INTO used, made
      FROM pg_catalog.pg_prepared_statement() AS p WHERE p.name = plan;
    IF used >= uses AND clock_timestamp() - made >= age THEN
        EXECUTE 'DEALLOCATE ' || plan;
        used := NULL;
    END IF;
    IF used IS NULL THEN
        SELECT count(*), (array_agg(p.name ORDER BY p.prepare_time))[1] INTO kept, oldest
          FROM pg_catalog.pg_prepared_statement() AS p WHERE p.name ~ '^hw_';
        IF kept >= most THEN
            EXECUTE 'DEALLOCATE ' || oldest;
        END IF;
        EXECUTE 'PREPARE ' || plan || ' AS ' || statement;
    END IF;
    EXECUTE 'EXECUTE ' || plan;
END
$function$;

-- Makes `events` stand for the query, first in the search path; answers the path that was.
CREATE FUNCTION highwater.sql_begin(events_key text, events text, keep boolean) RETURNS text
LANGUAGE plpgsql AS $function$
DECLARE
    path text;
BEGIN
    PERFORM highwater.sql_events(events_key, events, keep);
    path := current_setting('search_path');
    PERFORM set_config('search_path', regexp_replace(path, '(, pg_temp)+$', ''), true);
    RETURN path;
END
$function$;

-- Runs the statements of an `apply` for a range, between sql_begin and sql_end.
CREATE FUNCTION highwater.sql_statements(
    lo_position bigint, lo_offset int, hi_position bigint, hi_offset int, events_key text, statements text[],
    keep boolean
) RETURNS void LANGUAGE plpgsql AS $function$
BEGIN
    PERFORM set_config('hw.lo_position', lo_position::text, true), set_config('hw.lo_offset', lo_offset::text, true),
            set_config('hw.hi_position', hi_position::text, true), set_config('hw.hi_offset', hi_offset::text, true);
    FOR number IN 1 .. cardinality(statements) LOOP
        IF keep THEN
            PERFORM highwater.sql_run(
                events_key, number, statements[number], hi_position - greatest(lo_position, 0));
        ELSE
            EXECUTE statements[number];
        END IF;
    END LOOP;
END
$function$;

-- Takes back what sql_begin did; `path` is what it answered.
CREATE FUNCTION highwater.sql_end(path text, keep boolean) RETURNS void
LANGUAGE plpgsql AS $function$
BEGIN
    PERFORM set_config('search_path', path, true);
    IF NOT keep THEN
        DROP VIEW pg_temp.events;
    END IF;
END
$function$;

CREATE OR REPLACE FUNCTION highwater.sql_apply(
    lo_position bigint, lo_offset int, hi_position bigint, hi_offset int, events_key text, events text,
    statements text[], on_name text, on_definition text, keep boolean
) RETURNS text[] LANGUAGE plpgsql AS $function$
DECLARE
    path text;
    failure text[];
BEGIN
    IF statements IS NOT NULL THEN
        path := highwater.sql_begin(events_key, events, keep);
        PERFORM highwater.sql_statements(
            lo_position, lo_offset, hi_position, hi_offset, events_key, statements, keep);
        PERFORM highwater.sql_end(path, keep);
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

-- As before, but tells how many events there are, which is all that such a range is asked for.
CREATE OR REPLACE FUNCTION highwater.sql_apply_slice(
    numbers int[], positions bigint[], offsets bigint[], ids uuid[], streams text[], categories text[],
    sequences bigint[], types text[], times timestamptz[], data text[], metadata text[], raw_data bytea[],
    raw_metadata bytea[], far text[], events_key text, events text, statements text[], on_name text,
    on_definition text, keep boolean
) RETURNS text[] LANGUAGE plpgsql AS $function$
BEGIN
    PERFORM highwater.sql_fill(numbers, positions, offsets, ids, streams, categories, sequences, types, times, data,
                               metadata, raw_data, raw_metadata, far);
    RETURN highwater.sql_apply(0, 0, cardinality(numbers), 0, events_key, events, statements, on_name, on_definition,
                               keep);
END
$function$;
