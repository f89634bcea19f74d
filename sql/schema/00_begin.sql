-- What the chapters begin with. All of them are one transaction, so that nobody finds half of a schema:
--
--   cat sql/schema/*.sql | psql -1 -v ON_ERROR_STOP=1 -f - DATABASE
--
-- They are the same in every encoding and under every setting of a server or role: no character beyond ASCII, no
-- backslash.
--
-- One installer waits for the other, and nobody installs over what another role has made.
SET TRANSACTION ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL statement_timeout = 0;
SET LOCAL idle_in_transaction_session_timeout = 0;
DO $$
BEGIN
    -- Which PostgreSQL 15 and 16 do not know.
    IF current_setting('transaction_timeout', true) IS NOT NULL THEN
        PERFORM set_config('transaction_timeout', '0', true);
    END IF;
END
$$;
SET LOCAL lock_timeout = '10s';
SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;
DO $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('pgleader: install'));
EXCEPTION WHEN lock_not_available THEN
    RAISE EXCEPTION 'somebody else has been installing the schema pgleader for 10 s'
        USING ERRCODE = 'lock_not_available', HINT = 'See pg_locks for who it is; then run this again.';
END
$$;
-- Hazard: who runs what another role has made, a trigger say, lends that role his rights. And what he makes is not the
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
-- Who grants something writes the same rows of the catalogue: pgleader.grant_observer takes this lock too. It is a
-- table's and not an advisory one, which anybody could hold.
DO $$
BEGIN
    IF to_regclass('pgleader.grantee') IS NOT NULL THEN
        LOCK TABLE pgleader.grantee IN SHARE ROW EXCLUSIVE MODE;
    END IF;
EXCEPTION WHEN lock_not_available THEN
    RAISE EXCEPTION 'somebody else has been granting the use of the schema pgleader for 10 s'
        USING ERRCODE = 'lock_not_available', HINT = 'See pg_locks for who it is; then run this again.';
END
$$;
-- A lock that is waited for stops all who come later, leaders too. What fails for that is run again.
SET LOCAL lock_timeout = '50ms';
