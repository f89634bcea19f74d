-- Purpose:  elections, candidates, terms and requests; everything that a candidate calls.
-- Run with: psql DATABASE -f 0001_elections.sql and all after it in the order of their names, as the role that
--           shall own the schema. Safe to run again and from several places at once.
--
-- Advisory locks have the OID of one of three tables as their class and an election's id as their object:
--   pgleader.election   exclusive, session      the leadership
--   pgleader.candidate  exclusive, session      being the successor
--   pgleader.term       shared, transaction     a fenced transaction
--                        exclusive, transaction  a new term beginning
-- No migration may drop one of these tables: a new OID would be a new lock.
--
-- Hazard: a snapshot taken before a lock was granted is stale. Functions therefore are VOLATILE, and lock
-- and read in separate statements.
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
-- Whoever waits for a lock holds up all that come after him, leaders too. Where it fails: run it again.
SET LOCAL lock_timeout = '50ms';

-- Not pg_leader: PostgreSQL reserves the prefix pg_ for schemas of its own.
CREATE SCHEMA IF NOT EXISTS pgleader;
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
COMMENT ON SCHEMA pgleader IS 'Leader election. Start with: SELECT * FROM pgleader.status';

-- To whom grant_observer, grant_candidate and grant_operator gave what: everybody else is shut out by every
-- install.
CREATE TABLE IF NOT EXISTS pgleader.grantee (
    role name NOT NULL,
    kind text NOT NULL CHECK (kind IN ('observer', 'candidate', 'operator')),
    PRIMARY KEY (role, kind)
);
-- By which it is found where it was renamed.
ALTER TABLE pgleader.grantee ADD COLUMN IF NOT EXISTS role_oid oid;

-- From version 1, which kept the secret itself and recorded no grants. What was granted is read from the rights: who
-- may also call an inner function has it by default privileges, and from nobody's decision.
DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = to_regclass('pgleader.candidate') AND a.attname = 'instance' AND NOT a.attisdropped) THEN
        RETURN;
    END IF;
    INSERT INTO pgleader.grantee (role, kind)
    SELECT r.rolname, k.kind
    FROM (VALUES ('candidate', 'join_election'), ('operator', 'step_down'), ('observer', 'read_elections'))
        AS k (kind, function)
    JOIN pg_proc AS p ON p.pronamespace = 'pgleader'::regnamespace AND p.proname = k.function
    CROSS JOIN LATERAL aclexplode(p.proacl) AS g
    JOIN pg_roles AS r ON r.oid = g.grantee AND r.oid <> p.proowner
    WHERE NOT EXISTS (
        SELECT FROM pg_proc AS i CROSS JOIN LATERAL aclexplode(i.proacl) AS o
        WHERE i.pronamespace = p.pronamespace AND i.proname = 'close_term' AND o.grantee = g.grantee)
    ON CONFLICT DO NOTHING;
    DROP VIEW IF EXISTS pgleader.status, pgleader.candidates, pgleader.alive;
    DELETE FROM pgleader.candidate WHERE lease NOT BETWEEN '100 ms' AND '1 h';
    UPDATE pgleader.term SET lease = greatest(least(lease, '1 h'), '100 ms') WHERE lease NOT BETWEEN '100 ms' AND '1 h';
    ALTER TABLE pgleader.candidate RENAME COLUMN instance TO instance_hash;
    ALTER TABLE pgleader.candidate
        ALTER COLUMN instance_hash TYPE bytea USING sha256(uuid_send(instance_hash)),
        ADD CONSTRAINT candidate_lease_check CHECK (lease BETWEEN '100 ms' AND '1 h'),
        ADD COLUMN heard bigint NOT NULL DEFAULT 0 CHECK (heard >= 0),
        ADD COLUMN heard_lease interval NOT NULL DEFAULT '0' CHECK (heard_lease BETWEEN '0' AND '1 h');
    ALTER TABLE pgleader.term RENAME COLUMN instance TO instance_hash;
    ALTER TABLE pgleader.term
        ALTER COLUMN instance_hash TYPE bytea USING sha256(uuid_send(instance_hash)),
        ADD COLUMN token uuid NOT NULL DEFAULT gen_random_uuid(),
        ADD CONSTRAINT term_lease_check CHECK (lease BETWEEN '100 ms' AND '1 h');
    ALTER TABLE pgleader.term ALTER COLUMN token DROP DEFAULT;
END
$$;

-- Functions of another version: no build may find one that is not its own. (Those that a view or trigger uses are
-- replaced below.)
DO $$
DECLARE
    build CONSTANT integer := 102;
    found integer;
    others text;
BEGIN
    IF to_regprocedure('pgleader.version()') IS NULL THEN
        RETURN;
    END IF;
    EXECUTE 'SELECT pgleader.version()' INTO found;
    IF found > build THEN
        RAISE EXCEPTION 'the schema pgleader has version %, these migrations make version %', found, build
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Use those of a newer build.';
    ELSIF found < build THEN
        others := (
            SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc AS p
            WHERE p.pronamespace = 'pgleader'::regnamespace AND NOT EXISTS (
                SELECT FROM pg_depend AS d WHERE d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid));
        EXECUTE 'DROP ROUTINE ' || others;
    END IF;
END
$$;

-- Tables -------------------------------------------------------------------------------------------------

-- A row an election, made by whoever joins it first, then written by the holder of its leadership lock alone, and never
-- deleted: its terms must not start again.
CREATE TABLE IF NOT EXISTS pgleader.election (
    id         integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name       text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    term       bigint NOT NULL DEFAULT 0,
    state      text NOT NULL DEFAULT 'vacant' CHECK (state IN ('vacant', 'recovering', 'leading')),
    address    text,
    pid        integer,
    lease      interval,
    ready_at   timestamptz,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The newest term whose fence refuses: it can be closed here while a fenced transaction holds its row.
    closed_term bigint NOT NULL DEFAULT 0,
    -- The backends of fenced transactions that had to be told to end so that the next term can begin, so far.
    ended_backends text[] NOT NULL DEFAULT '{}'
);
-- Versions up to 101 only counted them, and one that was slow to end more than once.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = 'pgleader.election'::regclass AND a.attname = 'fenced_ended' AND NOT a.attisdropped) THEN
        ALTER TABLE pgleader.election
            DROP COLUMN fenced_ended,
            ADD COLUMN ended_backends text[] NOT NULL DEFAULT '{}';
    END IF;
END
$$;

-- Who takes part. `instance` is a random secret of the process, which authorises a vacate from another session: only
-- its sha256 is kept.
CREATE TABLE IF NOT EXISTS pgleader.candidate (
    election_id   integer NOT NULL,
    instance_hash bytea NOT NULL,
    address       text NOT NULL,
    priority      integer NOT NULL,
    lease         interval NOT NULL CHECK (lease BETWEEN '100 ms' AND '1 h'),
    pid           integer NOT NULL,
    backend_start timestamptz NOT NULL,
    joined_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The greatest term that its process had read of when it joined, on whatever server; 0 for none. And its lease.
    heard         bigint NOT NULL DEFAULT 0 CHECK (heard >= 0),
    heard_lease   interval NOT NULL DEFAULT '0' CHECK (heard_lease BETWEEN '0' AND '1 h'),
    PRIMARY KEY (election_id, instance_hash)
);
CREATE INDEX IF NOT EXISTS candidate_pid ON pgleader.candidate (pid);
-- Whether its session is behind pgpool-II, which takes the end of a session by force for the end of its server.
ALTER TABLE pgleader.candidate ADD COLUMN IF NOT EXISTS behind_pgpool boolean NOT NULL DEFAULT false;
-- And from where it comes then; null by a Unix socket. Other sessions that come from there are pgpool-II's too.
ALTER TABLE pgleader.candidate ADD COLUMN IF NOT EXISTS client_addr inet;
-- Empty where nobody has a priority: then nobody looks further.
CREATE INDEX IF NOT EXISTS candidate_priority ON pgleader.candidate (election_id) WHERE priority <> 0;

