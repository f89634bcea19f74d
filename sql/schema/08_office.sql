-- Who leads: it takes office, its work recovers, it is heard of.

-- Purpose: take office, by the holder of the leadership lock that campaigned and had to wait.
-- Parameters: for each of `elections`: waited, whether it is known that the last term's work has stopped; waited_ms,
--             how long, since the proof that this server is the primary, the caller has waited for work that other
--             servers may have left behind; heard, the greatest term that the process has heard of, and heard_lease_ms,
--             that term's lease (0 where there is none). limit_ms: once so much time has passed the rest is left, but at
--             least one is done.
-- Meaning of a row, one an election that was reached: outcome is `began`, with the new `term` and its `token`; `waiting`, for the last
--          term was not vacated, or waited_ms is below `elsewhere_ms` (`known` and `known_lease_ms` as pgleader.outlook
--          tells them); `fenced`; `barred`, and `bar` says why this candidate may not lead any more: it must release
--          the lock; or `refused`, and nothing was done.
CREATE OR REPLACE FUNCTION pgleader.take_office(
    mark text, elections integer[], instance uuid, direct boolean, waited boolean[], waited_ms integer[],
    heard bigint[], heard_lease_ms integer[], limit_ms integer DEFAULT 3600000
) RETURNS TABLE (
    election integer, outcome text, term bigint, token uuid, bar text, elsewhere_ms integer, known bigint,
    known_lease_ms integer, refused text
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ends_at timestamptz;
    turns text[];
    its_timeline bigint := pgleader.timeline();
    its_cluster bigint := pgleader.system_identifier();
    missing integer;
    its bigint;
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_ids('elections', elections);
    PERFORM pgleader.check_entries('waited', waited::text[], cardinality(elections));
    PERFORM pgleader.check_entries('waited_ms', waited_ms::text[], cardinality(elections));
    PERFORM pgleader.check_all_heard(heard, heard_lease_ms, cardinality(elections));
    PERFORM pgleader.check_limit(limit_ms);
    IF num_nulls(instance, direct) > 0 THEN
        PERFORM pgleader.refuse('instance or direct', NULL, '');
    ELSIF NOT 0 <= ALL (waited_ms) THEN
        PERFORM pgleader.refuse('waited_ms', waited_ms::text, 'be 0 or more');
    END IF;
    missing := (SELECT min(u.id) FROM unnest(elections) AS u (id) WHERE u.id NOT IN (
        SELECT l.id FROM unnest(pgleader.leaderships()) AS l (id)));
    IF missing IS NOT NULL THEN
        RAISE EXCEPTION 'this session does not hold the leadership of election %', missing
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call pgleader.campaign first.';
    END IF;
    turns := pgleader.turns(elections, instance);
    ends_at := clock_timestamp() + limit_ms * interval '1 ms';
    FOR its IN SELECT u.place FROM unnest(elections) WITH ORDINALITY AS u (id, place) ORDER BY u.id LOOP
        EXIT WHEN election IS NOT NULL AND clock_timestamp() >= ends_at;
        election := elections[its];
        refused := NULL;
        BEGIN
            SELECT o.outcome, o.term, o.token, o.bar, o.elsewhere_ms, o.known, o.known_lease_ms
            INTO outcome, term, token, bar, elsewhere_ms, known, known_lease_ms
            FROM pgleader.take_one_office(
                election, instance, direct, waited[its], waited_ms[its], heard[its], heard_lease_ms[its], turns[its],
                its_timeline, its_cluster) AS o;
        EXCEPTION WHEN OTHERS THEN
            IF pgleader.is_the_sessions(SQLSTATE) THEN
                RAISE;
            END IF;
            outcome := 'refused';
            refused := pgleader.refusal(SQLSTATE, SQLERRM);
        END;
        RETURN NEXT;
    END LOOP;
END
$$;

-- Purpose: one of them.
-- Parameters: turn, whose it is; timeline, system_identifier, as these functions tell them.
CREATE OR REPLACE FUNCTION pgleader.take_one_office(
    election integer, instance uuid, direct boolean, waited boolean, waited_ms integer, heard bigint,
    heard_lease_ms integer, turn text, timeline bigint, system_identifier bigint,
    OUT outcome text, OUT term bigint, OUT token uuid, OUT bar text, OUT elsewhere_ms integer, OUT known bigint,
    OUT known_lease_ms integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    outlook record;
BEGIN
    IF num_nulls(instance, direct, waited, waited_ms) > 0 THEN
        PERFORM pgleader.refuse('instance, direct, waited or waited_ms', NULL, '');
    ELSIF waited_ms < 0 THEN
        PERFORM pgleader.refuse('waited_ms', waited_ms::text, 'be 0 or more');
    END IF;
    PERFORM pgleader.check_turn(turn);
    SELECT o.* INTO outlook
    FROM pgleader.outlook(election, heard, heard_lease_ms, timeline, system_identifier) AS o;
    bar := CASE WHEN turn NOT IN ('called', 'outranked') THEN turn WHEN outlook.beyond THEN 'beyond' END;
    IF bar IS NOT NULL THEN
        outcome := 'barred';
    ELSIF (NOT waited AND outlook.wait_ms > 0) OR outlook.elsewhere_ms > waited_ms THEN
        outcome := 'waiting';
        elsewhere_ms := outlook.elsewhere_ms;
        known := outlook.known;
        known_lease_ms := outlook.known_lease_ms;
        IF known > outlook.last THEN
            PERFORM pgleader.keep_heard(election, instance, known, known_lease_ms);
        END IF;
    ELSE
        PERFORM pgleader.close_term(election, outlook.last);
        SELECT b.term, b.token INTO term, token
        FROM pgleader.begin_term(election, instance, direct, outlook.below, outlook.known, timeline,
                                 system_identifier) AS b;
        outcome := CASE WHEN term IS NULL THEN 'fenced' ELSE 'began' END;
    END IF;
END
$$;

COMMENT ON FUNCTION pgleader.take_one_office(
    integer, uuid, boolean, boolean, integer, bigint, integer, text, bigint, bigint) IS
    'null turn: open to him as to everybody; null system_identifier: the platform does not tell';

-- Purpose: the work of these terms has recovered: from `recovering` to `leading`.
-- Parameters: limit_ms: once so much time has passed the rest is left, but at least one is done.
-- Meaning of a row, one an election that was reached: whether the term was this session's; refused, why nothing was
--          done.
-- Hazard: the backend on record is not enough: a pooler may have handed it on.
CREATE OR REPLACE FUNCTION pgleader.ready(
    mark text, elections integer[], instance uuid, terms bigint[], limit_ms integer DEFAULT 3600000
) RETURNS TABLE (election integer, recorded boolean, refused text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ends_at CONSTANT timestamptz := clock_timestamp() + limit_ms * interval '1 ms';
    -- To look for the dead at each election would cost more than all the rest.
    living CONSTANT integer[] := ARRAY(
        SELECT pg_stat_get_backend_pid(b.id) FROM pg_stat_get_backend_idset() AS b (id));
    its record;
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_ids('elections', elections);
    PERFORM pgleader.check_terms(terms, cardinality(elections));
    PERFORM pgleader.check_limit(limit_ms);
    IF instance IS NULL THEN
        PERFORM pgleader.refuse('instance', NULL, '');
    END IF;
    FOR its IN
        SELECT u.id, u.number FROM unnest(elections, terms) AS u (id, number) ORDER BY u.id
    LOOP
        EXIT WHEN election IS NOT NULL AND clock_timestamp() >= ends_at;
        election := its.id;
        recorded := NULL;
        refused := NULL;
        BEGIN
            UPDATE pgleader.election AS e
            SET state = 'leading', ready_at = clock_timestamp(), changed_at = clock_timestamp()
            WHERE e.id = its.id AND e.term = its.number AND e.pid = pg_backend_pid() AND e.state = 'recovering'
              AND EXISTS (SELECT FROM pgleader.term AS t
                          WHERE t.election_id = its.id AND t.number = its.number
                            AND t.instance_hash = sha256(uuid_send(instance)));
            recorded := FOUND;
            IF recorded AND EXISTS (
                SELECT FROM pgleader.candidate AS c WHERE c.election_id = its.id AND c.pid <> ALL (living)) THEN
                PERFORM pgleader.forget_candidates(its.id);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            IF pgleader.is_the_sessions(SQLSTATE) THEN
                RAISE;
            END IF;
            recorded := NULL;
            refused := pgleader.refusal(SQLSTATE, SQLERRM);
        END;
        RETURN NEXT;
    END LOOP;
END
$$;

-- Purpose: a session proves that it lives, to the server and to its process, and hears what is asked of the leader of
--          these elections. Writes nothing, takes no row lock.
-- Parameters: locks, the OID of pgleader.election when this session began.
-- Meaning of a row, one an election of which something is asked: the term that must end, and the operator's request
--          that ends it, the oldest one.
-- Hazard: who has locked the table of requests must not cost the leadership. What is asked waits then.
-- Hazard: something between may lead an old socket to a server that has become a standby.
-- Hazard: a schema that was dropped and made again has other locks. Those that this session holds are void then, and it
--         must end. So it must where the election's row is gone: whoever joins that election again makes another id,
--         and so another lock.
CREATE OR REPLACE FUNCTION pgleader.heartbeat(mark text, locks oid, elections integer[])
RETURNS TABLE (election integer, term bigint, kind text, requested_by name)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5ms'
AS $$
BEGIN
    IF (mark = nullif(current_setting('pgleader.mark', true), '')) IS NOT TRUE THEN
        PERFORM pgleader.check_mark(mark);
    ELSIF (1 <= ALL (elections)) IS NOT TRUE OR array_ndims(elections) > 1 THEN
        PERFORM pgleader.check_ids('elections', elections);
    ELSIF locks IS NULL THEN
        PERFORM pgleader.refuse('locks', NULL, '');
    ELSIF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'this server has become a standby: the locks that this session holds are nobody''s'
            USING ERRCODE = 'read_only_sql_transaction', HINT = 'Connect to the primary.';
    ELSIF locks <> 'pgleader.election'::regclass::oid THEN
        RAISE EXCEPTION 'the schema pgleader was made anew under this session: the locks that it holds are void'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Connect and join again. Restore a schema only while no candidate runs.';
    ELSIF EXISTS (
        SELECT FROM unnest(elections) AS u (id)
        WHERE NOT EXISTS (SELECT FROM pgleader.election AS e WHERE e.id = u.id)) THEN
        RAISE EXCEPTION 'an election that this session leads has no row any more: its lock is another election''s'
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Connect and join again.';
    END IF;
    RETURN QUERY
    SELECT DISTINCT ON (r.election_id) r.election_id, e.term, r.kind, r.requested_by
    FROM pgleader.request AS r
    JOIN pgleader.election AS e ON e.id = r.election_id
    WHERE r.election_id = ANY (elections) AND r.ended_at IS NULL
      AND CASE r.kind
              WHEN 'step down' THEN r.term = e.term
              WHEN 'transfer' THEN r.term = e.term AND pgleader.transfer_to(e.id) IS NOT NULL
              WHEN 'suspend' THEN true
              WHEN 'exclude' THEN r.address = e.address
          END
    ORDER BY r.election_id, r.id;
EXCEPTION WHEN lock_not_available THEN
    RETURN;
END
$$;
