-- The schema, its tables, and what keeps their rows.
--
-- Hazard: three of the tables are locks too. An advisory lock has the OID of one of them as its class and an election's
-- id as its object. A table that is dropped and made again is another lock, so no chapter drops one.
--
--   pgleader.election   exclusive, session      the leadership
--   pgleader.candidate  exclusive, session      being the successor
--   pgleader.term       shared, transaction     a fenced transaction
--                       exclusive, transaction  a new term begins

-- Not pg_leader: PostgreSQL keeps names that begin with pg_ for itself.
CREATE SCHEMA IF NOT EXISTS pgleader;
COMMENT ON SCHEMA pgleader IS 'Leader election. Start with: SELECT * FROM pgleader.status';

-- Who was granted what. Every install takes all rights from everybody who is not here.
CREATE TABLE IF NOT EXISTS pgleader.grantee (
    role name NOT NULL,
    kind text NOT NULL CHECK (kind IN ('observer', 'candidate', 'operator')),
    PRIMARY KEY (role, kind)
);
-- It finds a role that was renamed.
ALTER TABLE pgleader.grantee ADD COLUMN IF NOT EXISTS role_oid oid;

-- What earlier versions have left -------------------------------------------------------------------------

-- Version 1 kept the secret itself and recorded no grants. The rights tell what was granted. A role that may also call
-- an inner function has it all by default privileges, and nobody has granted it anything.
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

-- A build must find no function of another version. What a view or a trigger uses cannot be dropped; a later chapter
-- replaces it.
DO $$
DECLARE
    build CONSTANT integer := 105;
    found integer;
    others text;
BEGIN
    IF to_regprocedure('pgleader.version()') IS NULL THEN
        RETURN;
    END IF;
    EXECUTE 'SELECT pgleader.version()' INTO found;
    IF found > build THEN
        RAISE EXCEPTION 'the schema pgleader has version %, these files make version %', found, build
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

-- Tables --------------------------------------------------------------------------------------------------
--
-- Identities come from no sequence: one that a restore or logical replication has left behind gives out ids that are
-- taken. An election has a random one, a request the microseconds since 2026.

-- One row an election. Who joins it first makes it, the holder of its leadership lock alone writes it, and nobody
-- deletes it: its terms must not start again.
CREATE TABLE IF NOT EXISTS pgleader.election (
    id         integer PRIMARY KEY DEFAULT 1 + floor(random() * 2147483647)::integer,
    name       text NOT NULL UNIQUE CHECK (length(name) BETWEEN 1 AND 200),
    term       bigint NOT NULL DEFAULT 0,
    state      text NOT NULL DEFAULT 'vacant' CHECK (state IN ('vacant', 'recovering', 'leading')),
    address    text,
    pid        integer,
    lease      interval,
    ready_at   timestamptz,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The newest term whose fence refuses. It is written here first, since a fenced transaction may hold the term's
    -- row.
    closed_term bigint NOT NULL DEFAULT 0,
    -- The backends of fenced transactions that were told to end so that the next term can begin.
    ended_backends text[] NOT NULL DEFAULT '{}'
);
-- An identity up to version 103.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = 'pgleader.election'::regclass AND a.attname = 'id' AND a.attidentity <> '') THEN
        ALTER TABLE pgleader.election ALTER COLUMN id DROP IDENTITY;
        ALTER TABLE pgleader.election ALTER COLUMN id SET DEFAULT 1 + floor(random() * 2147483647)::integer;
    END IF;
END
$$;
-- Versions up to 101 only counted these backends, and a slow one twice.
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

