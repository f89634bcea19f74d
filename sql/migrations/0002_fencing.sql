-- Purpose: fencing. A transaction that passes pgleader.fence commits before a later term begins, or never.
-- Run with: psql -f 0002_fencing.sql DATABASE, after 0001, as the owner of the schema. Safe to run again.
BEGIN;
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = '10s';
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;
SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE;
DO $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('pgleader: install'));
EXCEPTION WHEN lock_not_available THEN
    RAISE EXCEPTION 'somebody else has been installing the schema pgleader for 10 s'
        USING ERRCODE = 'lock_not_available', HINT = 'See pg_locks for who it is; then run this again.';
END
$$;
-- Whoever runs what another role has made, a trigger say, runs it with his own rights; and what he makes is not the
-- owner's.
DO $$
DECLARE
    another text;
BEGIN
    another := (
        SELECT min(r.rolname::text)
        FROM (SELECT n.nspowner AS owner FROM pg_namespace AS n WHERE n.nspname = 'pgleader'
              UNION ALL SELECT c.relowner FROM pg_class AS c
              JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = 'pgleader'
              UNION ALL SELECT p.proowner FROM pg_proc AS p
              JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname = 'pgleader') AS made
        JOIN pg_roles AS r ON r.oid = made.owner
        WHERE r.rolname <> current_user);
    IF another IS NOT NULL THEN
        RAISE EXCEPTION 'the schema pgleader, or something in it, belongs to the role "%"', another
            USING ERRCODE = 'PL004', HINT = 'Install as the owner of the schema, and of everything in it.';
    END IF;
END
$$;
-- Whoever waits for a lock holds up all that come after him, leaders too. Where it fails: run it again.
SET LOCAL lock_timeout = '50ms';

