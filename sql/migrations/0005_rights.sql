-- Purpose: the version of the schema, and what each kind of role may do.
-- Run with: psql -f 0005_rights.sql DATABASE, after all before it, as the owner of the schema. Safe to run again.
BEGIN;
SET LOCAL statement_timeout = 0;
SET LOCAL lock_timeout = 0;
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;
SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE;
DO $$ BEGIN PERFORM pg_advisory_xact_lock(hashtext('pgleader: install')); END $$;

-- Purpose: the version of this schema. Below 100 a newer one only adds to an older one.
CREATE OR REPLACE FUNCTION pgleader.version() RETURNS integer
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$ SELECT 1 $$;

-- Purpose: what each kind of role needs, and nothing more. Called by the owner of the schema.
CREATE OR REPLACE FUNCTION pgleader.grant_observer(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
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
$$;

CREATE OR REPLACE FUNCTION pgleader.grant_candidate(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.grant_observer(role);
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION '
        'pgleader.join_election(text, uuid, text, integer, timestamptz, text, integer), '
        'pgleader.record_pgpool(integer), pgleader.is_behind_pgpool(integer, bigint), '
        'pgleader.may_be_behind_pgpool(integer), '
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
$$;

CREATE OR REPLACE FUNCTION pgleader.grant_operator(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.grant_observer(role);
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION pgleader.election_id(text), pgleader.step_down(text), '
        'pgleader.transfer(text, text), pgleader.suspend(text), pgleader.resume(text), '
        'pgleader.exclude(text, text), pgleader.include(text, text), '
        'pgleader.request_depose(text), pgleader.depose(text), pgleader.is_behind_pgpool(integer, bigint), '
        'pgleader.leader_backend(integer, bigint), '
        'pgleader.end_leader_backend(integer, bigint), pgleader.evict(integer, bigint) TO %I', role);
END
$$;

REVOKE ALL ON ALL TABLES IN SCHEMA pgleader FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgleader FROM PUBLIC;

COMMIT;