-- Those whose session lives. A backend that a pooler has given to one client after another is the last one's.
CREATE OR REPLACE VIEW pgleader.alive AS
SELECT c.election_id, c.instance_hash, c.address, c.priority, c.lease, c.pid, c.backend_start, c.joined_at
FROM pgleader.candidate AS c
WHERE EXISTS (SELECT FROM pg_stat_get_activity(c.pid) AS a
              WHERE a.backend_start IS NULL OR a.backend_start = c.backend_start)
  AND NOT EXISTS (
      SELECT FROM pgleader.candidate AS l
      WHERE l.pid = c.pid AND l.election_id = c.election_id
        AND (l.joined_at, l.instance_hash) > (c.joined_at, c.instance_hash));

-- A row a term, written at its beginning and ending only: a fence may hold it FOR SHARE. So `ready_at` is
-- kept with the election until the term ends.
--   closed_at   its fence refuses from here
--   vacated_at  its work has stopped; without it nobody knows
CREATE TABLE IF NOT EXISTS pgleader.term (
    election_id       integer NOT NULL,
    number            bigint NOT NULL CHECK (number > 0),
    address           text NOT NULL,
    instance_hash     bytea NOT NULL,
    lease             interval NOT NULL CHECK (lease BETWEEN '100 ms' AND '1 h'),
    pid               integer NOT NULL,
    backend_start     timestamptz NOT NULL,
    direct            boolean NOT NULL,
    system_identifier bigint,
    timeline          bigint NOT NULL,
    started_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    ready_at          timestamptz,
    closed_at         timestamptz,
    vacated_at        timestamptz,
    ended_at          timestamptz,
    ending            text CHECK (ending IN ('resigned', 'stepped down', 'failed', 'deposed', 'lost')),
    ended_by          name,
    -- The kind of the operator's request that ended it.
    ended_request     text,
    -- How many fenced transactions of earlier terms had to be ended before it could begin.
    fenced_ended      integer NOT NULL DEFAULT 0,
    -- What tells this term from another of its number, which a server that was lost has given out.
    token             uuid NOT NULL,
    PRIMARY KEY (election_id, number)
);
-- As its candidate's.
ALTER TABLE pgleader.term ADD COLUMN IF NOT EXISTS behind_pgpool boolean NOT NULL DEFAULT false;
ALTER TABLE pgleader.term ADD COLUMN IF NOT EXISTS client_addr inet;

-- What operators ask for; in force until `ended_at`. Only operators insert here, and none of them writes
-- elsewhere, so that an operator's open transaction holds no row that a leader needs.
--   suspend, exclude      in force until resume and include, by `ended_by`
--   step down, transfer   about `term`, and ended when a later one begins
--   depose                done at once; it tells who did it
CREATE TABLE IF NOT EXISTS pgleader.request (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    election_id  integer NOT NULL,
    term         bigint NOT NULL,
    kind         text NOT NULL CHECK (kind IN ('step down', 'transfer', 'suspend', 'exclude', 'depose')),
    address      text CHECK ((address IS NOT NULL) = (kind IN ('transfer', 'exclude'))),
    timeline     bigint NOT NULL,
    requested_by name NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_by     name,
    ended_at     timestamptz
);
CREATE INDEX IF NOT EXISTS request_election_id ON pgleader.request (election_id, term);
CREATE INDEX IF NOT EXISTS request_in_force ON pgleader.request (election_id) WHERE ended_at IS NULL;

-- What stays ---------------------------------------------------------------------------------------------
--
-- Whoever deletes an election's row, or lowers its term, has its numbers given out again. The row is judged and not
-- the caller. Ordinary triggers: a dump is restored, and a subscriber follows, without them.

-- Purpose: refuse what would let an election's terms begin again.
CREATE OR REPLACE FUNCTION pgleader.keep_rows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION '% of pgleader.%: its rows stay, or terms that were given out would be given out again',
            TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'An election that nobody joins costs nothing. To be rid of everything, drop the schema.';
END
$$;

-- Purpose: refuse a term that has no row: nobody could tell what its work is, and whether it began here.
CREATE OR REPLACE FUNCTION pgleader.keep_record() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (SELECT FROM pgleader.term AS t WHERE t.election_id = NEW.id AND t.number = NEW.term) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'UPDATE of pgleader.election: term % has no row', NEW.term
        USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Only who leads begins terms.';
END
$$;

-- Purpose: refuse to delete terms but those that are older than the last 1,000 of their election.
CREATE OR REPLACE FUNCTION pgleader.keep_terms() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (SELECT g.election_id, max(g.number) AS number FROM gone AS g GROUP BY g.election_id) AS g
        WHERE (SELECT count(*) FROM (
                   SELECT FROM pgleader.term AS t
                   WHERE t.election_id = g.election_id AND t.number > g.number LIMIT 1000) AS newer) < 1000) THEN
        RAISE EXCEPTION 'DELETE of pgleader.term: the last 1,000 terms of an election stay'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Older ones are deleted by themselves. To be rid of everything, drop the schema.';
    END IF;
    RETURN NULL;
END
$$;

CREATE OR REPLACE TRIGGER stays BEFORE DELETE OR TRUNCATE ON pgleader.election
FOR EACH STATEMENT EXECUTE FUNCTION pgleader.keep_rows();
CREATE OR REPLACE TRIGGER stays_itself BEFORE UPDATE ON pgleader.election
FOR EACH ROW WHEN (OLD.id <> NEW.id OR OLD.name <> NEW.name OR OLD.term > NEW.term
                   OR OLD.closed_term > NEW.closed_term)
EXECUTE FUNCTION pgleader.keep_rows();
CREATE OR REPLACE TRIGGER is_on_record BEFORE UPDATE ON pgleader.election
FOR EACH ROW WHEN (OLD.term < NEW.term) EXECUTE FUNCTION pgleader.keep_record();
CREATE OR REPLACE TRIGGER stays BEFORE TRUNCATE ON pgleader.term
FOR EACH STATEMENT EXECUTE FUNCTION pgleader.keep_rows();
CREATE OR REPLACE TRIGGER stays_a_while AFTER DELETE ON pgleader.term REFERENCING OLD TABLE AS gone
FOR EACH STATEMENT EXECUTE FUNCTION pgleader.keep_terms();
CREATE OR REPLACE TRIGGER stays_itself BEFORE UPDATE OF election_id, number ON pgleader.term
FOR EACH ROW WHEN (OLD.election_id <> NEW.election_id OR OLD.number <> NEW.number)
EXECUTE FUNCTION pgleader.keep_rows();

-- Facts about the server ---------------------------------------------------------------------------------

-- Hazard: nothing is kept in a setting: anybody may set it.

