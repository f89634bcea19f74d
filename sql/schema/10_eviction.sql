-- A leader that is gone or silent: what proves that its work has stopped, and what ends its session.

-- Purpose: the first half of the autopsy: whether the backends of these terms have left the server's list.
-- Meaning of a row, one an election: gone.
-- Hazard: a backend reports its end to the counters before it leaves the list. So the counters are read after this has
--         said yes, in a round trip of their own.
CREATE OR REPLACE FUNCTION pgleader.backend_gone(mark text, elections integer[], terms bigint[])
RETURNS TABLE (election integer, gone boolean)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_ids('elections', elections);
    PERFORM pgleader.check_terms(terms, cardinality(elections));
    RETURN QUERY
    SELECT u.id, NOT EXISTS (
        SELECT FROM pgleader.term AS t
        CROSS JOIN LATERAL pg_stat_get_activity(t.pid) AS a
        WHERE t.election_id = u.id AND t.number = u.number
          AND (a.backend_start IS NULL OR a.backend_start = t.backend_start))
    FROM unnest(elections, terms) AS u (id, number);
END
$$;

-- Purpose: the backend that leads an election on record, if it still holds the lock.
CREATE OR REPLACE FUNCTION pgleader.leader_backend(election integer, term bigint) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    PERFORM pgleader.check_number('term', term);
    RETURN (
        SELECT l.pid
        FROM pgleader.election AS e
        JOIN pgleader.lock AS l
            ON l.kind = 'pgleader.election'::regclass AND l.election_id = e.id AND l.pid = e.pid
                AND l.mode = 'ExclusiveLock' AND l.granted
        WHERE e.id = election AND e.term = leader_backend.term);
END
$$;

