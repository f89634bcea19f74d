-- Purpose: the operator's levers, and what of them candidates obey.
-- Run with: psql -f 0003_levers.sql DATABASE, after all before it, as the owner of the schema. Safe to run again.
--
-- Operators write pgleader.request alone. Each notifies in the operator's transaction, so it takes effect at the
-- commit; where the notification is lost, with the leader's next heartbeat or a candidate's next try.
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

-- What candidates obey -----------------------------------------------------------------------------------

-- Purpose: the address that is to lead next, while a transfer is under way. Given up when no candidate of that
--          address lives or may lead, when the server writes another timeline, and ten leases after it was asked
--          for; or after the term has ended, where that was on its account or within those ten leases.
-- Hazard: what was given up stays given up, whenever and however the term ends.
-- Hazard: where the server's clock was put back the request lies in the future: given up.
CREATE OR REPLACE FUNCTION pgleader.transfer_to(election integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
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
$$;

-- Purpose: whose turn it is in these elections, for the candidate of that instance. Writes nothing, takes no
--          row lock.
-- Meaning: an object of election ids; those that are not in it are open to him as to everybody.
--   `suspended`   nobody may lead
--   `excluded`    his address may not
--   `transfer`    another address is to lead next
--   `called`      he is to lead next
--   `outranked`   somebody else comes first by his priority: a live candidate that is not excluded and has not
--                 led the last term
--   `unknown`     the requests cannot be read: whoever has locked them must not cost leaderships of others, and
--                 nobody begins a term that may be forbidden
CREATE OR REPLACE FUNCTION pgleader.turns(elections integer[], instance uuid) RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5ms'
AS $$
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
$$;

COMMENT ON FUNCTION pgleader.turns(integer[], uuid) IS 'null instance: somebody looks on, who is no candidate';

-- Purpose: the requests about terms before this one are done, and those about forgotten terms are forgotten.
--          Called when it begins.
-- Hazard: whoever has locked the table of requests must not delay a term; a later one does it then.
CREATE OR REPLACE FUNCTION pgleader.end_requests(election integer, term bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5ms'
AS $$
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
$$;

-- What operators call -------------------------------------------------------------------------------------

-- Purpose: the id of an election, or an error that says which there are.
CREATE OR REPLACE FUNCTION pgleader.election_id(election text) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
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
$$;

-- Purpose: the term in which somebody leads; null when nobody does.
CREATE OR REPLACE FUNCTION pgleader.leading_term(election integer) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    RETURN (SELECT e.term FROM pgleader.election AS e WHERE e.id = election AND e.state <> 'vacant');
END
$$;

-- Purpose: record what an operator asks for, and tell everybody to look.
-- Parameters: only_term, the term that it is about; null where it is about whichever is the newest.
-- Meaning: false where a term after only_term has begun: nothing is recorded.
CREATE OR REPLACE FUNCTION pgleader.ask(
    election integer, kind text, address text DEFAULT NULL, only_term bigint DEFAULT NULL
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
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
$$;

COMMENT ON FUNCTION pgleader.ask(integer, text, text, bigint) IS
    'null address: the kind has none; null only_term: whichever is the newest';

-- Purpose: the hint that something was asked of an election.
CREATE OR REPLACE FUNCTION pgleader.notify(election integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    PERFORM pg_notify('pg_leader', json_build_object('election', e.name, 'term', e.term)::text)
    FROM pgleader.election AS e WHERE e.id = election;
END
$$;

-- Purpose: whether a suspension, or the exclusion of an address, is in force.
CREATE OR REPLACE FUNCTION pgleader.in_force(election integer, kind text, address text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
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
$$;
COMMENT ON FUNCTION pgleader.in_force(integer, text, text) IS 'null address: the kind has none';

-- Purpose: lift a suspension, or the exclusion of an address.
-- Meaning: whether there was one.
CREATE OR REPLACE FUNCTION pgleader.lift(election integer, kind text, address text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
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
$$;

COMMENT ON FUNCTION pgleader.lift(integer, text, text) IS 'null address: the kind has none';

-- Purpose: ask the leader to give up its term in order. It does so within a heartbeat of the commit.
-- Meaning: the term that ends; null when nobody leads, and when that term has ended by itself just now.
CREATE OR REPLACE FUNCTION pgleader.step_down(election text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_id integer := pgleader.election_id(election);
    leading_term bigint := pgleader.leading_term(its_id);
BEGIN
    IF leading_term IS NULL OR NOT pgleader.ask(its_id, 'step down', only_term => leading_term) THEN
        RETURN NULL;
    END IF;
    RETURN leading_term;
END
$$;

-- Purpose: hand the leadership over: the leader gives up its term in order, and the next one is that address's.
--          Given up after ten leases (see transfer_to); then anybody may lead. Of several candidates with that
--          address any.
-- Meaning: the term that ends; null when nobody leads, and when that address leads already.
CREATE OR REPLACE FUNCTION pgleader.transfer(election text, address text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
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
$$;

-- Purpose: nobody leads until pgleader.resume; the leader gives up its term in order. Survives restarts of
--          candidates and server. Suspended already: nothing is recorded.
-- Meaning: the term that ends; null when nobody leads.
CREATE OR REPLACE FUNCTION pgleader.suspend(election text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_id integer := pgleader.election_id(election);
BEGIN
    IF NOT pgleader.in_force(its_id, 'suspend') THEN
        PERFORM pgleader.ask(its_id, 'suspend');
    END IF;
    RETURN pgleader.leading_term(its_id);
END
$$;

-- Purpose: candidates may lead again.
-- Meaning: whether the election was suspended.
CREATE OR REPLACE FUNCTION pgleader.resume(election text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pgleader.lift(pgleader.election_id(election), 'suspend');
END
$$;

-- Purpose: no candidate of that address leads until pgleader.include, whether it takes part already or joins
--          later; if it leads it gives up its term in order. Excluded already: nothing is recorded.
-- Meaning: the term that ends; null when that address does not lead.
CREATE OR REPLACE FUNCTION pgleader.exclude(election text, address text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
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
$$;

-- Purpose: candidates of that address may lead again.
-- Meaning: whether it was excluded.
CREATE OR REPLACE FUNCTION pgleader.include(election text, address text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_address(address);
    RETURN pgleader.lift(pgleader.election_id(election), 'exclude', address);
END
$$;

-- Purpose: record that the caller ends the session of a leader.
-- Meaning: the term that ends; null when nobody leads.
CREATE OR REPLACE FUNCTION pgleader.request_depose(election text) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
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
$$;

-- Purpose: end the session of the leader, by force. The next term begins once its work has stopped. The
--          caller's own rights are tried first, then those of the schema's owner.
-- Meaning: the term that ends; null when nobody leads.
CREATE OR REPLACE FUNCTION pgleader.depose(election text) RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
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
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgleader FROM PUBLIC;
COMMIT;
