-- The whole schema as the migrations make it, out of the catalogs. Not to be edited, and not what installs
-- it: that is sql/migrations. The roles observer, candidate and operator stand for any that were given to
-- grant_observer, grant_candidate and grant_operator.
-- tests/database/schema.rs compares. Renew with: PG_LEADER_RENEW_SCHEMA=1 scripts/test --postgres 15 --test database schema::

SET check_function_bodies = off;

CREATE SCHEMA pgleader;
COMMENT ON SCHEMA pgleader IS 'Leader election. Start with: SELECT * FROM pgleader.status';

CREATE TABLE pgleader.election (
    id integer NOT NULL GENERATED ALWAYS AS IDENTITY,
    name text NOT NULL,
    term bigint NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'vacant'::text,
    address text,
    pid integer,
    lease interval,
    ready_at timestamp with time zone,
    changed_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    closed_term bigint NOT NULL DEFAULT 0,
    fenced_ended integer NOT NULL DEFAULT 0,
    CONSTRAINT election_pkey PRIMARY KEY (id),
    CONSTRAINT election_name_key UNIQUE (name),
    CONSTRAINT election_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200))),
    CONSTRAINT election_state_check CHECK ((state = ANY (ARRAY['vacant'::text, 'recovering'::text, 'leading'::text])))
);

CREATE TABLE pgleader.candidate (
    election_id integer NOT NULL,
    instance uuid NOT NULL,
    address text NOT NULL,
    priority integer NOT NULL,
    lease interval NOT NULL,
    pid integer NOT NULL,
    backend_start timestamp with time zone NOT NULL,
    joined_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT candidate_pkey PRIMARY KEY (election_id, instance)
);
CREATE INDEX candidate_priority ON pgleader.candidate USING btree (election_id) WHERE (priority <> 0);

CREATE VIEW pgleader.alive AS
 SELECT c.election_id,
    c.instance,
    c.address,
    c.priority,
    c.lease,
    c.pid,
    c.backend_start,
    c.joined_at
   FROM pgleader.candidate c
  WHERE (EXISTS ( SELECT
           FROM pg_stat_get_activity(c.pid) a(datid, pid, usesysid, application_name, state, query, wait_event_type, wait_event, xact_start, query_start, backend_start, state_change, client_addr, client_hostname, client_port, backend_xid, backend_xmin, backend_type, ssl, sslversion, sslcipher, sslbits, ssl_client_dn, ssl_client_serial, ssl_issuer_dn, gss_auth, gss_princ, gss_enc, leader_pid, query_id)
          WHERE ((a.backend_start IS NULL) OR (a.backend_start = c.backend_start))));

CREATE TABLE pgleader.term (
    election_id integer NOT NULL,
    number bigint NOT NULL,
    address text NOT NULL,
    instance uuid NOT NULL,
    lease interval NOT NULL,
    pid integer NOT NULL,
    backend_start timestamp with time zone NOT NULL,
    direct boolean NOT NULL,
    system_identifier bigint,
    timeline bigint NOT NULL,
    started_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    ready_at timestamp with time zone,
    closed_at timestamp with time zone,
    vacated_at timestamp with time zone,
    ended_at timestamp with time zone,
    ending text,
    ended_by name,
    ended_request text,
    fenced_ended integer NOT NULL DEFAULT 0,
    CONSTRAINT term_pkey PRIMARY KEY (election_id, number),
    CONSTRAINT term_ending_check CHECK ((ending = ANY (ARRAY['resigned'::text, 'stepped down'::text, 'failed'::text, 'deposed'::text, 'lost'::text]))),
    CONSTRAINT term_number_check CHECK ((number > 0))
);

CREATE TABLE pgleader.request (
    id bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
    election_id integer NOT NULL,
    term bigint NOT NULL,
    kind text NOT NULL,
    address text,
    timeline bigint NOT NULL,
    requested_by name NOT NULL,
    requested_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    ended_by name,
    ended_at timestamp with time zone,
    CONSTRAINT request_pkey PRIMARY KEY (id),
    CONSTRAINT request_check CHECK (((address IS NOT NULL) = (kind = ANY (ARRAY['transfer'::text, 'exclude'::text])))),
    CONSTRAINT request_kind_check CHECK ((kind = ANY (ARRAY['step down'::text, 'transfer'::text, 'suspend'::text, 'exclude'::text, 'depose'::text])))
);
CREATE INDEX request_election_id ON pgleader.request USING btree (election_id, term);
CREATE INDEX request_in_force ON pgleader.request USING btree (election_id) WHERE (ended_at IS NULL);

CREATE OR REPLACE FUNCTION pgleader.timeline()
 RETURNS bigint
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.timeline() FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.system_identifier()
 RETURNS bigint
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.system_identifier() FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.counters(OUT killed bigint, OUT fatal bigint, OUT reset bigint)
 RETURNS record
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    -- Not pg_stat_database: that view reads every database's counters.
    mine oid := (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database());
