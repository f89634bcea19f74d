-- How terms are numbered, how long a new one waits, and how one ends and the next begins.
--
-- Hazard: a snapshot taken before a lock was granted is stale. So every function is VOLATILE, and locks and reads in
-- statements of their own.

-- One of several ------------------------------------------------------------------------------------------
--
-- A request of several elections asks for them in ascending order, so that two of them never wait for one another. What
-- one of them does wrong is that one's refusal, and its neighbours are as if nothing had been: whatever is written or
-- locked for it is in a block of its own, with a handler.
--
-- Hazard: a lock that a session holds survives the block that took it. So each handler lets go of what was taken.

-- Purpose: whether an error is the whole session's, and no single election's: the server is read-only or goes down, its
--          disk fails, the session is another's. A handler raises it again.
CREATE OR REPLACE FUNCTION pgleader.is_the_sessions(state text) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (length(state) = 5) IS NOT TRUE THEN
        PERFORM pgleader.refuse('state', state, 'be an SQLSTATE');
    END IF;
    RETURN left(state, 2) IN ('25', '57', '58') OR state IN ('PL003', '53100');
END
$$;

-- Purpose: the words for an election that is refused, and alone is.
CREATE OR REPLACE FUNCTION pgleader.refusal(state text, message text) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF num_nulls(state, message) > 0 THEN
        PERFORM pgleader.refuse('state or message', NULL, '');
    ELSIF length(state) <> 5 THEN
        PERFORM pgleader.refuse('state', state, 'be an SQLSTATE');
    END IF;
    IF state = '53200' THEN
        message := format('the server''s lock table has no room (%s): its max_locks_per_transaction is %s', message,
                          current_setting('max_locks_per_transaction'));
    END IF;
    RETURN format('%s (SQLSTATE %s)', message, state);
END
$$;