-- Purpose: the timeline that this server writes; 1 where the platform does not tell.
CREATE OR REPLACE FUNCTION pgleader.timeline() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ('x' || lpad(left(pg_walfile_name(pg_current_wal_lsn()), 8), 16, '0'))::bit(64)::bigint;
EXCEPTION WHEN undefined_function OR insufficient_privilege OR feature_not_supported THEN
    RETURN bigint '1';
END
$$;

-- Purpose: the identity of this cluster; null where the platform does not tell, or does not tell its timeline: the one
--          proves nothing without the other.
CREATE OR REPLACE FUNCTION pgleader.system_identifier() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT c.system_identifier FROM pg_control_system() AS c
            WHERE pg_is_in_recovery() OR pg_walfile_name(pg_current_wal_lsn()) IS NOT NULL);
EXCEPTION WHEN undefined_function OR insufficient_privilege OR feature_not_supported THEN
    RETURN NULL;
END
$$;

-- Purpose: the endings of sessions of this database that do not prove that the client's work has stopped.
-- Meaning: sessions killed, sessions ended by an error, when the counters were reset (µs since 1970, 0: never).
CREATE OR REPLACE FUNCTION pgleader.counters(OUT killed bigint, OUT fatal bigint, OUT reset bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Not pg_stat_database: that view reads every database's counters.
    mine oid := (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database());
BEGIN
    killed := pg_stat_get_db_sessions_killed(mine);
    fatal := pg_stat_get_db_sessions_fatal(mine);
    reset := coalesce((extract(epoch FROM pg_stat_get_db_stat_reset_time(mine)) * 1000000)::bigint, 0);
END
$$;

-- Purpose: the advisory locks of this schema in this database, granted or awaited.
CREATE OR REPLACE VIEW pgleader.lock AS
SELECT l.classid::regclass AS kind, l.objid::integer AS election_id, l.pid, l.mode, l.granted
FROM pg_locks AS l
WHERE l.locktype = 'advisory'
  AND l.objsubid = 2
  AND l.database = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())
  AND l.classid IN ('pgleader.election'::regclass, 'pgleader.candidate'::regclass,
                    'pgleader.term'::regclass);

-- Arguments ----------------------------------------------------------------------------------------------
--
-- Every function refuses arguments that are null or out of range, before it does anything else:
--     IF (what must be so) IS NOT TRUE THEN PERFORM pgleader.refuse(...)
-- What is called often asks by itself whether all is well, and calls the function that says what is not; the others
-- call it. STRICT would answer NULL, which a caller may take for a yes. Where null means something a COMMENT says so:
-- `null argument: meaning`.

