-- The search for an event that cannot be applied, where the events are: by savepoints from outside it costs three round
-- trips a step.

-- Applies events in order, as many as can be applied. Event n of `positions` and `offsets` is in the log, and the range
-- that begins behind (lo_position, lo_offset) has those and no others. `known`: they cannot be applied together.
-- NULL: all were applied. Else how many were, and what the one behind them fails with, alone: code, message, hint and
-- context; without these the events have failed together, and those so far passed alone.
-- Failures that tell nothing of an event are raised: then nothing of it was done.
CREATE FUNCTION highwater.sql_apply_until(
    lo_position bigint, lo_offset int, positions bigint[], offsets int[], known boolean, events_key text, events text,
    statements text[], keep boolean
) RETURNS text[] LANGUAGE plpgsql AS $function$
DECLARE
    -- Those before `first` were applied; if `known`, first to last have one that cannot be.
    first int := 1;
    last int := cardinality(positions);
    through int;
    path text;
    found text[];
    failure text[];
    code text;
    message text;
    hint text;
    context text;
BEGIN
    path := highwater.sql_begin(events_key, events, keep);
    LOOP
        through := CASE WHEN known THEN first + (last - first) / 2 ELSE last END;
        failure := NULL;
        BEGIN
            PERFORM highwater.sql_statements(
                CASE WHEN first = 1 THEN lo_position ELSE positions[first - 1] END,
                CASE WHEN first = 1 THEN lo_offset ELSE offsets[first - 1] END,
                positions[through], offsets[through], events_key, statements, keep);
        EXCEPTION WHEN data_exception OR integrity_constraint_violation OR raise_exception THEN
            GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT,
                context = PG_EXCEPTION_CONTEXT;
            failure := ARRAY[code, message, hint, context];
        END;
        IF failure IS NULL AND NOT known THEN
            EXIT;
        ELSIF failure IS NULL THEN
            first := through + 1;
            IF first > last THEN
                found := ARRAY[last::text];
                EXIT;
            END IF;
        ELSIF first = through THEN
            found := ARRAY[(first - 1)::text] || failure;
            EXIT;
        ELSE
            known := true;
            last := through;
        END IF;
    END LOOP;
    PERFORM highwater.sql_end(path, keep);
    RETURN found;
END
$function$;
