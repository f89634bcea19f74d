-- Candidates come and go.
--
-- The first argument of whatever only a candidate's session calls is the mark of the session: see check_mark.

-- Purpose: the candidates whose session lives, in this database: rows that were restored beside the original name
--          backends of the original's. A pooler may have given one backend to one client after another; then it is the
--          last one's.
-- Hazard: it is found by the backends that live, and not by looking at each row: there may be 100,000 rows of the dead.
CREATE OR REPLACE VIEW pgleader.alive AS
SELECT c.election_id, c.instance_hash, c.address, c.priority, c.lease, c.pid, c.backend_start, c.joined_at
FROM pgleader.candidate AS c
WHERE c.pid = ANY (ARRAY(SELECT pg_stat_get_backend_pid(b.id) FROM pg_stat_get_backend_idset() AS b (id)))
  AND EXISTS (SELECT FROM pg_stat_get_activity(c.pid) AS a
              WHERE (a.backend_start IS NULL OR a.backend_start = c.backend_start)
                AND a.datid = (SELECT b.datid FROM pg_stat_get_activity(pg_backend_pid()) AS b))
  AND c.instance_hash = (
      SELECT l.instance_hash FROM pgleader.candidate AS l
      WHERE l.pid = c.pid AND l.election_id = c.election_id
      ORDER BY l.joined_at DESC, l.instance_hash DESC LIMIT 1);

-- Purpose: the candidates whose session is gone, and the place of each row in the table.
CREATE OR REPLACE VIEW pgleader.dead AS
SELECT c.ctid AS place, c.election_id, c.joined_at, c.heard
FROM pgleader.candidate AS c
WHERE CASE
    WHEN c.pid = ANY (ARRAY(SELECT pg_stat_get_backend_pid(b.id) FROM pg_stat_get_backend_idset() AS b (id)))
    THEN NOT EXISTS (
        SELECT FROM pg_stat_get_activity(c.pid) AS a
        WHERE (a.backend_start IS NULL OR a.backend_start = c.backend_start)
          AND a.datid = (SELECT b.datid FROM pg_stat_get_activity(pg_backend_pid()) AS b))
    ELSE true
END;

