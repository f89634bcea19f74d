-- What people read: how elections stand, their terms, their candidates, and what operators asked for.

-- Purpose: how every election stands. On a standby nobody can know: it has the rows, and the locks are the primary's. The
--          state is `unknown` there, and what hangs on locks is null.
--   waiting_for    null (for nothing), `stranger` (until it lets go), `resume` (it is suspended), `transfer` (it is handed
--                  over to `transfer_to`), `refractory period`, `fenced transactions` or `candidates` (that may lead)
--   stranger_pid   a session of one of the `strangers`
--   suspended_by   who has suspended it
--   excluded       the addresses that may not lead
--   strangers      whoever holds the `leadership`, the successor's place (`succession`) or the lock by which terms begin
--                  (`term`) and takes no part, in words: until it lets go nobody can lead; nobody is next in line; or no
--                  term begins and no fence passes
CREATE OR REPLACE VIEW pgleader.status AS
WITH lock AS MATERIALIZED (
    SELECT l.kind, l.election_id, l.pid, l.mode FROM pgleader.lock AS l WHERE l.granted
), holder AS MATERIALIZED (
    SELECT h.election_id, h.pid FROM pgleader.holder AS h WHERE h.kind = 'pgleader.election'::regclass
), candidates AS MATERIALIZED (
    -- Of all elections at once: these may be many, and those many in each.
    SELECT a.election_id, count(*) AS number, array_agg(a.address) AS addresses
    FROM pgleader.alive AS a GROUP BY a.election_id
), successor AS MATERIALIZED (
    SELECT s.election_id, min((
        SELECT a.address FROM pgleader.alive AS a WHERE a.election_id = s.election_id AND a.pid = s.pid LIMIT 1)) AS address
    FROM lock AS s WHERE s.kind = 'pgleader.candidate'::regclass GROUP BY s.election_id
), stranger AS MATERIALIZED (
    SELECT s.election_id, min(s.pid) AS pid,
           bool_or(s.kind <> 'pgleader.candidate'::regclass) AS bars,
           array_agg(concat(pgleader.lock_name(s.kind), ': ', s.who) ORDER BY s.kind, s.pid, s.gid) AS all_of_them
    FROM pgleader.stranger AS s WHERE NOT pg_is_in_recovery() GROUP BY s.election_id
)
SELECT e.name,
       CASE WHEN NOT known.yes THEN 'unknown' WHEN leads.yes THEN e.state ELSE 'vacant' END AS state,
       e.term,
       CASE WHEN leads.yes THEN e.address END AS address,
       CASE WHEN leads.yes THEN e.pid END AS leader_pid,
       e.changed_at AS since,
       CASE WHEN leads.yes THEN e.lease END AS lease,
       CASE WHEN known.yes THEN successor.address END AS successor,
       CASE WHEN known.yes THEN coalesce(candidates.number, 0) END AS candidates,
       CASE
           WHEN NOT known.yes OR leads.yes THEN NULL
           WHEN stranger.bars THEN 'stranger'
           WHEN asked.suspended_by IS NOT NULL THEN 'resume'
           WHEN h.pid IS NOT NULL AND EXISTS (
               SELECT FROM lock AS f WHERE f.kind = 'pgleader.term'::regclass AND f.election_id = e.id)
               AND e.changed_at + pgleader.refractory_period(e.id) * interval '1 ms'
                   <= clock_timestamp() THEN 'fenced transactions'
           WHEN h.pid IS NOT NULL THEN 'refractory period'
           WHEN asked.transfer_to IS NOT NULL THEN 'transfer'
           WHEN coalesce(candidates.addresses <@ asked.excluded, true) THEN 'candidates'
           WHEN stranger.all_of_them IS NOT NULL THEN 'stranger'
       END AS waiting_for,
       stranger.pid AS stranger_pid,
       asked.suspended_by, asked.transfer_to, asked.excluded,
       coalesce(stranger.all_of_them, '{}') AS strangers
FROM pgleader.election AS e
LEFT JOIN holder AS h ON h.election_id = e.id
LEFT JOIN candidates ON candidates.election_id = e.id
LEFT JOIN successor ON successor.election_id = e.id
LEFT JOIN stranger ON stranger.election_id = e.id
CROSS JOIN (SELECT NOT pg_is_in_recovery() AS yes) AS known
CROSS JOIN LATERAL (SELECT known.yes AND coalesce(h.pid = e.pid, false) AS yes) AS leads
CROSS JOIN LATERAL (
    SELECT (array_agg(r.requested_by ORDER BY r.id) FILTER (WHERE r.kind = 'suspend'))[1] AS suspended_by,
           -- A standby, where somebody may look too, writes no timeline.
           CASE WHEN bool_or(r.kind = 'transfer') AND known.yes
               THEN pgleader.transfer_to(e.id) END AS transfer_to,
           coalesce(array_agg(DISTINCT r.address) FILTER (WHERE r.kind = 'exclude'), '{}') AS excluded
    FROM pgleader.request AS r WHERE r.election_id = e.id AND r.ended_at IS NULL) AS asked;