BEGIN
    killed := pg_stat_get_db_sessions_killed(mine);
    fatal := pg_stat_get_db_sessions_fatal(mine);
    reset := coalesce((extract(epoch FROM pg_stat_get_db_stat_reset_time(mine)) * 1000000)::bigint, 0);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.counters() FROM PUBLIC;

CREATE VIEW pgleader.lock AS
 SELECT (l.classid)::regclass AS kind,
    (l.objid)::integer AS election_id,
    l.pid,
    l.mode,
    l.granted
   FROM pg_locks l
  WHERE ((l.locktype = 'advisory'::text) AND (l.objsubid = 2) AND (l.database = ( SELECT d.oid
           FROM pg_database d
          WHERE (d.datname = current_database()))) AND (l.classid = ANY (ARRAY[('pgleader.election'::regclass)::oid, ('pgleader.candidate'::regclass)::oid, ('pgleader.term'::regclass)::oid])));

CREATE OR REPLACE FUNCTION pgleader.join_election(election text, instance uuid, address text, lease_ms integer, backend_start timestamp with time zone, application text, priority integer DEFAULT 0)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
        backend_start = excluded.backend_start, joined_at = excluded.joined_at;
    RETURN election_id;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.join_election(text,uuid,text,integer,timestamp with time zone,text,integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.leave_election(election integer, instance uuid)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    DELETE FROM pgleader.candidate AS c
    WHERE c.election_id = election AND c.instance = leave_election.instance;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.leave_election(integer,uuid) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.ready_at(election integer, term bigint)
 RETURNS timestamp with time zone
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT e.ready_at FROM pgleader.election AS e WHERE e.id = election AND e.term = ready_at.term
$function$;
REVOKE ALL ON FUNCTION pgleader.ready_at(integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.holds_leadership(election integer)
 RETURNS boolean
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT EXISTS (
        SELECT FROM pgleader.lock AS l
        WHERE l.kind = 'pgleader.election'::regclass AND l.election_id = election
          AND l.pid = pg_backend_pid() AND l.granted)
$function$;
REVOKE ALL ON FUNCTION pgleader.holds_leadership(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.forget_candidates(election integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    DELETE FROM pgleader.candidate AS c
    WHERE c.election_id = election
      AND NOT EXISTS (
          SELECT FROM pg_stat_get_activity(c.pid) AS a
          WHERE a.backend_start IS NULL OR a.backend_start = c.backend_start);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.forget_candidates(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.close_term(election integer, term bigint)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.close_term(integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.next_number(election integer, last bigint, timeline bigint)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.next_number(integer,bigint,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.begin_term(election integer, instance uuid, direct boolean)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
         timeline, fenced_ended)
    VALUES (election, next_term, candidate.address, candidate.instance, candidate.lease, candidate.pid,
            candidate.backend_start, direct, pgleader.system_identifier(), timeline, ended);
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
$function$;
REVOKE ALL ON FUNCTION pgleader.begin_term(integer,uuid,boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.refractory_period(election integer, last_term bigint)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.refractory_period(integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.try_elections(elections integer[], successor_of integer[], overdue integer[], instance uuid, direct boolean, silence_ms integer)
 RETURNS TABLE(election integer, outcome text, term bigint, state text, address text, leader_pid integer, lease_ms integer, wait_ms integer, was_direct boolean, holder_pid integer, stranger boolean, successor boolean, silent_since bigint, killed bigint, fatal bigint, reset bigint, bar text)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.try_elections(integer[],integer[],integer[],uuid,boolean,integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.campaign(elections integer[], successor_of integer[], overdue integer[], instance uuid, direct boolean, silence_ms integer)
 RETURNS TABLE(election integer, outcome text, term bigint, state text, address text, leader_pid integer, lease_ms integer, wait_ms integer, was_direct boolean, holder_pid integer, stranger boolean, successor boolean, silent_since bigint, killed bigint, fatal bigint, reset bigint, bar text)
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.campaign(integer[],integer[],integer[],uuid,boolean,integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.take_office(election integer, instance uuid, direct boolean, waited boolean, OUT outcome text, OUT term bigint, OUT bar text)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.take_office(integer,uuid,boolean,boolean) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.ready(election integer, instance uuid, term bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.ready(integer,uuid,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.heartbeat(elections integer[])
 RETURNS TABLE(election integer, term bigint, kind text, requested_by name)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5ms'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.heartbeat(integer[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.vacate(election integer, instance uuid, term bigint, ending text, ended_by name DEFAULT NULL::name, ended_request text DEFAULT NULL::text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.vacate(integer,uuid,bigint,text,name,text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.release(elections integer[], successor_of integer[], silence_ms integer)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.release(integer[],integer[],integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.announce(elections integer[], wait_ms integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM set_config('lock_timeout', wait_ms::text, true);
    PERFORM pg_notify('pg_leader', json_build_object(
        'election', e.name, 'term', e.term, 'state', e.state, 'address', e.address)::text)
    FROM pgleader.election AS e WHERE e.id = ANY (elections);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.announce(integer[],integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.read_elections(names text[], instance uuid DEFAULT NULL::uuid)
 RETURNS TABLE(election integer, name text, term bigint, state text, address text, lease_ms integer, bar text, called boolean)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.read_elections(text[],uuid) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.backend_gone(election integer, term bigint)
 RETURNS boolean
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT NOT EXISTS (
        SELECT FROM pgleader.term AS t
        CROSS JOIN LATERAL pg_stat_get_activity(t.pid) AS a
        WHERE t.election_id = election AND t.number = backend_gone.term
          AND (a.backend_start IS NULL OR a.backend_start = t.backend_start))
$function$;
REVOKE ALL ON FUNCTION pgleader.backend_gone(integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.leader_backend(election integer, term bigint)
 RETURNS integer
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT l.pid
    FROM pgleader.election AS e
    JOIN pgleader.lock AS l
        ON l.kind = 'pgleader.election'::regclass AND l.election_id = e.id AND l.pid = e.pid AND l.granted
    WHERE e.id = election AND e.term = leader_backend.term
$function$;
REVOKE ALL ON FUNCTION pgleader.leader_backend(integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.end_leader_backend(election integer, term bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN coalesce(pg_terminate_backend(pgleader.leader_backend(election, term)), false);
EXCEPTION WHEN insufficient_privilege THEN
    RETURN false;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.end_leader_backend(integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.evict(election integer, term bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN coalesce(pg_terminate_backend(pgleader.leader_backend(election, term)), false);
EXCEPTION WHEN insufficient_privilege THEN
    RETURN pgleader.end_leader_backend(election, term);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.evict(integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.fence(election text, term bigint)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    its_id integer;
    current_term bigint;
    may_pass boolean;
    locked boolean;
    over boolean;
    snapshot_is_kept boolean := current_setting('transaction_isolation') <> 'read committed';
BEGIN
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
    -- In a current term one more row tells, read after the lock, since no term begins before the row of the last
    -- one is closed. Everything else goes the long way.
    IF may_pass AND snapshot_is_kept THEN
        PERFORM FROM pgleader.term AS t
        WHERE t.election_id = its_id AND t.number = fence.term AND t.closed_at IS NULL
          AND t.timeline::text = current_setting('pgleader.timeline', true)
        FOR SHARE;
    ELSIF may_pass THEN
        PERFORM FROM pgleader.term AS t
        WHERE t.election_id = its_id AND t.number = fence.term AND t.closed_at IS NULL
          AND t.timeline::text = current_setting('pgleader.timeline', true);
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
    SELECT e.term, e.closed_term >= fence.term OR t.closed_at IS NOT NULL OR t.timeline <> pgleader.timeline()
    INTO current_term, over
    FROM pgleader.election AS e
    LEFT JOIN pgleader.term AS t ON t.election_id = e.id AND t.number = fence.term
    WHERE e.id = its_id;
    IF term > current_term THEN
        IF snapshot_is_kept THEN
            RAISE EXCEPTION 'term % of election "%" is not in this transaction''s snapshot, which ends at term %',
                    term, election, current_term
                USING ERRCODE = 'serialization_failure', HINT = 'Run the transaction again.';
        END IF;
        RAISE EXCEPTION 'term % of election "%" was never given out: the newest is %', term, election, current_term
            USING ERRCODE = 'PL002', HINT = 'Stop this term''s work: a failover of the database may have lost it, or it is of another database.';
    END IF;
    IF term < current_term OR over THEN
        RAISE EXCEPTION 'term % of election "%" is over: the newest is %', term, election, current_term
            USING ERRCODE = 'PL001', HINT = 'Stop this term''s work, and roll back.';
    END IF;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.fence(text,bigint) FROM PUBLIC;

CREATE VIEW pgleader.fenced AS
 SELECT l.election_id,
    l.pid
   FROM pgleader.lock l
  WHERE (((l.kind)::oid = ('pgleader.term'::regclass)::oid) AND (l.mode = 'ShareLock'::text) AND l.granted);

CREATE OR REPLACE FUNCTION pgleader.end_fenced_backend(election integer, backend integer)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN pgleader.holds_leadership(election)
        AND EXISTS (SELECT FROM pgleader.fenced AS f WHERE f.election_id = election AND f.pid = backend)
        AND pg_terminate_backend(backend);
EXCEPTION WHEN insufficient_privilege THEN
    RETURN false;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.end_fenced_backend(integer,integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.count_fenced_ended(election integer, ended integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF pgleader.holds_leadership(election) THEN
        UPDATE pgleader.election AS e SET fenced_ended = e.fenced_ended + ended WHERE e.id = election;
    END IF;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.count_fenced_ended(integer,integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.end_fenced(election integer, OUT ended integer, OUT remaining integer)
 RETURNS record
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    backend integer;
    done boolean;
BEGIN
    ended := 0;
    remaining := 0;
    FOR backend IN SELECT f.pid FROM pgleader.fenced AS f WHERE f.election_id = election LOOP
        BEGIN
            done := coalesce(pg_terminate_backend(backend), false);
        EXCEPTION WHEN insufficient_privilege THEN
            done := pgleader.end_fenced_backend(election, backend);
        END;
        IF done THEN
            ended := ended + 1;
        ELSE
            remaining := remaining + 1;
        END IF;
    END LOOP;
    IF ended > 0 THEN
        PERFORM pgleader.count_fenced_ended(election, ended);
    END IF;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.end_fenced(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.transfer_to(election integer)
 RETURNS text
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    request pgleader.request;
    since timestamptz;
    bound interval;
BEGIN
    SELECT r.* INTO request
    FROM pgleader.request AS r
    JOIN pgleader.election AS e ON e.id = r.election_id AND e.term = r.term
    WHERE r.election_id = election AND r.kind = 'transfer' AND r.ended_at IS NULL
    ORDER BY r.id DESC LIMIT 1;
    IF NOT FOUND OR request.timeline <> pgleader.timeline() THEN
        RETURN NULL;
    END IF;
    SELECT max(a.lease) INTO bound FROM pgleader.alive AS a
    WHERE a.election_id = election AND a.address = request.address
      AND NOT pgleader.in_force(election, 'exclude', request.address);
    IF bound IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT greatest(request.requested_at, max(t.ended_at) FILTER (
               WHERE t.ended_request = 'transfer' OR t.ended_at <= request.requested_at + 10 * t.lease)),
           10 * coalesce(max(t.lease), bound)
    INTO since, bound
    FROM pgleader.term AS t WHERE t.election_id = election AND t.number = request.term;
    RETURN CASE WHEN clock_timestamp() BETWEEN since AND since + bound THEN request.address END;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.transfer_to(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.turns(elections integer[], instance uuid)
 RETURNS jsonb
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5ms'
AS $function$
DECLARE
    found jsonb := jsonb_build_object();
    asked record;
    target text;
BEGIN
    FOR asked IN
        SELECT r.election_id, c.address, bool_or(r.kind = 'suspend') AS suspended,
               bool_or(r.kind = 'exclude' AND r.address = c.address) AS excluded,
               bool_or(r.kind = 'transfer') AS transfer
        FROM pgleader.request AS r
        LEFT JOIN pgleader.candidate AS c
            ON c.election_id = r.election_id AND c.instance = turns.instance
        WHERE r.election_id = ANY (elections) AND r.ended_at IS NULL
        GROUP BY r.election_id, c.address
    LOOP
        target := CASE WHEN asked.transfer THEN pgleader.transfer_to(asked.election_id) END;
        found := found || jsonb_strip_nulls(jsonb_build_object(asked.election_id, CASE
            WHEN asked.suspended THEN 'suspended'
            WHEN asked.excluded THEN 'excluded'
            WHEN target = asked.address THEN 'called'
            WHEN target IS NOT NULL THEN 'transfer'
        END));
    END LOOP;
    IF EXISTS (
        SELECT FROM pgleader.candidate AS c WHERE c.election_id = ANY (elections) AND c.priority <> 0) THEN
        found := (
            SELECT coalesce(jsonb_object_agg(c.election_id, 'outranked'), jsonb_build_object())
            FROM pgleader.candidate AS c
            WHERE c.election_id = ANY (elections) AND c.instance = turns.instance AND EXISTS (
                SELECT FROM pgleader.alive AS a
                WHERE a.election_id = c.election_id AND a.priority > c.priority
                  AND NOT EXISTS (
                      SELECT FROM pgleader.election AS e
                      JOIN pgleader.term AS t ON t.election_id = e.id AND t.number = e.term
                      WHERE e.id = c.election_id AND t.instance = a.instance)
                  AND NOT pgleader.in_force(c.election_id, 'exclude', a.address))
        ) || found;
    END IF;
    RETURN found;
EXCEPTION WHEN lock_not_available THEN
    RETURN (SELECT jsonb_object_agg(u.id, 'unknown') FROM unnest(elections) AS u (id));
END
$function$;
REVOKE ALL ON FUNCTION pgleader.turns(integer[],uuid) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.end_requests(election integer, term bigint)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5ms'
AS $function$
BEGIN
    UPDATE pgleader.request AS r SET ended_at = clock_timestamp()
    WHERE r.election_id = election AND r.ended_at IS NULL AND r.kind IN ('step down', 'transfer')
      AND r.term < end_requests.term;
    IF end_requests.term % 20 = 0 THEN
        DELETE FROM pgleader.request AS r
        WHERE r.election_id = election AND r.ended_at IS NOT NULL AND r.term < (
            SELECT t.number FROM pgleader.term AS t WHERE t.election_id = election
            ORDER BY t.number DESC OFFSET 999 LIMIT 1);
    END IF;
EXCEPTION WHEN lock_not_available THEN
    RETURN;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.end_requests(integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.election_id(election text)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    id integer := (SELECT e.id FROM pgleader.election AS e WHERE e.name = election);
BEGIN
    IF id IS NULL THEN
        RAISE EXCEPTION 'there is no election named "%"', election
            USING ERRCODE = 'undefined_object', HINT = 'SELECT name FROM pgleader.status lists them.';
    END IF;
    RETURN id;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.election_id(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.leading_term(election integer)
 RETURNS bigint
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT e.term FROM pgleader.election AS e WHERE e.id = election AND e.state <> 'vacant'
$function$;
REVOKE ALL ON FUNCTION pgleader.leading_term(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.ask(election integer, kind text, address text DEFAULT NULL::text, only_term bigint DEFAULT NULL::bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    -- session_user and not current_user: this runs as the schema's owner.
    INSERT INTO pgleader.request AS r (election_id, term, kind, address, timeline, requested_by, ended_at)
    SELECT e.id, e.term, ask.kind, ask.address, pgleader.timeline(), session_user,
           CASE WHEN ask.kind = 'depose' THEN clock_timestamp() END
    FROM pgleader.election AS e WHERE e.id = election AND e.term = coalesce(only_term, e.term);
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    PERFORM pgleader.notify(election);
    RETURN true;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.ask(integer,text,text,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.notify(election integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM pg_notify('pg_leader', json_build_object('election', e.name, 'term', e.term)::text)
    FROM pgleader.election AS e WHERE e.id = election;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.notify(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.in_force(election integer, kind text, address text DEFAULT NULL::text)
 RETURNS boolean
 LANGUAGE sql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
    SELECT EXISTS (
        SELECT FROM pgleader.request AS r
        WHERE r.election_id = election AND r.ended_at IS NULL AND r.kind = in_force.kind
          AND r.address IS NOT DISTINCT FROM in_force.address)
$function$;
REVOKE ALL ON FUNCTION pgleader.in_force(integer,text,text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.lift(election integer, kind text, address text DEFAULT NULL::text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    lifted boolean;
BEGIN
    WITH free AS (
        SELECT r.id FROM pgleader.request AS r
        WHERE r.election_id = election AND r.ended_at IS NULL AND r.kind = lift.kind
          AND r.address IS NOT DISTINCT FROM lift.address
        FOR UPDATE SKIP LOCKED)
    UPDATE pgleader.request AS r SET ended_at = clock_timestamp(), ended_by = session_user
    FROM free AS f WHERE r.id = f.id;
    lifted := FOUND;
    IF pgleader.in_force(election, kind, address) THEN
        RAISE EXCEPTION 'another transaction lifts this just now'
            USING ERRCODE = 'lock_not_available', HINT = 'Commit it, or roll it back and call again.';
    END IF;
    IF lifted THEN
        PERFORM pgleader.notify(election);
    END IF;
    RETURN lifted;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.lift(integer,text,text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.step_down(election text)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    its_id integer := pgleader.election_id(election);
    leading_term bigint := pgleader.leading_term(its_id);
BEGIN
    IF leading_term IS NULL OR NOT pgleader.ask(its_id, 'step down', only_term => leading_term) THEN
        RETURN NULL;
    END IF;
    RETURN leading_term;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.step_down(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.transfer(election text, address text)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    its_id integer := pgleader.election_id(election);
    leading_term bigint := pgleader.leading_term(its_id);
BEGIN
    IF pgleader.in_force(its_id, 'suspend') THEN
        RAISE EXCEPTION 'election "%" is suspended: nobody can lead it', election
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call pgleader.resume first.';
    END IF;
    IF pgleader.in_force(its_id, 'exclude', address) THEN
        RAISE EXCEPTION '"%" is excluded from election "%"', address, election
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call pgleader.include first.';
    END IF;
    IF NOT EXISTS (
        SELECT FROM pgleader.alive AS a
        WHERE a.election_id = its_id AND a.address = transfer.address) THEN
        RAISE EXCEPTION '"%" is no live candidate of election "%"', address, election
            USING ERRCODE = 'undefined_object', HINT = 'SELECT name, address FROM pgleader.candidates lists them.';
    END IF;
    IF EXISTS (
        SELECT FROM pgleader.election AS e
        WHERE e.id = its_id AND e.term = leading_term AND e.address = transfer.address) THEN
        RAISE NOTICE '"%" leads election "%" already', address, election;
        RETURN NULL;
    END IF;
    IF NOT pgleader.ask(its_id, 'transfer', address, leading_term) THEN
        RAISE EXCEPTION 'another term of election "%" began just now', election
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call pgleader.transfer again.';
    END IF;
    RETURN leading_term;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.transfer(text,text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.suspend(election text)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    its_id integer := pgleader.election_id(election);
BEGIN
    IF NOT pgleader.in_force(its_id, 'suspend') THEN
        PERFORM pgleader.ask(its_id, 'suspend');
    END IF;
    RETURN pgleader.leading_term(its_id);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.suspend(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.resume(election text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN pgleader.lift(pgleader.election_id(election), 'suspend');
END
$function$;
REVOKE ALL ON FUNCTION pgleader.resume(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.exclude(election text, address text)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    its_id integer := pgleader.election_id(election);
BEGIN
    IF coalesce(address, '') = '' THEN
        RAISE EXCEPTION 'there is no address to exclude'
            USING ERRCODE = 'invalid_parameter_value',
                  HINT = 'SELECT name, address FROM pgleader.candidates lists them.';
    END IF;
    IF NOT pgleader.in_force(its_id, 'exclude', address) THEN
        PERFORM pgleader.ask(its_id, 'exclude', address);
    END IF;
    RETURN (
        SELECT e.term FROM pgleader.election AS e
        WHERE e.id = its_id AND e.state <> 'vacant' AND e.address = exclude.address);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.exclude(text,text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.include(election text, address text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN pgleader.lift(pgleader.election_id(election), 'exclude', address);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.include(text,text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.request_depose(election text)
 RETURNS bigint
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    its_id integer := pgleader.election_id(election);
    leading_term bigint := (SELECT e.term FROM pgleader.election AS e WHERE e.id = its_id);
BEGIN
    IF pgleader.leader_backend(its_id, leading_term) IS NULL
        OR NOT pgleader.ask(its_id, 'depose', only_term => leading_term) THEN
        RETURN NULL;
    END IF;
    RETURN leading_term;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.request_depose(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.depose(election text)
 RETURNS bigint
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    leading_term bigint := pgleader.request_depose(election);
BEGIN
    IF leading_term IS NOT NULL AND NOT pgleader.evict(pgleader.election_id(election), leading_term) THEN
        RAISE EXCEPTION 'neither you nor the owner of the schema pgleader may end the session of the leader'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Grant pg_signal_backend to the owner of the schema, or call pgleader.step_down.';
    END IF;
    RETURN leading_term;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.depose(text) FROM PUBLIC;

CREATE VIEW pgleader.status AS
 WITH lock AS MATERIALIZED (
         SELECT l.kind,
            l.election_id,
            l.pid,
            l.mode
           FROM pgleader.lock l
          WHERE l.granted
        ), alive AS MATERIALIZED (
         SELECT a.election_id,
            a.pid,
            a.address
           FROM pgleader.alive a
        )
 SELECT e.name,
        CASE
            WHEN leads.yes THEN e.state
            ELSE 'vacant'::text
        END AS state,
    e.term,
        CASE
            WHEN leads.yes THEN e.address
            ELSE NULL::text
        END AS address,
        CASE
            WHEN leads.yes THEN e.pid
            ELSE NULL::integer
        END AS leader_pid,
    e.changed_at AS since,
        CASE
            WHEN leads.yes THEN e.lease
            ELSE NULL::interval
        END AS lease,
    ( SELECT a.address
           FROM (lock s
             JOIN alive a ON (((a.election_id = s.election_id) AND (a.pid = s.pid))))
          WHERE (((s.kind)::oid = ('pgleader.candidate'::regclass)::oid) AND (s.election_id = e.id))) AS successor,
    ( SELECT count(*) AS count
           FROM alive a
          WHERE (a.election_id = e.id)) AS candidates,
        CASE
            WHEN (leads.yes OR stranger.yes) THEN NULL::text
            WHEN (asked.suspended_by IS NOT NULL) THEN 'resume'::text
            WHEN ((h.pid IS NOT NULL) AND (EXISTS ( SELECT
               FROM lock f
              WHERE (((f.kind)::oid = ('pgleader.term'::regclass)::oid) AND (f.election_id = e.id) AND (f.mode = 'ShareLock'::text)))) AND ((e.changed_at + ((pgleader.refractory_period(e.id, e.term))::double precision * '00:00:00.001'::interval)) <= clock_timestamp())) THEN 'fenced transactions'::text
            WHEN (h.pid IS NOT NULL) THEN 'refractory period'::text
            WHEN (asked.transfer_to IS NOT NULL) THEN 'transfer'::text
            WHEN (NOT (EXISTS ( SELECT
               FROM alive a
              WHERE ((a.election_id = e.id) AND (a.address <> ALL (asked.excluded)))))) THEN 'candidates'::text
            ELSE NULL::text
        END AS waiting_for,
        CASE
            WHEN stranger.yes THEN h.pid
            ELSE NULL::integer
        END AS stranger_pid,
    asked.suspended_by,
    asked.transfer_to,
    asked.excluded
   FROM ((((pgleader.election e
     LEFT JOIN lock h ON ((((h.kind)::oid = ('pgleader.election'::regclass)::oid) AND (h.election_id = e.id))))
     CROSS JOIN LATERAL ( SELECT COALESCE((h.pid = e.pid), false) AS yes) leads)
     CROSS JOIN LATERAL ( SELECT ((h.pid IS NOT NULL) AND (NOT leads.yes) AND (NOT (EXISTS ( SELECT
                   FROM alive a
                  WHERE ((a.election_id = e.id) AND (a.pid = h.pid)))))) AS yes) stranger)
     CROSS JOIN LATERAL ( SELECT (array_agg(r.requested_by ORDER BY r.id) FILTER (WHERE (r.kind = 'suspend'::text)))[1] AS suspended_by,
                CASE
                    WHEN (bool_or((r.kind = 'transfer'::text)) AND (NOT pg_is_in_recovery())) THEN pgleader.transfer_to(e.id)
                    ELSE NULL::text
                END AS transfer_to,
            COALESCE(array_agg(DISTINCT r.address) FILTER (WHERE (r.kind = 'exclude'::text)), '{}'::text[]) AS excluded
           FROM pgleader.request r
          WHERE ((r.election_id = e.id) AND (r.ended_at IS NULL))) asked);

CREATE VIEW pgleader.history AS
 SELECT e.name,
    t.number AS term,
    t.address,
    t.started_at,
        CASE
            WHEN ((t.ended_at IS NULL) AND (t.number = e.term)) THEN e.ready_at
            ELSE t.ready_at
        END AS ready_at,
    t.ended_at,
    t.ending,
    t.fenced_ended,
    COALESCE(t.ended_by, d.requested_by) AS by,
    COALESCE(t.ended_request, d.kind) AS request
   FROM ((pgleader.term t
     JOIN pgleader.election e ON ((e.id = t.election_id)))
     LEFT JOIN LATERAL ( SELECT r.requested_by,
            r.kind
           FROM pgleader.request r
          WHERE ((r.election_id = t.election_id) AND (r.term = t.number) AND (r.kind = 'depose'::text) AND (t.ended_at IS NOT NULL) AND (t.ended_by IS NULL))
          ORDER BY r.id
         LIMIT 1) d ON (true))
  ORDER BY e.name, t.number;

CREATE VIEW pgleader.candidates AS
 WITH lock AS MATERIALIZED (
         SELECT l.kind,
            l.election_id,
            l.pid
           FROM pgleader.lock l
          WHERE l.granted
        )
 SELECT e.name,
    a.address,
    a.priority,
        CASE
            WHEN (((h.kind)::oid = ('pgleader.election'::regclass)::oid) AND (e.pid = a.pid)) THEN 'leader'::text
            WHEN ((h.kind)::oid = ('pgleader.election'::regclass)::oid) THEN 'waiting'::text
            WHEN ((h.kind)::oid = ('pgleader.candidate'::regclass)::oid) THEN 'successor'::text
            ELSE 'follower'::text
        END AS place,
    (EXISTS ( SELECT
           FROM pgleader.request r
          WHERE ((r.election_id = e.id) AND (r.ended_at IS NULL) AND (r.kind = 'exclude'::text) AND (r.address = a.address)))) AS excluded,
    a.lease,
    a.pid,
    a.joined_at
   FROM ((pgleader.alive a
     JOIN pgleader.election e ON ((e.id = a.election_id)))
     LEFT JOIN lock h ON (((h.election_id = a.election_id) AND (h.pid = a.pid) AND ((h.kind)::oid <> ('pgleader.term'::regclass)::oid))))
  ORDER BY e.name, a.priority DESC, a.address;

CREATE VIEW pgleader.requests AS
 SELECT e.name,
    r.kind AS request,
    r.address,
    r.term,
    r.requested_by AS by,
    r.requested_at AS at,
    r.ended_by,
    r.ended_at
   FROM (pgleader.request r
     JOIN pgleader.election e ON ((e.id = r.election_id)))
  ORDER BY e.name, r.id;

CREATE OR REPLACE FUNCTION pgleader.version()
 RETURNS integer
 LANGUAGE sql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$ SELECT 1 $function$;
REVOKE ALL ON FUNCTION pgleader.version() FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.grant_observer(role name)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA pgleader TO %I', role);
    EXECUTE format(
        'GRANT SELECT ON pgleader.lock, pgleader.fenced, pgleader.status, pgleader.history, '
        'pgleader.candidates, pgleader.requests TO %I', role);
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION pgleader.version(), pgleader.timeline(), '
        'pgleader.system_identifier(), pgleader.counters(), pgleader.read_elections(text[], uuid), '
        'pgleader.refractory_period(integer, bigint), pgleader.transfer_to(integer) TO %I', role);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.grant_observer(name) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.grant_candidate(role name)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM pgleader.grant_observer(role);
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION '
        'pgleader.join_election(text, uuid, text, integer, timestamptz, text, integer), '
        'pgleader.leave_election(integer, uuid), '
        'pgleader.try_elections(integer[], integer[], integer[], uuid, boolean, integer), '
        'pgleader.campaign(integer[], integer[], integer[], uuid, boolean, integer), '
        'pgleader.take_office(integer, uuid, boolean, boolean), '
        'pgleader.ready(integer, uuid, bigint), '
        'pgleader.heartbeat(integer[]), '
        'pgleader.vacate(integer, uuid, bigint, text, name, text), '
        'pgleader.release(integer[], integer[], integer), '
        'pgleader.announce(integer[], integer), '
        'pgleader.backend_gone(integer, bigint), '
        'pgleader.leader_backend(integer, bigint), '
        'pgleader.end_leader_backend(integer, bigint), '
        'pgleader.evict(integer, bigint), '
        'pgleader.holds_leadership(integer), '
        'pgleader.fence(text, bigint), '
        'pgleader.end_fenced(integer), '
        'pgleader.end_fenced_backend(integer, integer), '
        'pgleader.count_fenced_ended(integer, integer) TO %I', role);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.grant_candidate(name) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.grant_operator(role name)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM pgleader.grant_observer(role);
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION pgleader.election_id(text), pgleader.step_down(text), '
        'pgleader.transfer(text, text), pgleader.suspend(text), pgleader.resume(text), '
        'pgleader.exclude(text, text), pgleader.include(text, text), '
        'pgleader.request_depose(text), pgleader.depose(text), pgleader.leader_backend(integer, bigint), '
        'pgleader.end_leader_backend(integer, bigint), pgleader.evict(integer, bigint) TO %I', role);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.grant_operator(name) FROM PUBLIC;

GRANT USAGE ON SCHEMA pgleader TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.timeline() TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.system_identifier() TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.counters() TO candidate;
GRANT SELECT ON pgleader.lock TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.join_election(text,uuid,text,integer,timestamp with time zone,text,integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.leave_election(integer,uuid) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.holds_leadership(integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.refractory_period(integer,bigint) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.try_elections(integer[],integer[],integer[],uuid,boolean,integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.campaign(integer[],integer[],integer[],uuid,boolean,integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.take_office(integer,uuid,boolean,boolean) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.ready(integer,uuid,bigint) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.heartbeat(integer[]) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.vacate(integer,uuid,bigint,text,name,text) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.release(integer[],integer[],integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.announce(integer[],integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.read_elections(text[],uuid) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.backend_gone(integer,bigint) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.leader_backend(integer,bigint) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.end_leader_backend(integer,bigint) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.evict(integer,bigint) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.fence(text,bigint) TO candidate;
GRANT SELECT ON pgleader.fenced TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.end_fenced_backend(integer,integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.count_fenced_ended(integer,integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.end_fenced(integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.transfer_to(integer) TO candidate;
GRANT SELECT ON pgleader.status TO candidate;
GRANT SELECT ON pgleader.history TO candidate;
GRANT SELECT ON pgleader.candidates TO candidate;
GRANT SELECT ON pgleader.requests TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.version() TO candidate;
GRANT USAGE ON SCHEMA pgleader TO observer;
GRANT EXECUTE ON FUNCTION pgleader.timeline() TO observer;
GRANT EXECUTE ON FUNCTION pgleader.system_identifier() TO observer;
GRANT EXECUTE ON FUNCTION pgleader.counters() TO observer;
GRANT SELECT ON pgleader.lock TO observer;
GRANT EXECUTE ON FUNCTION pgleader.refractory_period(integer,bigint) TO observer;
GRANT EXECUTE ON FUNCTION pgleader.read_elections(text[],uuid) TO observer;
GRANT SELECT ON pgleader.fenced TO observer;
GRANT EXECUTE ON FUNCTION pgleader.transfer_to(integer) TO observer;
GRANT SELECT ON pgleader.status TO observer;
GRANT SELECT ON pgleader.history TO observer;
GRANT SELECT ON pgleader.candidates TO observer;
GRANT SELECT ON pgleader.requests TO observer;
GRANT EXECUTE ON FUNCTION pgleader.version() TO observer;
GRANT USAGE ON SCHEMA pgleader TO operator;
GRANT EXECUTE ON FUNCTION pgleader.timeline() TO operator;
GRANT EXECUTE ON FUNCTION pgleader.system_identifier() TO operator;
GRANT EXECUTE ON FUNCTION pgleader.counters() TO operator;
GRANT SELECT ON pgleader.lock TO operator;
GRANT EXECUTE ON FUNCTION pgleader.refractory_period(integer,bigint) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.read_elections(text[],uuid) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.leader_backend(integer,bigint) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.end_leader_backend(integer,bigint) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.evict(integer,bigint) TO operator;
GRANT SELECT ON pgleader.fenced TO operator;
GRANT EXECUTE ON FUNCTION pgleader.transfer_to(integer) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.election_id(text) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.step_down(text) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.transfer(text,text) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.suspend(text) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.resume(text) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.exclude(text,text) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.include(text,text) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.request_depose(text) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.depose(text) TO operator;
GRANT SELECT ON pgleader.status TO operator;
GRANT SELECT ON pgleader.history TO operator;
GRANT SELECT ON pgleader.candidates TO operator;
GRANT SELECT ON pgleader.requests TO operator;
GRANT EXECUTE ON FUNCTION pgleader.version() TO operator;
