-- Purpose: what people read: how elections stand, their terms, their candidates and what operators asked for.
-- Run with: psql -f 0004_views.sql DATABASE, after all before it, as the owner of the schema. Safe to run again.
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

-- Purpose: how every election stands.
--   waiting_for    null (for nothing), `resume` (it is suspended), `transfer` (it is handed over to
--                  `transfer_to`), `refractory period`, `fenced transactions` or `candidates` (that may lead)
--   stranger_pid   a session that is no candidate and holds the leadership, or the lock with which a term begins:
--                  nobody can lead until it ends, or begin to lead and pass a fence
--   suspended_by   who has suspended it
--   excluded       the addresses that may not lead
CREATE OR REPLACE VIEW pgleader.status AS
WITH lock AS MATERIALIZED (
    SELECT l.kind, l.election_id, l.pid, l.mode FROM pgleader.lock AS l WHERE l.granted
), alive AS MATERIALIZED (
    SELECT a.election_id, a.pid, a.address FROM pgleader.alive AS a
)
SELECT e.name,
       CASE WHEN leads.yes THEN e.state ELSE 'vacant' END AS state,
       e.term,
       CASE WHEN leads.yes THEN e.address END AS address,
       CASE WHEN leads.yes THEN e.pid END AS leader_pid,
       e.changed_at AS since,
       CASE WHEN leads.yes THEN e.lease END AS lease,
       (SELECT a.address FROM lock AS s JOIN alive AS a ON a.election_id = s.election_id AND a.pid = s.pid
        WHERE s.kind = 'pgleader.candidate'::regclass AND s.election_id = e.id LIMIT 1) AS successor,
       (SELECT count(*) FROM alive AS a WHERE a.election_id = e.id) AS candidates,
       CASE
           WHEN leads.yes OR stranger.pid IS NOT NULL THEN NULL
           WHEN asked.suspended_by IS NOT NULL THEN 'resume'
           WHEN h.pid IS NOT NULL AND EXISTS (
               SELECT FROM lock AS f WHERE f.kind = 'pgleader.term'::regclass AND f.election_id = e.id)
               AND e.changed_at + pgleader.refractory_period(e.id) * interval '1 ms'
                   <= clock_timestamp() THEN 'fenced transactions'
           WHEN h.pid IS NOT NULL THEN 'refractory period'
           WHEN asked.transfer_to IS NOT NULL THEN 'transfer'
           WHEN NOT EXISTS (
               SELECT FROM alive AS a
               WHERE a.election_id = e.id AND a.address <> ALL (asked.excluded)) THEN 'candidates'
       END AS waiting_for,
       stranger.pid AS stranger_pid,
       asked.suspended_by, asked.transfer_to, asked.excluded
FROM pgleader.election AS e
-- Anybody may hold a share of it, and one session several modes: whoever leads comes first.
LEFT JOIN (
    SELECT DISTINCT ON (l.election_id) l.election_id, l.pid FROM lock AS l
    WHERE l.kind = 'pgleader.election'::regclass
    ORDER BY l.election_id, l.mode = 'ExclusiveLock' DESC, l.pid) AS h ON h.election_id = e.id
CROSS JOIN LATERAL (SELECT coalesce(h.pid = e.pid, false) AS yes) AS leads
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN h.pid IS NOT NULL AND NOT leads.yes AND NOT EXISTS (
            SELECT FROM alive AS a WHERE a.election_id = e.id AND a.pid = h.pid) THEN h.pid
        -- The holder of the leadership begins terms by it.
        ELSE (SELECT min(t.pid) FROM lock AS t
              WHERE t.kind = 'pgleader.term'::regclass AND t.election_id = e.id AND t.mode = 'ExclusiveLock'
                AND t.pid IS DISTINCT FROM h.pid)
    END AS pid) AS stranger
CROSS JOIN LATERAL (
    SELECT (array_agg(r.requested_by ORDER BY r.id) FILTER (WHERE r.kind = 'suspend'))[1] AS suspended_by,
           -- A standby, where somebody may look too, writes no timeline.
           CASE WHEN bool_or(r.kind = 'transfer') AND NOT pg_is_in_recovery()
               THEN pgleader.transfer_to(e.id) END AS transfer_to,
           coalesce(array_agg(DISTINCT r.address) FILTER (WHERE r.kind = 'exclude'), '{}') AS excluded
    FROM pgleader.request AS r WHERE r.election_id = e.id AND r.ended_at IS NULL) AS asked;

-- Purpose: the last 1,000 terms of every election, newest last.
--   by, request    the operator who ended it, and with what: `step down`, `transfer`, `suspend`, `exclude` or
--                  `depose`
CREATE OR REPLACE VIEW pgleader.history AS
SELECT e.name, t.number AS term, t.address, t.started_at,
       CASE WHEN t.ended_at IS NULL AND t.number = e.term THEN e.ready_at ELSE t.ready_at END AS ready_at,
       t.ended_at, t.ending, t.fenced_ended,
       coalesce(t.ended_by, d.requested_by) AS by,
       coalesce(t.ended_request, d.kind) AS request
FROM pgleader.term AS t
JOIN pgleader.election AS e ON e.id = t.election_id
LEFT JOIN LATERAL (
    SELECT r.requested_by, r.kind FROM pgleader.request AS r
    WHERE r.election_id = t.election_id AND r.term = t.number AND r.kind = 'depose'
      AND t.ended_at IS NOT NULL AND t.ended_by IS NULL
    ORDER BY r.id LIMIT 1) AS d ON true
ORDER BY e.name, t.number;

-- Purpose: who takes part, the highest priority first.
--   place      `leader`, `waiting` (elected, and the last term's work may still run), `successor` or `follower`
--   excluded   it may not lead
CREATE OR REPLACE VIEW pgleader.candidates AS
WITH lock AS MATERIALIZED (
    SELECT l.kind, l.election_id, l.pid FROM pgleader.lock AS l WHERE l.granted
)
SELECT e.name, a.address, a.priority,
       CASE
           WHEN h.kind = 'pgleader.election'::regclass AND e.pid = a.pid THEN 'leader'
           WHEN h.kind = 'pgleader.election'::regclass THEN 'waiting'
           WHEN h.kind = 'pgleader.candidate'::regclass THEN 'successor'
           ELSE 'follower'
       END AS place,
       EXISTS (
           SELECT FROM pgleader.request AS r
           WHERE r.election_id = e.id AND r.ended_at IS NULL AND r.kind = 'exclude'
             AND r.address = a.address) AS excluded,
       a.lease, a.pid, a.joined_at
FROM pgleader.alive AS a
JOIN pgleader.election AS e ON e.id = a.election_id
LEFT JOIN lock AS h
    ON h.election_id = a.election_id AND h.pid = a.pid AND h.kind <> 'pgleader.term'::regclass
ORDER BY e.name, a.priority DESC, a.address;

-- Purpose: what operators asked for, newest last.
--   term       the newest term when it was asked for
--   by, at     who, and when
--   ended_at   since when it is no more in force: lifted by `ended_by`, or done. Null while in force
CREATE OR REPLACE VIEW pgleader.requests AS
SELECT e.name, r.kind AS request, r.address, r.term, r.requested_by AS by, r.requested_at AS at,
       r.ended_by, r.ended_at
FROM pgleader.request AS r
JOIN pgleader.election AS e ON e.id = r.election_id
ORDER BY e.name, r.id;

COMMIT;