-- Purpose: the last 1,000 terms of every election, newest last.
--   by, request    the operator who ended it, and with what: `step down`, `transfer`, `suspend`, `exclude` or `depose`
--   reason         why, in his words
CREATE OR REPLACE VIEW pgleader.history AS
SELECT e.name, t.number AS term, t.address, t.started_at,
       CASE WHEN t.ended_at IS NULL AND t.number = e.term THEN e.ready_at ELSE t.ready_at END AS ready_at,
       t.ended_at, t.ending, t.fenced_ended,
       coalesce(t.ended_by, d.requested_by) AS by,
       coalesce(t.ended_request, d.kind) AS request,
       coalesce(a.reason, d.reason) AS reason
FROM pgleader.term AS t
JOIN pgleader.election AS e ON e.id = t.election_id
LEFT JOIN LATERAL (
    SELECT r.reason FROM pgleader.request AS r
    WHERE r.election_id = t.election_id AND r.term <= t.number AND r.kind = t.ended_request
      AND r.requested_by = t.ended_by
    ORDER BY r.term DESC, r.id LIMIT 1) AS a ON true
LEFT JOIN LATERAL (
    SELECT r.requested_by, r.kind, r.reason FROM pgleader.request AS r
    WHERE r.election_id = t.election_id AND r.term = t.number AND r.kind = 'depose'
      AND t.ended_at IS NOT NULL AND t.ended_by IS NULL
    ORDER BY r.id LIMIT 1) AS d ON true
ORDER BY e.name, t.number;

-- Purpose: who takes part, the highest priority first. On a standby: who is on record, and may live.
--   place      `leader`, `waiting` (elected, and the last term's work may still run), `successor` or `follower`; on a
--              standby `unknown`
--   excluded   it may not lead
CREATE OR REPLACE VIEW pgleader.candidates AS
WITH holder AS MATERIALIZED (
    SELECT h.kind, h.election_id, h.pid FROM pgleader.holder AS h WHERE NOT pg_is_in_recovery()
), candidate AS (
    SELECT a.election_id, a.address, a.priority, a.lease, a.pid, a.joined_at FROM pgleader.alive AS a
    WHERE NOT pg_is_in_recovery()
    UNION ALL
    -- Their backends are the primary's.
    SELECT c.election_id, c.address, c.priority, c.lease, c.pid, c.joined_at FROM pgleader.candidate AS c
    WHERE pg_is_in_recovery() AND c.pid > 0
)
SELECT e.name, a.address, a.priority,
       CASE
           WHEN pg_is_in_recovery() THEN 'unknown'
           WHEN l.pid = e.pid THEN 'leader'
           WHEN l.pid IS NOT NULL THEN 'waiting'
           WHEN s.pid IS NOT NULL THEN 'successor'
           ELSE 'follower'
       END AS place,
       EXISTS (
           SELECT FROM pgleader.request AS r
           WHERE r.election_id = e.id AND r.ended_at IS NULL AND r.kind = 'exclude'
             AND r.address = a.address) AS excluded,
       a.lease, a.pid, a.joined_at
FROM candidate AS a
JOIN pgleader.election AS e ON e.id = a.election_id
LEFT JOIN holder AS l
    ON l.kind = 'pgleader.election'::regclass AND l.election_id = a.election_id AND l.pid = a.pid
LEFT JOIN holder AS s
    ON s.kind = 'pgleader.candidate'::regclass AND s.election_id = a.election_id AND s.pid = a.pid
ORDER BY e.name, a.priority DESC, a.address;

-- Purpose: whoever holds a lock of an election and takes no part in it: see the view status. None is shown on a standby,
--          which has none of the primary's locks.
--   lock       `leadership`, `succession` (the successor's place) or `term`
--   pid        its backend; null for a prepared transaction, which has a `gid`
--   who        in words: the user and the application too
CREATE OR REPLACE VIEW pgleader.strangers AS
SELECT e.name, pgleader.lock_name(s.kind) AS lock, s.pid, s.gid, s.who
FROM pgleader.stranger AS s
JOIN pgleader.election AS e ON e.id = s.election_id
WHERE NOT pg_is_in_recovery()
ORDER BY e.name, s.kind, s.pid, s.gid;

-- Purpose: what operators asked for, newest last.
--   term       the newest term when it was asked for
--   by, at     who, and when
--   ended_at   since when it is no more in force: lifted by `ended_by`, or done. Null while in force
--   id         what the lever has answered
--   reason     why, in the words of who asked; `ended_reason`, of who lifted it
CREATE OR REPLACE VIEW pgleader.requests AS
SELECT e.name, r.kind AS request, r.address, r.term, r.requested_by AS by, r.requested_at AS at,
       r.ended_by, r.ended_at, r.id, r.reason, r.ended_reason
FROM pgleader.request AS r
JOIN pgleader.election AS e ON e.id = r.election_id
ORDER BY e.name, r.id;
