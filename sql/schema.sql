-- The whole schema as the migrations make it, out of the catalogs. Not to be edited, and not what installs
-- it: that is sql/migrations. The roles observer, candidate and operator stand for any that were given to
-- grant_observer, grant_candidate and grant_operator.
-- tests/schema.rs compares. Renew with: PG_LEADER_RENEW_SCHEMA=1 scripts/test --postgres 15 --test schema

SET check_function_bodies = off;

CREATE SCHEMA pgleader;
COMMENT ON SCHEMA pgleader IS 'Leader election. Start with: SELECT * FROM pgleader.status';

CREATE TABLE pgleader.grantee (
    role name NOT NULL,
    kind text NOT NULL,
    role_oid oid,
    CONSTRAINT grantee_pkey PRIMARY KEY (role, kind),
    CONSTRAINT grantee_kind_check CHECK ((kind = ANY (ARRAY['observer'::text, 'candidate'::text, 'operator'::text])))
);

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
    ended_backends text[] NOT NULL DEFAULT '{}'::text[],
    CONSTRAINT election_pkey PRIMARY KEY (id),
    CONSTRAINT election_name_key UNIQUE (name),
    CONSTRAINT election_name_check CHECK (((length(name) >= 1) AND (length(name) <= 200))),
    CONSTRAINT election_state_check CHECK ((state = ANY (ARRAY['vacant'::text, 'recovering'::text, 'leading'::text])))
);

CREATE TABLE pgleader.candidate (
    election_id integer NOT NULL,
    instance_hash bytea NOT NULL,
    address text NOT NULL,
    priority integer NOT NULL,
    lease interval NOT NULL,
    pid integer NOT NULL,
    backend_start timestamp with time zone NOT NULL,
    joined_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
    heard bigint NOT NULL DEFAULT 0,
    heard_lease interval NOT NULL DEFAULT '00:00:00'::interval,
    behind_pgpool boolean NOT NULL DEFAULT false,
    client_addr inet,
    CONSTRAINT candidate_pkey PRIMARY KEY (election_id, instance_hash),
    CONSTRAINT candidate_heard_check CHECK ((heard >= 0)),
    CONSTRAINT candidate_lease_check CHECK (((lease >= '00:00:00.1'::interval) AND (lease <= '01:00:00'::interval))),
    CONSTRAINT candidate_heard_lease_check CHECK (((heard_lease >= '00:00:00'::interval) AND (heard_lease <= '01:00:00'::interval)))
);
CREATE INDEX candidate_pid ON pgleader.candidate USING btree (pid);
CREATE INDEX candidate_priority ON pgleader.candidate USING btree (election_id) WHERE (priority <> 0);

CREATE VIEW pgleader.alive AS
 SELECT c.election_id,
    c.instance_hash,
    c.address,
    c.priority,
    c.lease,
    c.pid,
    c.backend_start,
    c.joined_at
   FROM pgleader.candidate c
  WHERE ((EXISTS ( SELECT
           FROM pg_stat_get_activity(c.pid) a(datid, pid, usesysid, application_name, state, query, wait_event_type, wait_event, xact_start, query_start, backend_start, state_change, client_addr, client_hostname, client_port, backend_xid, backend_xmin, backend_type, ssl, sslversion, sslcipher, sslbits, ssl_client_dn, ssl_client_serial, ssl_issuer_dn, gss_auth, gss_princ, gss_enc, leader_pid, query_id)
          WHERE ((a.backend_start IS NULL) OR (a.backend_start = c.backend_start)))) AND (NOT (EXISTS ( SELECT
           FROM pgleader.candidate l
          WHERE ((l.pid = c.pid) AND (l.election_id = c.election_id) AND (ROW(l.joined_at, l.instance_hash) > ROW(c.joined_at, c.instance_hash)))))));

