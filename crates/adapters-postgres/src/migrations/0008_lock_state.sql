-- The beginning of a batch is a function, too, so that a session plans it once and runs a simple statement.

DROP FUNCTION highwater.lock_projection(text, bigint, bigint);
DROP FUNCTION highwater.first_failed(text, bigint, bigint, boolean);

-- Locks a projection's state and reads what waits beside it; waits for nobody. Each statement reads what is committed
-- when it begins, so that `retrying` and `replay` are as they were when the row was won, and not as they were when the
-- function was called. `known` without a `state` is a row that another transaction has. `tagged`: whether this
-- transaction got the advisory lock of that name as well, by which others find it.
CREATE FUNCTION highwater.lock_state(
    of_name text, of_version bigint, of_partition bigint, tag text,
    OUT known boolean, OUT tagged boolean, OUT state highwater.projection, OUT retrying highwater.failed_event,
    OUT replay highwater.failed_event
) LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    SELECT p.* INTO state FROM highwater.projection p
     WHERE p.name = of_name AND p.version = of_version AND p."partition" = of_partition
       FOR NO KEY UPDATE SKIP LOCKED;
    known := FOUND;
    IF NOT known THEN
        known := EXISTS (SELECT FROM highwater.projection p
            WHERE p.name = of_name AND p.version = of_version AND p."partition" = of_partition);
        RETURN;
    END IF;
    tagged := pg_try_advisory_xact_lock(hashtextextended(tag, 0));
    SELECT f.* INTO retrying FROM highwater.failed_event f
     WHERE f.projection = of_name AND f.version = of_version AND f."partition" = of_partition
       AND f.state = 'retrying'
     ORDER BY f.position, f."offset" LIMIT 1;
    SELECT f.* INTO replay FROM highwater.failed_event f
     WHERE f.projection = of_name AND f.version = of_version AND f."partition" = of_partition
       AND f.replay_requested AND f.state <> 'retrying'
     ORDER BY f.position, f."offset" LIMIT 1;
END $$;