-- Purpose: the same for each of `elections`, by one reading of the lock table; null where there is none.
CREATE OR REPLACE FUNCTION pgleader.leader_backends(elections integer[], terms bigint[]) RETURNS integer[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_nestloop = off
AS $$
BEGIN
    PERFORM pgleader.check_ids('elections', elections);
    PERFORM pgleader.check_terms(terms, cardinality(elections));
    RETURN ARRAY(
        SELECT l.pid
        FROM unnest(elections, terms) WITH ORDINALITY AS u (id, number, place)
        LEFT JOIN pgleader.election AS e ON e.id = u.id AND e.term = u.number
        LEFT JOIN pgleader.lock AS l
            ON l.kind = 'pgleader.election'::regclass AND l.election_id = e.id AND l.pid = e.pid
                AND l.mode = 'ExclusiveLock' AND l.granted
        ORDER BY u.place);
END
$$;

-- Purpose: whether a term's session is behind pgpool-II. Nobody may end it then, from whichever session: pgpool would
--          hear of an administrator's shutdown (57P01), and detach the primary that is well.
CREATE OR REPLACE FUNCTION pgleader.is_behind_pgpool(election integer, term bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    PERFORM pgleader.check_number('term', term);
    RETURN EXISTS (
        SELECT FROM pgleader.term AS t
        WHERE t.election_id = election AND t.number = is_behind_pgpool.term AND t.behind_pgpool);
END
$$;

-- Purpose: end the backend that leads an election on record, with the rights of the schema's owner.
CREATE OR REPLACE FUNCTION pgleader.end_leader_backend(election integer, term bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgleader.is_behind_pgpool(election, term) THEN
        RETURN false;
    END IF;
    RETURN coalesce(pg_terminate_backend(pgleader.leader_backend(election, term)), false);
EXCEPTION WHEN insufficient_privilege THEN
    RETURN false;
END
$$;

-- Purpose: end the backend that leads an election on record. The caller's own rights are tried first (the same role,
--          usually), then those of the schema's owner.
-- Meaning: whether it was ended. False when neither may, and where it is behind pgpool-II: its own silence ends it.
CREATE OR REPLACE FUNCTION pgleader.end_leader(election integer, term bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF pgleader.is_behind_pgpool(election, term) THEN
        RETURN false;
    END IF;
    RETURN coalesce(pg_terminate_backend(pgleader.leader_backend(election, term)), false);
EXCEPTION WHEN insufficient_privilege THEN
    RETURN pgleader.end_leader_backend(election, term);
END
$$;

-- Purpose: the lease of the last term.
CREATE OR REPLACE FUNCTION pgleader.lease_of(election integer) RETURNS interval
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    RETURN (SELECT e.lease FROM pgleader.election AS e WHERE e.id = election);
END
$$;

-- Purpose: the backend that leads an election on record, if it has been silent for its lease as far as the caller, or
--          the owner of the schema, may see.
CREATE OR REPLACE FUNCTION pgleader.silent_backend(election integer, term bigint) RETURNS integer
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    backend integer := pgleader.leader_backend(election, term);
    its_lease interval := pgleader.lease_of(election);
BEGIN
    RETURN (
        -- Must not be null: pg_stat_get_activity(NULL) tells of every backend.
        SELECT backend FROM pg_stat_get_activity(coalesce(backend, 0)) AS a
        WHERE a.state_change <= clock_timestamp() - its_lease AND NOT pgleader.is_behind_pgpool(election, term));
END
$$;

-- Purpose: eviction, with the rights of the schema's owner.
CREATE OR REPLACE FUNCTION pgleader.evict_silent(mark text, election integer, term bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_mark(mark);
    RETURN coalesce(pg_terminate_backend(pgleader.silent_backend(election, term)), false);
EXCEPTION WHEN insufficient_privilege THEN
    RETURN false;
END
$$;

-- Purpose: eviction: end the backend of a leader that has been silent for its lease. The caller's own rights are tried
--          first (the same role, usually), then those of the schema's owner.
-- Meaning of a row, one an election: outcome is `ended`; `behind pgpool`, its own silence ends it then; or `not
--          allowed`: neither role may end it, or sees its silence.
CREATE OR REPLACE FUNCTION pgleader.evict(mark text, elections integer[], terms bigint[])
RETURNS TABLE (election integer, outcome text)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its record;
    ended boolean;
    -- One backend may lead a thousand of them: it is tried for once.
    gone integer[] := ARRAY[]::integer[];
    spared integer[] := ARRAY[]::integer[];
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_ids('elections', elections);
    PERFORM pgleader.check_terms(terms, cardinality(elections));
    FOR its IN
        SELECT u.id, u.number, u.backend
        FROM unnest(elections, terms, pgleader.leader_backends(elections, terms)) AS u (id, number, backend)
        ORDER BY u.id
    LOOP
        election := its.id;
        ended := coalesce(its.backend = ANY (gone), false);
        IF its.backend IS NOT NULL AND NOT ended AND NOT its.backend = ANY (spared) THEN
            BEGIN
                -- Null where the caller sees none that is silent.
                ended := pg_terminate_backend(pgleader.silent_backend(its.id, its.number));
            EXCEPTION WHEN insufficient_privilege THEN
                ended := NULL;
            END;
            ended := coalesce(ended, pgleader.evict_silent(mark, its.id, its.number));
            IF ended THEN
                gone := gone || its.backend;
            ELSE
                spared := spared || its.backend;
            END IF;
        END IF;
        outcome := CASE
            WHEN ended THEN 'ended'
            WHEN pgleader.is_behind_pgpool(its.id, its.number) THEN 'behind pgpool'
            ELSE 'not allowed'
        END;
        RETURN NEXT;
    END LOOP;
END
$$;

-- Strangers -----------------------------------------------------------------------------------------------
--
-- Any role that can connect may take any advisory lock, in any mode, and keep it: in a session, or in a prepared
-- transaction, which has no session and outlives restarts of the server.

-- Purpose: the locks of this schema that prepared transactions hold.
CREATE OR REPLACE VIEW pgleader.prepared AS
SELECT l.classid::regclass AS kind, l.objid::integer AS election_id, l.mode, x.gid, x.owner, x.prepared
FROM pg_locks AS l
-- A lock does not name its transaction. The lock on the transaction's own number does, and has the same owner.
JOIN pg_locks AS t
    ON t.locktype = 'transactionid' AND t.pid IS NULL AND t.virtualtransaction = l.virtualtransaction
JOIN pg_prepared_xacts AS x ON x.transaction = t.transactionid
WHERE l.locktype = 'advisory' AND l.objsubid = 2 AND l.pid IS NULL AND l.granted
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.classid IN ('pgleader.election'::regclass, 'pgleader.candidate'::regclass, 'pgleader.term'::regclass);

-- Purpose: who a holder of a lock is, in words.
-- Parameters: gid, that of a prepared transaction, and its owner; null for a session.
CREATE OR REPLACE FUNCTION pgleader.who(backend integer, gid text, owner name) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF backend < 1 OR gid = '' OR owner = '' THEN
        PERFORM pgleader.refuse('backend, gid or owner', concat_ws(', ', backend, quote_literal(gid), quote_literal(owner)),
                                'be above 0, and not empty');
    ELSIF backend IS NULL THEN
        RETURN concat('the prepared transaction ', quote_literal(gid), ' of ' || owner);
    END IF;
    RETURN concat('backend ', backend, (
        SELECT concat(' of ' || r.rolname, ' (application ' || quote_literal(nullif(a.application_name, '')) || ')')
        FROM pg_stat_get_activity(backend) AS a LEFT JOIN pg_roles AS r ON r.oid = a.usesysid));
END
$$;
COMMENT ON FUNCTION pgleader.who(integer, text, name) IS
    'null backend: a prepared transaction; null gid: a session; null owner: a session';

-- Purpose: whoever holds a lock of an election and takes no part in it: a row a holder and lock.
--   kind    whose lock it is: that of pgleader.election, the leadership; of pgleader.candidate, the successor's place; of
--           pgleader.term, alone, so that no term begins and no fence passes
--   pid     null for a prepared transaction, which has a `gid`
--   who     in words
CREATE OR REPLACE VIEW pgleader.stranger AS
WITH holder AS MATERIALIZED (
    SELECT l.election_id, l.kind, l.pid, bool_or(l.mode = 'ExclusiveLock') AS alone
    FROM pgleader.lock AS l WHERE l.granted AND l.pid IS NOT NULL
    GROUP BY l.election_id, l.kind, l.pid
)
SELECT h.election_id, h.kind, h.pid, NULL::text AS gid, pgleader.who(h.pid, NULL, NULL) AS who
FROM holder AS h
WHERE CASE h.kind
          -- The holder of the leadership begins terms by it.
          WHEN 'pgleader.term'::regclass THEN h.alone AND NOT EXISTS (
              SELECT FROM holder AS l
              WHERE l.kind = 'pgleader.election'::regclass AND l.election_id = h.election_id AND l.pid = h.pid
                AND l.alone)
          -- Of the holders alone it is looked whether they are candidates: there may be very many of those.
          ELSE NOT EXISTS (
                  SELECT FROM pgleader.election AS e
                  WHERE h.kind = 'pgleader.election'::regclass AND e.id = h.election_id AND e.pid = h.pid)
              AND NOT EXISTS (
                  SELECT FROM pgleader.alive AS a WHERE a.election_id = h.election_id AND a.pid = h.pid OFFSET 0)
      END
UNION ALL
SELECT p.election_id, p.kind, NULL, p.gid, pgleader.who(NULL, p.gid, p.owner)
FROM pgleader.prepared AS p
-- What is fenced and prepared takes part.
WHERE p.kind <> 'pgleader.term'::regclass OR p.mode = 'ExclusiveLock';

-- Purpose: the lock of a stranger, in words.
CREATE OR REPLACE FUNCTION pgleader.lock_name(kind regclass) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (kind IN ('pgleader.election'::regclass, 'pgleader.candidate'::regclass, 'pgleader.term'::regclass)) IS NOT TRUE THEN
        PERFORM pgleader.refuse('kind', kind::text, 'be that of a lock');
    END IF;
    RETURN CASE kind
        WHEN 'pgleader.election'::regclass THEN 'leadership'
        WHEN 'pgleader.candidate'::regclass THEN 'succession'
        WHEN 'pgleader.term'::regclass THEN 'term'
    END;
END
$$;

-- Purpose: who cannot be named, for to look takes room in the lock table.
CREATE OR REPLACE FUNCTION pgleader.not_to_be_seen() RETURNS text
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$ SELECT 'somebody: the lock table of the server is full'::text $$;

-- Purpose: the strangers of these elections: a row an election that has any, and who they are.
-- Hazard: who has joined and locked since the caller's snapshot is none. So this has a snapshot of its own.
CREATE OR REPLACE FUNCTION pgleader.strangers_of(elections integer[]) RETURNS TABLE (election integer, who text)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_ids('elections', elections);
    RETURN QUERY
    SELECT s.election_id, string_agg(
        concat(s.who, ', which holds the ', pgleader.lock_name(s.kind)), '; ' ORDER BY s.kind, s.pid, s.gid)
    FROM pgleader.stranger AS s WHERE s.election_id = ANY (elections)
    GROUP BY s.election_id;
EXCEPTION WHEN out_of_memory THEN
    RETURN QUERY SELECT u.id, pgleader.not_to_be_seen() FROM unnest(elections) AS u (id);
END
$$;
