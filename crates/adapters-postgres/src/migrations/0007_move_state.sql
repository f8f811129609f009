-- The end of a batch is a function, so that a session plans it once and not with every batch.

DROP FUNCTION highwater.confirm_move(bigint, text);

-- Moves a projection's state from what was read to `next`. Stands before each COMMIT of a batch, in the same flight:
-- raises unless the state was as it was read, and unless this is still the transaction that was begun.
CREATE FUNCTION highwater.move_state(
    next highwater.projection, of_epoch numeric, of_generation numeric, of_scanned numeric, of_scanned_offset numeric,
    unit text
) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF current_setting('hw.unit', true) IS DISTINCT FROM unit THEN
        RAISE EXCEPTION 'highwater: the transaction was ended by the projection' USING ERRCODE = 'HW002';
    END IF;
    UPDATE highwater.projection p
       SET generation = next.generation, position = next.position, position_offset = next.position_offset,
           stream = next.stream, category = next.category, sequence = next.sequence, event_id = next.event_id,
           event_time = next.event_time, scanned = next.scanned, scanned_offset = next.scanned_offset,
           filter_fingerprint = next.filter_fingerprint, sql_fingerprint = next.sql_fingerprint, epoch = next.epoch,
           paused = next.paused, crashes = next.crashes, stopped_cleanly = next.stopped_cleanly,
           claimed = next.claimed, claimed_offset = next.claimed_offset, fault = next.fault,
           updated_at = next.updated_at
     WHERE p.name = next.name AND p.version = next.version AND p."partition" = next."partition"
       AND p.epoch = of_epoch AND p.generation = of_generation
       AND p.scanned IS NOT DISTINCT FROM of_scanned AND p.scanned_offset IS NOT DISTINCT FROM of_scanned_offset;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'highwater: the state of the projection is not as it was read' USING ERRCODE = 'HW001';
    END IF;
END $$;
