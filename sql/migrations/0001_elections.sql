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
SET LOCAL lock_timeout = 0;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;
SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE;
DO $$ BEGIN PERFORM pg_advisory_xact_lock(hashtext('pgleader: install')); END $$;

-- Not pg_leader: PostgreSQL reserves the prefix pg_ for schemas of its own.
CREATE SCHEMA IF NOT EXISTS pgleader;
COMMENT ON SCHEMA pgleader IS 'Leader election. Start with: SELECT * FROM pgleader.status';

-- Tables -------------------------------------------------------------------------------------------------

-- A row an election, written by the holder of its leadership lock alone, and never deleted: its terms must
-- not start again.
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
    -- How many fenced transactions the next term has had to end so far.
    fenced_ended integer NOT NULL DEFAULT 0
);

-- Who takes part. `instance` is a random secret of the process: it authorises a vacate from another session.
CREATE TABLE IF NOT EXISTS pgleader.candidate (
    election_id   integer NOT NULL,
    instance      uuid NOT NULL,
    address       text NOT NULL,
    priority      integer NOT NULL,
    lease         interval NOT NULL,
    pid           integer NOT NULL,
    backend_start timestamptz NOT NULL,
    joined_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (election_id, instance)
);
-- Whether its session is behind pgpool-II, which takes the end of a session by force for the end of its server.
ALTER TABLE pgleader.candidate ADD COLUMN IF NOT EXISTS behind_pgpool boolean NOT NULL DEFAULT false;
-- Empty where nobody has a priority: then nobody looks further.
CREATE INDEX IF NOT EXISTS candidate_priority ON pgleader.candidate (election_id) WHERE priority <> 0;

-- Those whose session lives.
CREATE OR REPLACE VIEW pgleader.alive AS
SELECT c.*
FROM pgleader.candidate AS c
WHERE EXISTS (SELECT FROM pg_stat_get_activity(c.pid) AS a
              WHERE a.backend_start IS NULL OR a.backend_start = c.backend_start);

-- A row a term, written at its beginning and ending only: a fence may hold it FOR SHARE. So `ready_at` is
-- kept with the election until the term ends.
--   closed_at   its fence refuses from here
--   vacated_at  its work has stopped; without it nobody knows
CREATE TABLE IF NOT EXISTS pgleader.term (
    election_id       integer NOT NULL,
    number            bigint NOT NULL CHECK (number > 0),
    address           text NOT NULL,
    instance          uuid NOT NULL,
    lease             interval NOT NULL,
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
    -- How many fenced transactions of earlier terms it had to end before it could begin.
    fenced_ended      integer NOT NULL DEFAULT 0,
    PRIMARY KEY (election_id, number)
);
-- As its candidate's.
ALTER TABLE pgleader.term ADD COLUMN IF NOT EXISTS behind_pgpool boolean NOT NULL DEFAULT false;

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

-- Facts about the server ---------------------------------------------------------------------------------

-- Purpose: the timeline that this server writes; 1 where the platform does not tell. A session that may write
--          meets one timeline in its life, so it is looked up once.
CREATE OR REPLACE FUNCTION pgleader.timeline() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known text := current_setting('pgleader.timeline', true);
BEGIN
    IF coalesce(known, '') = '' THEN
        BEGIN
            known := ('x' || lpad(left(pg_walfile_name(pg_current_wal_lsn()), 8), 16, '0'))::bit(64)::bigint::text;
        EXCEPTION WHEN undefined_function OR insufficient_privilege OR feature_not_supported THEN
            known := '1';
        END;
        PERFORM set_config('pgleader.timeline', known, false);
    END IF;
    RETURN known::bigint;
END
$$;

-- Purpose: the identity of this cluster; null where the platform does not tell. Looked up once in a session.
CREATE OR REPLACE FUNCTION pgleader.system_identifier() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    known text := current_setting('pgleader.system_identifier', true);
BEGIN
    IF coalesce(known, '') = '' THEN
        BEGIN
            known := (SELECT c.system_identifier::text FROM pg_control_system() AS c);
        EXCEPTION WHEN undefined_function OR insufficient_privilege OR feature_not_supported THEN
            known := 'unknown';
        END;
        PERFORM set_config('pgleader.system_identifier', known, false);
    END IF;
    RETURN nullif(known, 'unknown')::bigint;
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

