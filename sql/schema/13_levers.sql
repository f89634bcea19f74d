-- The operator's levers.
--
-- Operators write pgleader.request alone. Each lever notifies in the operator's transaction, so it takes effect at the
-- commit. Where the notification is lost or left out, it does with the leader's next heartbeat, or a candidate's next
-- try.

-- Purpose: send notifications; everything that notifies comes through here.
-- Meaning: false where none was sent, for the queue of the server is half full.
-- Hazard: where the queue is full the commit fails, and nothing can catch that: what was done must not hang on a hint.
CREATE OR REPLACE FUNCTION pgleader.notify_all(payloads text[]) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF payloads IS NULL OR array_position(payloads, NULL) IS NOT NULL THEN
        PERFORM pgleader.refuse('payloads or one of them', NULL, '');
    ELSIF array_ndims(payloads) > 1 OR array_position(payloads, '') IS NOT NULL THEN
        PERFORM pgleader.refuse('payloads', payloads::text, 'be a plain list of what is not empty');
    END IF;
    IF pgleader.queue_usage() >= 0.5 THEN
        RETURN false;
    END IF;
    PERFORM pg_notify('pg_leader', u.payload) FROM unnest(payloads) AS u (payload);
    RETURN true;
END
$$;

-- Purpose: how full the server's queue of notifications is, between 0 and 1.
CREATE OR REPLACE FUNCTION pgleader.queue_usage() RETURNS double precision
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pg_notification_queue_usage();
END
$$;

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
            USING ERRCODE = 'undefined_object', SCHEMA = 'pgleader', TABLE = 'election',
                  HINT = 'SELECT name FROM pgleader.status lists them.';
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

-- Purpose: an id for a request: the microseconds since 2026, and in any case more than every id that is on record. So a
--          later one is greater, and nobody waits for another operator's open transaction.
CREATE OR REPLACE FUNCTION pgleader.new_request_id() RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    passed bigint := ((extract(epoch FROM clock_timestamp()) - 1767225600) * 1000000)::bigint;
    newest bigint := (SELECT max(r.id) FROM pgleader.request AS r);
BEGIN
    IF newest >= passed THEN
        -- The clock was put back.
        RETURN newest + 1 + floor(random() * 1000)::bigint;
    END IF;
    RETURN passed;
END
$$;