-- Who takes part. A process proves by its secret, `instance`, that a term is its own. Only the secret's sha256 is kept.
CREATE TABLE IF NOT EXISTS pgleader.candidate (
    election_id   integer NOT NULL,
    instance_hash bytea NOT NULL,
    address       text NOT NULL,
    priority      integer NOT NULL,
    lease         interval NOT NULL CHECK (lease BETWEEN '100 ms' AND '1 h'),
    pid           integer NOT NULL,
    backend_start timestamptz NOT NULL,
    joined_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- The greatest term that its process has heard of, on whatever server, and that term's lease; 0 for none.
    heard         bigint NOT NULL DEFAULT 0 CHECK (heard >= 0),
    heard_lease   interval NOT NULL DEFAULT '0' CHECK (heard_lease BETWEEN '0' AND '1 h'),
    PRIMARY KEY (election_id, instance_hash)
);
-- Each is for a question whose answer must cost the same however many rows the dead have left: who lives, who has a
-- priority (empty where nobody has), and what the rows have heard of.
DROP INDEX IF EXISTS pgleader.candidate_pid;
CREATE INDEX IF NOT EXISTS candidate_backend ON pgleader.candidate (pid, election_id);
CREATE INDEX IF NOT EXISTS candidate_priority ON pgleader.candidate (election_id) WHERE priority <> 0;
CREATE INDEX IF NOT EXISTS candidate_lease ON pgleader.candidate (election_id, lease);
CREATE INDEX IF NOT EXISTS candidate_heard ON pgleader.candidate (election_id, heard) WHERE heard > 0;
-- pgpool-II takes a session that is ended by force for a server that has gone down.
ALTER TABLE pgleader.candidate ADD COLUMN IF NOT EXISTS behind_pgpool boolean NOT NULL DEFAULT false;
-- Where that pgpool-II is; null by a Unix socket. Other sessions from there are pgpool-II's too.
ALTER TABLE pgleader.candidate ADD COLUMN IF NOT EXISTS client_addr inet;
CREATE INDEX IF NOT EXISTS candidate_behind_pgpool ON pgleader.candidate (election_id) WHERE behind_pgpool;

-- One row a term. It is written when the term begins and when it ends, and not between: a fenced transaction may hold
-- it FOR SHARE. So the election's row keeps `ready_at` meanwhile.
--   closed_at   its fence refuses from here
--   vacated_at  its work has stopped; null: nobody knows
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
    -- A server that was lost may have given out the same number. The token tells the two terms apart.
    token             uuid NOT NULL,
    PRIMARY KEY (election_id, number)
);
-- As in its candidate's row.
ALTER TABLE pgleader.term ADD COLUMN IF NOT EXISTS behind_pgpool boolean NOT NULL DEFAULT false;
ALTER TABLE pgleader.term ADD COLUMN IF NOT EXISTS client_addr inet;
CREATE INDEX IF NOT EXISTS term_behind_pgpool ON pgleader.term (client_addr) WHERE behind_pgpool;

-- What operators ask for; in force until `ended_at`. Operators insert here and write nowhere else, so their open
-- transactions hold no row that a leader needs.
--   suspend, exclude      in force until resume and include, by `ended_by`
--   step down, transfer   about `term`; the next term ends it
--   depose                done at once; it tells who did it
CREATE TABLE IF NOT EXISTS pgleader.request (
    id           bigint PRIMARY KEY DEFAULT ((extract(epoch FROM clock_timestamp()) - 1767225600) * 1000000)::bigint,
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
-- An identity up to version 103.
DO $$
BEGIN
    IF EXISTS (
        SELECT FROM pg_attribute AS a
        WHERE a.attrelid = 'pgleader.request'::regclass AND a.attname = 'id' AND a.attidentity <> '') THEN
        ALTER TABLE pgleader.request ALTER COLUMN id DROP IDENTITY;
        ALTER TABLE pgleader.request ALTER COLUMN id
            SET DEFAULT ((extract(epoch FROM clock_timestamp()) - 1767225600) * 1000000)::bigint;
    END IF;
END
$$;
-- Why it was asked for, and why it was lifted, in an operator's words.
ALTER TABLE pgleader.request
    ADD COLUMN IF NOT EXISTS reason text CHECK (length(reason) BETWEEN 1 AND 1000),
    ADD COLUMN IF NOT EXISTS ended_reason text CHECK (length(ended_reason) BETWEEN 1 AND 1000);
CREATE INDEX IF NOT EXISTS request_election_id ON pgleader.request (election_id, term);
CREATE INDEX IF NOT EXISTS request_in_force ON pgleader.request (election_id) WHERE ended_at IS NULL;

-- What stays ----------------------------------------------------------------------------------------------
--
-- An election whose row is deleted, or whose term is lowered, gives its numbers out again. The triggers judge the row
-- and not the caller. They are ordinary ones: a dump is restored, and a subscriber follows, without them.

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

-- Purpose: refuse a term that has no row: nobody could tell whose it is, and whether it began here.
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

-- Purpose: keep the last 1,000 terms of every election.
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