-- What a candidate's session calls -----------------------------------------------------------------------

-- Purpose: record a candidacy, and make the election when it is new.
-- Parameters: instance, the secret of the process; lease_ms, its lease in milliseconds; backend_start, when
--             this session's backend began (the owner of the schema may not see that of another role);
--             application, the application_name to show for this session; priority, who comes first when a
--             term ends: the highest.
-- Meaning: the election's id.
CREATE OR REPLACE FUNCTION pgleader.join_election(
    election text, instance uuid, address text, lease_ms integer, backend_start timestamptz,
    application text, priority integer DEFAULT 0
) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    election_id integer;
BEGIN
    PERFORM set_config('application_name', application, false);
    PERFORM set_config('pgleader.locks', 'pgleader.election'::regclass::oid::text, false);
    SELECT e.id INTO election_id FROM pgleader.election AS e WHERE e.name = election;
    IF NOT FOUND THEN
        INSERT INTO pgleader.election AS e (name) VALUES (election) ON CONFLICT (name) DO NOTHING;
        SELECT e.id INTO election_id FROM pgleader.election AS e WHERE e.name = election;
    END IF;
    INSERT INTO pgleader.candidate AS c
        (election_id, instance, address, priority, lease, pid, backend_start)
    VALUES (election_id, join_election.instance, join_election.address, join_election.priority,
            lease_ms * interval '1 ms', pg_backend_pid(), join_election.backend_start)
    ON CONFLICT ON CONSTRAINT candidate_pkey DO UPDATE
    SET address = excluded.address, priority = excluded.priority, lease = excluded.lease, pid = excluded.pid,
        backend_start = excluded.backend_start, joined_at = excluded.joined_at, behind_pgpool = false;
    RETURN election_id;
END
$$;

-- Purpose: record that the caller's session is behind pgpool-II: from here nobody ends it by force. Called after
--          join_election and before anything else.
CREATE OR REPLACE FUNCTION pgleader.record_pgpool(election integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE pgleader.candidate AS c SET behind_pgpool = true
    WHERE c.election_id = election AND c.pid = pg_backend_pid();
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this session is no candidate of election %', election
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call pgleader.join_election first.';
    END IF;
END
$$;

-- Purpose: take the candidacy back.
CREATE OR REPLACE FUNCTION pgleader.leave_election(election integer, instance uuid) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    DELETE FROM pgleader.candidate AS c
    WHERE c.election_id = election AND c.instance = leave_election.instance;
END
$$;

-- Purpose: when the work of a term had recovered, as long as the election's row tells.
CREATE OR REPLACE FUNCTION pgleader.ready_at(election integer, term bigint) RETURNS timestamptz
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT e.ready_at FROM pgleader.election AS e WHERE e.id = election AND e.term = ready_at.term
$$;

-- Purpose: whether this session holds the leadership of an election.
CREATE OR REPLACE FUNCTION pgleader.holds_leadership(election integer) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pgleader.lock AS l
        WHERE l.kind = 'pgleader.election'::regclass AND l.election_id = election
          AND l.pid = pg_backend_pid() AND l.granted)
$$;