CREATE TABLE pgleader.term (
    election_id integer NOT NULL,
    number bigint NOT NULL,
    address text NOT NULL,
    instance_hash bytea NOT NULL,
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
    token uuid NOT NULL,
    behind_pgpool boolean NOT NULL DEFAULT false,
    client_addr inet,
    CONSTRAINT term_pkey PRIMARY KEY (election_id, number),
    CONSTRAINT term_lease_check CHECK (((lease >= '00:00:00.1'::interval) AND (lease <= '01:00:00'::interval))),
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

CREATE OR REPLACE FUNCTION pgleader.keep_rows()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RAISE EXCEPTION '% of pgleader.%: its rows stay, or terms that were given out would be given out again',
            TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'object_not_in_prerequisite_state',
              HINT = 'An election that nobody joins costs nothing. To be rid of everything, drop the schema.';
END
$function$;
REVOKE ALL ON FUNCTION pgleader.keep_rows() FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.keep_record()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF EXISTS (SELECT FROM pgleader.term AS t WHERE t.election_id = NEW.id AND t.number = NEW.term) THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'UPDATE of pgleader.election: term % has no row', NEW.term
        USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Only who leads begins terms.';
END
$function$;
REVOKE ALL ON FUNCTION pgleader.keep_record() FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.keep_terms()
 RETURNS trigger
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.keep_terms() FROM PUBLIC;

CREATE TRIGGER stays BEFORE DELETE OR TRUNCATE ON pgleader.election FOR EACH STATEMENT EXECUTE FUNCTION pgleader.keep_rows();

CREATE TRIGGER stays_itself BEFORE UPDATE ON pgleader.election FOR EACH ROW WHEN (((old.id <> new.id) OR (old.name <> new.name) OR (old.term > new.term) OR (old.closed_term > new.closed_term))) EXECUTE FUNCTION pgleader.keep_rows();

CREATE TRIGGER is_on_record BEFORE UPDATE ON pgleader.election FOR EACH ROW WHEN ((old.term < new.term)) EXECUTE FUNCTION pgleader.keep_record();

CREATE TRIGGER stays BEFORE TRUNCATE ON pgleader.term FOR EACH STATEMENT EXECUTE FUNCTION pgleader.keep_rows();

CREATE TRIGGER stays_a_while AFTER DELETE ON pgleader.term REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION pgleader.keep_terms();

CREATE TRIGGER stays_itself BEFORE UPDATE OF election_id, number ON pgleader.term FOR EACH ROW WHEN (((old.election_id <> new.election_id) OR (old.number <> new.number))) EXECUTE FUNCTION pgleader.keep_rows();

CREATE OR REPLACE FUNCTION pgleader.timeline()
 RETURNS bigint
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN ('x' || lpad(left(pg_walfile_name(pg_current_wal_lsn()), 8), 16, '0'))::bit(64)::bigint;
EXCEPTION WHEN undefined_function OR insufficient_privilege OR feature_not_supported THEN
    RETURN bigint '1';
END
$function$;
REVOKE ALL ON FUNCTION pgleader.timeline() FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.system_identifier()
 RETURNS bigint
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    RETURN (SELECT c.system_identifier FROM pg_control_system() AS c
            WHERE pg_is_in_recovery() OR pg_walfile_name(pg_current_wal_lsn()) IS NOT NULL);
EXCEPTION WHEN undefined_function OR insufficient_privilege OR feature_not_supported THEN
    RETURN NULL;
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

CREATE OR REPLACE FUNCTION pgleader.refuse(argument text, value text, must text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF num_nulls(argument, value, must) > 0 THEN
        RAISE EXCEPTION '% must not be null', coalesce(argument, 'an argument')
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Give it a value.';
    END IF;
    RAISE EXCEPTION '% is %', argument, value
        USING ERRCODE = 'invalid_parameter_value', HINT = format('It must %s.', must);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.refuse(text,text,text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.check_ids(argument text, ids integer[])
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.check_ids(text,integer[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.check_number(argument text, number bigint)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF argument IS NULL OR (number >= 1) IS NOT TRUE THEN
        PERFORM pgleader.refuse(coalesce(argument, 'number'), CASE WHEN argument IS NOT NULL THEN number::text END,
                                'be 1 or more');
    END IF;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.check_number(text,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.check_name(election text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF (length(election) BETWEEN 1 AND 200) IS NOT TRUE THEN
        PERFORM pgleader.refuse('election', '"' || left(election, 200) || '"', 'have 1 to 200 characters');
    END IF;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.check_name(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.check_address(address text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF (length(address) BETWEEN 1 AND 1000) IS NOT TRUE THEN
        PERFORM pgleader.refuse('address', '"' || left(address, 200) || '"', 'have 1 to 1000 characters');
    END IF;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.check_address(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.check_heard(heard bigint, heard_lease_ms integer)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF (heard >= 0) IS NOT TRUE THEN
        PERFORM pgleader.refuse('heard', heard::text, 'be 0 (nothing) or more');
    ELSIF (heard_lease_ms BETWEEN 0 AND 3600000) IS NOT TRUE THEN
        PERFORM pgleader.refuse('heard_lease_ms', heard_lease_ms::text, 'be between 0 and 3600000');
    END IF;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.check_heard(bigint,integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.check_mark(mark text)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF mark IS NULL THEN
        PERFORM pgleader.refuse('mark', NULL, '');
    END IF;
    IF mark = '' OR mark IS DISTINCT FROM current_setting('pgleader.mark', true) THEN
        RAISE EXCEPTION 'this session does not bear the mark of the caller: a pooler stands between'
            USING ERRCODE = 'PL003', HINT = 'Connect without a pooler, or with one in session mode.';
    END IF;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.check_mark(text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.join_election(mark text, election text, instance uuid, address text, lease_ms integer, backend_start timestamp with time zone, application text, priority integer DEFAULT 0, heard bigint DEFAULT 0, heard_lease_ms integer DEFAULT 0, OUT election_id integer, OUT known bigint, OUT known_lease_ms integer)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.join_election(text,text,uuid,text,integer,timestamp with time zone,text,integer,bigint,integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.record_pgpool(mark text, election integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.record_pgpool(text,integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.leave_election(mark text, election integer, instance uuid)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.leave_election(text,integer,uuid) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.ready_at(election integer, term bigint)
 RETURNS timestamp with time zone
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM pgleader.check_number('election', election);
    PERFORM pgleader.check_number('term', term);
    RETURN (SELECT e.ready_at FROM pgleader.election AS e WHERE e.id = election AND e.term = ready_at.term);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.ready_at(integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.holds_leadership(election integer)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM pgleader.check_number('election', election);
    RETURN EXISTS (
        SELECT FROM pgleader.lock AS l
        WHERE l.kind = 'pgleader.election'::regclass AND l.election_id = election
          AND l.pid = pg_backend_pid() AND l.mode = 'ExclusiveLock' AND l.granted);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.holds_leadership(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.forget_candidates(election integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM pgleader.check_number('election', election);
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
$function$;
REVOKE ALL ON FUNCTION pgleader.close_term(integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.block(number bigint)
 RETURNS bigint
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF (number >= 0) IS NOT TRUE THEN
        PERFORM pgleader.refuse('number', number::text, 'be 0 or more');
    END IF;
    RETURN number / bigint '10000000000000';
END
$function$;
REVOKE ALL ON FUNCTION pgleader.block(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.first_number(block bigint)
 RETURNS bigint
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.first_number(bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.outlook(election integer, heard bigint, heard_lease_ms integer, OUT last bigint, OUT below bigint, OUT wait_ms integer, OUT elsewhere_ms integer, OUT known bigint, OUT known_lease_ms integer, OUT beyond boolean, OUT timeline bigint, OUT system_identifier bigint)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.outlook(integer,bigint,integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.keep_heard(election integer, instance uuid, known bigint, known_lease_ms integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.keep_heard(integer,uuid,bigint,integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.next_number(last bigint, below bigint, known bigint)
 RETURNS bigint
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.next_number(bigint,bigint,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.begin_term(election integer, instance uuid, direct boolean, below bigint, known bigint, timeline bigint, system_identifier bigint, OUT term bigint, OUT token uuid, OUT address text, OUT lease_ms integer)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
COMMENT ON FUNCTION pgleader.begin_term(integer,uuid,boolean,bigint,bigint,bigint,bigint) IS 'null system_identifier: the platform does not tell';
REVOKE ALL ON FUNCTION pgleader.begin_term(integer,uuid,boolean,bigint,bigint,bigint,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.refractory_period(election integer)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM pgleader.check_number('election', election);
    RETURN (SELECT greatest(o.wait_ms, o.elsewhere_ms) FROM pgleader.outlook(election, 0, 0) AS o);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.refractory_period(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.try_elections(mark text, elections integer[], successor_of integer[], overdue integer[], instance uuid, direct boolean, silence_ms integer, heard bigint[], heard_lease_ms integer[])
 RETURNS TABLE(election integer, outcome text, term bigint, token uuid, state text, address text, leader_pid integer, lease_ms integer, wait_ms integer, was_direct boolean, holder_pid integer, stranger boolean, successor boolean, silent_since bigint, killed bigint, fatal bigint, reset bigint, bar text, elsewhere_ms integer, known bigint, known_lease_ms integer, watched boolean)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.try_elections(text,integer[],integer[],integer[],uuid,boolean,integer,bigint[],integer[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.campaign(mark text, elections integer[], successor_of integer[], overdue integer[], instance uuid, direct boolean, silence_ms integer, heard bigint[], heard_lease_ms integer[])
 RETURNS TABLE(election integer, outcome text, term bigint, token uuid, state text, address text, leader_pid integer, lease_ms integer, wait_ms integer, was_direct boolean, holder_pid integer, stranger boolean, successor boolean, silent_since bigint, killed bigint, fatal bigint, reset bigint, bar text, elsewhere_ms integer, known bigint, known_lease_ms integer, watched boolean)
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.campaign(text,integer[],integer[],integer[],uuid,boolean,integer,bigint[],integer[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.take_office(mark text, election integer, instance uuid, direct boolean, waited boolean, waited_ms integer, heard bigint, heard_lease_ms integer, OUT outcome text, OUT term bigint, OUT token uuid, OUT bar text, OUT elsewhere_ms integer, OUT known bigint, OUT known_lease_ms integer)
 RETURNS record
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.take_office(text,integer,uuid,boolean,boolean,integer,bigint,integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.ready(mark text, election integer, instance uuid, term bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.ready(text,integer,uuid,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.heartbeat(mark text, locks oid, elections integer[])
 RETURNS TABLE(election integer, term bigint, kind text, requested_by name)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5ms'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.heartbeat(text,oid,integer[]) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.was_asked(election integer, term bigint, ended_by name, ended_request text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5ms'
AS $function$
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
$function$;
COMMENT ON FUNCTION pgleader.was_asked(integer,bigint,name,text) IS 'null ended_by: no operator asked for it; null ended_request: no operator asked for it';
REVOKE ALL ON FUNCTION pgleader.was_asked(integer,bigint,name,text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.vacate(mark text, election integer, instance uuid, term bigint, ending text, ended_by name DEFAULT NULL::name, ended_request text DEFAULT NULL::text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
COMMENT ON FUNCTION pgleader.vacate(text,integer,uuid,bigint,text,name,text) IS 'null ended_by: no operator asked for it; null ended_request: no operator asked for it';
REVOKE ALL ON FUNCTION pgleader.vacate(text,integer,uuid,bigint,text,name,text) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.release(mark text, elections integer[], successor_of integer[], silence_ms integer)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.release(text,integer[],integer[],integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.announce(mark text, elections integer[], wait_ms integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.announce(text,integer[],integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.read_elections(names text[], instance uuid DEFAULT NULL::uuid)
 RETURNS TABLE(election integer, name text, term bigint, state text, address text, lease_ms integer, bar text, called boolean)
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
COMMENT ON FUNCTION pgleader.read_elections(text[],uuid) IS 'null instance: somebody looks on, who is no candidate';
REVOKE ALL ON FUNCTION pgleader.read_elections(text[],uuid) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.backend_gone(mark text, election integer, term bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.backend_gone(text,integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.leader_backend(election integer, term bigint)
 RETURNS integer
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.leader_backend(integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.is_behind_pgpool(election integer, term bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM pgleader.check_number('election', election);
    PERFORM pgleader.check_number('term', term);
    RETURN EXISTS (
        SELECT FROM pgleader.term AS t
        WHERE t.election_id = election AND t.number = is_behind_pgpool.term AND t.behind_pgpool);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.is_behind_pgpool(integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.end_leader_backend(election integer, term bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF pgleader.is_behind_pgpool(election, term) THEN
        RETURN false;
    END IF;
    RETURN coalesce(pg_terminate_backend(pgleader.leader_backend(election, term)), false);
EXCEPTION WHEN insufficient_privilege THEN
    RETURN false;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.end_leader_backend(integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.end_leader(election integer, term bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF pgleader.is_behind_pgpool(election, term) THEN
        RETURN false;
    END IF;
    RETURN coalesce(pg_terminate_backend(pgleader.leader_backend(election, term)), false);
EXCEPTION WHEN insufficient_privilege THEN
    RETURN pgleader.end_leader_backend(election, term);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.end_leader(integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.silent_backend(election integer, term bigint)
 RETURNS integer
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    backend integer := pgleader.leader_backend(election, term);
    its_lease interval := pgleader.lease_of(election);
BEGIN
    RETURN (
        -- Of null it tells about every backend.
        SELECT backend FROM pg_stat_get_activity(coalesce(backend, 0)) AS a
        WHERE a.state_change <= clock_timestamp() - its_lease AND NOT pgleader.is_behind_pgpool(election, term));
END
$function$;
REVOKE ALL ON FUNCTION pgleader.silent_backend(integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.lease_of(election integer)
 RETURNS interval
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM pgleader.check_number('election', election);
    RETURN (SELECT e.lease FROM pgleader.election AS e WHERE e.id = election);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.lease_of(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.evict_silent(mark text, election integer, term bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM pgleader.check_mark(mark);
    RETURN coalesce(pg_terminate_backend(pgleader.silent_backend(election, term)), false);
EXCEPTION WHEN insufficient_privilege THEN
    RETURN false;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.evict_silent(text,integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.evict(mark text, election integer, term bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.evict(text,integer,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.fence(election text, term bigint, token uuid)
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
$function$;
REVOKE ALL ON FUNCTION pgleader.fence(text,bigint,uuid) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.fence(election text, term bigint)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM pgleader.fence(election, term, coalesce(
        (SELECT t.token FROM pgleader.election AS e JOIN pgleader.term AS t ON t.election_id = e.id
         WHERE e.name = fence.election AND t.number = fence.term),
        -- No term has this one.
        '00000000-0000-0000-0000-000000000000'));
END
$function$;
REVOKE ALL ON FUNCTION pgleader.fence(text,bigint) FROM PUBLIC;

CREATE VIEW pgleader.fenced AS
 SELECT DISTINCT l.election_id,
    l.pid
   FROM pgleader.lock l
  WHERE (((l.kind)::oid = ('pgleader.term'::regclass)::oid) AND l.granted AND ((l.mode <> 'ExclusiveLock'::text) OR (l.pid IS DISTINCT FROM pg_backend_pid())));

CREATE OR REPLACE FUNCTION pgleader.may_be_behind_pgpool(backend integer)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM pgleader.check_number('backend', backend);
    RETURN EXISTS (
        SELECT FROM (SELECT c.client_addr FROM pgleader.candidate AS c WHERE c.behind_pgpool
                     UNION ALL SELECT t.client_addr FROM pgleader.term AS t WHERE t.behind_pgpool) AS pgpool
        JOIN pg_stat_get_activity(backend) AS a
            ON a.backend_start IS NULL OR a.client_addr IS NOT DISTINCT FROM pgpool.client_addr);
END
$function$;
REVOKE ALL ON FUNCTION pgleader.may_be_behind_pgpool(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.end_fenced_backend(mark text, election integer, backend integer)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.end_fenced_backend(text,integer,integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.count_fenced_ended(mark text, election integer, backend integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.count_fenced_ended(text,integer,integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.end_fenced(mark text, election integer, OUT ended integer, OUT remaining integer, OUT who text)
 RETURNS record
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
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
$function$;
REVOKE ALL ON FUNCTION pgleader.end_fenced(text,integer) FROM PUBLIC;

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
    PERFORM pgleader.check_number('election', election);
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
    hash bytea := sha256(uuid_send(instance));
BEGIN
    IF (1 <= ALL (elections)) IS NOT TRUE THEN
        PERFORM pgleader.check_ids('elections', elections);
    END IF;
    FOR asked IN
        SELECT r.election_id, c.address, bool_or(r.kind = 'suspend') AS suspended,
               bool_or(r.kind = 'exclude' AND r.address = c.address) AS excluded,
               bool_or(r.kind = 'transfer') AS transfer
        FROM pgleader.request AS r
        LEFT JOIN pgleader.candidate AS c
            ON c.election_id = r.election_id AND c.instance_hash = hash
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
            WHERE c.election_id = ANY (elections) AND c.instance_hash = hash AND EXISTS (
                SELECT FROM pgleader.alive AS a
                WHERE a.election_id = c.election_id AND a.priority > c.priority
                  AND NOT EXISTS (
                      SELECT FROM pgleader.election AS e
                      JOIN pgleader.term AS t ON t.election_id = e.id AND t.number = e.term
                      WHERE e.id = c.election_id AND t.instance_hash = a.instance_hash)
                  AND NOT pgleader.in_force(c.election_id, 'exclude', a.address))
        ) || found;
    END IF;
    RETURN found;
EXCEPTION WHEN lock_not_available THEN
    RETURN (SELECT jsonb_object_agg(u.id, 'unknown') FROM unnest(elections) AS u (id));
END
$function$;
COMMENT ON FUNCTION pgleader.turns(integer[],uuid) IS 'null instance: somebody looks on, who is no candidate';
REVOKE ALL ON FUNCTION pgleader.turns(integer[],uuid) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.end_requests(election integer, term bigint)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
 SET lock_timeout TO '5ms'
AS $function$
BEGIN
    IF (election >= 1 AND term >= 1) IS NOT TRUE THEN
        PERFORM pgleader.check_number('election', election);
        PERFORM pgleader.check_number('term', term);
    END IF;
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
    PERFORM pgleader.check_name(election);
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
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM pgleader.check_number('election', election);
    RETURN (SELECT e.term FROM pgleader.election AS e WHERE e.id = election AND e.state <> 'vacant');
END
$function$;
REVOKE ALL ON FUNCTION pgleader.leading_term(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.ask(election integer, kind text, address text DEFAULT NULL::text, only_term bigint DEFAULT NULL::bigint)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM pgleader.check_number('election', election);
    IF (kind IN ('step down', 'transfer', 'suspend', 'exclude', 'depose')) IS NOT TRUE THEN
        PERFORM pgleader.refuse('kind', kind, 'be that of a request');
    END IF;
    IF address IS NOT NULL THEN
        PERFORM pgleader.check_address(address);
    END IF;
    IF only_term IS NOT NULL THEN
        IF only_term < 0 THEN
            PERFORM pgleader.refuse('only_term', only_term::text, 'be 0 (none yet) or more');
        END IF;
    END IF;
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
COMMENT ON FUNCTION pgleader.ask(integer,text,text,bigint) IS 'null address: the kind has none; null only_term: whichever is the newest';
REVOKE ALL ON FUNCTION pgleader.ask(integer,text,text,bigint) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.notify(election integer)
 RETURNS void
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM pgleader.check_number('election', election);
    PERFORM pg_notify('pg_leader', json_build_object('election', e.name, 'term', e.term)::text)
    FROM pgleader.election AS e WHERE e.id = election;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.notify(integer) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.in_force(election integer, kind text, address text DEFAULT NULL::text)
 RETURNS boolean
 LANGUAGE plpgsql
 SECURITY DEFINER
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    PERFORM pgleader.check_number('election', election);
    IF (kind IN ('suspend', 'exclude')) IS NOT TRUE THEN
        PERFORM pgleader.refuse('kind', kind, 'be suspend or exclude');
    END IF;
    RETURN EXISTS (
        SELECT FROM pgleader.request AS r
        WHERE r.election_id = election AND r.ended_at IS NULL AND r.kind = in_force.kind
          AND r.address IS NOT DISTINCT FROM in_force.address);
END
$function$;
COMMENT ON FUNCTION pgleader.in_force(integer,text,text) IS 'null address: the kind has none';
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
    PERFORM pgleader.check_number('election', election);
    IF (kind IN ('suspend', 'exclude')) IS NOT TRUE THEN
        PERFORM pgleader.refuse('kind', kind, 'be suspend or exclude');
    END IF;
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
COMMENT ON FUNCTION pgleader.lift(integer,text,text) IS 'null address: the kind has none';
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
    PERFORM pgleader.check_address(address);
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
    PERFORM pgleader.check_address(address);
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
    PERFORM pgleader.check_address(address);
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
    IF leading_term > 0 AND pgleader.is_behind_pgpool(its_id, leading_term) THEN
        RAISE EXCEPTION 'the leader of election "%" is behind pgpool-II, which would take the end of its session for the end of the server and detach it',
                election
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Call pgleader.step_down. A leader that hangs is ended by its own silence, after 1.2 leases.';
    END IF;
    IF leading_term = 0 OR pgleader.leader_backend(its_id, leading_term) IS NULL
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
    IF leading_term IS NOT NULL AND NOT pgleader.end_leader(pgleader.election_id(election), leading_term) THEN
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
          WHERE (((s.kind)::oid = ('pgleader.candidate'::regclass)::oid) AND (s.election_id = e.id))
         LIMIT 1) AS successor,
    ( SELECT count(*) AS count
           FROM alive a
          WHERE (a.election_id = e.id)) AS candidates,
        CASE
            WHEN (leads.yes OR (stranger.pid IS NOT NULL)) THEN NULL::text
            WHEN (asked.suspended_by IS NOT NULL) THEN 'resume'::text
            WHEN ((h.pid IS NOT NULL) AND (EXISTS ( SELECT
               FROM lock f
              WHERE (((f.kind)::oid = ('pgleader.term'::regclass)::oid) AND (f.election_id = e.id)))) AND ((e.changed_at + ((pgleader.refractory_period(e.id))::double precision * '00:00:00.001'::interval)) <= clock_timestamp())) THEN 'fenced transactions'::text
            WHEN (h.pid IS NOT NULL) THEN 'refractory period'::text
            WHEN (asked.transfer_to IS NOT NULL) THEN 'transfer'::text
            WHEN (NOT (EXISTS ( SELECT
               FROM alive a
              WHERE ((a.election_id = e.id) AND (a.address <> ALL (asked.excluded)))))) THEN 'candidates'::text
            ELSE NULL::text
        END AS waiting_for,
    stranger.pid AS stranger_pid,
    asked.suspended_by,
    asked.transfer_to,
    asked.excluded
   FROM ((((pgleader.election e
     LEFT JOIN ( SELECT DISTINCT ON (l.election_id) l.election_id,
            l.pid
           FROM lock l
          WHERE ((l.kind)::oid = ('pgleader.election'::regclass)::oid)
          ORDER BY l.election_id, (l.mode = 'ExclusiveLock'::text) DESC, l.pid) h ON ((h.election_id = e.id)))
     CROSS JOIN LATERAL ( SELECT COALESCE((h.pid = e.pid), false) AS yes) leads)
     CROSS JOIN LATERAL ( SELECT
                CASE
                    WHEN ((h.pid IS NOT NULL) AND (NOT leads.yes) AND (NOT (EXISTS ( SELECT
                       FROM alive a
                      WHERE ((a.election_id = e.id) AND (a.pid = h.pid)))))) THEN h.pid
                    ELSE ( SELECT min(t.pid) AS min
                       FROM lock t
                      WHERE (((t.kind)::oid = ('pgleader.term'::regclass)::oid) AND (t.election_id = e.id) AND (t.mode = 'ExclusiveLock'::text) AND (t.pid IS DISTINCT FROM h.pid)))
                END AS pid) stranger)
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
AS $function$ SELECT 102 $function$;
REVOKE ALL ON FUNCTION pgleader.version() FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.grant_observer(role name)
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
BEGIN
    IF (role <> '') IS NOT TRUE THEN
        PERFORM pgleader.refuse('role', role::text, 'be the name of a role');
    END IF;
    -- What is recorded of a role that may not even look was another's of its name.
    DELETE FROM pgleader.grantee AS g
    WHERE g.role = grant_observer.role AND NOT EXISTS (
        SELECT FROM pg_namespace AS n CROSS JOIN LATERAL aclexplode(n.nspacl) AS a
        JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE n.nspname = 'pgleader' AND r.rolname = grant_observer.role AND a.privilege_type = 'USAGE');
    EXECUTE format('GRANT USAGE ON SCHEMA pgleader TO %I', role);
    EXECUTE format(
        'GRANT SELECT ON pgleader.lock, pgleader.fenced, pgleader.status, pgleader.history, '
        'pgleader.candidates, pgleader.requests TO %I', role);
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION pgleader.version(), pgleader.timeline(), '
        'pgleader.system_identifier(), pgleader.counters(), pgleader.read_elections(text[], uuid), '
        'pgleader.refractory_period(integer), pgleader.transfer_to(integer) TO %I', role);
    INSERT INTO pgleader.grantee (role, kind, role_oid)
    SELECT r.rolname, 'observer', r.oid FROM pg_roles AS r WHERE r.rolname = grant_observer.role
    ON CONFLICT ON CONSTRAINT grantee_pkey DO UPDATE SET role_oid = excluded.role_oid;
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
        'pgleader.refuse(text, text, text), '
        'pgleader.check_ids(text, integer[]), '
        'pgleader.check_number(text, bigint), '
        'pgleader.check_mark(text), '
        'pgleader.join_election(text, text, uuid, text, integer, timestamptz, text, integer, bigint, integer), '
        'pgleader.record_pgpool(text, integer), '
        'pgleader.is_behind_pgpool(integer, bigint), '
        'pgleader.may_be_behind_pgpool(integer), '
        'pgleader.leave_election(text, integer, uuid), '
        'pgleader.try_elections(text, integer[], integer[], integer[], uuid, boolean, integer, bigint[], '
        'integer[]), '
        'pgleader.campaign(text, integer[], integer[], integer[], uuid, boolean, integer, bigint[], integer[]), '
        'pgleader.take_office(text, integer, uuid, boolean, boolean, integer, bigint, integer), '
        'pgleader.ready(text, integer, uuid, bigint), '
        'pgleader.heartbeat(text, oid, integer[]), '
        'pgleader.vacate(text, integer, uuid, bigint, text, name, text), '
        'pgleader.release(text, integer[], integer[], integer), '
        'pgleader.announce(text, integer[], integer), '
        'pgleader.backend_gone(text, integer, bigint), '
        'pgleader.leader_backend(integer, bigint), '
        'pgleader.lease_of(integer), '
        'pgleader.silent_backend(integer, bigint), '
        'pgleader.evict(text, integer, bigint), '
        'pgleader.evict_silent(text, integer, bigint), '
        'pgleader.fence(text, bigint), '
        'pgleader.fence(text, bigint, uuid), '
        'pgleader.end_fenced(text, integer), '
        'pgleader.end_fenced_backend(text, integer, integer), '
        'pgleader.count_fenced_ended(text, integer, integer) TO %I', role);
    INSERT INTO pgleader.grantee (role, kind, role_oid)
    SELECT r.rolname, 'candidate', r.oid FROM pg_roles AS r WHERE r.rolname = grant_candidate.role
    ON CONFLICT ON CONSTRAINT grantee_pkey DO UPDATE SET role_oid = excluded.role_oid;
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
        'pgleader.request_depose(text), pgleader.depose(text), pgleader.is_behind_pgpool(integer, bigint), '
        'pgleader.leader_backend(integer, bigint), '
        'pgleader.end_leader_backend(integer, bigint), pgleader.end_leader(integer, bigint) TO %I', role);
    INSERT INTO pgleader.grantee (role, kind, role_oid)
    SELECT r.rolname, 'operator', r.oid FROM pg_roles AS r WHERE r.rolname = grant_operator.role
    ON CONFLICT ON CONSTRAINT grantee_pkey DO UPDATE SET role_oid = excluded.role_oid;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.grant_operator(name) FROM PUBLIC;

CREATE OR REPLACE FUNCTION pgleader.set_rights()
 RETURNS void
 LANGUAGE plpgsql
 SET search_path TO 'pg_catalog', 'pg_temp'
AS $function$
DECLARE
    its_schema pg_namespace := (SELECT n FROM pg_namespace AS n WHERE n.nspname = 'pgleader');
    other record;
BEGIN
    -- Whose name another role has now, and whose oid a third one: a dump may have brought it here. Nobody has it then.
    DELETE FROM pgleader.grantee AS g
    WHERE EXISTS (
        SELECT FROM pg_roles AS r JOIN aclexplode(its_schema.nspacl) AS a ON a.grantee = r.oid
        WHERE r.oid = g.role_oid AND r.rolname <> g.role AND a.privilege_type = 'USAGE')
      AND EXISTS (SELECT FROM pg_roles AS o WHERE o.rolname = g.role);
    -- Renamed: no role has its name any more, and one has its oid.
    UPDATE pgleader.grantee AS g SET role = r.rolname
    FROM pg_roles AS r
    WHERE r.oid = g.role_oid AND NOT EXISTS (SELECT FROM pg_roles AS o WHERE o.rolname = g.role)
      AND NOT EXISTS (SELECT FROM pgleader.grantee AS o WHERE o.role = r.rolname AND o.kind = g.kind);
    DELETE FROM pgleader.grantee AS g
    WHERE NOT EXISTS (
        SELECT FROM pg_roles AS r JOIN aclexplode(its_schema.nspacl) AS a ON a.grantee = r.oid
        WHERE r.rolname = g.role AND a.privilege_type = 'USAGE');
    REVOKE ALL ON ALL TABLES IN SCHEMA pgleader FROM PUBLIC;
    REVOKE ALL ON ALL SEQUENCES IN SCHEMA pgleader FROM PUBLIC;
    REVOKE ALL ON ALL ROUTINES IN SCHEMA pgleader FROM PUBLIC;
    REVOKE ALL ON SCHEMA pgleader FROM PUBLIC;
    FOR other IN
        SELECT r.rolname AS role
        FROM (SELECT a.grantee FROM aclexplode(its_schema.nspacl) AS a
              UNION SELECT a.grantee FROM pg_class AS c CROSS JOIN LATERAL aclexplode(c.relacl) AS a
              WHERE c.relnamespace = its_schema.oid
              UNION SELECT a.grantee FROM pg_attribute AS t
              JOIN pg_class AS c ON c.oid = t.attrelid CROSS JOIN LATERAL aclexplode(t.attacl) AS a
              WHERE c.relnamespace = its_schema.oid
              UNION SELECT a.grantee FROM pg_proc AS p CROSS JOIN LATERAL aclexplode(p.proacl) AS a
              WHERE p.pronamespace = its_schema.oid) AS g
        JOIN pg_roles AS r ON r.oid = g.grantee
        WHERE g.grantee <> its_schema.nspowner
    LOOP
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA pgleader FROM %I CASCADE', other.role);
        EXECUTE format('REVOKE ALL ON ALL SEQUENCES IN SCHEMA pgleader FROM %I CASCADE', other.role);
        EXECUTE format('REVOKE ALL ON ALL ROUTINES IN SCHEMA pgleader FROM %I CASCADE', other.role);
        EXECUTE format('REVOKE ALL ON SCHEMA pgleader FROM %I CASCADE', other.role);
    END LOOP;
    FOR other IN SELECT g.role, g.kind FROM pgleader.grantee AS g LOOP
        CASE other.kind
            WHEN 'observer' THEN PERFORM pgleader.grant_observer(other.role);
            WHEN 'candidate' THEN PERFORM pgleader.grant_candidate(other.role);
            WHEN 'operator' THEN PERFORM pgleader.grant_operator(other.role);
        END CASE;
    END LOOP;
END
$function$;
REVOKE ALL ON FUNCTION pgleader.set_rights() FROM PUBLIC;

GRANT USAGE ON SCHEMA pgleader TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.timeline() TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.system_identifier() TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.counters() TO candidate;
GRANT SELECT ON pgleader.lock TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.refuse(text,text,text) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.check_ids(text,integer[]) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.check_number(text,bigint) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.check_mark(text) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.join_election(text,text,uuid,text,integer,timestamp with time zone,text,integer,bigint,integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.record_pgpool(text,integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.leave_election(text,integer,uuid) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.refractory_period(integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.try_elections(text,integer[],integer[],integer[],uuid,boolean,integer,bigint[],integer[]) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.campaign(text,integer[],integer[],integer[],uuid,boolean,integer,bigint[],integer[]) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.take_office(text,integer,uuid,boolean,boolean,integer,bigint,integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.ready(text,integer,uuid,bigint) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.heartbeat(text,oid,integer[]) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.vacate(text,integer,uuid,bigint,text,name,text) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.release(text,integer[],integer[],integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.announce(text,integer[],integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.read_elections(text[],uuid) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.backend_gone(text,integer,bigint) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.leader_backend(integer,bigint) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.is_behind_pgpool(integer,bigint) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.silent_backend(integer,bigint) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.lease_of(integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.evict_silent(text,integer,bigint) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.evict(text,integer,bigint) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.fence(text,bigint,uuid) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.fence(text,bigint) TO candidate;
GRANT SELECT ON pgleader.fenced TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.may_be_behind_pgpool(integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.end_fenced_backend(text,integer,integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.count_fenced_ended(text,integer,integer) TO candidate;
GRANT EXECUTE ON FUNCTION pgleader.end_fenced(text,integer) TO candidate;
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
GRANT EXECUTE ON FUNCTION pgleader.refractory_period(integer) TO observer;
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
GRANT EXECUTE ON FUNCTION pgleader.refractory_period(integer) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.read_elections(text[],uuid) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.leader_backend(integer,bigint) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.is_behind_pgpool(integer,bigint) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.end_leader_backend(integer,bigint) TO operator;
GRANT EXECUTE ON FUNCTION pgleader.end_leader(integer,bigint) TO operator;
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
