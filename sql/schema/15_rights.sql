-- The version of the schema, and what each kind of role may do.

-- Purpose: the version of this schema. A build works with its own version, and refuses another one in words: builds of
--          version 1 refuse what is 100 or more.
CREATE OR REPLACE FUNCTION pgleader.version() RETURNS integer
LANGUAGE sql SET search_path = pg_catalog, pg_temp
AS $$ SELECT 105 $$;

-- Purpose: what each kind of role needs, and nothing more. Called by the owner of the schema. It is recorded, and an
--          install takes all rights from everybody who is not on record.
CREATE OR REPLACE FUNCTION pgleader.grant_observer(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (role <> '') IS NOT TRUE THEN
        PERFORM pgleader.refuse('role', role::text, 'be the name of a role');
    END IF;
    -- Two at a time, or one beside an installation, would write one row of the catalogue, and one of them would fail.
    LOCK TABLE pgleader.grantee IN SHARE ROW EXCLUSIVE MODE;
    -- What is recorded of a role that may not even look was another's of its name.
    DELETE FROM pgleader.grantee AS g
    WHERE g.role = grant_observer.role AND NOT EXISTS (
        SELECT FROM pg_namespace AS n CROSS JOIN LATERAL aclexplode(n.nspacl) AS a
        JOIN pg_roles AS r ON r.oid = a.grantee
        WHERE n.nspname = 'pgleader' AND r.rolname = grant_observer.role AND a.privilege_type = 'USAGE');
    EXECUTE format('GRANT USAGE ON SCHEMA pgleader TO %I', role);
    EXECUTE format(
        'GRANT SELECT ON pgleader.lock, pgleader.fenced, pgleader.stranger, pgleader.strangers, pgleader.status, '
        'pgleader.history, pgleader.candidates, pgleader.requests TO %I', role);
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION pgleader.version(), pgleader.timeline(), '
        'pgleader.system_identifier(), pgleader.counters(), pgleader.read_elections(text[], uuid), pgleader.text_of(bytea), '
        'pgleader.refractory_period(integer), pgleader.transfer_to(integer), pgleader.queue_usage(), '
        'pgleader.refuse(text, text, text), pgleader.who(integer, text, name), pgleader.lock_name(regclass) TO %I', role);
    INSERT INTO pgleader.grantee (role, kind, role_oid)
    SELECT r.rolname, 'observer', r.oid FROM pg_roles AS r WHERE r.rolname = grant_observer.role
    ON CONFLICT ON CONSTRAINT grantee_pkey DO UPDATE SET role_oid = excluded.role_oid;
END
$$;

CREATE OR REPLACE FUNCTION pgleader.grant_candidate(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.grant_observer(role);
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION '
        'pgleader.refuse(text, text, text), '
        'pgleader.check_ids(text, integer[]), '
        'pgleader.check_entries(text, text[], integer), '
        'pgleader.check_number(text, bigint), '
        'pgleader.check_terms(bigint[], integer), '
        'pgleader.check_mark(text), '
        'pgleader.check_limit(integer), '
        'pgleader.join_elections(text, text[], uuid, text[], integer, timestamptz, text, integer[], bigint[], '
        'integer[], boolean, integer), '
        'pgleader.leave_elections(text, integer[], uuid), '
        'pgleader.try_elections(text, integer[], integer[], integer[], uuid, boolean, integer, bigint[], '
        'integer[], integer), '
        'pgleader.campaign(text, integer[], integer[], integer[], uuid, boolean, integer, bigint[], integer[], '
        'integer), '
        'pgleader.take_office(text, integer[], uuid, boolean, boolean[], integer[], bigint[], integer[], integer), '
        'pgleader.ready(text, integer[], uuid, bigint[], integer), '
        'pgleader.heartbeat(text, oid, integer[]), '
        'pgleader.vacate(text, integer[], uuid, bigint[], text[], name[], text[], integer), '
        'pgleader.release(text, integer[], integer[], integer), '
        'pgleader.announce(text, integer[], integer), '
        'pgleader.backend_gone(text, integer[], bigint[]), '
        'pgleader.leader_backend(integer, bigint), '
        'pgleader.leader_backends(integer[], bigint[]), '
        'pgleader.is_behind_pgpool(integer, bigint), '
        'pgleader.lease_of(integer), '
        'pgleader.silent_backend(integer, bigint), '
        'pgleader.strangers_of(integer[]), '
        'pgleader.evict(text, integer[], bigint[]), '
        'pgleader.evict_silent(text, integer, bigint), '
        'pgleader.fence(text, bigint), '
        'pgleader.fence(text, bigint, uuid), '
        'pgleader.in_the_way(integer[]), '
        'pgleader.not_to_be_seen(), '
        'pgleader.end_fenced(text, integer[]), '
        'pgleader.may_be_behind_pgpool(integer), '
        'pgleader.end_fenced_backend(text, integer, integer), '
        'pgleader.count_fenced_ended(text, integer, integer) TO %I', role);
    INSERT INTO pgleader.grantee (role, kind, role_oid)
    SELECT r.rolname, 'candidate', r.oid FROM pg_roles AS r WHERE r.rolname = grant_candidate.role
    ON CONFLICT ON CONSTRAINT grantee_pkey DO UPDATE SET role_oid = excluded.role_oid;
END
$$;

CREATE OR REPLACE FUNCTION pgleader.grant_operator(role name) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.grant_observer(role);
    EXECUTE format(
        'GRANT EXECUTE ON FUNCTION pgleader.election_id(text), pgleader.step_down(text, text), '
        'pgleader.transfer(text, text, text), pgleader.suspend(text, text), pgleader.resume(text, text), '
        'pgleader.exclude(text, text, text), pgleader.include(text, text, text), '
        'pgleader.request_depose(text, text), pgleader.depose(text, text), pgleader.is_behind_pgpool(integer, bigint), '
        'pgleader.leader_backend(integer, bigint), '
        'pgleader.end_leader_backend(integer, bigint), pgleader.end_leader(integer, bigint) TO %I', role);
    INSERT INTO pgleader.grantee (role, kind, role_oid)
    SELECT r.rolname, 'operator', r.oid FROM pg_roles AS r WHERE r.rolname = grant_operator.role
    ON CONFLICT ON CONSTRAINT grantee_pkey DO UPDATE SET role_oid = excluded.role_oid;
END
$$;

-- Purpose: take every right in the schema from every role but its owner, and give anew what is on record. So default
--          privileges and grants by hand are taken back. Called by every install.
-- Hazard: a role that was granted something, dropped and made anew must not have it: a role that has lost the use of
--         the schema is forgotten. So `REVOKE USAGE ON SCHEMA pgleader` takes all back for good.
CREATE OR REPLACE FUNCTION pgleader.set_rights() RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
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
$$;

DO $$ BEGIN PERFORM pgleader.set_rights(); END $$;
