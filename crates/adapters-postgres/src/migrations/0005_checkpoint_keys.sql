-- All keys of checkpoints of which anything is known: whether there ever was a checkpoint, so that a lost one is told
-- from a new one, and whose the key is. Every function here takes keys in their order, and of each key this row before
-- the checkpoint's: so callers never wait for each other in a circle.
CREATE TABLE highwater.checkpoint_key (
    key text COLLATE "C" NOT NULL PRIMARY KEY,
    stored boolean NOT NULL,
    owner text COLLATE "C",
    lease_until timestamptz,
    epoch numeric(20, 0) NOT NULL,
    generation numeric(20, 0) NOT NULL
) WITH (fillfactor = 50); -- each flush writes its row again: there is room for it on the same page

INSERT INTO highwater.checkpoint_key (key, stored, epoch, generation)
    SELECT key, true, 0, 0 FROM highwater.checkpoint;

-- Moves one checkpoint forward, and says what is stored then.
CREATE FUNCTION highwater.advance_checkpoint(
    of_key text, to_commit numeric, to_prepare numeric,
    OUT applied boolean, OUT stored_commit numeric, OUT stored_prepare numeric)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    LOOP
        UPDATE highwater.checkpoint c
            SET "commit" = to_commit, "prepare" = to_prepare, updated_at = clock_timestamp()
            WHERE c.key = of_key AND (to_commit, to_prepare) > (c."commit", c."prepare");
        applied := FOUND;
        IF applied THEN
            stored_commit := to_commit;
            stored_prepare := to_prepare;
            RETURN;
        END IF;
        SELECT c."commit", c."prepare" INTO stored_commit, stored_prepare
            FROM highwater.checkpoint c WHERE c.key = of_key;
        IF NOT FOUND THEN
            INSERT INTO highwater.checkpoint_key AS k (key, stored, epoch, generation)
                VALUES (of_key, true, 0, 0)
                ON CONFLICT (key) DO UPDATE SET stored = true WHERE NOT k.stored;
            INSERT INTO highwater.checkpoint (key, "commit", "prepare", updated_at)
                VALUES (of_key, to_commit, to_prepare, clock_timestamp())
                ON CONFLICT (key) DO NOTHING;
            applied := FOUND;
            IF applied THEN
                stored_commit := to_commit;
                stored_prepare := to_prepare;
                RETURN;
            END IF;
        ELSIF (stored_commit, stored_prepare) >= (to_commit, to_prepare) THEN
            RETURN;
        END IF;
        -- Somebody else has created or reset it in between.
    END LOOP;
END $$;

-- Moves checkpoints forward, as if each had been moved alone.
CREATE OR REPLACE FUNCTION highwater.advance_checkpoints(keys text[], commits numeric[], prepares numeric[])
RETURNS TABLE (entry bigint, applied boolean, stored_commit numeric, stored_prepare numeric)
LANGUAGE plpgsql VOLATILE ROWS 100 AS $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT u.key, u."commit", u."prepare", u.n
        FROM unnest(keys, commits, prepares) WITH ORDINALITY AS u (key, "commit", "prepare", n)
        ORDER BY u.key COLLATE "C", u.n
    LOOP
        SELECT one.n, a.* INTO entry, applied, stored_commit, stored_prepare
            FROM highwater.advance_checkpoint(one.key, one."commit", one."prepare") a;
        RETURN NEXT;
    END LOOP;
END $$;

-- Moves checkpoints of one owner forward and renews its leases (in microseconds), as if each had come alone. An entry
-- without a position only renews; one that is not the owner's does nothing.
CREATE FUNCTION highwater.advance_owned_checkpoints(
    by_owner text, lease bigint, keys text[], epochs numeric[], commits numeric[], prepares numeric[])
RETURNS TABLE (entry bigint, owned boolean, applied boolean, stored_commit numeric, stored_prepare numeric)
LANGUAGE plpgsql VOLATILE ROWS 100 AS $$
DECLARE
    one record;
BEGIN
    FOR one IN
        SELECT u.key, u.epoch, u."commit", u."prepare", u.n
        FROM unnest(keys, epochs, commits, prepares) WITH ORDINALITY AS u (key, epoch, "commit", "prepare", n)
        ORDER BY u.key COLLATE "C", u.n
    LOOP
        entry := one.n;
        applied := NULL;
        stored_commit := NULL;
        stored_prepare := NULL;
        UPDATE highwater.checkpoint_key k
            SET lease_until = clock_timestamp() + lease * interval '1 microsecond'
            WHERE k.key = one.key AND k.owner = by_owner AND k.epoch = one.epoch;
        owned := FOUND;
        IF owned AND one."commit" IS NOT NULL THEN
            SELECT a.* INTO applied, stored_commit, stored_prepare
                FROM highwater.advance_checkpoint(one.key, one."commit", one."prepare") a;
        END IF;
        RETURN NEXT;
    END LOOP;