-- Purpose: admit this transaction only while that term is current. Any number of times, in any client, pooled
--          connections too; as the first statement or a later one, in functions and subtransactions.
-- Parameters: token, that of the term. It tells the term from another with the same number, which a server that was
--             lost in a failover has given out; it authorises nothing else.
-- Meaning: nothing; an error refuses:
--   PL001  the term is over (the message names the newer one): stop, and roll back
--   40001  under REPEATABLE READ and SERIALIZABLE: the transaction's snapshot is older than what the fence must
--          see. Run the transaction again; if the term is over, PL001 will say so
--   PL002  this server never gave that term out, or not with that token: it was lost in a failover, or is another
--          database's
--   42704  there is no such election
--   25P01  the call is a transaction of its own, and guards nothing (seen where the client sends it by the
--          simple protocol, as psql does; no function can tell otherwise)
--   22004, 22023  an argument is null, or none that can be
-- Hazards: the lock comes first and the reading second, in statements of their own: a snapshot that was taken
--          before the lock was granted is stale. Where the snapshot cannot be renewed, the term's row is locked
--          instead, and the update that closes a term is what a fence with an older snapshot runs into.
--          ROLLBACK TO SAVEPOINT across the call undoes it.
CREATE OR REPLACE FUNCTION pgleader.fence(election text, term bigint, token uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_id integer;
    current_term bigint;
    may_pass boolean;
    locked boolean;
    over boolean;
    anothers boolean;
    its_timeline bigint;
    snapshot_is_kept boolean := current_setting('transaction_isolation') IN ('repeatable read', 'serializable');
BEGIN
    IF (length(election) BETWEEN 1 AND 200 AND term >= 1) IS NOT TRUE THEN
        PERFORM pgleader.check_name(election);
        PERFORM pgleader.check_number('term', term);
    ELSIF token IS NULL THEN
        PERFORM pgleader.refuse('token', NULL, '');
    END IF;
    IF now() = statement_timestamp()
        AND current_query() ~* '^\s*select\s+(\*\s+from\s+)?("?pgleader"?\s*\.\s*)?"?fence"?\s*\([^()]*\)[\s;]*$' THEN
        RAISE EXCEPTION 'this call of pgleader.fence is a transaction of its own, and guards nothing'
            USING ERRCODE = 'no_active_sql_transaction',
                  HINT = 'Call it between BEGIN and COMMIT, before the writes that it shall guard.';
    END IF;
    SELECT e.id, e.term = fence.term AND e.closed_term < fence.term INTO its_id, may_pass
    FROM pgleader.election AS e WHERE e.name = fence.election;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no election named "%"', election
            USING ERRCODE = 'undefined_object', HINT = 'SELECT name FROM pgleader.status lists them.';
    END IF;
    -- It always is; an assignment is cheaper than PERFORM.
    locked := pg_advisory_xact_lock_shared('pgleader.term'::regclass::oid::integer, its_id) IS NOT NULL;
    may_pass := may_pass AND locked;
    its_timeline := pgleader.timeline();
    -- In a current term one more row tells, read after the lock, since no term begins before the row of the last
    -- one is closed. Everything else goes the long way.
    IF may_pass AND snapshot_is_kept THEN
        PERFORM FROM pgleader.term AS t
        WHERE t.election_id = its_id AND t.number = fence.term AND t.closed_at IS NULL
          AND t.timeline = its_timeline AND t.token = fence.token
        FOR SHARE;
    ELSIF may_pass THEN
        PERFORM FROM pgleader.term AS t
        WHERE t.election_id = its_id AND t.number = fence.term AND t.closed_at IS NULL
          AND t.timeline = its_timeline AND t.token = fence.token;
    END IF;
    IF may_pass AND FOUND THEN
        RETURN;
    END IF;
    IF snapshot_is_kept THEN
        PERFORM FROM pgleader.term AS t
        WHERE t.election_id = its_id AND t.number = fence.term FOR SHARE;
    END IF;
    -- A term from before a failover is over although nobody has closed it yet: a later one may have begun on
    -- the server that was lost.
    SELECT e.term, e.closed_term >= fence.term OR t.closed_at IS NOT NULL OR t.timeline <> its_timeline,
           t.token <> fence.token
    INTO current_term, over, anothers
    FROM pgleader.election AS e
    LEFT JOIN pgleader.term AS t ON t.election_id = e.id AND t.number = fence.term
    WHERE e.id = its_id;
    IF term > current_term THEN
        IF snapshot_is_kept THEN
            -- Raises 40001 itself where the row has changed since the snapshot. Unchanged it is the newest.
            PERFORM FROM pgleader.election AS e WHERE e.id = its_id FOR SHARE SKIP LOCKED;
        END IF;
        IF snapshot_is_kept AND NOT FOUND THEN
            RAISE EXCEPTION 'term % of election "%" is not in this transaction''s snapshot, which ends at term %',
                    term, election, current_term
                USING ERRCODE = 'serialization_failure', HINT = 'Run the transaction again.';
        END IF;
        RAISE EXCEPTION 'term % of election "%" was never given out: the newest is %', term, election, current_term
            USING ERRCODE = 'PL002', HINT = 'Stop this term''s work: a failover of the database may have lost it, or it is of another database.';
    END IF;
    IF anothers THEN
        RAISE EXCEPTION 'term % of election "%" has another token: this server gave its number to somebody else',
                term, election
            USING ERRCODE = 'PL002', HINT = 'Stop this term''s work: a failover of the database may have lost it, or it is of another database.';
    END IF;
    -- In doubt it is over.
    IF term < current_term OR over IS NOT FALSE THEN
        RAISE EXCEPTION 'term % of election "%" is over: the newest is %', term, election, current_term
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

-- Purpose: the sessions that stand in the way of the next term: those of fenced transactions, and strangers that hold
--          the lock with which a term begins. A prepared transaction has no pid: it must be committed or rolled back
--          by hand.
CREATE OR REPLACE VIEW pgleader.fenced AS
SELECT DISTINCT l.election_id, l.pid
FROM pgleader.lock AS l
WHERE l.kind = 'pgleader.term'::regclass AND l.granted
  -- Who looks may be beginning a term himself.
  AND (l.mode <> 'ExclusiveLock' OR l.pid IS DISTINCT FROM pg_backend_pid());

-- Purpose: whether a session may be behind pgpool-II: one that comes from where a candidate's did, or a recorded term's,
--          that was behind it. So may any that the owner of the schema may not look at.
CREATE OR REPLACE FUNCTION pgleader.may_be_behind_pgpool(backend integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('backend', backend);
    RETURN EXISTS (
        SELECT FROM (SELECT c.client_addr FROM pgleader.candidate AS c WHERE c.behind_pgpool
                     UNION ALL SELECT t.client_addr FROM pgleader.term AS t WHERE t.behind_pgpool) AS pgpool
        JOIN pg_stat_get_activity(backend) AS a
            ON a.backend_start IS NULL OR a.client_addr IS NOT DISTINCT FROM pgpool.client_addr);
END
$$;

-- Purpose: end one such session, with the rights of the schema's owner. Called by the holder of the leadership.
CREATE OR REPLACE FUNCTION pgleader.end_fenced_backend(mark text, election integer, backend integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_number('election', election);
    PERFORM pgleader.check_number('backend', backend);
    RETURN pgleader.holds_leadership(election)
        AND NOT pgleader.may_be_behind_pgpool(backend)
        AND EXISTS (SELECT FROM pgleader.fenced AS f WHERE f.election_id = election AND f.pid = backend)
        AND pg_terminate_backend(backend);
EXCEPTION WHEN insufficient_privilege THEN
    RETURN false;
END
$$;

-- Purpose: record that one was told to end, for the history of the term that begins. One that is slow to end is told
--          again, also by another leader, and counts once: its pid and its start tell it from others. The start is
--          not told of one that has left meanwhile, or that the owner of the schema may not look at.
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

-- Purpose: end the sessions whose fenced transactions of past terms stand in the way, once the refractory
--          period is over. The caller's own rights are tried first, then those of the schema's owner. What may be
--          behind pgpool-II has its statement cancelled, and is left where it has none.
-- Meaning: how many were told to end, how many are left that may not or cannot be ended, and who these are, in words;
--          null where there is none. One that is slow to end is told again by the next call.
CREATE OR REPLACE FUNCTION pgleader.end_fenced(
    mark text, election integer, OUT ended integer, OUT remaining integer, OUT who text
)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    backend integer;
    done boolean;
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_number('election', election);
    ended := 0;
    remaining := 0;
    FOR backend IN SELECT f.pid FROM pgleader.fenced AS f WHERE f.election_id = election LOOP
        BEGIN
            IF backend IS NULL THEN
                done := false;
            ELSIF pgleader.may_be_behind_pgpool(backend) THEN
                done := false;
                PERFORM pg_cancel_backend(backend);
            ELSE
                done := coalesce(pg_terminate_backend(backend), false);
            END IF;
        EXCEPTION WHEN insufficient_privilege THEN
            done := pgleader.end_fenced_backend(mark, election, backend);
        END;
        IF done THEN
            ended := ended + 1;
            PERFORM pgleader.count_fenced_ended(mark, election, backend);
        ELSE
            remaining := remaining + 1;
            who := concat_ws(', ', who, CASE WHEN backend IS NULL THEN 'a prepared transaction' ELSE concat(
                'backend ', backend, (SELECT ' of ' || a.usename FROM pg_stat_activity AS a WHERE a.pid = backend))
            END);
        END IF;
    END LOOP;
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgleader FROM PUBLIC;
COMMIT;