-- Purpose: refuse an argument.
-- Parameters: argument, its name; value, what it is as text, never a secret; must, what it must do.
CREATE OR REPLACE FUNCTION pgleader.refuse(argument text, value text, must text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF num_nulls(argument, value, must) > 0 THEN
        RAISE EXCEPTION '% must not be null', coalesce(argument, 'an argument')
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Give it a value.';
    END IF;
    RAISE EXCEPTION '% is %', argument, value
        USING ERRCODE = 'invalid_parameter_value', HINT = format('It must %s.', must);
END
$$;

-- Purpose: refuse a list of elections that is null or holds what is no id.
CREATE OR REPLACE FUNCTION pgleader.check_ids(argument text, ids integer[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF argument IS NULL THEN
        PERFORM pgleader.refuse('argument', NULL, '');
    END IF;
    -- Null where one of them is.
    IF (1 <= ALL (ids)) IS NOT TRUE OR array_ndims(ids) > 1 THEN
        PERFORM pgleader.refuse(
            argument, CASE WHEN array_ndims(ids) > 1 OR array_position(ids, NULL) IS NULL THEN ids::text END,
            'be a plain list of ids of elections');
    END IF;
END
$$;

-- Purpose: refuse an election's id or a term's number that is null or below 1.
CREATE OR REPLACE FUNCTION pgleader.check_number(argument text, number bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF argument IS NULL OR (number >= 1) IS NOT TRUE THEN
        PERFORM pgleader.refuse(coalesce(argument, 'number'), CASE WHEN argument IS NOT NULL THEN number::text END,
                                'be 1 or more');
    END IF;
END
$$;

-- Purpose: refuse an election's name that is null or has not 1 to 200 characters.
CREATE OR REPLACE FUNCTION pgleader.check_name(election text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (length(election) BETWEEN 1 AND 200) IS NOT TRUE THEN
        PERFORM pgleader.refuse('election', '"' || left(election, 200) || '"', 'have 1 to 200 characters');
    END IF;
END
$$;

-- Purpose: refuse an address that is null, empty or longer than 1,000 characters.
CREATE OR REPLACE FUNCTION pgleader.check_address(address text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (length(address) BETWEEN 1 AND 1000) IS NOT TRUE THEN
        PERFORM pgleader.refuse('address', '"' || left(address, 200) || '"', 'have 1 to 1000 characters');
    END IF;
END
$$;

-- Purpose: refuse what was heard of where it is null or below 0, and a lease that is null or longer than an hour.
CREATE OR REPLACE FUNCTION pgleader.check_heard(heard bigint, heard_lease_ms integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (heard >= 0) IS NOT TRUE THEN
        PERFORM pgleader.refuse('heard', heard::text, 'be 0 (nothing) or more');
    ELSIF (heard_lease_ms BETWEEN 0 AND 3600000) IS NOT TRUE THEN
        PERFORM pgleader.refuse('heard_lease_ms', heard_lease_ms::text, 'be between 0 and 3600000');
    END IF;
END
$$;

-- Purpose: refuse a call that has met another session than the caller's own, before it touches a lock. Called by
--          whatever only candidates call.
-- Parameters: mark, what the caller has put into `pgleader.mark` when it connected.
-- Meaning: PL003, a pooler hands the caller's statements to other sessions, or his session to others.
CREATE OR REPLACE FUNCTION pgleader.check_mark(mark text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF mark IS NULL THEN
        PERFORM pgleader.refuse('mark', NULL, '');
    END IF;
    IF mark = '' OR mark IS DISTINCT FROM current_setting('pgleader.mark', true) THEN
        RAISE EXCEPTION 'this session does not bear the mark of the caller: a pooler stands between'
            USING ERRCODE = 'PL003', HINT = 'Connect without a pooler, or with one in session mode.';
    END IF;
END
$$;

-- What a candidate's session calls -----------------------------------------------------------------------
--
-- The first argument of each is the mark of the session (see check_mark).

-- Purpose: record a candidacy, and make the election when it is new.
-- Parameters: instance, the secret of the process; lease_ms, its lease in milliseconds; backend_start, when
--             this session's backend began (the owner of the schema may not see that of another role);
--             application, the application_name to show for this session; priority, who comes first when a
--             term ends: the highest; heard, the greatest term that the process has read of, on whatever server,
--             and heard_lease_ms, its lease (0 where there is none): from here on others know of it too.
-- Meaning: the election's id; known, a number that no term has which begins here from now on, nor a smaller one: the
--          caller has heard of it now; known_lease_ms, the longest lease on record.
CREATE OR REPLACE FUNCTION pgleader.join_election(
    mark text, election text, instance uuid, address text, lease_ms integer, backend_start timestamptz,
    application text, priority integer DEFAULT 0, heard bigint DEFAULT 0, heard_lease_ms integer DEFAULT 0,
    OUT election_id integer, OUT known bigint, OUT known_lease_ms integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    outlook record;
    hash bytea := sha256(uuid_send(instance));
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_heard(heard, heard_lease_ms);
    PERFORM pgleader.check_name(election);
    PERFORM pgleader.check_address(address);
    IF num_nulls(instance, backend_start, application, priority) > 0 THEN
        PERFORM pgleader.refuse('instance, backend_start, application or priority', NULL, '');
    ELSIF NOT isfinite(backend_start) THEN
        PERFORM pgleader.refuse('backend_start', backend_start::text, 'be a time');
    ELSIF (lease_ms BETWEEN 100 AND 3600000) IS NOT TRUE THEN
        PERFORM pgleader.refuse('lease_ms', lease_ms::text, 'be between 100 and 3600000');
    END IF;
    PERFORM set_config('application_name', application, false);
    -- Those of earlier clients of this backend, where a pooler has handed it on.
    UPDATE pgleader.candidate AS c SET pid = 0
    FROM pgleader.election AS e
    WHERE e.id = c.election_id AND c.heard > e.term AND c.pid = pg_backend_pid() AND c.instance_hash <> hash
      AND c.backend_start = join_election.backend_start;
    DELETE FROM pgleader.candidate AS c
    WHERE c.pid = pg_backend_pid() AND c.instance_hash <> hash
      AND c.backend_start = join_election.backend_start;
    SELECT e.id INTO election_id FROM pgleader.election AS e WHERE e.name = election;
    IF NOT FOUND THEN
        INSERT INTO pgleader.election AS e (name) VALUES (election) ON CONFLICT (name) DO NOTHING;
        SELECT e.id INTO election_id FROM pgleader.election AS e WHERE e.name = election;
    END IF;
    INSERT INTO pgleader.candidate AS c
        (election_id, instance_hash, address, priority, lease, pid, backend_start, heard, heard_lease)
    VALUES (election_id, hash, join_election.address, join_election.priority,
            lease_ms * interval '1 ms', pg_backend_pid(), join_election.backend_start,
            join_election.heard, heard_lease_ms * interval '1 ms')
    ON CONFLICT ON CONSTRAINT candidate_pkey DO UPDATE
    SET address = excluded.address, priority = excluded.priority, lease = excluded.lease, pid = excluded.pid,
        backend_start = excluded.backend_start, joined_at = excluded.joined_at, heard = greatest(c.heard, excluded.heard),
        heard_lease = greatest(c.heard_lease, excluded.heard_lease), behind_pgpool = false
    -- What an earlier session of the process still has under way changes nothing of the later one's row.
    WHERE c.backend_start <= excluded.backend_start OR NOT EXISTS (
        SELECT FROM pg_stat_get_activity(c.pid) AS a
        WHERE a.backend_start IS NULL OR a.backend_start = c.backend_start);
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a later session of this process is the candidate of election "%"', election
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Where the server''s clock was set back: wait until that session has ended.';
    END IF;
    SELECT o.* INTO outlook FROM pgleader.outlook(election_id, heard, heard_lease_ms) AS o;
    IF outlook.known > greatest(outlook.last, heard) THEN
        PERFORM pgleader.keep_heard(election_id, instance, outlook.known, outlook.known_lease_ms);
    END IF;
    known := greatest(outlook.below, outlook.known);
    known_lease_ms := outlook.known_lease_ms;
END
$$;

-- Purpose: record that the caller's session is behind pgpool-II: from here nobody ends it by force. Called after
--          join_election and before anything else.
CREATE OR REPLACE FUNCTION pgleader.record_pgpool(mark text, election integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_number('election', election);
    UPDATE pgleader.candidate AS c SET behind_pgpool = true, client_addr = inet_client_addr()
    WHERE c.election_id = election AND c.pid = pg_backend_pid();
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this session is no candidate of election %', election
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call pgleader.join_election first.';
    END IF;
END
$$;

-- Purpose: take the candidacy of this session back. What it has heard of stays, without a session, while that is more
--          than this server knows: the next term forgets it.
CREATE OR REPLACE FUNCTION pgleader.leave_election(mark text, election integer, instance uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_number('election', election);
    IF instance IS NULL THEN
        PERFORM pgleader.refuse('instance', NULL, '');
    END IF;
    UPDATE pgleader.candidate AS c SET pid = 0
    FROM pgleader.election AS e
    WHERE e.id = c.election_id AND c.heard > e.term AND c.election_id = election
      AND c.instance_hash = sha256(uuid_send(instance)) AND c.pid = pg_backend_pid();
    DELETE FROM pgleader.candidate AS c
    WHERE c.election_id = election AND c.instance_hash = sha256(uuid_send(instance)) AND c.pid = pg_backend_pid();
END
$$;

-- Purpose: when the work of a term had recovered, as long as the election's row tells.
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
    RETURN EXISTS (
        SELECT FROM pgleader.lock AS l
        WHERE l.kind = 'pgleader.election'::regclass AND l.election_id = election
          AND l.pid = pg_backend_pid() AND l.mode = 'ExclusiveLock' AND l.granted);
END
$$;

-- Purpose: forget candidates whose process was killed and could not take its candidacy back. Called by a leader.
-- Hazard: never before the refractory period is over: after a failover it is the longest lease on record.
CREATE OR REPLACE FUNCTION pgleader.forget_candidates(election integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    DELETE FROM pgleader.candidate AS c
    WHERE c.election_id = election
      AND NOT EXISTS (
          SELECT FROM pg_stat_get_activity(c.pid) AS a
          WHERE a.backend_start IS NULL OR a.backend_start = c.backend_start);
END
$$;

-- Purpose: close a term, so that its fence refuses. Called by the holder of the leadership lock.
-- Hazard: transactions under REPEATABLE READ that have passed the fence hold the term's row FOR SHARE, one
--         after another without a gap where the old leader is busy. So the election's row says it first:
--         from there nobody new passes, and the term's row can be written when the last one has ended.
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

-- Numbers of terms: ten million million a block (10^13), a block a timeline. On the first timeline they are 1, 2, 3.

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

-- Purpose: the first number of a block. From the second one on it says when it was given out, in milliseconds since
--          2026: of two servers that were promoted to one timeline each gives out numbers of its own, though nobody
--          is left who knows of the other.
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

-- Purpose: what is known of the terms of an election, on this server and by those who take part.
-- Parameters: heard, the greatest term that the caller has read of, on whatever server, and heard_lease_ms, its
--             lease; 0 where there is none.
-- Meaning:
--   last          the last term on record; 0 before the first
--   below         no term that begins on this server has this number or a smaller one: the last one's, or the end of
--                 the blocks before the one in which the next term lies. Blocks are counted from that of the last
--                 term: a restored cluster begins its timelines again, its numbers go on
--   wait_ms       how long a new term must wait for the work of the last one, if nothing else tells that it stopped:
--                 its lease; 0 where it was vacated here, or where the record proves that it began on another server.
--                 Where the record proves neither, the longest lease on record: a right that was taken away or a
--                 row that is missing is no failover, and the last session may have lived until the lock was won
--   elsewhere_ms  how long, from the proof that this server is the primary, the work of terms may run that began on
--                 others: of a later one that an asynchronous failover has lost, where the last one began on another
--                 timeline; of one that somebody has heard of and this server does not know, for a promotion was
--                 thrown away. The longest lease on record, or heard of. No vacate counts for that work
--   known         the greatest term on record, or heard of by the caller or a candidate; known_lease_ms, the longest
--                 lease among them
--   beyond        what the caller has heard of lies more than 16 blocks beyond this server's record and timeline, or
--                 100,000 blocks or more beyond the timeline (there are 922,337 in all, and a failover takes one). It
--                 is not believed: it would burn the numbers
--   timeline, system_identifier   of this server, as its functions of these names tell them
CREATE OR REPLACE FUNCTION pgleader.outlook(
    election integer, heard bigint, heard_lease_ms integer,
    OUT last bigint, OUT below bigint, OUT wait_ms integer, OUT elsewhere_ms integer, OUT known bigint,
    OUT known_lease_ms integer, OUT beyond boolean, OUT timeline bigint, OUT system_identifier bigint
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
    IF (election >= 1 AND heard >= 0 AND heard_lease_ms BETWEEN 0 AND 3600000) IS NOT TRUE THEN
        PERFORM pgleader.check_number('election', election);
        PERFORM pgleader.check_heard(heard, heard_lease_ms);
    END IF;
    timeline := pgleader.timeline();
    system_identifier := pgleader.system_identifier();
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
    SELECT greatest(max(c.lease), max(c.heard_lease) FILTER (WHERE c.is_believed)) AS lease,
           max(c.heard) FILTER (WHERE c.is_believed) AS heard
    INTO theirs
    FROM (SELECT o.lease, o.heard, o.heard_lease,
                 o.heard > below AND pgleader.block(o.heard) < farthest_block AS is_believed
          FROM pgleader.candidate AS o WHERE o.election_id = outlook.election) AS c;
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

-- Purpose: a candidate is told what others have heard of: from here on its row has it too, for they may take theirs
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

-- Purpose: the number of the next term: greater than every one given out before, also by a server that was lost
--          together with its last rows, and by one whose promotion was thrown away, as far as anybody knows who
--          takes part. Where this server has forgotten a term it starts the next block.
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

-- Purpose: begin the next term. Called by the holder of the leadership lock, after the old term was closed.
-- Parameters: below, known, timeline, system_identifier, as pgleader.outlook tells them.
-- Meaning: the new term's number and token, and its leader's address and lease; null while a fenced transaction of
--          the old term is under way.
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
    -- No fenced transaction is left that could hold the row. It must be written before the new term can be seen:
    -- that is what a fence with an older snapshot runs into.
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
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call pgleader.join_election first.';
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
        DELETE FROM pgleader.term AS t
        WHERE t.election_id = election AND t.number < (
            SELECT o.number FROM pgleader.term AS o WHERE o.election_id = election
            ORDER BY o.number DESC OFFSET 999 LIMIT 1);
    END IF;
END
$$;

COMMENT ON FUNCTION pgleader.begin_term(integer, uuid, boolean, bigint, bigint, bigint, bigint) IS
    'null system_identifier: the platform does not tell';

-- Purpose: how long a new term must wait at most, in milliseconds, as far as this server knows: for who looks on.
CREATE OR REPLACE FUNCTION pgleader.refractory_period(election integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    RETURN (SELECT greatest(o.wait_ms, o.elsewhere_ms) FROM pgleader.outlook(election, 0, 0) AS o);
END
$$;

-- Purpose: one try for being the successor of each election, and who is it, for the leadership. The successor
--          comes first because it alone has watched the leader, and knows whether it must wait.
-- Parameters: elections, their ids; successor_of, those of them whose successor this session is already
--             (session locks stack, so it must not ask again); overdue, those of them that nobody leads
--             although somebody has been successor for a while, or whose place nobody takes who ranks higher:
--             tried for all the same; instance, the secret of the process; direct, whether this session is;
--             silence_ms, after how much silence the server shall end a session that leads or is successor;
--             heard, for each of `elections` the greatest term that the process has read of, and heard_lease_ms,
--             its lease (0 where there is none).
-- Meaning of a row, one an election:
--   outcome       `began` (the new term is `term`, with its `token`), `won` (the lock is ours, the old term is closed, its work
--                 may still run), `fenced` (the lock is ours, a fenced transaction stands in the way) or `held`
--                 (by somebody else, or left to somebody else)
--   term, state, address, leader_pid, lease_ms   the election's row as it is now; where `won` or `fenced`,
--                 leader_pid and lease_ms are those of the last term
--   wait_ms       where `won`: the refractory period, for the work of the last term
--   elsewhere_ms, known, known_lease_ms   where `won`: as pgleader.outlook tells them
--   direct        where `won`: whether the last term's session was
--   holder_pid    where `held`: who holds the lock; null when it was let go meanwhile
--   stranger      where `held`: the holder is no candidate
--   successor     whether this session is the successor
--   silent_since  where `held` by the leader on record: when its backend last changed its state (µs); null
--                 where this role may not know
--   killed, fatal, reset   the counters as they were before the try
--   watched       where `won` or `held`: the backend of the leader on record held the leadership after the counters
--                 were read and before the successor's place was tried for; only told of elections whose successor
--                 the session was not already
--   bar           where `held`: why this candidate may not lead: `suspended`, `excluded`, `transfer` (the next
--                 term is to be another's), `outranked` (another comes first), `beyond` (it has heard of a term too
--                 far beyond this server's, and would work below it) or `unknown` (what operators ask for cannot be
--                 read). No lock was tried then, or none is kept that was not held before
CREATE OR REPLACE FUNCTION pgleader.try_elections(
    mark text, elections integer[], successor_of integer[], overdue integer[], instance uuid, direct boolean,
    silence_ms integer, heard bigint[], heard_lease_ms integer[]
) RETURNS TABLE (
    election integer, outcome text, term bigint, token uuid, state text, address text, leader_pid integer,
    lease_ms integer, wait_ms integer, was_direct boolean, holder_pid integer, stranger boolean,
    successor boolean, silent_since bigint, killed bigint, fatal bigint, reset bigint, bar text,
    elsewhere_ms integer, known bigint, known_lease_ms integer, watched boolean
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    held integer[] := ARRAY[]::integer[];
    held_bars text[] := ARRAY[]::text[];
    heir_of integer[] := successor_of;
    -- Of which the caller has heard more than is on record here.
    ahead integer[];
    -- By election.
    holders jsonb;
    outlook record;
    turns jsonb;
    may_try boolean;
    last record;
BEGIN
    IF (mark = nullif(current_setting('pgleader.mark', true), '')) IS NOT TRUE THEN
        PERFORM pgleader.check_mark(mark);
    ELSIF (1 <= ALL (elections) AND 1 <= ALL (successor_of) AND 1 <= ALL (overdue)) IS NOT TRUE
        OR greatest(array_ndims(elections), array_ndims(successor_of), array_ndims(overdue)) > 1 THEN
        PERFORM pgleader.check_ids('elections', elections);
        PERFORM pgleader.check_ids('successor_of', successor_of);
        PERFORM pgleader.check_ids('overdue', overdue);
    ELSIF num_nulls(instance, direct) > 0 THEN
        PERFORM pgleader.refuse('instance or direct', NULL, '');
    ELSIF (silence_ms > 0) IS NOT TRUE THEN
        PERFORM pgleader.refuse('silence_ms', silence_ms::text, 'be above 0');
    ELSIF (cardinality(heard) = cardinality(elections) AND cardinality(heard_lease_ms) = cardinality(elections)
           AND 0 <= ALL (heard) AND 0 <= ALL (heard_lease_ms) AND 3600000 >= ALL (heard_lease_ms)) IS NOT TRUE
        OR greatest(array_ndims(heard), array_ndims(heard_lease_ms)) > 1 THEN
        PERFORM pgleader.refuse('heard or heard_lease_ms', CASE
            WHEN greatest(array_ndims(heard), array_ndims(heard_lease_ms)) > 1
                OR heard IS NOT NULL AND array_position(heard, NULL) IS NULL
                AND heard_lease_ms IS NOT NULL AND array_position(heard_lease_ms, NULL) IS NULL
            THEN format('%s, %s', heard, heard_lease_ms) END,
            'hold a term, 0 or more, and a lease, 0 to 3600000, for each election');
    END IF;
    SELECT c.killed, c.fatal, c.reset INTO killed, fatal, reset FROM pgleader.counters() AS c;
    -- Once the successor's place is taken everybody can see that, and the leader may be killed: this very try must
    -- have watched it.
    IF NOT elections <@ successor_of THEN
        holders := (
            SELECT jsonb_object_agg(l.election_id, l.pid) FROM pgleader.lock AS l
            WHERE l.kind = 'pgleader.election'::regclass AND l.mode = 'ExclusiveLock' AND l.granted
              AND l.election_id = ANY (elections));
    END IF;
    turns := pgleader.turns(elections, instance);
    ahead := ARRAY(
        SELECT h.id FROM unnest(elections, try_elections.heard) AS h (id, term)
        JOIN pgleader.election AS e ON e.id = h.id AND e.term < h.term);
    FOR its IN 1 .. cardinality(elections) LOOP
        election := elections[its];
        token := NULL;
        bar := turns ->> election::text;
        IF election = ANY (ahead) AND (bar IS NULL OR bar IN ('called', 'outranked')) AND (
            SELECT o.beyond FROM pgleader.outlook(try_elections.election, heard[its], heard_lease_ms[its]) AS o) THEN
            bar := 'beyond';
        END IF;
        IF (bar IS NULL OR bar IN ('called', 'outranked')) AND NOT election = ANY (heir_of) THEN
            IF NOT pg_try_advisory_lock('pgleader.candidate'::regclass::oid::integer, election) THEN
                -- Whoever has the place makes way himself, where he must.
                bar := nullif(bar, 'outranked');
            ELSIF bar = 'outranked' AND NOT election = ANY (overdue) THEN
                PERFORM pg_advisory_unlock('pgleader.candidate'::regclass::oid::integer, election);
            ELSE
                heir_of := heir_of || election;
                PERFORM set_config('idle_session_timeout', silence_ms::text, false);
            END IF;
        END IF;
        IF election = ANY (overdue) THEN
            bar := nullif(bar, 'outranked');
        END IF;
        -- Never null: a lock is tried on the right of what is.
        may_try := bar IS NOT DISTINCT FROM 'called'
            OR (bar IS NULL AND (election = ANY (heir_of) OR election = ANY (overdue)));
        IF may_try AND pg_try_advisory_lock('pgleader.election'::regclass::oid::integer, election) THEN
            PERFORM set_config('idle_session_timeout', silence_ms::text, false);
            IF election = ANY (heir_of) THEN
                PERFORM pg_advisory_unlock('pgleader.candidate'::regclass::oid::integer, election);
            END IF;
            SELECT o.* INTO outlook
            FROM pgleader.outlook(try_elections.election, heard[its], heard_lease_ms[its]) AS o;
            wait_ms := outlook.wait_ms;
            elsewhere_ms := outlook.elsewhere_ms;
            known := outlook.known;
            known_lease_ms := outlook.known_lease_ms;
            IF wait_ms = 0 AND elsewhere_ms = 0 THEN
                SELECT b.term, b.token, b.address, b.lease_ms INTO term, token, address, lease_ms
                FROM pgleader.begin_term(election, instance, direct, outlook.below, outlook.known, outlook.timeline,
                                         outlook.system_identifier) AS b;
                outcome := CASE WHEN term IS NULL THEN 'fenced' ELSE 'began' END;
            ELSE
                UPDATE pgleader.election AS e
                SET state = 'vacant', address = NULL, pid = NULL, changed_at = clock_timestamp()
                WHERE e.id = try_elections.election AND e.state <> 'vacant';
                outcome := 'won';
                PERFORM pgleader.close_term(election, outlook.last);
                IF known > outlook.last THEN
                    PERFORM pgleader.keep_heard(election, instance, known, known_lease_ms);
                END IF;
            END IF;
            IF outcome = 'began' THEN
                state := 'recovering';
                watched := false;
                leader_pid := pg_backend_pid();
            ELSE
                SELECT t.pid, t.lease, t.direct INTO last
                FROM pgleader.term AS t
                WHERE t.election_id = try_elections.election AND t.number = outlook.last;
                term := outlook.last;
                state := 'vacant';
                address := NULL;
                leader_pid := last.pid;
                lease_ms := ceil(extract(epoch FROM last.lease) * 1000)::integer;
                was_direct := coalesce(last.direct, false);
                watched := coalesce((holders ->> election::text)::integer = last.pid, false);
            END IF;
            holder_pid := pg_backend_pid();
            stranger := false;
            successor := false;
            silent_since := NULL;
            bar := NULL;
            RETURN NEXT;
        ELSE
            held := held || election;
            held_bars := held_bars || nullif(bar, 'called');
        END IF;
    END LOOP;
    IF held <> '{}' THEN
        RETURN QUERY
        SELECT e.id, 'held', e.term, NULL::uuid, e.state, e.address, e.pid,
               ceil(extract(epoch FROM e.lease) * 1000)::integer, 0, false, l.pid,
               l.pid IS NOT NULL AND l.pid IS DISTINCT FROM e.pid AND NOT EXISTS (
                   SELECT FROM pgleader.candidate AS c WHERE c.election_id = e.id AND c.pid = l.pid),
               e.id = ANY (heir_of),
               (SELECT (extract(epoch FROM a.state_change) * 1000000)::bigint
                FROM pg_stat_get_activity(coalesce(l.pid, 0)) AS a WHERE l.pid = e.pid),
               try_elections.killed, try_elections.fatal, try_elections.reset, h.bar, 0, NULL::bigint, NULL::integer,
               coalesce((holders ->> e.id::text)::integer = e.pid, false)
        FROM unnest(held, held_bars) AS h (id, bar)
        JOIN pgleader.election AS e ON e.id = h.id
        -- Anybody may hold a share of it, and one session several modes: whoever leads comes first.
        LEFT JOIN (
            SELECT DISTINCT ON (o.election_id) o.election_id, o.pid FROM pgleader.lock AS o
            WHERE o.kind = 'pgleader.election'::regclass AND o.granted
            ORDER BY o.election_id, o.mode = 'ExclusiveLock' DESC, o.pid) AS l ON l.election_id = e.id;
    END IF;
END
$$;

-- Purpose: try_elections, and with the caller's own rights what the schema's owner may not know: when the
--          backend of a leader with the caller's role last changed its state.
CREATE OR REPLACE FUNCTION pgleader.campaign(
    mark text, elections integer[], successor_of integer[], overdue integer[], instance uuid, direct boolean,
    silence_ms integer, heard bigint[], heard_lease_ms integer[]
) RETURNS TABLE (
    election integer, outcome text, term bigint, token uuid, state text, address text, leader_pid integer,
    lease_ms integer, wait_ms integer, was_direct boolean, holder_pid integer, stranger boolean,
    successor boolean, silent_since bigint, killed bigint, fatal bigint, reset bigint, bar text,
    elsewhere_ms integer, known bigint, known_lease_ms integer, watched boolean
)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT t.election, t.outcome, t.term, t.token, t.state, t.address, t.leader_pid, t.lease_ms, t.wait_ms,
           t.was_direct, t.holder_pid, t.stranger, t.successor,
           coalesce(t.silent_since,
               (SELECT (extract(epoch FROM a.state_change) * 1000000)::bigint
                FROM pg_stat_get_activity(coalesce(t.holder_pid, 0)) AS a
                WHERE t.outcome = 'held' AND t.holder_pid = t.leader_pid)),
           t.killed, t.fatal, t.reset, t.bar, t.elsewhere_ms, t.known, t.known_lease_ms,
           t.watched
    FROM pgleader.try_elections(
        mark, elections, successor_of, overdue, instance, direct, silence_ms, heard, heard_lease_ms) AS t;
END
$$;

-- Purpose: take office, by the holder of the leadership lock that campaigned and had to wait.
-- Parameters: waited, whether it is known that the last term's work has stopped; waited_ms, how long, since the proof
--             that this server is the primary, the work was waited for that others may have left behind; heard,
--             the greatest term that the process has read of, and heard_lease_ms, its lease (0 where there is none).
-- Meaning of the row: `began`, the new term and its token; `waiting` (the last term was not vacated, or waited_ms is
--          below `elsewhere_ms`; `known` and `known_lease_ms` as pgleader.outlook tells them); `fenced`; or
--          `barred` and why this candidate may not lead any more: it must release the lock.
CREATE OR REPLACE FUNCTION pgleader.take_office(
    mark text, election integer, instance uuid, direct boolean, waited boolean, waited_ms integer, heard bigint,
    heard_lease_ms integer,
    OUT outcome text, OUT term bigint, OUT token uuid, OUT bar text, OUT elsewhere_ms integer, OUT known bigint,
    OUT known_lease_ms integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    outlook record;
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_number('election', election);
    IF num_nulls(instance, direct, waited) > 0 THEN
        PERFORM pgleader.refuse('instance, direct or waited', NULL, '');
    ELSIF (waited_ms >= 0) IS NOT TRUE THEN
        PERFORM pgleader.refuse('waited_ms', waited_ms::text, 'be 0 or more');
    END IF;
    PERFORM pgleader.check_heard(heard, heard_lease_ms);
    IF NOT pgleader.holds_leadership(election) THEN
        RAISE EXCEPTION 'this session does not hold the leadership of election %', election
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call pgleader.campaign first.';
    END IF;
    bar := pgleader.turns(ARRAY[election], instance) ->> election::text;
    IF bar IN ('called', 'outranked') THEN
        bar := NULL;
    END IF;
    SELECT o.* INTO outlook FROM pgleader.outlook(election, heard, heard_lease_ms) AS o;
    IF outlook.beyond THEN
        bar := coalesce(bar, 'beyond');
    END IF;
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
        SELECT b.term, b.token INTO take_office.term, take_office.token
        FROM pgleader.begin_term(election, instance, direct, outlook.below, outlook.known, outlook.timeline,
                                 outlook.system_identifier) AS b;
        outcome := CASE WHEN term IS NULL THEN 'fenced' ELSE 'began' END;
    END IF;
END
$$;

-- Purpose: the work of a term has recovered: from `recovering` to `leading`.
-- Hazard: the backend on record is not enough: a pooler may have handed it on.
CREATE OR REPLACE FUNCTION pgleader.ready(mark text, election integer, instance uuid, term bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_number('election', election);
    PERFORM pgleader.check_number('term', term);
    IF instance IS NULL THEN
        PERFORM pgleader.refuse('instance', NULL, '');
    END IF;
    UPDATE pgleader.election AS e
    SET state = 'leading', ready_at = clock_timestamp(), changed_at = clock_timestamp()
    WHERE e.id = election AND e.term = ready.term AND e.pid = pg_backend_pid() AND e.state = 'recovering'
      AND EXISTS (SELECT FROM pgleader.term AS t
                  WHERE t.election_id = election AND t.number = ready.term
                    AND t.instance_hash = sha256(uuid_send(instance)));
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pgleader.forget_candidates(election);
    RETURN true;
END
$$;

-- Purpose: a session proves itself, to the server and to its process; and what is asked of the leader of
--          these elections. Writes nothing, takes no row lock.
-- Parameters: locks, the OID of pgleader.election when this session began.
-- Meaning of a row: a term that must end, and the operator's request that ends it; the oldest comes first.
-- Hazards: whoever has locked the table of requests must not cost the leadership: what is asked waits then.
--          Whoever dropped the schema and made it anew has made new locks: those held are void, and the
--          session must end. So it must where the election's row is gone: whoever joins it anew gets another id, and
--          with it another lock.
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
    SELECT r.election_id, e.term, r.kind, r.requested_by
    FROM pgleader.request AS r
    JOIN pgleader.election AS e ON e.id = r.election_id
    WHERE r.election_id = ANY (elections) AND r.ended_at IS NULL
      AND CASE r.kind
              WHEN 'step down' THEN r.term = e.term
              WHEN 'transfer' THEN r.term = e.term AND pgleader.transfer_to(e.id) IS NOT NULL
              WHEN 'suspend' THEN true
              WHEN 'exclude' THEN r.address = e.address
          END
    ORDER BY r.id;
EXCEPTION WHEN lock_not_available THEN
    RETURN;
END
$$;

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

-- Purpose: record that a term is over and its work has stopped. From the leader's session it also frees the
--          election's row; from any other session of the same process it writes the term's row alone.
-- Parameters: ending, why it ended; ended_by, the operator who asked for it; ended_request, what he asked for.
-- Meaning: false while a fenced transaction holds the row: call again. True also when there is nothing to do.
-- Hazard: it waits for no disk. Lost in a crash, it makes the next leader wait, no more; and what begins the next
--         term is flushed after it.
CREATE OR REPLACE FUNCTION pgleader.vacate(
    mark text, election integer, instance uuid, term bigint, ending text, ended_by name DEFAULT NULL,
    ended_request text DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    hash bytea := sha256(uuid_send(instance));
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_number('election', election);
    PERFORM pgleader.check_number('term', term);
    IF instance IS NULL THEN
        PERFORM pgleader.refuse('instance', NULL, '');
    ELSIF (ending IN ('resigned', 'stepped down', 'failed', 'deposed')) IS NOT TRUE THEN
        PERFORM pgleader.refuse('ending', ending, 'be resigned, stepped down, failed or deposed');
    END IF;
    -- Only who asked is on record as who asked.
    IF num_nonnulls(ended_by, ended_request) > 0
        AND NOT pgleader.was_asked(election, term, ended_by, ended_request) THEN
        ended_by := NULL;
        ended_request := NULL;
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM FROM pgleader.term AS t
    WHERE t.election_id = election AND t.number = vacate.term AND t.instance_hash = hash
      AND t.vacated_at IS NULL
    FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NOT EXISTS (
            SELECT FROM pgleader.term AS t
            WHERE t.election_id = election AND t.number = vacate.term AND t.instance_hash = hash
              AND t.vacated_at IS NULL);
    END IF;
    UPDATE pgleader.term AS t
    SET vacated_at = clock_timestamp(),
        closed_at = coalesce(t.closed_at, clock_timestamp()),
        ready_at = coalesce(t.ready_at, pgleader.ready_at(election, vacate.term)),
        ended_at = coalesce(t.ended_at, clock_timestamp()),
        ending = vacate.ending,
        ended_by = vacate.ended_by,
        ended_request = vacate.ended_request
    WHERE t.election_id = election AND t.number = vacate.term;
    IF pgleader.holds_leadership(election) THEN
        UPDATE pgleader.election AS e
        SET state = 'vacant', address = NULL, pid = NULL, changed_at = clock_timestamp(),
            closed_term = vacate.term
        WHERE e.id = election AND e.term = vacate.term;
    END IF;
    RETURN true;
END
$$;

COMMENT ON FUNCTION pgleader.vacate(text, integer, uuid, bigint, text, name, text) IS
    'null ended_by: no operator asked for it; null ended_request: no operator asked for it';

-- Purpose: let go of the leadership of `elections` and of the successor's place of `successor_of`.
-- Parameters: silence_ms, after how much silence the server shall end what this session is from now on.
-- Meaning: whether this session really held all of them.
CREATE OR REPLACE FUNCTION pgleader.release(
    mark text, elections integer[], successor_of integer[], silence_ms integer
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    election integer;
    held boolean := true;
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_ids('elections', elections);
    PERFORM pgleader.check_ids('successor_of', successor_of);
    IF (silence_ms > 0) IS NOT TRUE THEN
        PERFORM pgleader.refuse('silence_ms', silence_ms::text, 'be above 0');
    END IF;
    FOREACH election IN ARRAY elections LOOP
        held := pg_advisory_unlock('pgleader.election'::regclass::oid::integer, election) AND held;
    END LOOP;
    FOREACH election IN ARRAY successor_of LOOP
        held := pg_advisory_unlock('pgleader.candidate'::regclass::oid::integer, election) AND held;
    END LOOP;
    PERFORM set_config('idle_session_timeout', silence_ms::text, false);
    RETURN held;
END
$$;

-- Purpose: tell everybody how these elections stand. A hint: readers read the tables.
-- Hazard: NOTIFY takes a lock that the whole server shares, when the transaction commits. So it is a
--         statement of its own, waits a short time, and may fail.
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
    PERFORM pg_notify('pg_leader', json_build_object(
        'election', e.name, 'term', e.term, 'state', e.state, 'address', e.address)::text)
    FROM pgleader.election AS e WHERE e.id = ANY (elections);
END
$$;

-- Purpose: how elections stand now. A leader on record whose session is gone does not lead.
-- Parameters: instance, the secret of a candidate's process; null where only somebody looks on.
-- Meaning of a row: an election's id, name, term, state and address;
--   bar      why this candidate may not lead (for who looks on: why nobody may, as far as operators say)
--   called   it is this candidate's turn: it is to lead next, or to be the successor by its priority
CREATE OR REPLACE FUNCTION pgleader.read_elections(names text[], instance uuid DEFAULT NULL)
RETURNS TABLE (
    election integer, name text, term bigint, state text, address text, lease_ms integer, bar text,
    called boolean
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    turns jsonb;
BEGIN
    IF array_ndims(names) > 1 THEN
        PERFORM pgleader.refuse('names', names::text, 'be a plain list');
    ELSIF names IS NULL OR array_position(names, NULL) IS NOT NULL THEN
        PERFORM pgleader.refuse('names or a name', NULL, '');
    END IF;
    turns := pgleader.turns(
        ARRAY(SELECT e.id FROM pgleader.election AS e WHERE e.name = ANY (names)), instance);
    RETURN QUERY
    WITH lock AS MATERIALIZED (
        SELECT l.kind, l.election_id, l.pid FROM pgleader.lock AS l
        WHERE l.granted AND l.mode = 'ExclusiveLock'
    )
    SELECT e.id, e.name, e.term,
           CASE WHEN l.pid IS NULL THEN 'vacant' ELSE e.state END,
           CASE WHEN l.pid IS NULL THEN NULL ELSE e.address END,
           ceil(extract(epoch FROM e.lease) * 1000)::integer,
           CASE WHEN turn.its NOT IN ('called', 'outranked') THEN turn.its END,
           CASE
               WHEN turn.its IS NOT NULL THEN turn.its = 'called'
               ELSE EXISTS (
                   SELECT FROM pgleader.candidate AS c
                   JOIN pgleader.candidate AS o ON o.election_id = c.election_id AND o.priority < c.priority
                   WHERE c.election_id = e.id AND c.instance_hash = sha256(uuid_send(read_elections.instance)))
                   AND NOT EXISTS (
                       SELECT FROM lock AS s
                       WHERE s.kind = 'pgleader.candidate'::regclass AND s.election_id = e.id)
           END
    FROM pgleader.election AS e
    CROSS JOIN LATERAL (SELECT turns ->> e.id::text AS its) AS turn
    LEFT JOIN lock AS l
        ON l.kind = 'pgleader.election'::regclass AND l.election_id = e.id AND l.pid = e.pid
    WHERE e.name = ANY (names);
END
$$;

COMMENT ON FUNCTION pgleader.read_elections(text[], uuid) IS 'null instance: somebody looks on, who is no candidate';

-- Purpose: the first half of the autopsy: has the backend of that term left the server's list?
-- Hazard: a backend reports its end to the counters before it leaves the list, so the counters must be read
--         after this has said yes, in a round trip of their own.
CREATE OR REPLACE FUNCTION pgleader.backend_gone(mark text, election integer, term bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_mark(mark);
    PERFORM pgleader.check_number('election', election);
    PERFORM pgleader.check_number('term', term);
    RETURN NOT EXISTS (
        SELECT FROM pgleader.term AS t
        CROSS JOIN LATERAL pg_stat_get_activity(t.pid) AS a
        WHERE t.election_id = election AND t.number = backend_gone.term
          AND (a.backend_start IS NULL OR a.backend_start = t.backend_start));
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

-- Purpose: whether a term's session is behind pgpool-II. It must not be ended then, from whichever session: pgpool
--          would hear of an administrator's shutdown (57P01), and detach the primary that is well.
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
-- Meaning: whether it was ended; false when neither may, and where it is behind pgpool-II: its own silence ends it.
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
        -- Of null it tells about every backend.
        SELECT backend FROM pg_stat_get_activity(coalesce(backend, 0)) AS a
        WHERE a.state_change <= clock_timestamp() - its_lease AND NOT pgleader.is_behind_pgpool(election, term));
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
CREATE OR REPLACE FUNCTION pgleader.evict(mark text, election integer, term bigint) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    backend integer;
BEGIN
    PERFORM pgleader.check_mark(mark);
    backend := pgleader.silent_backend(election, term);
    IF backend IS NOT NULL THEN
        RETURN pg_terminate_backend(backend);
    END IF;
    RETURN pgleader.evict_silent(mark, election, term);
EXCEPTION WHEN insufficient_privilege THEN
    RETURN pgleader.evict_silent(mark, election, term);
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgleader FROM PUBLIC;
COMMIT;