END $$;

-- Gives a key to an owner for `lease` microseconds. `outcome` is `won`, `held` by somebody else whose lease has not
-- run out, or `lost`: there was a checkpoint, and its row is gone.
CREATE FUNCTION highwater.claim_checkpoint(
    of_key text, by_owner text, lease bigint,
    OUT outcome text, OUT holder text, OUT remaining bigint, OUT won_epoch numeric, OUT won_generation numeric,
    OUT stored_commit numeric, OUT stored_prepare numeric, OUT stored_at timestamptz)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    known highwater.checkpoint_key;
    found_checkpoint boolean;
BEGIN
    LOOP
        -- Whoever stands by asks again and again: without a lock, and without a trace.
        SELECT k.* INTO known FROM highwater.checkpoint_key k WHERE k.key = of_key;
        IF FOUND AND known.owner <> by_owner AND known.lease_until > clock_timestamp() THEN
            outcome := 'held';
            holder := known.owner;
            remaining := ceil(extract(epoch FROM known.lease_until - clock_timestamp()) * 1000000);
            RETURN;
        END IF;
        INSERT INTO highwater.checkpoint_key (key, stored, epoch, generation) VALUES (of_key, false, 0, 0)
            ON CONFLICT (key) DO NOTHING;
        SELECT k.* INTO known FROM highwater.checkpoint_key k WHERE k.key = of_key FOR UPDATE;
        -- Else it was deleted, or claimed, in between.
        EXIT WHEN FOUND
            AND (known.owner IS NULL OR known.owner = by_owner OR known.lease_until <= clock_timestamp());
    END LOOP;
    SELECT c."commit", c."prepare", c.updated_at INTO stored_commit, stored_prepare, stored_at
        FROM highwater.checkpoint c WHERE c.key = of_key;
    found_checkpoint := FOUND;
    IF known.stored AND NOT found_checkpoint THEN
        outcome := 'lost';
        RETURN;
    END IF;
    UPDATE highwater.checkpoint_key k
        SET owner = by_owner, lease_until = clock_timestamp() + lease * interval '1 microsecond',
            epoch = k.epoch + 1, stored = found_checkpoint
        WHERE k.key = of_key
        RETURNING k.epoch, k.generation INTO won_epoch, won_generation;
    outcome := 'won';
END $$;

-- Goes anywhere from where it is expected to be, and ends the ownership; says whether it did.
CREATE FUNCTION highwater.reset_checkpoint(
    of_key text, to_commit numeric, to_prepare numeric, expected_commit numeric, expected_prepare numeric)
RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM FROM highwater.checkpoint_key k WHERE k.key = of_key FOR UPDATE;
    UPDATE highwater.checkpoint c
        SET "commit" = to_commit, "prepare" = to_prepare, updated_at = clock_timestamp()
        WHERE c.key = of_key AND c."commit" = expected_commit AND c."prepare" = expected_prepare;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO highwater.checkpoint_key AS k (key, stored, epoch, generation) VALUES (of_key, true, 1, 1)
        ON CONFLICT (key) DO UPDATE SET owner = NULL, lease_until = NULL,
            stored = true, epoch = k.epoch + 1, generation = k.generation + 1;
    RETURN true;
END $$;

-- Removes all that is known of a key, its checkpoint included; says whether there was anything. The row is made where
-- there is none: else somebody could create both in between, and would be left with the one and without the other.
CREATE FUNCTION highwater.delete_checkpoint(of_key text) RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    known boolean;
BEGIN
    LOOP
        INSERT INTO highwater.checkpoint_key (key, stored, epoch, generation) VALUES (of_key, false, 0, 0)
            ON CONFLICT (key) DO NOTHING;
        known := NOT FOUND;
        DELETE FROM highwater.checkpoint_key k WHERE k.key = of_key;
        EXIT WHEN FOUND;
    END LOOP;
    DELETE FROM highwater.checkpoint c WHERE c.key = of_key;
    RETURN known OR FOUND;
END $$;

-- Removes all keys from `first` on and before `behind` (to the last one where that is NULL); says how many.
CREATE FUNCTION highwater.clear_checkpoints(first text, behind text, dry_run boolean)
RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    of_key text;
    keys bigint := 0;
BEGIN
    FOR of_key IN
        SELECT k.key FROM highwater.checkpoint_key k WHERE k.key >= first AND (behind IS NULL OR k.key < behind)
        UNION
        SELECT c.key FROM highwater.checkpoint c WHERE c.key >= first AND (behind IS NULL OR c.key < behind)
        ORDER BY 1
    LOOP
        IF dry_run OR highwater.delete_checkpoint(of_key) THEN
            keys := keys + 1;
        END IF;
    END LOOP;
    RETURN keys;
END $$;