-- Purpose: record candidacies, and make each election that is new.
-- Parameters: instance, the secret of the process; lease_ms, its lease; backend_start, when this session's backend
--             began (the owner of the schema may not see that of another role); application, the application_name of
--             this session; behind_pgpool, whether pgpool-II is between: then nobody ends the session by force. For
--             each of `names`: addresses; priorities, the highest leads when a term ends; heard, the greatest term that
--             the process has heard of, on whatever server, and heard_lease_ms, that term's lease (0 where there is
--             none): from here on others know of it too. A name or address that is null is one that this server's
--             encoding cannot hold. limit_ms: once so much time has passed the rest is left, but at least one is done.
-- Meaning of a row, one an election that was reached: place, the place of its name in `names`; its name and id; known, a
--          number above which every term lies that begins here from now on: the caller has heard of it now;
--          known_lease_ms, the longest lease on record; refused, why nothing was done.
CREATE OR REPLACE FUNCTION pgleader.join_elections(
    mark text, names text[], instance uuid, addresses text[], lease_ms integer, backend_start timestamptz,
    application text, priorities integer[], heard bigint[], heard_lease_ms integer[], behind_pgpool boolean,
    limit_ms integer DEFAULT 3600000
) RETURNS TABLE (
    name text, election integer, known bigint, known_lease_ms integer, place integer, refused text
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    ends_at CONSTANT timestamptz := clock_timestamp() + limit_ms * interval '1 ms';
    hash bytea := sha256(uuid_send(instance));
    its_timeline bigint := pgleader.timeline();
    its_cluster bigint := pgleader.system_identifier();
    its bigint;
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_entries('names', array_replace(names, NULL, '-'), cardinality(coalesce(names, '{}')));
    PERFORM pgleader.check_entries('addresses', array_replace(addresses, NULL, '-'), cardinality(names));
    PERFORM pgleader.check_entries('priorities', priorities::text[], cardinality(names));
    PERFORM pgleader.check_all_heard(heard, heard_lease_ms, cardinality(names));
    PERFORM pgleader.check_limit(limit_ms);
    IF num_nulls(instance, backend_start, application, behind_pgpool) > 0 THEN
        PERFORM pgleader.refuse('instance, backend_start, application or behind_pgpool', NULL, '');
    ELSIF NOT isfinite(backend_start) THEN
        PERFORM pgleader.refuse('backend_start', backend_start::text, 'be a time');
    ELSIF (lease_ms BETWEEN 100 AND 3600000) IS NOT TRUE THEN
        PERFORM pgleader.refuse('lease_ms', lease_ms::text, 'be between 100 and 3600000');
    END IF;
    PERFORM set_config('application_name', application, false);
    PERFORM pgleader.end_earlier(hash);
    -- In the order in which others write them. Those that are new come last, in one order for whoever makes them.
    FOR its IN
        SELECT u.place
        FROM unnest(names) WITH ORDINALITY AS u (its_name, place)
        LEFT JOIN pgleader.election AS e ON e.name = u.its_name
        ORDER BY e.id NULLS LAST, u.its_name, u.place
    LOOP
        EXIT WHEN place IS NOT NULL AND clock_timestamp() >= ends_at;
        place := its::integer;
        name := names[its];
        election := NULL;
        refused := NULL;
        BEGIN
            IF num_nulls(name, addresses[its]) > 0 THEN
                RAISE EXCEPTION 'the encoding of this database, %, cannot hold the name or the address',
                        getdatabaseencoding()
                    USING ERRCODE = 'untranslatable_character', HINT = 'Use characters that it has.';
            END IF;
            SELECT j.election, j.known, j.known_lease_ms INTO election, known, known_lease_ms
            FROM pgleader.join_election(
                name, instance, addresses[its], lease_ms, backend_start, priorities[its], heard[its],
                heard_lease_ms[its], behind_pgpool, its_timeline, its_cluster) AS j;
        EXCEPTION WHEN OTHERS THEN
            -- A later session of this process has all the others too.
            IF pgleader.is_the_sessions(SQLSTATE) OR SQLSTATE = '55000' THEN
                RAISE;
            END IF;
            election := NULL;
            refused := pgleader.refusal(SQLSTATE, SQLERRM);
        END;
        RETURN NEXT;
    END LOOP;
END
$$;

COMMENT ON FUNCTION pgleader.join_elections(
    text, text[], uuid, text[], integer, timestamptz, text, integer[], bigint[], integer[], boolean, integer) IS
    'null in names: this server''s encoding cannot hold it; null in addresses: this server''s encoding cannot hold it';

-- Purpose: end the candidacies of this backend's earlier clients, and of an earlier backend of its pid: one row an
--          election and backend. What they have heard of stays, without a session, where that is more than this server
--          knows; so does a lease, where a leader of it may have been lost.
-- Parameters: hash, of the caller's secret.
CREATE OR REPLACE FUNCTION pgleader.end_earlier(hash bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
BEGIN
    IF hash IS NULL THEN
        PERFORM pgleader.refuse('hash', NULL, '');
    END IF;
    IF NOT EXISTS (
        SELECT FROM pgleader.candidate AS c WHERE c.pid = pg_backend_pid() AND c.instance_hash <> hash) THEN
        RETURN;
    END IF;
    DELETE FROM pgleader.candidate AS c USING pgleader.election AS e
    WHERE c.pid = pg_backend_pid() AND c.instance_hash <> hash AND e.id = c.election_id AND c.heard <= e.term
      AND pgleader.began_here(c.election_id);
    PERFORM pgleader.leave_behind(c.election_id, c.instance_hash) FROM pgleader.candidate AS c
    WHERE c.pid = pg_backend_pid() AND c.instance_hash <> hash;
END
$$;

-- Purpose: a candidate's row is nobody's from here on. Of those that are, none stays that tells less than this one.
CREATE OR REPLACE FUNCTION pgleader.leave_behind(election integer, hash bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
AS $$
DECLARE
    its pgleader.candidate;
BEGIN
    PERFORM pgleader.check_number('election', election);
    IF hash IS NULL THEN
        PERFORM pgleader.refuse('hash', NULL, '');
    END IF;
    UPDATE pgleader.candidate AS c SET pid = 0
    WHERE c.election_id = election AND c.instance_hash = hash RETURNING c.* INTO its;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    DELETE FROM pgleader.candidate AS c
    WHERE c.ctid = ANY (ARRAY(
        SELECT o.ctid FROM pgleader.candidate AS o
        WHERE o.pid = 0 AND o.election_id = its.election_id AND o.instance_hash <> its.instance_hash
          AND o.lease <= its.lease AND o.heard <= its.heard AND o.heard_lease <= its.heard_lease
        LIMIT 100 FOR UPDATE SKIP LOCKED));
END
$$;

-- Purpose: the id of an election, which is made where it is new.
-- Hazard: an id is a lock. A random one is nobody's yet, whoever else makes elections now; and where a row was lost,
--         its id is not given out again to another election while somebody holds that lock.
CREATE OR REPLACE FUNCTION pgleader.make_election(name text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    made integer;
BEGIN
    PERFORM pgleader.check_name(name);
    LOOP
        made := (SELECT e.id FROM pgleader.election AS e WHERE e.name = make_election.name);
        EXIT WHEN made IS NOT NULL;
        -- Where that id or that name is another's: again.
        INSERT INTO pgleader.election AS e (name) VALUES (make_election.name)
        ON CONFLICT DO NOTHING RETURNING e.id INTO made;
        EXIT WHEN made IS NOT NULL;
    END LOOP;
    RETURN made;
END
$$;

-- Purpose: one of them.
-- Parameters: timeline, system_identifier, as these functions tell them.
CREATE OR REPLACE FUNCTION pgleader.join_election(
    name text, instance uuid, address text, lease_ms integer, backend_start timestamptz, priority integer,
    heard bigint, heard_lease_ms integer, behind_pgpool boolean, timeline bigint, system_identifier bigint,
    OUT election integer, OUT known bigint, OUT known_lease_ms integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    outlook record;
BEGIN
    PERFORM pgleader.check_name(name);
    PERFORM pgleader.check_address(address);
    PERFORM pgleader.check_heard(heard, heard_lease_ms);
    IF num_nulls(instance, backend_start, priority, behind_pgpool) > 0 THEN
        PERFORM pgleader.refuse('instance, backend_start, priority or behind_pgpool', NULL, '');
    ELSIF NOT isfinite(backend_start) THEN
        PERFORM pgleader.refuse('backend_start', backend_start::text, 'be a time');
    ELSIF (lease_ms BETWEEN 100 AND 3600000) IS NOT TRUE THEN
        PERFORM pgleader.refuse('lease_ms', lease_ms::text, 'be between 100 and 3600000');
    END IF;
    election := (SELECT e.id FROM pgleader.election AS e WHERE e.name = join_election.name);
    IF election IS NULL THEN
        election := pgleader.make_election(name);
    END IF;
    INSERT INTO pgleader.candidate AS c
        (election_id, instance_hash, address, priority, lease, pid, backend_start, heard, heard_lease,
         behind_pgpool, client_addr)
    VALUES (election, sha256(uuid_send(instance)), join_election.address, join_election.priority,
            lease_ms * interval '1 ms', pg_backend_pid(), join_election.backend_start,
            join_election.heard, heard_lease_ms * interval '1 ms',
            join_election.behind_pgpool, CASE WHEN join_election.behind_pgpool THEN inet_client_addr() END)
    ON CONFLICT ON CONSTRAINT candidate_pkey DO UPDATE
    SET address = excluded.address, priority = excluded.priority, lease = excluded.lease, pid = excluded.pid,
        backend_start = excluded.backend_start, joined_at = excluded.joined_at,
        heard = greatest(c.heard, excluded.heard), heard_lease = greatest(c.heard_lease, excluded.heard_lease),
        behind_pgpool = excluded.behind_pgpool, client_addr = excluded.client_addr
    -- An earlier session of the process may still run a join: it must not overwrite the later one's row.
    WHERE c.backend_start <= excluded.backend_start OR NOT EXISTS (
        SELECT FROM pg_stat_get_activity(c.pid) AS a
        WHERE (a.backend_start IS NULL OR a.backend_start = c.backend_start)
          AND a.datid = (SELECT b.datid FROM pg_stat_get_activity(pg_backend_pid()) AS b));
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a later session of this process is the candidate of election "%"', name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Where the server''s clock was set back: wait until that session has ended.';
    END IF;
    SELECT o.* INTO outlook
    FROM pgleader.outlook(election, heard, heard_lease_ms, timeline, system_identifier) AS o;
    IF outlook.known > greatest(outlook.last, heard) THEN
        PERFORM pgleader.keep_heard(election, instance, outlook.known, outlook.known_lease_ms);
    END IF;
    known := greatest(outlook.below, outlook.known);
    known_lease_ms := outlook.known_lease_ms;
    -- Each leaves one row where its process is killed, and so takes more than one of the dead away.
    IF random() < 0.1 THEN
        PERFORM pgleader.forget_candidates(election, 100);
    END IF;
END
$$;

COMMENT ON FUNCTION pgleader.join_election(
    text, uuid, text, integer, timestamptz, integer, bigint, integer, boolean, bigint, bigint) IS
    'null system_identifier: the platform does not tell';

-- Purpose: a text as this database has it, of what a client has sent in UTF-8; null where its encoding cannot hold it.
CREATE OR REPLACE FUNCTION pgleader.text_of(utf8 bytea) RETURNS text
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF utf8 IS NULL THEN
        PERFORM pgleader.refuse('utf8', NULL, '');
    END IF;
    RETURN convert_from(utf8, 'UTF8');
EXCEPTION WHEN untranslatable_character OR character_not_in_repertoire THEN
    RETURN NULL;
END
$$;

-- Purpose: take candidacies of this session back. What they have heard of stays, without a session, where that is more
--          than this server knows: the next term forgets it.
CREATE OR REPLACE FUNCTION pgleader.leave_elections(mark text, elections integer[], instance uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_ids('elections', elections);
    IF instance IS NULL THEN
        PERFORM pgleader.refuse('instance', NULL, '');
    END IF;
    PERFORM pgleader.leave_behind(c.election_id, c.instance_hash)
    FROM pgleader.candidate AS c JOIN pgleader.election AS e ON e.id = c.election_id
    WHERE c.heard > e.term AND c.election_id = ANY (elections)
      AND c.instance_hash = sha256(uuid_send(instance)) AND c.pid = pg_backend_pid();
    DELETE FROM pgleader.candidate AS c
    WHERE c.election_id = ANY (elections) AND c.instance_hash = sha256(uuid_send(instance))
      AND c.pid = pg_backend_pid();
END
$$;

-- Purpose: whether the last term of an election began on this server as it is, on its timeline and under its identifier,
--          or none can have begun: it has had none, and was never promoted.
CREATE OR REPLACE FUNCTION pgleader.began_here(election integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    RETURN EXISTS (
        SELECT FROM pgleader.election AS e
        LEFT JOIN pgleader.term AS t ON t.election_id = e.id AND t.number = e.term
        WHERE e.id = election AND CASE
            WHEN e.term = 0 THEN pgleader.timeline() = 1
            ELSE t.timeline = pgleader.timeline()
                AND t.system_identifier IS NOT DISTINCT FROM pgleader.system_identifier()
        END);
END
$$;

-- Purpose: forget candidates that could not leave, for their process was killed; a few at a time, as many as fit into
--          some milliseconds: the next call goes on.
-- Parameters: beyond, how many dead ones must be there; 0 for a leader, whose term forgets all. Otherwise those stay
--             that have joined since the last term began and heard of a later one.
-- Hazard: not before a term has begun on this server as it is. The lease of a leader whose term a failover has lost may
--         be on record with its candidacy alone, and the next term waits for the longest.
-- Hazard: one that was dead may join again meanwhile. So its row is locked first, and it is looked for among the
--         backends of that moment second.
CREATE OR REPLACE FUNCTION pgleader.forget_candidates(election integer, beyond integer DEFAULT 0) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET enable_seqscan = off
SET enable_bitmapscan = off
AS $$
DECLARE
    ends_at CONSTANT timestamptz := clock_timestamp() + interval '3 ms';
    its record;
    places tid[];
BEGIN
    PERFORM pgleader.check_number('election', election);
    IF (beyond >= 0) IS NOT TRUE THEN
        PERFORM pgleader.refuse('beyond', beyond::text, 'be 0 or more');
    ELSIF beyond > 0 AND (NOT pgleader.began_here(election) OR NOT EXISTS (
        SELECT FROM pgleader.dead AS d WHERE d.election_id = election OFFSET beyond)) THEN
        RETURN;
    END IF;
    SELECT e.term, t.started_at INTO its
    FROM pgleader.election AS e
    LEFT JOIN pgleader.term AS t ON t.election_id = e.id AND t.number = e.term
    WHERE e.id = election;
    LOOP
        places := ARRAY(
            SELECT d.place FROM pgleader.dead AS d
            WHERE d.election_id = election AND (beyond = 0 OR d.heard <= its.term OR d.joined_at < its.started_at)
            LIMIT 100 FOR UPDATE SKIP LOCKED);
        PERFORM pg_stat_clear_snapshot();
        DELETE FROM pgleader.dead AS d WHERE d.place = ANY (places);
        EXIT WHEN cardinality(places) < 100 OR clock_timestamp() >= ends_at;
    END LOOP;
END
$$;

-- Purpose: forget candidates of one of these elections where there are very many. Called now and then by whoever
--          follows next; no error of it is the caller's.
CREATE OR REPLACE FUNCTION pgleader.tidy(elections integer[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5ms'
AS $$
BEGIN
    PERFORM pgleader.check_ids('elections', elections);
    IF elections <> '{}' THEN
        BEGIN
            PERFORM pgleader.forget_candidates(elections[1 + floor(random() * cardinality(elections))::integer], 100);
        EXCEPTION WHEN OTHERS THEN
            RETURN;
        END;
    END IF;
END
$$;

-- Purpose: a candidate is told what others have heard of. From here on its own row has it too, for they may take theirs
--          back.
-- Parameters: known, known_lease_ms, as pgleader.outlook tells them.
CREATE OR REPLACE FUNCTION pgleader.keep_heard(
    election integer, instance uuid, known bigint, known_lease_ms integer
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    PERFORM pgleader.check_heard(known, known_lease_ms);
    IF instance IS NULL THEN
        PERFORM pgleader.refuse('instance', NULL, '');
    END IF;
    UPDATE pgleader.candidate AS c
    SET heard = known, heard_lease = known_lease_ms * interval '1 ms'
    WHERE c.election_id = election AND c.instance_hash = sha256(uuid_send(instance)) AND c.heard < known;
END
$$;
