-- An append is refused that would draw a number which readers have passed, as after a restore that forgot where
-- the sequence stood: they would never see what stands there.

-- Takes the gate, once in a transaction, and before the first number is drawn.
CREATE OR REPLACE FUNCTION highwater.take_gate(log oid) RETURNS void LANGUAGE plpgsql AS $gate$
DECLARE
    -- One setting a log: a transaction may append to two. Both it and the lock go with the savepoint that
    -- they were taken in. Its value belongs to the transaction, so that one that was set for the session
    -- opens nothing.
    gate CONSTANT text := 'hw.gate_' || log;
    mine CONSTANT text := now()::text;
    low bigint;
    passed bigint;
    idle interval;
BEGIN
    IF current_setting(gate, true) IS NOT DISTINCT FROM mine THEN
        RETURN;
    END IF;
    IF current_setting('transaction_read_only')::boolean THEN
        RAISE EXCEPTION 'cannot append events in a read-only transaction' USING ERRCODE = '25006';
    END IF;
    -- No number that is drawn from here on is at or below `low`. A sequence that was never used says 1, too.
    -- `passed`: an event, or what readers took for settled, above it. This statement sees what was committed
    -- before it began, and reads the sequence later: so there is none as long as the sequence only rises. It
    -- looks no further than right behind `low`, where others write at most what they have drawn this moment. A
    -- SERIALIZABLE transaction does not look: two that append side by side would each have read where the other
    -- writes.
    SELECT p.last_value - (NOT p.is_called)::int,
           greatest((SELECT m.position FROM highwater.settled_mark m),
                    CASE WHEN current_setting('transaction_isolation') <> 'serializable' THEN
                        (SELECT e.position FROM highwater.event e
                          WHERE e.position > p.last_value - (NOT p.is_called)::int
                          ORDER BY e.position LIMIT 1)
                    END)
      INTO low, passed
      FROM highwater.position p;
    IF passed > low THEN
        RAISE EXCEPTION 'the sequence of positions stands at %, below what readers have passed (%)', low, passed
            USING ERRCODE = 'HW003',
                  HINT = 'As after an incomplete restore: set it forward, by `highwater migrate` or by setval to '
                         'the highest position, before anything is appended.';
    END IF;
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
