-- Writes that only the current leader can make, in psql.
--
--   createdb fence
--   cat sql/schema/*.sql | psql -q -1 -f - fence
--   psql -X -f examples/fence.sql fence
--
-- It plays a leader by hand in an election of its own, `fence.sql`, so it needs no other process. In earnest the
-- library or the command leads, and the term's number and token come from there (`Term::number` and `Term::token`,
-- PG_LEADER_TERM and PG_LEADER_TOKEN).
-- Errors are part of it.

\set ON_ERROR_STOP off
\pset footer off
CREATE TABLE IF NOT EXISTS booking (term bigint, address text, at timestamptz);

\echo
\echo '== This session leads.'
SELECT gen_random_uuid() AS instance, set_config('pgleader.mark', gen_random_uuid()::text, false) AS mark \gset
SELECT j.election
FROM pg_stat_get_activity(pg_backend_pid()) AS a,
     pgleader.join_elections(:'mark', '{fence.sql}', :'instance', '{psql}', 1000, a.backend_start, 'fence.sql', '{0}', '{0}', '{0}',
                             false) AS j \gset
SELECT outcome, term, token FROM pgleader.campaign(:'mark', ARRAY[:election], '{}', ARRAY[:election], :'instance', true, 3600000, '{0}', '{0}') \gset
\echo :outcome term :term

\echo
\echo '== A fenced transaction commits before a later term begins, or never.'
BEGIN;
SELECT pgleader.fence('fence.sql', :term);
INSERT INTO booking VALUES (:term, 'psql', now());
\echo '-- While it is open it stands in the way of the next term:'
SELECT f.pid = pg_backend_pid() AS mine FROM pgleader.fenced AS f WHERE f.election_id = :election;
COMMIT;

\echo
\echo '== By itself the call is a transaction of its own: an error, as it would guard nothing.'
SELECT pgleader.fence('fence.sql', :term);

\echo
\echo '== A rollback to a savepoint from before the call undoes it. Called again, it holds again.'
BEGIN;
SAVEPOINT before;
SELECT pgleader.fence('fence.sql', :term);
ROLLBACK TO SAVEPOINT before;
SELECT count(*) AS fenced FROM pgleader.fenced AS f WHERE f.election_id = :election;
SELECT pgleader.fence('fence.sql', :term);
SELECT count(*) AS fenced FROM pgleader.fenced AS f WHERE f.election_id = :election;
COMMIT;

\echo
\echo '== The term ends. What is late is refused with SQLSTATE PL001, and so is the rest of its transaction.'
SELECT vacated FROM pgleader.vacate(:'mark', ARRAY[:election], :'instance', ARRAY[:term], '{resigned}', '{null}', '{null}');
BEGIN;
SELECT pgleader.fence('fence.sql', :term);
\echo SQLSTATE :LAST_ERROR_SQLSTATE
INSERT INTO booking VALUES (:term, 'psql', now());
ROLLBACK;

\echo
\echo '== A term that nobody was given, and an election that nobody knows.'
BEGIN;
SELECT pgleader.fence('fence.sql', :term + 7);
\echo SQLSTATE :LAST_ERROR_SQLSTATE
ROLLBACK;
BEGIN;
SELECT pgleader.fence('no such election', 1);
\echo SQLSTATE :LAST_ERROR_SQLSTATE
ROLLBACK;

\echo
\echo '== What was booked in this term:'
SELECT term, address FROM booking WHERE term = :term AND address = 'psql';

SELECT held AS released FROM pgleader.release(:'mark', ARRAY[:election], '{}', 3600000);
SELECT pgleader.leave_elections(:'mark', ARRAY[:election], :'instance');
