-- Fencing: a transaction that passes pgleader.fence commits before a later term begins, or never.

-- Purpose: admit this transaction only while that term is current. Any number of times, in any client, pooled
--          connections too; as the first statement or a later one, in functions and subtransactions.
-- Parameters: token, that of the term. A server that was lost in a failover may have given out a term of the same
--             number; the token tells them apart, and authorises nothing.
-- Meaning: nothing; an error refuses:
--   PL001  the term is over (the message names the newer one): stop, and roll back
--   40001  under REPEATABLE READ and SERIALIZABLE: the transaction's snapshot is older than what the fence must see.
--          Run the transaction again; if the term is over, PL001 will say so
--   PL002  this server never gave that term out, or not with that token: it was lost in a failover, or is another
--          database's
--   42704  there is no such election
--   25P01  the call is a transaction of its own, and guards nothing (seen where the client sends it by the simple
--          protocol, as psql does; no function can tell otherwise)
--   22004, 22023  an argument is null, or none that can be
-- Hazard: what is over, was never given out or is another's is refused by a first reading, before any lock is taken:
--         else whoever calls again and again holds the next term off.
-- Hazard: of what passes the lock comes first and the reading that counts second, in statements of their own: a
--         snapshot that was taken before the lock was granted is stale. Where the snapshot is kept, the term's row is
--         locked instead: the update that closes a term runs into a fence with an older snapshot. ROLLBACK TO SAVEPOINT
--         across the call undoes it.
CREATE OR REPLACE FUNCTION pgleader.fence(election text, term bigint, token uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_id integer;
    may_pass boolean;
    its_timeline bigint;
    snapshot_is_kept boolean := current_setting('transaction_isolation') IN ('repeatable read', 'serializable');
BEGIN
    IF (length(election) BETWEEN 1 AND 200 AND term >= 1) IS NOT TRUE THEN
        PERFORM pgleader.check_name(election);
        PERFORM pgleader.check_number('term', term);
    ELSIF token IS NULL THEN
        PERFORM pgleader.refuse('token', NULL, '');
    END IF;
    -- No backslash: under standard_conforming_strings = off it would be gone.
    IF now() = statement_timestamp()
        AND current_query() ~* '^[[:space:]]*select[[:space:]]+([*][[:space:]]+from[[:space:]]+)?("?pgleader"?[[:space:]]*[.][[:space:]]*)?"?fence"?[[:space:]]*[(][^()]*[)][[:space:];]*$' THEN
        RAISE EXCEPTION 'this call of pgleader.fence is a transaction of its own, and guards nothing'
            USING ERRCODE = 'no_active_sql_transaction',
                  HINT = 'Call it between BEGIN and COMMIT, before the writes that it shall guard.';
    END IF;
    its_timeline := pgleader.timeline();
    SELECT e.id, e.term = fence.term AND e.closed_term < fence.term AND t.closed_at IS NULL
                 AND t.timeline = its_timeline AND t.token = fence.token
    INTO its_id, may_pass
    FROM pgleader.election AS e
    LEFT JOIN pgleader.term AS t ON t.election_id = e.id AND t.number = fence.term
    WHERE e.name = fence.election;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no election named "%"', election
            USING ERRCODE = 'undefined_object', SCHEMA = 'pgleader', TABLE = 'election',
                  HINT = 'SELECT name FROM pgleader.status lists them.';
    END IF;
    IF may_pass IS NOT TRUE THEN
        -- It says why, or has seen the term begin in this moment.
        PERFORM pgleader.judge_fence(its_id, term, token, false);
    END IF;
    -- It always is; an assignment is cheaper than PERFORM.
    may_pass := pg_advisory_xact_lock_shared('pgleader.term'::regclass::oid::integer, its_id) IS NOT NULL;
    -- Of a current term one row tells, since no term begins before the row of the last one is closed. Everything else
    -- goes the long way.
    IF snapshot_is_kept THEN
        PERFORM FROM pgleader.term AS t
        WHERE t.election_id = its_id AND t.number = fence.term AND t.closed_at IS NULL
          AND t.timeline = its_timeline AND t.token = fence.token
        FOR SHARE;
    ELSE
        PERFORM FROM pgleader.term AS t
        WHERE t.election_id = its_id AND t.number = fence.term AND t.closed_at IS NULL
          AND t.timeline = its_timeline AND t.token = fence.token;
    END IF;
    IF NOT (may_pass AND FOUND) THEN
        PERFORM pgleader.judge_fence(its_id, term, token, true);
    END IF;
END
$$;

-- Purpose: the long way of a fence: say what is wrong with the term, or let it pass after all.
-- Parameters: locked, whether the caller holds the term's lock. Without it no row of a term is locked either, for what
--             is read says for good that the term is over.
CREATE OR REPLACE FUNCTION pgleader.judge_fence(election integer, term bigint, token uuid, locked boolean) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its record;
    its_timeline bigint := pgleader.timeline();
    snapshot_is_kept boolean := current_setting('transaction_isolation') IN ('repeatable read', 'serializable');
BEGIN
    PERFORM pgleader.check_number('election', election);
    PERFORM pgleader.check_number('term', term);
    IF num_nulls(token, locked) > 0 THEN
        PERFORM pgleader.refuse('token or locked', NULL, '');
    END IF;
    IF snapshot_is_kept AND locked THEN
        PERFORM FROM pgleader.term AS t
        WHERE t.election_id = election AND t.number = judge_fence.term FOR SHARE;
    END IF;
    -- A term from before a failover is over although nobody has closed it yet: a later one may have begun on the server
    -- that was lost.
    SELECT e.name, e.term AS newest,
           e.closed_term >= judge_fence.term OR t.closed_at IS NOT NULL OR t.timeline <> its_timeline AS is_over,
           t.token <> judge_fence.token AS is_anothers
    INTO its
    FROM pgleader.election AS e
    LEFT JOIN pgleader.term AS t ON t.election_id = e.id AND t.number = judge_fence.term
    WHERE e.id = election;
    IF term > its.newest THEN
        IF snapshot_is_kept THEN
            -- Raises 40001 itself where the row has changed since the snapshot. Unchanged it is the newest.
            PERFORM FROM pgleader.election AS e WHERE e.id = election FOR SHARE SKIP LOCKED;
        END IF;
        IF snapshot_is_kept AND NOT FOUND THEN
            RAISE EXCEPTION 'term % of election "%" is not in this transaction''s snapshot, which ends at term %',
                    term, its.name, its.newest
                USING ERRCODE = 'serialization_failure', HINT = 'Run the transaction again.';
        END IF;
        RAISE EXCEPTION 'term % of election "%" was never given out: the newest is %', term, its.name, its.newest
            USING ERRCODE = 'PL002', HINT = 'Stop this term''s work: a failover of the database may have lost it, or it is of another database.';
    END IF;
    IF its.is_anothers THEN
        RAISE EXCEPTION 'term % of election "%" has another token: this server gave its number to somebody else',
                term, its.name
            USING ERRCODE = 'PL002', HINT = 'Stop this term''s work: a failover of the database may have lost it, or it is of another database.';
    END IF;
    -- In doubt it is over.
    IF term < its.newest OR its.is_over IS NOT FALSE THEN
        RAISE EXCEPTION 'term % of election "%" is over: the newest is %', term, its.name, its.newest
            USING ERRCODE = 'PL001', HINT = 'Stop this term''s work, and roll back.';
    END IF;
END
$$;

-- Purpose: the same by the number alone: another term of that number passes too, where it is this server's.
CREATE OR REPLACE FUNCTION pgleader.fence(election text, term bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.fence(election, term, coalesce(
        (SELECT t.token FROM pgleader.election AS e JOIN pgleader.term AS t ON t.election_id = e.id
         WHERE e.name = fence.election AND t.number = fence.term),
        -- No term has this one.
        '00000000-0000-0000-0000-000000000000'));
END
$$;

-- What stands in the way of the next term -------------------------------------------------------------------

-- Purpose: the sessions that stand in the way of the next term: those of fenced transactions, and strangers that hold
--          the lock with which a term begins. A prepared transaction has no pid: somebody must commit it or roll it
--          back by hand.
CREATE OR REPLACE VIEW pgleader.fenced AS
SELECT DISTINCT l.election_id, l.pid, NULL::text AS gid, pgleader.who(l.pid, NULL, NULL) AS who
FROM pgleader.lock AS l
WHERE l.kind = 'pgleader.term'::regclass AND l.granted AND l.pid IS NOT NULL
  -- Who looks may be beginning a term himself.
  AND (l.mode <> 'ExclusiveLock' OR l.pid <> pg_backend_pid())
UNION ALL
SELECT DISTINCT p.election_id, NULL::integer, p.gid, pgleader.who(NULL, p.gid, p.owner)
FROM pgleader.prepared AS p WHERE p.kind = 'pgleader.term'::regclass;

-- Purpose: whether a session may be behind pgpool-II: any may where a candidate is, or whoever began the last term of an
--          election was; one may that comes from where the session of an earlier term did that was. So may any that the
--          owner of the schema may not look at.
CREATE OR REPLACE FUNCTION pgleader.may_be_behind_pgpool(backend integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('backend', backend);
    -- In the order of the index, which is else not taken where there are no statistics yet.
    RETURN (SELECT c.election_id FROM pgleader.candidate AS c WHERE c.behind_pgpool ORDER BY c.election_id LIMIT 1)
            IS NOT NULL
        OR EXISTS (
            SELECT FROM pgleader.term AS t
            JOIN pgleader.election AS e ON e.id = t.election_id AND e.term = t.number WHERE t.behind_pgpool
            UNION ALL
            SELECT FROM pgleader.term AS t
            JOIN pg_stat_get_activity(backend) AS a
                ON a.backend_start IS NULL OR a.client_addr IS NOT DISTINCT FROM t.client_addr
            WHERE t.behind_pgpool);
END
$$;

-- Purpose: end one such session, or a stranger's, with the rights of the schema's owner: who is fenced for the holder of
--          the leadership alone, and no stranger with the leadership.
CREATE OR REPLACE FUNCTION pgleader.end_fenced_backend(mark text, election integer, backend integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_number('election', election);
    PERFORM pgleader.check_number('backend', backend);
    PERFORM pg_stat_clear_snapshot();
    -- Not `AND pg_terminate_backend()`: that ends the session beside a null, too.
    IF (NOT pgleader.may_be_behind_pgpool(backend)
        AND (pgleader.holds_leadership(election)
                 AND EXISTS (SELECT FROM pgleader.fenced AS f WHERE f.election_id = election AND f.pid = backend)
             OR (SELECT bool_and(s.kind <> 'pgleader.election'::regclass) FROM pgleader.stranger AS s
                 WHERE s.election_id = election AND s.pid = backend))) IS NOT TRUE THEN
        RETURN false;
    END IF;
    RETURN coalesce(pg_terminate_backend(backend), false);
EXCEPTION WHEN insufficient_privilege THEN
    RETURN false;
END
$$;

-- Purpose: record that a backend was told to end, for the history of the term that begins. A slow one is told again,
--          also by another leader, and counts once: its pid and its start tell it from others. The start is unknown of
--          one that has left meanwhile, or that the owner of the schema may not look at.
CREATE OR REPLACE FUNCTION pgleader.count_fenced_ended(mark text, election integer, backend integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its text;
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_number('election', election);
    PERFORM pgleader.check_number('backend', backend);
    its := concat_ws(' ', backend, (
        SELECT extract(epoch FROM a.backend_start) FROM pg_stat_get_activity(backend) AS a));
    IF pgleader.holds_leadership(election) THEN
        UPDATE pgleader.election AS e SET ended_backends = e.ended_backends || its
        WHERE e.id = election AND NOT EXISTS (
            SELECT FROM unnest(e.ended_backends) AS o (counted)
            WHERE o.counted = its OR starts_with(o.counted, its || ' '));
    END IF;
END
$$;

-- Purpose: who stands in the way of the next terms of these elections: for the holder of the leadership also what is
--          fenced. All elections at once, for each reads the whole server's locks.
--   pid       null for a prepared transaction
--   named     in words; null for an election where nobody stands in the way
--   may_end   not who holds the leadership too: he would let go of it
CREATE OR REPLACE FUNCTION pgleader.in_the_way(elections integer[])
RETURNS TABLE (election integer, pid integer, named text, may_end boolean, is_stranger boolean)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    leads integer[];
BEGIN
    PERFORM pgleader.check_ids('elections', elections);
    leads := ARRAY(
        SELECT l.election_id FROM pgleader.lock AS l
        WHERE l.kind = 'pgleader.election'::regclass AND l.pid = pg_backend_pid() AND l.mode = 'ExclusiveLock'
          AND l.granted);
    RETURN QUERY
    SELECT u.id, w.pid, w.named, w.may_end, w.is_stranger
    FROM unnest(elections) AS u (id)
    LEFT JOIN (
        SELECT f.election_id, f.pid, f.who || ', which holds the term' AS named, true AS may_end, false AS is_stranger
        FROM pgleader.fenced AS f WHERE f.election_id = ANY (leads)
        UNION ALL
        SELECT s.election_id, s.pid, concat(s.who, ', which holds the ', pgleader.lock_name(s.kind)),
               NOT bool_or(s.kind = 'pgleader.election'::regclass) OVER (PARTITION BY s.election_id, s.pid), true
        FROM pgleader.stranger AS s
        WHERE NOT (s.election_id = ANY (leads) AND s.kind = 'pgleader.term'::regclass)
          -- Who has left, and not yet let go.
          AND s.pid IS DISTINCT FROM pg_backend_pid()) AS w ON w.election_id = u.id
    ORDER BY u.id, w.pid, w.named;
EXCEPTION WHEN out_of_memory THEN
    RETURN QUERY SELECT u.id, NULL::integer, pgleader.not_to_be_seen(), false, false FROM unnest(elections) AS u (id);
END
$$;

-- Purpose: end the sessions of strangers with the successor's place or the lock by which terms begin, which have had it
--          for a lease; and, for the holder of the leadership, those whose fenced transactions of past terms stand in the
--          way, once the refractory period is over. Who holds the leadership by hand is only named. The caller's own
--          rights are tried first, then those of the schema's owner. What may be behind pgpool-II has its statement
--          cancelled, and is left where it has none.
-- Meaning of a row, one an election: how many were told to end, how many are left that may not or cannot be ended, and
--          who these are, in words (null where there is none). One that is slow to end is told again by the next call.
CREATE OR REPLACE FUNCTION pgleader.end_fenced(mark text, elections integer[])
RETURNS TABLE (election integer, ended integer, remaining integer, who text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its record;
    done boolean;
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_ids('elections', elections);
    FOR its IN SELECT * FROM pgleader.in_the_way(elections)
    LOOP
        IF its.election IS DISTINCT FROM election THEN
            IF election IS NOT NULL THEN
                RETURN NEXT;
            END IF;
            election := its.election;
            ended := 0;
            remaining := 0;
            who := NULL;
        END IF;
        CONTINUE WHEN its.named IS NULL;
        IF its.is_stranger AND its.may_end AND its.pid IS NOT NULL THEN
            -- Who has joined since the snapshot of this query, and locked, is none.
            PERFORM pg_stat_clear_snapshot();
            CONTINUE WHEN NOT EXISTS (
                SELECT FROM pgleader.stranger AS s WHERE s.election_id = its.election AND s.pid = its.pid);
        END IF;
        BEGIN
            IF its.pid IS NULL OR NOT its.may_end THEN
                done := false;
            ELSIF pgleader.may_be_behind_pgpool(its.pid) THEN
                done := false;
                PERFORM pg_cancel_backend(its.pid);
            ELSE
                done := coalesce(pg_terminate_backend(its.pid), false);
            END IF;
        EXCEPTION WHEN insufficient_privilege THEN
            done := pgleader.end_fenced_backend(mark, election, its.pid);
        END;
        IF done THEN
            ended := ended + 1;
            PERFORM pgleader.count_fenced_ended(mark, election, its.pid);
        ELSE
            remaining := remaining + 1;
            who := concat_ws('; ', who, its.named);
        END IF;
    END LOOP;
    IF election IS NOT NULL THEN
        RETURN NEXT;
    END IF;
END
$$;
