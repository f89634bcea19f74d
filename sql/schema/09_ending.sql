-- A term ends in order: its work has stopped, it is vacated, its locks are released, and everybody is told.

-- Purpose: whether that operator has asked for such an end of a term, or nobody can know.
CREATE OR REPLACE FUNCTION pgleader.was_asked(
    election integer, term bigint, ended_by name, ended_request text
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5ms'
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    PERFORM pgleader.check_number('term', term);
    IF ended_by = '' THEN
        PERFORM pgleader.refuse('ended_by', '""', 'be null or a role');
    ELSIF ended_request NOT IN ('step down', 'transfer', 'suspend', 'exclude', 'depose') THEN
        PERFORM pgleader.refuse('ended_request', ended_request, 'be null or the kind of a request');
    END IF;
    RETURN EXISTS (
        SELECT FROM pgleader.request AS r
        WHERE r.election_id = election AND r.term <= was_asked.term AND r.kind = was_asked.ended_request
          AND r.requested_by = was_asked.ended_by);
EXCEPTION WHEN lock_not_available THEN
    RETURN true;
END
$$;

COMMENT ON FUNCTION pgleader.was_asked(integer, bigint, name, text) IS
    'null ended_by: no operator asked for it; null ended_request: no operator asked for it';

-- Purpose: record that terms are over and their work has stopped. The leader's session also frees the election's row;
--          any other session of the same process writes the term's row alone.
-- Parameters: for each of `elections`: the term; its ending; ended_by, the operator who asked for the end, and
--             ended_request, what he asked for (null where nobody asked). limit_ms: once so much time has passed the
--             rest is left, but at least one is done.
-- Meaning of a row, one an election that was reached: refused, why nothing was done; vacated is false while a fenced transaction holds the term's row: call again. It
--          is true, too, where there is nothing to do.
-- Hazard: it waits for no disk. A vacate that a crash loses makes the next leader wait, and does no other harm;
--         whatever begins the next term is flushed after it.
CREATE OR REPLACE FUNCTION pgleader.vacate(
    mark text, elections integer[], instance uuid, terms bigint[], endings text[], ended_by name[],
    ended_request text[], limit_ms integer DEFAULT 3600000
) RETURNS TABLE (election integer, vacated boolean, refused text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ends_at CONSTANT timestamptz := clock_timestamp() + limit_ms * interval '1 ms';
    led integer[];
    its record;
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_ids('elections', elections);
    PERFORM pgleader.check_terms(terms, cardinality(elections));
    PERFORM pgleader.check_entries('endings', endings, cardinality(elections));
    -- Null stands for nobody.
    PERFORM pgleader.check_entries('ended_by', array_replace(ended_by::text[], NULL, '-'), cardinality(elections));
    PERFORM pgleader.check_entries('ended_request', array_replace(ended_request, NULL, '-'), cardinality(elections));
    PERFORM pgleader.check_limit(limit_ms);
    IF instance IS NULL THEN
        PERFORM pgleader.refuse('instance', NULL, '');
    ELSIF NOT endings <@ '{resigned,stepped down,failed,deposed}' THEN
        PERFORM pgleader.refuse('endings', endings::text, 'each be resigned, stepped down, failed or deposed');
    ELSIF NOT array_remove(ended_request, NULL) <@ '{step down,transfer,suspend,exclude,depose}' THEN
        PERFORM pgleader.refuse('ended_request', ended_request::text, 'each be null or the kind of a request');
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    led := pgleader.leaderships();
    FOR its IN
        SELECT u.*, l.id IS NOT NULL AS is_led
        FROM unnest(elections, terms, endings, ended_by, ended_request)
            AS u (id, number, ending, ended_by, ended_request)
        LEFT JOIN unnest(led) AS l (id) ON l.id = u.id
        ORDER BY u.id
    LOOP
        EXIT WHEN election IS NOT NULL AND clock_timestamp() >= ends_at;
        election := its.id;
        refused := NULL;
        BEGIN
            vacated := pgleader.vacate_term(
                its.id, instance, its.number, its.ending, its.ended_by, its.ended_request, its.is_led);
        EXCEPTION WHEN OTHERS THEN
            IF pgleader.is_the_sessions(SQLSTATE) THEN
                RAISE;
            END IF;
            vacated := NULL;
            refused := pgleader.refusal(SQLSTATE, SQLERRM);
        END;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION pgleader.vacate(text, integer[], uuid, bigint[], text[], name[], text[], integer) IS
    'null in ended_by: no operator asked for it; null in ended_request: no operator asked for it';

-- Purpose: one of them.
-- Parameters: is_led, whether this session holds the leadership.
CREATE OR REPLACE FUNCTION pgleader.vacate_term(
    election integer, instance uuid, term bigint, ending text, ended_by name, ended_request text, is_led boolean
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hash bytea := sha256(uuid_send(instance));
BEGIN
    PERFORM pgleader.check_number('election', election);
    PERFORM pgleader.check_number('term', term);
    IF num_nulls(instance, is_led) > 0 THEN
        PERFORM pgleader.refuse('instance or is_led', NULL, '');
    ELSIF (ending IN ('resigned', 'stepped down', 'failed', 'deposed')) IS NOT TRUE THEN
        PERFORM pgleader.refuse('ending', ending, 'be resigned, stepped down, failed or deposed');
    END IF;
    -- Only who asked is on record as who asked.
    IF num_nonnulls(ended_by, ended_request) > 0
        AND NOT pgleader.was_asked(election, term, ended_by, ended_request) THEN
        ended_by := NULL;
        ended_request := NULL;
    END IF;
    PERFORM FROM pgleader.term AS t
    WHERE t.election_id = election AND t.number = vacate_term.term AND t.instance_hash = hash
      AND t.vacated_at IS NULL
    FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NOT EXISTS (
            SELECT FROM pgleader.term AS t
            WHERE t.election_id = election AND t.number = vacate_term.term AND t.instance_hash = hash
              AND t.vacated_at IS NULL);
    END IF;
    UPDATE pgleader.term AS t
    SET vacated_at = clock_timestamp(),
        closed_at = coalesce(t.closed_at, clock_timestamp()),
        ready_at = coalesce(t.ready_at, pgleader.ready_at(election, vacate_term.term)),
        ended_at = coalesce(t.ended_at, clock_timestamp()),
        ending = vacate_term.ending,
        ended_by = vacate_term.ended_by,
        ended_request = vacate_term.ended_request
    WHERE t.election_id = election AND t.number = vacate_term.term;
    IF is_led THEN
        UPDATE pgleader.election AS e
        SET state = 'vacant', address = NULL, pid = NULL, changed_at = clock_timestamp(),
            closed_term = vacate_term.term
        WHERE e.id = election AND e.term = vacate_term.term;
    END IF;
    RETURN true;
END
$$;

COMMENT ON FUNCTION pgleader.vacate_term(integer, uuid, bigint, text, name, text, boolean) IS
    'null ended_by: no operator asked for it; null ended_request: no operator asked for it';

-- Purpose: let go of the leadership of `elections` and of the successor's place of `successor_of`.
-- Parameters: silence_ms, after how much silence the server shall end what this session is from now on.
-- Meaning of a row, one an election: whether this session really held what it let go of.
CREATE OR REPLACE FUNCTION pgleader.release(
    mark text, elections integer[], successor_of integer[], silence_ms integer
) RETURNS TABLE (election integer, held boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_ids('elections', elections);
    PERFORM pgleader.check_ids('successor_of', successor_of);
    IF (silence_ms > 0) IS NOT TRUE THEN
        PERFORM pgleader.refuse('silence_ms', silence_ms::text, 'be above 0');
    END IF;
    FOREACH election IN ARRAY elections LOOP
        held := pg_advisory_unlock('pgleader.election'::regclass::oid::integer, election);
        IF election = ANY (successor_of) THEN
            held := pg_advisory_unlock('pgleader.candidate'::regclass::oid::integer, election) AND held;
        END IF;
        RETURN NEXT;
    END LOOP;
    FOREACH election IN ARRAY successor_of LOOP
        IF NOT election = ANY (elections) THEN
            held := pg_advisory_unlock('pgleader.candidate'::regclass::oid::integer, election);
            RETURN NEXT;
        END IF;
    END LOOP;
    PERFORM set_config('idle_session_timeout', silence_ms::text, false);
END
$$;

-- Purpose: tell everybody how these elections stand. A hint: readers read the tables.
-- Hazard: NOTIFY takes a lock that the whole server shares, when the transaction commits. So it is a statement of its
--         own, waits a short time, and may fail: it does where the queue is half full, and says so.
CREATE OR REPLACE FUNCTION pgleader.announce(mark text, elections integer[], wait_ms integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_ids('elections', elections);
    IF (wait_ms BETWEEN 1 AND 10000) IS NOT TRUE THEN
        PERFORM pgleader.refuse('wait_ms', wait_ms::text, 'be between 1 and 10000');
    END IF;
    PERFORM set_config('lock_timeout', wait_ms::text, true);
    IF NOT pgleader.notify_all(ARRAY(
        SELECT json_build_object('election', e.name, 'term', e.term, 'state', e.state, 'address', e.address)::text
        FROM pgleader.election AS e WHERE e.id = ANY (elections))) THEN
        RAISE EXCEPTION 'the queue of notifications of this server is half full'
            USING ERRCODE = 'program_limit_exceeded',
                  HINT = 'Find the session that listens in an old transaction: SELECT pid, xact_start FROM pg_stat_activity ORDER BY xact_start.';
    END IF;
END
$$;