-- Purpose: record what an operator asks for, and tell everybody to look.
-- Parameters: only_term, the term that it is about; null where it is about whichever is the newest. reason, in the
--             operator's words.
-- Meaning: the id of the request; null where a term after only_term has begun: nothing is recorded.
CREATE OR REPLACE FUNCTION pgleader.ask(
    election integer, kind text, address text DEFAULT NULL, only_term bigint DEFAULT NULL, reason text DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    asked bigint;
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
    PERFORM pgleader.check_reason(reason);
    -- session_user and not current_user: this runs as the schema's owner.
    WHILE asked IS NULL AND EXISTS (
        SELECT FROM pgleader.election AS e WHERE e.id = election AND e.term = coalesce(only_term, e.term)) LOOP
        INSERT INTO pgleader.request AS r
            (id, election_id, term, kind, address, timeline, requested_by, reason, ended_at)
        SELECT pgleader.new_request_id(), e.id, e.term, ask.kind, ask.address, pgleader.timeline(), session_user,
               ask.reason, CASE WHEN ask.kind = 'depose' THEN clock_timestamp() END
        FROM pgleader.election AS e WHERE e.id = election AND e.term = coalesce(only_term, e.term)
        ON CONFLICT ON CONSTRAINT request_pkey DO NOTHING
        RETURNING r.id INTO asked;
    END LOOP;
    IF asked IS NOT NULL THEN
        PERFORM pgleader.notify(election);
    END IF;
    RETURN asked;
END
$$;

COMMENT ON FUNCTION pgleader.ask(integer, text, text, bigint, text) IS
    'null address: the kind has none; null only_term: whichever is the newest; null reason: none is given';

-- Purpose: the hint that something was asked of an election.
CREATE OR REPLACE FUNCTION pgleader.notify(election integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    IF NOT pgleader.notify_all(ARRAY(
        SELECT json_build_object('election', e.name, 'term', e.term)::text
        FROM pgleader.election AS e WHERE e.id = notify.election)) THEN
        RAISE WARNING 'nobody was notified, for the queue of notifications of this server is half full: it takes effect with the next heartbeat or try'
            USING HINT = 'Find the session that listens in an old transaction: SELECT pid, xact_start FROM pg_stat_activity ORDER BY xact_start.';
    END IF;
END
$$;

-- Purpose: the request for a suspension, or for the exclusion of an address, that is in force; null where there is none.
CREATE OR REPLACE FUNCTION pgleader.request_in_force(election integer, kind text, address text DEFAULT NULL)
RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT pgleader.in_force(election, kind, address) THEN
        RETURN NULL;
    END IF;
    RETURN (
        SELECT min(r.id) FROM pgleader.request AS r
        WHERE r.election_id = election AND r.ended_at IS NULL AND r.kind = request_in_force.kind
          AND r.address IS NOT DISTINCT FROM request_in_force.address);
END
$$;
COMMENT ON FUNCTION pgleader.request_in_force(integer, text, text) IS 'null address: the kind has none';

-- Purpose: lift a suspension, or the exclusion of an address.
-- Parameters: reason, in the operator's words.
-- Meaning: the id of the request that is no more in force; null where there was none.
CREATE OR REPLACE FUNCTION pgleader.lift(
    election integer, kind text, address text DEFAULT NULL, reason text DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    lifted bigint;
BEGIN
    PERFORM pgleader.check_number('election', election);
    IF (kind IN ('suspend', 'exclude')) IS NOT TRUE THEN
        PERFORM pgleader.refuse('kind', kind, 'be suspend or exclude');
    END IF;
    PERFORM pgleader.check_reason(reason);
    WITH free AS (
        SELECT r.id FROM pgleader.request AS r
        WHERE r.election_id = election AND r.ended_at IS NULL AND r.kind = lift.kind
          AND r.address IS NOT DISTINCT FROM lift.address
        FOR UPDATE SKIP LOCKED
    ), done AS (
        UPDATE pgleader.request AS r
        SET ended_at = clock_timestamp(), ended_by = session_user, ended_reason = lift.reason
        FROM free AS f WHERE r.id = f.id
        RETURNING r.id)
    SELECT min(d.id) INTO lifted FROM done AS d;
    IF pgleader.in_force(election, kind, address) THEN
        RAISE EXCEPTION 'another transaction lifts this just now'
            USING ERRCODE = 'lock_not_available', HINT = 'Commit it, or roll it back and call again.';
    END IF;
    IF lifted IS NOT NULL THEN
        PERFORM pgleader.notify(election);
    END IF;
    RETURN lifted;
END
$$;

COMMENT ON FUNCTION pgleader.lift(integer, text, text, text) IS
    'null address: the kind has none; null reason: none is given';

-- What operators call ---------------------------------------------------------------------------------------
--
-- Each takes a reason, in the operator's words, which the views show. Those that ask for something answer with a row:
--   id     of the request, as in pgleader.requests; null where nothing was asked for
--   term   the term that ends by it; null where none does
-- Those that take something back answer with the id of the request that was in force; null where there was none.

-- Purpose: ask the leader to give up its term in order. It does so within a heartbeat of the commit. Nothing is asked for
--          when nobody leads, nor when that term has ended by itself just now.
CREATE OR REPLACE FUNCTION pgleader.step_down(
    election text, reason text DEFAULT NULL, OUT id bigint, OUT term bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_id integer := pgleader.election_id(election);
    leading_term bigint := pgleader.leading_term(its_id);
BEGIN
    PERFORM pgleader.check_reason(reason);
    IF leading_term IS NOT NULL THEN
        id := pgleader.ask(its_id, 'step down', only_term => leading_term, reason => reason);
    END IF;
    IF id IS NOT NULL THEN
        term := leading_term;
    END IF;
END
$$;
COMMENT ON FUNCTION pgleader.step_down(text, text) IS 'null reason: none is given';

-- Purpose: hand the leadership over: the leader gives up its term in order, and that address leads next. Given up after
--          ten leases (see transfer_to); then anybody may lead. Of several candidates with that address any. Nothing is
--          asked for when that address leads already.
CREATE OR REPLACE FUNCTION pgleader.transfer(
    election text, address text, reason text DEFAULT NULL, OUT id bigint, OUT term bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_id integer := pgleader.election_id(election);
    leading_term bigint := pgleader.leading_term(its_id);
BEGIN
    PERFORM pgleader.check_address(address);
    PERFORM pgleader.check_reason(reason);
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
        RETURN;
    END IF;
    id := pgleader.ask(its_id, 'transfer', address, leading_term, reason);
    term := leading_term;
    IF id IS NULL THEN
        RAISE EXCEPTION 'another term of election "%" began just now', election
            USING ERRCODE = 'object_not_in_prerequisite_state', HINT = 'Call pgleader.transfer again.';
    END IF;
END
$$;
COMMENT ON FUNCTION pgleader.transfer(text, text, text) IS 'null reason: none is given';

-- Purpose: nobody leads until pgleader.resume; the leader gives up its term in order. It outlives restarts of
--          candidates and server. Suspended already: nothing is recorded, and the answer is the request in force.
CREATE OR REPLACE FUNCTION pgleader.suspend(
    election text, reason text DEFAULT NULL, OUT id bigint, OUT term bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_id integer := pgleader.election_id(election);
BEGIN
    PERFORM pgleader.check_reason(reason);
    id := coalesce(
        pgleader.request_in_force(its_id, 'suspend'), pgleader.ask(its_id, 'suspend', reason => reason));
    term := pgleader.leading_term(its_id);
END
$$;
COMMENT ON FUNCTION pgleader.suspend(text, text) IS 'null reason: none is given';

-- Purpose: candidates may lead again.
CREATE OR REPLACE FUNCTION pgleader.resume(election text, reason text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN pgleader.lift(pgleader.election_id(election), 'suspend', reason => reason);
END
$$;
COMMENT ON FUNCTION pgleader.resume(text, text) IS 'null reason: none is given';

-- Purpose: no candidate of that address leads until pgleader.include, whether it takes part already or joins later; if
--          it leads it gives up its term in order. Excluded already: nothing is recorded, and the answer is the request in
--          force.
CREATE OR REPLACE FUNCTION pgleader.exclude(
    election text, address text, reason text DEFAULT NULL, OUT id bigint, OUT term bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_id integer := pgleader.election_id(election);
BEGIN
    PERFORM pgleader.check_address(address);
    PERFORM pgleader.check_reason(reason);
    id := coalesce(
        pgleader.request_in_force(its_id, 'exclude', address),
        pgleader.ask(its_id, 'exclude', address, reason => reason));
    term := (
        SELECT e.term FROM pgleader.election AS e
        WHERE e.id = its_id AND e.state <> 'vacant' AND e.address = exclude.address);
END
$$;
COMMENT ON FUNCTION pgleader.exclude(text, text, text) IS 'null reason: none is given';

-- Purpose: candidates of that address may lead again.
CREATE OR REPLACE FUNCTION pgleader.include(election text, address text, reason text DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_address(address);
    RETURN pgleader.lift(pgleader.election_id(election), 'exclude', address, reason);
END
$$;
COMMENT ON FUNCTION pgleader.include(text, text, text) IS 'null reason: none is given';

-- Purpose: record that the caller ends the session of a leader. Nothing is recorded when nobody leads.
CREATE OR REPLACE FUNCTION pgleader.request_depose(
    election text, reason text DEFAULT NULL, OUT id bigint, OUT term bigint
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    its_id integer := pgleader.election_id(election);
    leading_term bigint := (SELECT e.term FROM pgleader.election AS e WHERE e.id = its_id);
BEGIN
    PERFORM pgleader.check_reason(reason);
    IF leading_term > 0 AND pgleader.is_behind_pgpool(its_id, leading_term) THEN
        RAISE EXCEPTION 'the leader of election "%" is behind pgpool-II, which would take the end of its session for the end of the server and detach it',
                election
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  HINT = 'Call pgleader.step_down. A leader that hangs is ended by its own silence, after 1.2 leases.';
    END IF;
    IF leading_term > 0 AND pgleader.leader_backend(its_id, leading_term) IS NOT NULL THEN
        id := pgleader.ask(its_id, 'depose', only_term => leading_term, reason => reason);
    END IF;
    IF id IS NOT NULL THEN
        term := leading_term;
    END IF;
END
$$;
COMMENT ON FUNCTION pgleader.request_depose(text, text) IS 'null reason: none is given';

-- Purpose: end the session of the leader, by force. The next term begins once its work has stopped. The caller's own
--          rights are tried first, then those of the schema's owner.
CREATE OR REPLACE FUNCTION pgleader.depose(
    election text, reason text DEFAULT NULL, OUT id bigint, OUT term bigint
)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    SELECT d.id, d.term INTO id, term FROM pgleader.request_depose(election, reason) AS d;
    IF term IS NOT NULL AND NOT pgleader.end_leader(pgleader.election_id(election), term) THEN
        RAISE EXCEPTION 'neither you nor the owner of the schema pgleader may end the session of the leader'
            USING ERRCODE = 'insufficient_privilege',
                  HINT = 'Grant pg_signal_backend to the owner of the schema, or call pgleader.step_down.';
    END IF;
    -- What is done cannot be taken back, however the caller's transaction ends.
    IF term IS NOT NULL THEN
        RAISE NOTICE 'the session of the leader of election "%" was ended: term % is over', election, term;
    END IF;
END
$$;
COMMENT ON FUNCTION pgleader.depose(text, text) IS 'null reason: none is given';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgleader FROM PUBLIC;
