-- What the server tells: its timeline, its identity, how sessions ended, who holds the locks.
--
-- Hazard: it is asked each time. A setting could keep it, but anybody may set a setting.

-- Purpose: the timeline that this server writes; 1 where the platform does not tell.
CREATE OR REPLACE FUNCTION pgleader.timeline() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN ('x' || lpad(left(pg_walfile_name(pg_current_wal_lsn()), 8), 16, '0'))::bit(64)::bigint;
EXCEPTION
    WHEN undefined_function OR insufficient_privilege OR feature_not_supported THEN
        RETURN bigint '1';
    -- Aurora's, where wal_level is not logical. A standby says so too, and there it is an error.
    WHEN object_not_in_prerequisite_state THEN
        IF pg_is_in_recovery() THEN
            RAISE;
        END IF;
        RETURN bigint '1';
END
$$;

-- Purpose: the identity of this cluster; null where the platform does not tell. Null too where it does not tell the
--          timeline: the one proves nothing without the other.
CREATE OR REPLACE FUNCTION pgleader.system_identifier() RETURNS bigint
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT c.system_identifier FROM pg_control_system() AS c
            WHERE pg_is_in_recovery() OR pg_walfile_name(pg_current_wal_lsn()) IS NOT NULL);
EXCEPTION
    WHEN undefined_function OR insufficient_privilege OR feature_not_supported
        OR object_not_in_prerequisite_state THEN
        RETURN NULL;
END
$$;

-- Purpose: the endings of sessions of this database that do not prove that the client's work has stopped.
-- Meaning: sessions killed, sessions ended by an error, when the counters were reset (us since 1970, 0: never).
CREATE OR REPLACE FUNCTION pgleader.counters(OUT killed bigint, OUT fatal bigint, OUT reset bigint)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    -- Not pg_stat_database: that view reads every database's counters. Nor pg_database: see pgleader.lock.
    mine oid := (SELECT a.datid FROM pg_stat_get_activity(pg_backend_pid()) AS a);
BEGIN
    killed := pg_stat_get_db_sessions_killed(mine);
    fatal := pg_stat_get_db_sessions_fatal(mine);
    reset := coalesce((extract(epoch FROM pg_stat_get_db_stat_reset_time(mine)) * 1000000)::bigint, 0);
END
$$;

-- Purpose: the advisory locks of this schema in this database, granted or awaited.
-- Hazard: to read what all databases share, as pg_database, takes room in the lock table, which may be full. What a
--         leader's or a candidate's session asks must do without.
CREATE OR REPLACE VIEW pgleader.lock AS
SELECT l.classid::regclass AS kind, l.objid::integer AS election_id, l.pid, l.mode, l.granted
FROM pg_locks AS l
WHERE l.locktype = 'advisory'
  AND l.objsubid = 2
  AND l.database = (SELECT a.datid FROM pg_stat_get_activity(pg_backend_pid()) AS a)
  AND l.classid IN ('pgleader.election'::regclass, 'pgleader.candidate'::regclass,
                    'pgleader.term'::regclass);

-- Purpose: who holds each lock: one row a lock, whatever is in pg_locks. Anybody may hold a share of a lock, and one
--          session several modes of it, so whoever holds it alone comes first. A prepared transaction has no pid.
--   is_anothers   another session than this, or a prepared transaction, holds it or a share of it
CREATE OR REPLACE VIEW pgleader.holder AS
SELECT l.kind, l.election_id,
       CASE WHEN bool_or(l.mode = 'ExclusiveLock') THEN min(l.pid) FILTER (WHERE l.mode = 'ExclusiveLock')
            ELSE min(l.pid) END AS pid,
       CASE WHEN bool_or(l.mode = 'ExclusiveLock') THEN 'ExclusiveLock' ELSE min(l.mode) END AS mode,
       bool_or(l.pid IS DISTINCT FROM pg_backend_pid()) AS is_anothers
FROM pgleader.lock AS l
WHERE l.granted
GROUP BY l.kind, l.election_id;