-- Purpose: forget candidates whose process was killed and could not take its candidacy back. Called by a leader.
-- Hazard: never before the refractory period is over: after a failover it is the longest lease on record.
CREATE OR REPLACE FUNCTION pgleader.forget_candidates(election integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
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

-- Purpose: the number of the term after `last`: greater than every one given out before, also by a server
--          that was lost together with its last rows. A thousand million numbers a timeline, counted from the
--          block of the last term: a restored cluster begins its timelines again, its numbers go on. So two
--          servers that go on from the same last row, on different timelines, give out different numbers.
CREATE OR REPLACE FUNCTION pgleader.next_number(election integer, last bigint, timeline bigint)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    size CONSTANT bigint := bigint '1000000000';
    ahead bigint := timeline;
    term pgleader.term;
BEGIN
    IF last = 0 THEN
        RETURN (timeline - 1) * size + 1;
    END IF;
    SELECT t.* INTO term FROM pgleader.term AS t WHERE t.election_id = election AND t.number = last;
    IF FOUND AND term.system_identifier IS NOT DISTINCT FROM pgleader.system_identifier() THEN
        ahead := timeline - term.timeline;
    END IF;
    RETURN greatest(last + 1, ((last - 1) / size + ahead) * size + 1, (timeline - 1) * size + 1);
END
$$;

-- Purpose: begin the next term. Called by the holder of the leadership lock, after the old term was closed.
-- Meaning: the new term's number; null while a fenced transaction of the old term is under way.
CREATE OR REPLACE FUNCTION pgleader.begin_term(election integer, instance uuid, direct boolean)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    timeline bigint := pgleader.timeline();
    candidate pgleader.candidate;
    open_term bigint;
    next_term bigint;
    ended integer;
BEGIN
    IF NOT pg_try_advisory_xact_lock('pgleader.term'::regclass::oid::integer, election) THEN
        RETURN NULL;
    END IF;
    -- No fenced transaction is left that could hold the row. It must be written before the new term can be seen:
    -- that is what a fence with an older snapshot runs into.
    open_term := (
        SELECT t.number FROM pgleader.election AS e
        JOIN pgleader.term AS t ON t.election_id = e.id AND t.number = e.term
        WHERE e.id = election AND t.closed_at IS NULL);
    IF open_term IS NOT NULL THEN
        PERFORM pgleader.close_term(election, open_term);
        IF EXISTS (
            SELECT FROM pgleader.term AS t
            WHERE t.election_id = election AND t.number = open_term AND t.closed_at IS NULL) THEN
            -- A vacate from another session holds it, and will have closed it in a moment.
            RETURN NULL;
        END IF;
    END IF;
    SELECT c.* INTO STRICT candidate FROM pgleader.candidate AS c
    WHERE c.election_id = election AND c.instance = begin_term.instance;
    UPDATE pgleader.election AS e
    SET term = pgleader.next_number(election, e.term, timeline), state = 'recovering',
        address = candidate.address, pid = pg_backend_pid(), lease = candidate.lease,
        ready_at = NULL, changed_at = clock_timestamp(), fenced_ended = 0
    FROM (SELECT o.fenced_ended FROM pgleader.election AS o WHERE o.id = election) AS before
    WHERE e.id = election
    RETURNING e.term, before.fenced_ended INTO next_term, ended;
    INSERT INTO pgleader.term
        (election_id, number, address, instance, lease, pid, backend_start, direct, system_identifier,
         timeline, fenced_ended, behind_pgpool)
    VALUES (election, next_term, candidate.address, candidate.instance, candidate.lease, candidate.pid,
            candidate.backend_start, direct, pgleader.system_identifier(), timeline, ended,
            candidate.behind_pgpool);
    PERFORM pgleader.end_requests(election, next_term);
    IF next_term % 20 = 0 THEN
        PERFORM pgleader.forget_candidates(election);
        DELETE FROM pgleader.term AS t
        WHERE t.election_id = election AND t.number < (
            SELECT o.number FROM pgleader.term AS o WHERE o.election_id = election
            ORDER BY o.number DESC OFFSET 999 LIMIT 1);
    END IF;
    RETURN next_term;
END
$$;

-- Purpose: how long a new term must wait for the work of the last one, if nothing else tells that it stopped.
-- Meaning: milliseconds; 0 where there was none before, or where it was vacated. A vacate counts only for a
--          term that began on this system identifier and timeline: an asynchronous failover may have lost
--          a later term.
CREATE OR REPLACE FUNCTION pgleader.refractory_period(election integer, last_term bigint)
RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    term pgleader.term;
    period interval;
BEGIN
    SELECT t.* INTO term FROM pgleader.term AS t WHERE t.election_id = election AND t.number = last_term;
    IF last_term = 0 AND pgleader.timeline() = 1 THEN
        period := interval '0';
    ELSIF term.timeline = pgleader.timeline()
        AND term.system_identifier IS NOT DISTINCT FROM pgleader.system_identifier() THEN
        period := CASE WHEN term.vacated_at IS NULL THEN term.lease ELSE interval '0' END;
    ELSE
        SELECT max(c.lease) INTO period FROM pgleader.candidate AS c WHERE c.election_id = election;
        period := greatest(period, term.lease);
    END IF;
    RETURN ceil(extract(epoch FROM period) * 1000)::integer;
END
$$;

-- Purpose: one try for being the successor of each election, and who is it, for the leadership. The successor
--          comes first because it alone has watched the leader, and knows whether it must wait.
-- Parameters: elections, their ids; successor_of, those of them whose successor this session is already
--             (session locks stack, so it must not ask again); overdue, those of them that nobody leads
--             although somebody has been successor for a while, or whose place nobody takes who ranks higher:
--             tried for all the same; instance, the secret of the process; direct, whether this session is;
--             silence_ms, after how much silence the server shall end a session that leads or is successor.
-- Meaning of a row, one an election:
--   outcome       `began` (the new term is `term`), `won` (the lock is ours, the old term is closed, its work
--                 may still run), `fenced` (the lock is ours, a fenced transaction stands in the way) or `held`
--                 (by somebody else, or left to somebody else)
--   term, state, address, leader_pid, lease_ms   the election's row as it is now; where `won` or `fenced`,
--                 leader_pid and lease_ms are those of the last term
--   wait_ms       where `won`: the refractory period
--   direct        where `won`: whether the last term's session was
--   holder_pid    where `held`: who holds the lock; null when it was let go meanwhile
--   stranger      where `held`: the holder is no candidate
--   successor     whether this session is the successor
--   silent_since  where `held` by the leader on record: when its backend last changed its state (µs); null
--                 where this role may not know
--   killed, fatal, reset   the counters as they were before the try
--   bar           where `held`: why this candidate may not lead: `suspended`, `excluded`, `transfer` (the next
--                 term is to be another's), `outranked` (another comes first) or `unknown` (what operators ask
--                 for cannot be read). No lock was tried then, or none is kept that was not held before
CREATE OR REPLACE FUNCTION pgleader.try_elections(
    elections integer[], successor_of integer[], overdue integer[], instance uuid, direct boolean,
    silence_ms integer
) RETURNS TABLE (
    election integer, outcome text, term bigint, state text, address text, leader_pid integer,
    lease_ms integer, wait_ms integer, was_direct boolean, holder_pid integer, stranger boolean,
    successor boolean, silent_since bigint, killed bigint, fatal bigint, reset bigint, bar text
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    held integer[] := ARRAY[]::integer[];
    held_bars text[] := ARRAY[]::text[];
    heir_of integer[] := successor_of;
    turns jsonb;
    may_try boolean;
    last record;
BEGIN
    SELECT c.killed, c.fatal, c.reset INTO killed, fatal, reset FROM pgleader.counters() AS c;
    turns := pgleader.turns(elections, instance);
    FOREACH election IN ARRAY elections LOOP
        bar := turns ->> election::text;
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
            SELECT e.term, t.pid, t.lease, t.direct INTO STRICT last
            FROM pgleader.election AS e
            LEFT JOIN pgleader.term AS t ON t.election_id = e.id AND t.number = e.term
            WHERE e.id = try_elections.election;
            wait_ms := pgleader.refractory_period(election, last.term);
            IF wait_ms = 0 THEN
                term := pgleader.begin_term(election, instance, direct);
                outcome := CASE WHEN term IS NULL THEN 'fenced' ELSE 'began' END;
            ELSE
                UPDATE pgleader.election AS e
                SET state = 'vacant', address = NULL, pid = NULL, changed_at = clock_timestamp()
                WHERE e.id = try_elections.election AND e.state <> 'vacant';
                outcome := 'won';
                PERFORM pgleader.close_term(election, last.term);
            END IF;
            IF outcome = 'began' THEN
                SELECT e.state, e.address, e.pid, ceil(extract(epoch FROM e.lease) * 1000)::integer
                INTO state, address, leader_pid, lease_ms
                FROM pgleader.election AS e WHERE e.id = try_elections.election;
            ELSE
                term := last.term;
                state := 'vacant';
                address := NULL;
                leader_pid := last.pid;
                lease_ms := ceil(extract(epoch FROM last.lease) * 1000)::integer;
            END IF;
            was_direct := coalesce(last.direct, false);
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
        SELECT e.id, 'held', e.term, e.state, e.address, e.pid,
               ceil(extract(epoch FROM e.lease) * 1000)::integer, 0, false, l.pid,
               l.pid IS NOT NULL AND l.pid IS DISTINCT FROM e.pid AND NOT EXISTS (
                   SELECT FROM pgleader.candidate AS c WHERE c.election_id = e.id AND c.pid = l.pid),
               e.id = ANY (heir_of),
               (SELECT (extract(epoch FROM a.state_change) * 1000000)::bigint
                FROM pg_stat_get_activity(l.pid) AS a WHERE l.pid = e.pid),
               try_elections.killed, try_elections.fatal, try_elections.reset, h.bar
        FROM unnest(held, held_bars) AS h (id, bar)
        JOIN pgleader.election AS e ON e.id = h.id
        LEFT JOIN pgleader.lock AS l
            ON l.kind = 'pgleader.election'::regclass AND l.election_id = e.id AND l.granted;
    END IF;
END
$$;

-- Purpose: try_elections, and with the caller's own rights what the schema's owner may not know: when the
--          backend of a leader with the caller's role last changed its state.
CREATE OR REPLACE FUNCTION pgleader.campaign(
    elections integer[], successor_of integer[], overdue integer[], instance uuid, direct boolean,
    silence_ms integer
) RETURNS TABLE (
    election integer, outcome text, term bigint, state text, address text, leader_pid integer,
    lease_ms integer, wait_ms integer, was_direct boolean, holder_pid integer, stranger boolean,
    successor boolean, silent_since bigint, killed bigint, fatal bigint, reset bigint, bar text
)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    SELECT t.election, t.outcome, t.term, t.state, t.address, t.leader_pid, t.lease_ms, t.wait_ms,
           t.was_direct, t.holder_pid, t.stranger, t.successor,
           coalesce(t.silent_since,
               (SELECT (extract(epoch FROM a.state_change) * 1000000)::bigint
                FROM pg_stat_get_activity(t.holder_pid) AS a
                WHERE t.outcome = 'held' AND t.holder_pid = t.leader_pid)),
           t.killed, t.fatal, t.reset, t.bar
    FROM pgleader.try_elections(elections, successor_of, overdue, instance, direct, silence_ms) AS t;
END
$$;

-- Purpose: take office, by the holder of the leadership lock that campaigned and had to wait.
-- Parameters: waited, whether it is known that the last term's work has stopped.
-- Meaning of the row: `began` and the new term; `waiting` (the last term was not vacated); `fenced`; or `barred`
--          and why this candidate may not lead any more: it must release the lock.
CREATE OR REPLACE FUNCTION pgleader.take_office(
    election integer, instance uuid, direct boolean, waited boolean,
    OUT outcome text, OUT term bigint, OUT bar text
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    last bigint := (SELECT e.term FROM pgleader.election AS e WHERE e.id = election);
BEGIN
    IF NOT pgleader.holds_leadership(election) THEN
        RAISE EXCEPTION 'this session does not hold the leadership of election %', election
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call pgleader.campaign first.';
    END IF;
    bar := pgleader.turns(ARRAY[election], instance) ->> election::text;
    IF bar IN ('called', 'outranked') THEN
        bar := NULL;
    END IF;
    IF bar IS NOT NULL THEN
        outcome := 'barred';
    ELSIF NOT waited AND pgleader.refractory_period(election, last) > 0 THEN
        outcome := 'waiting';
    ELSE
        PERFORM pgleader.close_term(election, last);
        term := pgleader.begin_term(election, instance, direct);
        outcome := CASE WHEN term IS NULL THEN 'fenced' ELSE 'began' END;
    END IF;
END
$$;

-- Purpose: the work of a term has recovered: from `recovering` to `leading`.
CREATE OR REPLACE FUNCTION pgleader.ready(election integer, instance uuid, term bigint) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    UPDATE pgleader.election AS e
    SET state = 'leading', ready_at = clock_timestamp(), changed_at = clock_timestamp()
    WHERE e.id = election AND e.term = ready.term AND e.pid = pg_backend_pid() AND e.state = 'recovering'
      AND EXISTS (SELECT FROM pgleader.candidate AS c
                  WHERE c.election_id = election AND c.instance = ready.instance);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pgleader.forget_candidates(election);
    RETURN true;
END
$$;

-- Purpose: a session proves itself, to the server and to its process; and what is asked of the leader of
--          these elections. Writes nothing, takes no row lock.
-- Meaning of a row: a term that must end, and the operator's request that ends it; the oldest comes first.
-- Hazards: whoever has locked the table of requests must not cost the leadership: what is asked waits then.
--          Whoever dropped the schema and made it anew has made new locks: those held are void, and the
--          session must end.
CREATE OR REPLACE FUNCTION pgleader.heartbeat(elections integer[])
RETURNS TABLE (election integer, term bigint, kind text, requested_by name)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5ms'
AS $$
BEGIN
    IF current_setting('pgleader.locks', true) IS DISTINCT FROM 'pgleader.election'::regclass::oid::text THEN
        RAISE EXCEPTION 'the schema pgleader was made anew under this session: the locks that it holds are void'
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Connect and join again. Restore a schema only while no candidate runs.';
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

-- Purpose: record that a term is over and its work has stopped. From the leader's session it also frees the
--          election's row; from any other session of the same process it writes the term's row alone.
-- Parameters: ending, why it ended; ended_by, the operator who asked for it; ended_request, what he asked for.
-- Meaning: false while a fenced transaction holds the row: call again. True also when there is nothing to do.
-- Hazard: it waits for no disk. Lost in a crash, it makes the next leader wait, no more; and what begins the next
--         term is flushed after it.
CREATE OR REPLACE FUNCTION pgleader.vacate(
    election integer, instance uuid, term bigint, ending text, ended_by name DEFAULT NULL,
    ended_request text DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    PERFORM FROM pgleader.term AS t
    WHERE t.election_id = election AND t.number = vacate.term AND t.instance = vacate.instance
      AND t.vacated_at IS NULL
    FOR NO KEY UPDATE SKIP LOCKED;
    IF NOT FOUND THEN
        RETURN NOT EXISTS (
            SELECT FROM pgleader.term AS t
            WHERE t.election_id = election AND t.number = vacate.term AND t.instance = vacate.instance
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

-- Purpose: let go of the leadership of `elections` and of the successor's place of `successor_of`.
-- Parameters: silence_ms, after how much silence the server shall end what this session is from now on.
-- Meaning: whether this session really held all of them.
CREATE OR REPLACE FUNCTION pgleader.release(
    elections integer[], successor_of integer[], silence_ms integer
) RETURNS boolean
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    election integer;
    held boolean := true;
BEGIN
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
CREATE OR REPLACE FUNCTION pgleader.announce(elections integer[], wait_ms integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
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
    turns jsonb := pgleader.turns(
        ARRAY(SELECT e.id FROM pgleader.election AS e WHERE e.name = ANY (names)), instance);
BEGIN
    RETURN QUERY
    WITH lock AS MATERIALIZED (
        SELECT l.kind, l.election_id, l.pid FROM pgleader.lock AS l WHERE l.granted
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
                   WHERE c.election_id = e.id AND c.instance = read_elections.instance)
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

-- Purpose: the first half of the autopsy: has the backend of that term left the server's list?
-- Hazard: a backend reports its end to the counters before it leaves the list, so the counters must be read
--         after this has said yes, in a round trip of their own.
CREATE OR REPLACE FUNCTION pgleader.backend_gone(election integer, term bigint) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT NOT EXISTS (
        SELECT FROM pgleader.term AS t
        CROSS JOIN LATERAL pg_stat_get_activity(t.pid) AS a
        WHERE t.election_id = election AND t.number = backend_gone.term
          AND (a.backend_start IS NULL OR a.backend_start = t.backend_start))
$$;

-- Purpose: the backend that leads an election on record, if it still holds the lock.
CREATE OR REPLACE FUNCTION pgleader.leader_backend(election integer, term bigint) RETURNS integer
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT l.pid
    FROM pgleader.election AS e
    JOIN pgleader.lock AS l
        ON l.kind = 'pgleader.election'::regclass AND l.election_id = e.id AND l.pid = e.pid AND l.granted
    WHERE e.id = election AND e.term = leader_backend.term
$$;

-- Purpose: whether a term's session is behind pgpool-II. It must not be ended then, from whichever session: pgpool
--          would hear of an administrator's shutdown (57P01), and detach the primary that is well.
CREATE OR REPLACE FUNCTION pgleader.is_behind_pgpool(election integer, term bigint) RETURNS boolean
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
    SELECT EXISTS (
        SELECT FROM pgleader.term AS t
        WHERE t.election_id = election AND t.number = is_behind_pgpool.term AND t.behind_pgpool)
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

-- Purpose: eviction: end the backend of a leader that has been silent for its lease. The caller's own rights
--          are tried first (the same role, usually), then those of the schema's owner.
-- Meaning: whether it was ended; false when neither may, and where it is behind pgpool-II: its own silence ends it.
CREATE OR REPLACE FUNCTION pgleader.evict(election integer, term bigint) RETURNS boolean
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

COMMIT;