-- Purpose: the elections that this session leads by its locks. One reading for all of them: the whole server's locks are
--          read for it.
CREATE OR REPLACE FUNCTION pgleader.leaderships() RETURNS integer[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ARRAY(
        SELECT l.election_id FROM pgleader.lock AS l
        WHERE l.kind = 'pgleader.election'::regclass AND l.pid = pg_backend_pid() AND l.mode = 'ExclusiveLock'
          AND l.granted);
END
$$;

-- Numbers -------------------------------------------------------------------------------------------------
--
-- Numbers come in blocks of ten million million (10^13), a block a timeline. On the first timeline they are 1, 2, 3.

-- Purpose: the block in which a number lies.
CREATE OR REPLACE FUNCTION pgleader.block(number bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (number >= 0) IS NOT TRUE THEN
        PERFORM pgleader.refuse('number', number::text, 'be 0 or more');
    END IF;
    RETURN number / bigint '10000000000000';
END
$$;

-- Purpose: the first number of a block. From the second block on it tells when it was given out, in milliseconds since
--          2026. Two servers may be promoted to one timeline, and nobody may be left who knows of both: so their
--          numbers differ all the same.
CREATE OR REPLACE FUNCTION pgleader.first_number(block bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    size CONSTANT bigint := bigint '10000000000000';
    passed bigint := (extract(epoch FROM clock_timestamp() - timestamptz '2026-01-01 00:00:00+00') * 1000)::bigint;
BEGIN
    IF (block >= 0) IS NOT TRUE THEN
        PERFORM pgleader.refuse('block', block::text, 'be 0 or more');
    ELSIF block = 0 THEN
        RETURN bigint '1';
    END IF;
    RETURN block * size + 1 + greatest(0, least(passed, size - 2));
END
$$;

-- Purpose: the number of the next term. It is greater than every number given out before: by this server, by one that
--          was lost with its last rows, and by one whose promotion was thrown away, as far as anybody knows who takes
--          part. Where this server has forgotten a term it starts the next block.
-- Parameters: as pgleader.outlook tells them.
CREATE OR REPLACE FUNCTION pgleader.next_number(last bigint, below bigint, known bigint) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (last >= 0 AND below >= last AND known >= last) IS NOT TRUE THEN
        PERFORM pgleader.refuse('last, below or known',
                                CASE WHEN num_nulls(last, below, known) = 0
                                     THEN format('%s, %s, %s', last, below, known) END,
                                'be 0 or more, and the first the least');
    END IF;
    RETURN CASE
        WHEN known > below THEN pgleader.first_number(pgleader.block(known) + 1)
        WHEN below > last THEN pgleader.first_number(pgleader.block(below))
        ELSE last + 1
    END;
END
$$;

-- What is known -------------------------------------------------------------------------------------------

-- Purpose: what this server and those who take part know of the terms of an election.
-- Parameters: heard, the greatest term that the caller has heard of, on whatever server, and heard_lease_ms, that
--             term's lease; 0 where there is none.
-- Meaning:
--   last          the last term on record; 0 before the first
--   below         every term that begins on this server has a greater number: the last term's number, or the end of the
--                 blocks before the one in which the next term lies. Blocks are counted from that of the last term: a
--                 restored cluster begins its timelines again, and its numbers go on
--   wait_ms       how long a new term waits for the work of the last one, if nothing else tells that this work has
--                 stopped: the last term's lease; 0 where it was vacated here, or where the record proves that it began
--                 on another server. Where the record proves neither, the longest lease on record: a right that was
--                 taken away, or a row that is missing, is no failover, and the last session may have lived until the
--                 lock was won
--   elsewhere_ms  how long, from the proof that this server is the primary, terms may work that began on other servers:
--                 a later one that an asynchronous failover has lost, where the last term began on another timeline; or
--                 one that somebody has heard of and this server does not know, for a promotion was thrown away. It is
--                 the longest lease on record, or heard of. No vacate counts for that work
--   known         the greatest term on record, or heard of by the caller or a candidate; known_lease_ms, the longest
--                 lease among them
--   beyond        the caller has heard of a term that is not believed, for it would burn the numbers: one that lies
--                 more than 16 blocks beyond this server's record and timeline, or 100,000 blocks or more beyond the
--                 timeline. There are 922,337 blocks, and a failover takes one
--   timeline, system_identifier   of this server, as the functions of these names tell them: who asks for many
--                 elections asks for these once
CREATE OR REPLACE FUNCTION pgleader.outlook(
    election integer, heard bigint, heard_lease_ms integer, timeline bigint, system_identifier bigint,
    OUT last bigint, OUT below bigint, OUT wait_ms integer, OUT elsewhere_ms integer, OUT known bigint,
    OUT known_lease_ms integer, OUT beyond boolean
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its record;
    theirs record;
    next_block bigint;
    last_block bigint;
    farthest_block bigint;
    is_here boolean;
    is_elsewhere boolean;
BEGIN
    IF (election >= 1 AND timeline >= 1 AND heard >= 0 AND heard_lease_ms BETWEEN 0 AND 3600000) IS NOT TRUE THEN
        PERFORM pgleader.check_number('election', election);
        PERFORM pgleader.check_number('timeline', timeline);
        PERFORM pgleader.check_heard(heard, heard_lease_ms);
    END IF;
    SELECT e.term, e.lease, t.number, t.timeline, t.vacated_at, t.system_identifier,
           t.system_identifier IS NOT DISTINCT FROM outlook.system_identifier AS same_cluster
    INTO STRICT its
    FROM pgleader.election AS e
    LEFT JOIN pgleader.term AS t ON t.election_id = e.id AND t.number = e.term
    WHERE e.id = outlook.election;
    last := its.term;
    last_block := pgleader.block(last);
    next_block := greatest(timeline - 1, last_block + CASE
        WHEN its.number IS NOT NULL AND its.same_cluster THEN timeline - its.timeline
        WHEN last = 0 THEN timeline - 1
        ELSE timeline
    END);
    below := CASE WHEN next_block > last_block THEN next_block * bigint '10000000000000' ELSE last END;
    is_here := CASE WHEN last = 0 THEN timeline = 1
                    ELSE its.number IS NOT NULL AND its.same_cluster AND its.timeline = timeline END;
    -- Null, which is no proof, where one of them is unknown.
    is_elsewhere := its.system_identifier <> system_identifier
        OR (its.system_identifier = system_identifier AND its.timeline < timeline);
    farthest_block := least(pgleader.block(below) + 17, timeline + 100000);
    beyond := heard > below AND pgleader.block(heard) >= farthest_block;
    -- Each by an index of its own: the dead may have left very many rows.
    SELECT max(c.heard) AS heard, greatest(max(c.heard_lease), (
        SELECT o.lease FROM pgleader.candidate AS o WHERE o.election_id = outlook.election
        ORDER BY o.lease DESC LIMIT 1)) AS lease
    INTO theirs
    FROM pgleader.candidate AS c
    WHERE c.election_id = outlook.election AND c.heard > 0 AND c.heard > below
      AND c.heard <= CASE WHEN farthest_block > 922337 THEN bigint '9223372036854775807'
                          ELSE farthest_block * bigint '10000000000000' - 1 END;
    known := greatest(last, theirs.heard, CASE WHEN NOT beyond THEN heard END);
    known_lease_ms := coalesce(
        ceil(extract(epoch FROM greatest(theirs.lease, its.lease)) * 1000)::integer, 3600000);
    wait_ms := CASE
        WHEN last = 0 OR is_elsewhere IS TRUE THEN 0
        WHEN NOT is_here THEN known_lease_ms
        WHEN its.vacated_at IS NULL THEN ceil(extract(epoch FROM its.lease) * 1000)::integer
        ELSE 0
    END;
    IF heard > below THEN
        known_lease_ms := greatest(known_lease_ms, heard_lease_ms);
    END IF;
    elsewhere_ms := CASE WHEN is_here AND known <= below THEN 0 ELSE known_lease_ms END;
END
$$;

COMMENT ON FUNCTION pgleader.outlook(integer, bigint, integer, bigint, bigint) IS
    'null system_identifier: the platform does not tell';

-- Purpose: how long a new term must wait at most, in milliseconds, as far as this server knows: for who looks on.
CREATE OR REPLACE FUNCTION pgleader.refractory_period(election integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    RETURN (SELECT greatest(o.wait_ms, o.elsewhere_ms)
            FROM pgleader.outlook(election, 0, 0, pgleader.timeline(), pgleader.system_identifier()) AS o);
END
$$;

-- Purpose: when the work of a term had recovered. Only the newest term's row of the election tells.
CREATE OR REPLACE FUNCTION pgleader.ready_at(election integer, term bigint) RETURNS timestamptz
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    PERFORM pgleader.check_number('term', term);
    RETURN (SELECT e.ready_at FROM pgleader.election AS e WHERE e.id = election AND e.term = ready_at.term);
END
$$;

-- Purpose: whether this session holds the leadership of an election.
CREATE OR REPLACE FUNCTION pgleader.holds_leadership(election integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    RETURN election = ANY (pgleader.leaderships());
END
$$;

-- One ends, the next begins --------------------------------------------------------------------------------

-- Purpose: close a term, so that its fence refuses. Called by the holder of the leadership lock.
-- Hazard: fenced transactions under REPEATABLE READ hold the term's row FOR SHARE, one after another without a gap
--         where the old leader is busy. So the election's row says it first: from there nobody new passes, and the
--         term's row is written when the last of them has ended.
CREATE OR REPLACE FUNCTION pgleader.close_term(election integer, term bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    IF (term >= 0) IS NOT TRUE THEN
        PERFORM pgleader.refuse('term', term::text, 'be 0 (none yet) or more');
    END IF;
    IF term = 0 THEN
        RETURN;
    END IF;
    UPDATE pgleader.election AS e SET closed_term = close_term.term
    WHERE e.id = election AND e.closed_term < close_term.term;
    PERFORM FROM pgleader.term AS t
    WHERE t.election_id = election AND t.number = close_term.term AND t.closed_at IS NULL
    FOR NO KEY UPDATE SKIP LOCKED;
    IF FOUND THEN
        UPDATE pgleader.term AS t
        SET closed_at = clock_timestamp(),
            ready_at = pgleader.ready_at(election, close_term.term),
            ended_at = coalesce(t.ended_at, clock_timestamp()),
            ending = coalesce(t.ending, 'lost')
        WHERE t.election_id = election AND t.number = close_term.term;
    END IF;
END
$$;

-- Purpose: begin the next term. Called by the holder of the leadership lock, after the old term was closed.
-- Parameters: below, known, timeline, system_identifier, as pgleader.outlook tells them.
-- Meaning: the new term's number and token, and its leader's address and lease; null while a fenced transaction of the
--          old term is under way.
CREATE OR REPLACE FUNCTION pgleader.begin_term(
    election integer, instance uuid, direct boolean, below bigint, known bigint, timeline bigint,
    system_identifier bigint, OUT term bigint, OUT token uuid, OUT address text, OUT lease_ms integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    candidate pgleader.candidate;
    last record;
BEGIN
    IF (election >= 1 AND least(below, known) >= 0 AND timeline >= 1) IS NOT TRUE
        OR num_nulls(instance, direct, below, known) > 0 THEN
        PERFORM pgleader.check_number('election', election);
        PERFORM pgleader.check_number('timeline', timeline);
        IF num_nulls(instance, direct, below, known) > 0 THEN
            PERFORM pgleader.refuse('instance, direct, below or known', NULL, '');
        END IF;
        PERFORM pgleader.refuse('below or known', least(below, known)::text, 'be 0 or more');
    END IF;
    IF NOT pg_try_advisory_xact_lock('pgleader.term'::regclass::oid::integer, election) THEN
        RETURN;
    END IF;
    -- From here no fenced transaction holds the term's row. The row is written before the new term can be seen: a fence
    -- with an older snapshot runs into that write.
    SELECT e.term, cardinality(e.ended_backends) AS fenced_ended,
           t.number IS NOT NULL AND t.closed_at IS NULL AS is_open INTO STRICT last
    FROM pgleader.election AS e
    LEFT JOIN pgleader.term AS t ON t.election_id = e.id AND t.number = e.term
    WHERE e.id = election;
    IF last.is_open THEN
        PERFORM pgleader.close_term(election, last.term);
        IF EXISTS (
            SELECT FROM pgleader.term AS t
            WHERE t.election_id = election AND t.number = last.term AND t.closed_at IS NULL) THEN
            -- A vacate from another session holds it, and will have closed it in a moment.
            RETURN;
        END IF;
    END IF;
    SELECT c.* INTO candidate FROM pgleader.candidate AS c
    WHERE c.election_id = election AND c.instance_hash = sha256(uuid_send(instance)) AND c.pid = pg_backend_pid();
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this session is no candidate of election %', election
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call pgleader.join_elections first.';
    END IF;
    token := gen_random_uuid();
    term := pgleader.next_number(last.term, below, known);
    INSERT INTO pgleader.term
        (election_id, number, address, instance_hash, lease, pid, backend_start, direct, system_identifier,
         timeline, fenced_ended, token, behind_pgpool, client_addr)
    VALUES (election, begin_term.term, candidate.address, candidate.instance_hash, candidate.lease, candidate.pid,
            candidate.backend_start, direct, system_identifier, timeline, last.fenced_ended, begin_term.token,
            candidate.behind_pgpool, candidate.client_addr);
    address := candidate.address;
    lease_ms := ceil(extract(epoch FROM candidate.lease) * 1000)::integer;
    UPDATE pgleader.election AS e
    SET term = begin_term.term, state = 'recovering', address = candidate.address, pid = candidate.pid,
        lease = candidate.lease, ready_at = NULL, changed_at = clock_timestamp(), ended_backends = '{}'
    WHERE e.id = election;
    PERFORM pgleader.end_requests(election, begin_term.term);
    IF begin_term.term % 20 = 0 THEN
        PERFORM pgleader.forget_candidates(election);
        PERFORM pgleader.forget_terms(election);
    END IF;
END
$$;

COMMENT ON FUNCTION pgleader.begin_term(integer, uuid, boolean, bigint, bigint, bigint, bigint) IS
    'null system_identifier: the platform does not tell';

-- Purpose: forget all terms but the last 1,000. Called when a term begins.
CREATE OR REPLACE FUNCTION pgleader.forget_terms(election integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    DELETE FROM pgleader.term AS t
    WHERE t.election_id = election AND t.number < (
        SELECT o.number FROM pgleader.term AS o WHERE o.election_id = election
        ORDER BY o.number DESC OFFSET 999 LIMIT 1);
END
$$;
