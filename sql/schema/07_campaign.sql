-- A try for the leadership.

-- Purpose: refuse a try with arguments that cannot be. Called where something is wrong, and for many elections.
CREATE OR REPLACE FUNCTION pgleader.check_campaign(
    elections integer[], successor_of integer[], overdue integer[], instance uuid, direct boolean,
    silence_ms integer, heard bigint[], heard_lease_ms integer[], limit_ms integer
) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_ids('elections', elections);
    PERFORM pgleader.check_ids('successor_of', successor_of);
    PERFORM pgleader.check_ids('overdue', overdue);
    PERFORM pgleader.check_all_heard(heard, heard_lease_ms, cardinality(elections));
    PERFORM pgleader.check_limit(limit_ms);
    IF num_nulls(instance, direct) > 0 THEN
        PERFORM pgleader.refuse('instance or direct', NULL, '');
    ELSIF (silence_ms > 0) IS NOT TRUE THEN
        PERFORM pgleader.refuse('silence_ms', silence_ms::text, 'be above 0');
    END IF;
END
$$;

-- Purpose: what follows on the leadership lock: the next term begins, or the last one is closed and its work waited
--          for.
-- Parameters: heard, heard_lease_ms, what the caller has heard of; timeline, system_identifier, as these functions tell
--             them.
-- Meaning: outcome, `began`, `won` or `fenced`, and the columns of try_elections of the same names.
CREATE OR REPLACE FUNCTION pgleader.begin_or_wait(
    election integer, instance uuid, direct boolean, heard bigint, heard_lease_ms integer, timeline bigint,
    system_identifier bigint,
    OUT outcome text, OUT term bigint, OUT token uuid, OUT address text, OUT leader_pid integer, OUT lease_ms integer,
    OUT wait_ms integer, OUT was_direct boolean, OUT elsewhere_ms integer, OUT known bigint, OUT known_lease_ms integer
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    outlook record;
BEGIN
    IF num_nulls(instance, direct) > 0 THEN
        PERFORM pgleader.refuse('instance or direct', NULL, '');
    END IF;
    SELECT o.* INTO outlook
    FROM pgleader.outlook(election, heard, heard_lease_ms, timeline, system_identifier) AS o;
    wait_ms := outlook.wait_ms;
    elsewhere_ms := outlook.elsewhere_ms;
    known := outlook.known;
    known_lease_ms := outlook.known_lease_ms;
    was_direct := false;
    IF wait_ms = 0 AND elsewhere_ms = 0 THEN
        SELECT b.term, b.token, b.address, b.lease_ms
        INTO begin_or_wait.term, begin_or_wait.token, begin_or_wait.address, begin_or_wait.lease_ms
        FROM pgleader.begin_term(
            election, instance, direct, outlook.below, known, timeline, system_identifier) AS b;
        outcome := CASE WHEN term IS NULL THEN 'fenced' ELSE 'began' END;
    ELSE
        UPDATE pgleader.election AS e
        SET state = 'vacant', address = NULL, pid = NULL, changed_at = clock_timestamp()
        WHERE e.id = begin_or_wait.election AND e.state <> 'vacant';
        outcome := 'won';
        PERFORM pgleader.close_term(election, outlook.last);
        IF known > outlook.last THEN
            PERFORM pgleader.keep_heard(election, instance, known, known_lease_ms);
        END IF;
    END IF;
    IF outcome = 'began' THEN
        leader_pid := pg_backend_pid();
        RETURN;
    END IF;
    SELECT t.pid, ceil(extract(epoch FROM t.lease) * 1000)::integer, t.direct
    INTO leader_pid, begin_or_wait.lease_ms, was_direct
    FROM pgleader.term AS t
    WHERE t.election_id = begin_or_wait.election AND t.number = outlook.last;
    term := outlook.last;
    was_direct := coalesce(was_direct, false);
END
$$;

COMMENT ON FUNCTION pgleader.begin_or_wait(integer, uuid, boolean, bigint, integer, bigint, bigint) IS
    'null system_identifier: the platform does not tell';

-- Purpose: whether the holder of a leadership is no candidate. Called where it is not the leader on record.
-- Hazard: it may have been a candidate, and have left since it was seen.
CREATE OR REPLACE FUNCTION pgleader.is_stranger(election integer, backend integer) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    IF backend < 1 THEN
        PERFORM pgleader.check_number('backend', backend);
    END IF;
    RETURN NOT EXISTS (
            SELECT FROM pgleader.candidate AS c WHERE c.election_id = election AND c.pid = backend)
        AND EXISTS (SELECT FROM pg_stat_get_activity(coalesce(backend, 0)));
END
$$;
COMMENT ON FUNCTION pgleader.is_stranger(integer, integer) IS 'null backend: nobody, or a prepared transaction';

-- Purpose: how those elections stand in which there is nothing to try for: somebody else leads, and is followed.
-- Parameters: for each of `elections`: free, whether a lock is free; heard, what the caller has heard of: where that is
--             beyond what is on record, a try looks closer; leaders, heirs, bars, as pgleader.sight tells them.
-- Meaning: the columns of try_elections of the same names; no row where there is something to try for.
CREATE OR REPLACE FUNCTION pgleader.held_elections(
    elections integer[], free boolean[], heard bigint[], leaders integer[], heirs boolean[], bars text[]
) RETURNS TABLE (
    election integer, outcome text, term bigint, state text, address text, leader_pid integer, lease_ms integer,
    holder_pid integer, stranger boolean, successor boolean, silent_since bigint, bar text, watched boolean,
    refused text
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
BEGIN
    IF (1 <= ALL (elections) AND 0 <= ALL (heard)) IS NOT TRUE
        OR num_nulls(free, leaders, heirs, bars, array_position(free, NULL), array_position(heirs, NULL)) <> 2 THEN
        PERFORM pgleader.check_ids('elections', elections);
        PERFORM pgleader.check_entries('heard', heard::text[], cardinality(elections));
        PERFORM pgleader.refuse('free, leaders, heirs or bars', NULL, '');
    END IF;
    RETURN QUERY
    WITH activity AS MATERIALIZED (
        SELECT o.pid, (extract(epoch FROM a.state_change) * 1000000)::bigint AS state_change
        FROM (SELECT DISTINCT l.pid FROM unnest(held_elections.leaders) AS l (pid)) AS o
        CROSS JOIN LATERAL pg_stat_get_activity(coalesce(o.pid, 0)) AS a
    )
    SELECT h.id, CASE WHEN e.id IS NULL THEN 'refused' ELSE 'held' END, e.term, e.state, e.address, e.pid,
           ceil(extract(epoch FROM e.lease) * 1000)::integer, h.leader,
           h.leader IS DISTINCT FROM e.pid AND pgleader.is_stranger(h.id, h.leader), h.is_heir, a.state_change, h.bar,
           coalesce(h.leader = e.pid, false), CASE WHEN e.id IS NULL THEN 'the row of this election is gone' END
    FROM unnest(elections, free, held_elections.heard, leaders, heirs, bars)
        AS h (id, is_free, heard, leader, is_heir, bar)
    LEFT JOIN pgleader.election AS e ON e.id = h.id
    LEFT JOIN activity AS a ON a.pid = e.pid AND a.pid = h.leader
    WHERE NOT h.is_free AND ((e.term < h.heard) IS NOT TRUE OR h.bar <> 'outranked');
END
$$;

COMMENT ON FUNCTION pgleader.held_elections(integer[], boolean[], bigint[], integer[], boolean[], text[]) IS
    'null in leaders: nobody, or a prepared transaction; null in bars: nothing is in the way';

-- Purpose: a try for one election, where a lock seems free: for being the successor, and for the leadership.
-- Parameters: as try_elections has them, of this election; turn, whose it is; is_heir, whether this session is the
--             successor; leader, who held the leadership before. timeline, system_identifier, as these functions tell
--             them.
-- Meaning: the columns of try_elections of the same names. Where it is `refused` this session holds what it held before.
-- Hazard: a lock outlives the block in which it was taken, so the handler lets go of it.
CREATE OR REPLACE FUNCTION pgleader.try_election(
    election integer, is_overdue boolean, instance uuid, direct boolean, silence_ms integer, heard bigint,
    heard_lease_ms integer, timeline bigint, system_identifier bigint, turn text, is_heir boolean, leader integer,
    OUT outcome text, OUT term bigint, OUT token uuid, OUT state text, OUT address text, OUT leader_pid integer,
    OUT lease_ms integer, OUT wait_ms integer, OUT was_direct boolean, OUT holder_pid integer, OUT stranger boolean,
    OUT successor boolean, OUT silent_since bigint, OUT bar text, OUT elsewhere_ms integer, OUT known bigint,
    OUT known_lease_ms integer, OUT watched boolean, OUT refused text
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    leadership CONSTANT integer := 'pgleader.election'::regclass::oid::integer;
    place CONSTANT integer := 'pgleader.candidate'::regclass::oid::integer;
    took_place boolean := false;
    took_leadership boolean := false;
BEGIN
    IF num_nulls(is_overdue, instance, direct, silence_ms, is_heir) > 0 THEN
        PERFORM pgleader.refuse('is_overdue, instance, direct, silence_ms or is_heir', NULL, '');
    ELSIF (silence_ms > 0 AND election >= 1 AND timeline >= 1 AND heard >= 0
           AND heard_lease_ms BETWEEN 0 AND 3600000) IS NOT TRUE OR leader < 1 THEN
        PERFORM pgleader.check_number('election', election);
        PERFORM pgleader.check_number('timeline', timeline);
        PERFORM pgleader.check_heard(heard, heard_lease_ms);
        PERFORM pgleader.refuse('silence_ms or leader', least(silence_ms, leader)::text, 'be above 0');
    END IF;
    PERFORM pgleader.check_turn(turn);
    BEGIN
        bar := turn;
        IF heard > (SELECT e.term FROM pgleader.election AS e WHERE e.id = election) AND (
            SELECT o.beyond
            FROM pgleader.outlook(election, heard, heard_lease_ms, timeline, system_identifier) AS o) THEN
            bar := 'beyond';
        ELSIF NOT is_heir THEN
            took_place := pg_try_advisory_lock(place, election);
            IF NOT took_place THEN
                -- Whoever has the place makes way by itself, where it must.
                bar := nullif(bar, 'outranked');
            ELSIF bar = 'outranked' AND NOT is_overdue THEN
                took_place := NOT pg_advisory_unlock(place, election);
            END IF;
        END IF;
        successor := is_heir OR took_place;
        IF is_overdue THEN
            bar := nullif(bar, 'outranked');
        END IF;
        -- Must not be null: `NULL AND pg_try_advisory_lock()` still takes the lock.
        IF bar IS NOT DISTINCT FROM 'called' OR (bar IS NULL AND (successor OR is_overdue)) THEN
            took_leadership := pg_try_advisory_lock(leadership, election);
        END IF;
        bar := nullif(bar, 'called');
        IF took_place OR took_leadership THEN
            PERFORM set_config('idle_session_timeout', silence_ms::text, false);
        END IF;
        IF took_leadership THEN
            SELECT b.outcome, b.term, b.token, b.address, b.leader_pid, b.lease_ms, b.wait_ms, b.was_direct,
                   b.elsewhere_ms, b.known, b.known_lease_ms
            INTO outcome, term, token, address, leader_pid, lease_ms, wait_ms, was_direct, elsewhere_ms, known,
                 known_lease_ms
            FROM pgleader.begin_or_wait(
                election, instance, direct, heard, heard_lease_ms, timeline, system_identifier) AS b;
            IF successor THEN
                PERFORM pg_advisory_unlock(place, election);
            END IF;
            state := CASE outcome WHEN 'began' THEN 'recovering' ELSE 'vacant' END;
            holder_pid := pg_backend_pid();
            stranger := false;
            successor := false;
            watched := outcome <> 'began' AND leader IS NOT NULL AND leader IS NOT DISTINCT FROM leader_pid;
        ELSE
            SELECT h.outcome, h.term, h.state, h.address, h.leader_pid, h.lease_ms, h.holder_pid, h.stranger,
                   h.silent_since, h.watched, h.refused
            INTO outcome, term, state, address, leader_pid, lease_ms, holder_pid, stranger, silent_since, watched, refused
            FROM pgleader.held_elections(
                ARRAY[election], '{false}', '{0}', ARRAY[leader], ARRAY[successor], ARRAY[bar]) AS h;
            wait_ms := 0;
            was_direct := false;
            elsewhere_ms := 0;
        END IF;
    EXCEPTION WHEN OTHERS THEN
        IF took_leadership THEN
            PERFORM pg_advisory_unlock(leadership, election);
        END IF;
        IF took_place THEN
            PERFORM pg_advisory_unlock(place, election);
        END IF;
        IF pgleader.is_the_sessions(SQLSTATE) THEN
            RAISE;
        END IF;
        outcome := 'refused';
        refused := pgleader.refusal(SQLSTATE, SQLERRM);
        successor := is_heir;
    END;
END
$$;

COMMENT ON FUNCTION pgleader.try_election(
    integer, boolean, uuid, boolean, integer, bigint, integer, bigint, bigint, text, boolean, integer) IS
    'null system_identifier: the platform does not tell; null turn: open to him as to everybody; null leader: nobody, '
    'or a prepared transaction';

-- Purpose: what the lock table shows of these elections: one reading for all. What somebody else has needs no try.
-- Parameters: turns, whose turn it is; null: everybody's.
-- Meaning: for each of `elections`: leaders, who holds the leadership; followed, whether somebody is the successor,
--          whoever it is; heirs, whether this session is, by what it says;
--          free, whether there is a lock that is to be tried for; bars, why this candidate may not lead where none is.
--          strange, the elections where a session that is no candidate has the successor's place, or the lock by which
--          terms begin and not the leadership; or a prepared transaction has one of the three.
--          Shares count as the lock, and a prepared transaction does; what this session holds itself does not.
-- Hazard: a nested loop would compare each election with each lock.
CREATE OR REPLACE FUNCTION pgleader.sight(
    elections integer[], successor_of integer[], overdue integer[], turns text[],
    OUT leaders integer[], OUT followed boolean[], OUT heirs boolean[], OUT free boolean[], OUT bars text[],
    OUT strange integer[]
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
    IF (1 <= ALL (elections) AND 1 <= ALL (successor_of) AND 1 <= ALL (overdue)) IS NOT TRUE THEN
        PERFORM pgleader.check_ids('elections', elections);
        PERFORM pgleader.check_ids('successor_of', successor_of);
        PERFORM pgleader.check_ids('overdue', overdue);
    END IF;
    SELECT array_agg(s.leader), array_agg(s.is_followed), array_agg(s.is_heir),
           array_agg((s.turn IS NULL OR s.turn IN ('called', 'outranked')) AND (
               (NOT s.is_heir AND s.place_is_free)
               OR (s.leadership_is_free AND (
                   s.turn IS NOT DISTINCT FROM 'called'
                   OR ((s.turn IS NULL OR s.is_overdue) AND (s.is_heir OR s.is_overdue)))))),
           -- Whoever has the place makes way by itself, where it must.
           array_agg(CASE WHEN s.turn <> 'called' AND (s.turn <> 'outranked' OR (s.is_heir AND NOT s.is_overdue))
                          THEN s.turn END),
           coalesce(array_agg(s.election) FILTER (
               WHERE s.is_prepared OR s.blocker <> s.leader OR (s.blocker IS NOT NULL AND s.leader IS NULL)
                  OR (s.heir IS NOT NULL AND NOT EXISTS (
                      SELECT FROM pgleader.candidate AS c WHERE c.pid = s.heir AND c.election_id = s.election))), '{}')
    INTO leaders, followed, heirs, free, bars, strange
    FROM (
        SELECT u.turn, l.pid AS leader, s.id IS NOT NULL AS is_heir, o.id IS NOT NULL AS is_overdue,
               l.leads IS NOT TRUE AS leadership_is_free, l.is_next IS NOT TRUE AS place_is_free,
               l.is_followed IS TRUE AS is_followed, u.id AS election, l.is_prepared, l.blocker, l.heir
        FROM unnest(elections, turns) WITH ORDINALITY AS u (id, turn, place)
        LEFT JOIN (
            -- As pgleader.holder has it, for both locks at once.
            SELECT h.election_id,
                   coalesce(min(h.pid) FILTER (WHERE h.kind = 'pgleader.election'::regclass
                                                   AND h.mode = 'ExclusiveLock'),
                            min(h.pid) FILTER (WHERE h.kind = 'pgleader.election'::regclass)) AS pid,
                   bool_or(h.kind = 'pgleader.election'::regclass AND h.pid IS DISTINCT FROM pg_backend_pid()) AS leads,
                   bool_or(h.kind = 'pgleader.candidate'::regclass AND h.pid IS DISTINCT FROM pg_backend_pid())
                       AS is_next,
                   min(h.pid) FILTER (WHERE h.kind = 'pgleader.candidate'::regclass
                                          AND h.pid IS DISTINCT FROM pg_backend_pid()) AS heir,
                   min(h.pid) FILTER (WHERE h.kind = 'pgleader.term'::regclass AND h.mode = 'ExclusiveLock') AS blocker,
                   -- A share of the last kind is a fenced transaction's.
                   bool_or(h.pid IS NULL AND (h.kind <> 'pgleader.term'::regclass OR h.mode = 'ExclusiveLock'))
                       AS is_prepared,
                   bool_or(h.kind = 'pgleader.candidate'::regclass AND h.mode = 'ExclusiveLock') AS is_followed
            FROM pgleader.lock AS h
            WHERE h.granted
            GROUP BY h.election_id) AS l ON l.election_id = u.id
        LEFT JOIN unnest(successor_of) AS s (id) ON s.id = u.id
        LEFT JOIN unnest(overdue) AS o (id) ON o.id = u.id
        ORDER BY u.place) AS s;
END
$$;

COMMENT ON FUNCTION pgleader.sight(integer[], integer[], integer[], text[]) IS
    'null turns: everybody''s; null in turns: open to him as to everybody';

-- Purpose: one try for being the successor of each election, and, for whoever is it, for the leadership. The successor
--          leads next because it alone has watched the leader, and knows whether it must wait.
-- Parameters: elections, their ids. successor_of, those whose successor this session is already: it must not ask again,
--             for session locks stack. overdue, those to try for in any case: nobody leads although there has been a
--             successor for a while, or nobody takes the place who ranks higher. instance, the secret of the process.
--             direct, whether this session is. silence_ms, after how much silence the server shall end a session that
--             leads or is successor. For each of `elections`: heard, the greatest term that the process has heard of,
--             and heard_lease_ms, that term's lease (0 where there is none). limit_ms: where locks are to be had, no
--             more of them are tried for once so much time has passed, but at least one is.
-- Meaning of a row, one an election that was reached:
--   outcome       `began` (the new term is `term`, with its `token`), `won` (the lock is ours, the old term is closed,
--                 its work may still run), `fenced` (the lock is ours, a fenced transaction stands in the way),
--                 `held` (by somebody else, or left to somebody else) or `refused` (an error; nothing was done)
--   term, state, address, leader_pid, lease_ms   the election's row as it is now; where `won` or `fenced`, leader_pid
--                 and lease_ms are those of the last term
--   wait_ms       where `won`: the refractory period, for the work of the last term
--   elsewhere_ms, known, known_lease_ms   where `won`: as pgleader.outlook tells them
--   was_direct    where `won`: whether the last term's session was
--   holder_pid    where `held`: who held the lock when this began; null where nobody did
--   stranger      where `held`: somebody who takes no part had the leadership, the successor's place or the lock by which
--                 terms begin when this began
--   successor     whether this session is the successor
--   silent_since  where `held` by the leader on record: when its backend last changed its state (us); null where this
--                 role may not know
--   killed, fatal, reset   the counters as they were before the try
--   watched       where `won` or `held`: the backend of the leader on record held the leadership after the counters
--                 were read and before the successor's place was tried for; only told where the session was not
--                 successor yet
--   bar           where `held`: why this candidate may not lead: `suspended`, `excluded`, `transfer` (the next term is
--                 to be another's), `outranked` (another comes first), `beyond` (it has heard of a term too far beyond
--                 this server's, and would work below it) or `unknown` (what operators ask for cannot be read). No lock
--                 was tried then, or none is kept that was not held before
--   refused       where `refused`: why
-- Hazard: nothing here waits for a lock of another session, or a try would block the leader's heartbeats behind it.
-- Hazard: the lock table is read once, after the counters and before the successor's place is tried for: whoever sees
--         the place taken may kill the leader, and this try must have watched the leader alive. Where it shows a lock
--         that somebody else has, that is as good as a try for it that failed, and costs a microsecond.
CREATE OR REPLACE FUNCTION pgleader.try_elections(
    mark text, elections integer[], successor_of integer[], overdue integer[], instance uuid, direct boolean,
    silence_ms integer, heard bigint[], heard_lease_ms integer[], limit_ms integer DEFAULT 3600000
) RETURNS TABLE (
    election integer, outcome text, term bigint, token uuid, state text, address text, leader_pid integer,
    lease_ms integer, wait_ms integer, was_direct boolean, holder_pid integer, stranger boolean,
    successor boolean, silent_since bigint, killed bigint, fatal bigint, reset bigint, bar text,
    elsewhere_ms integer, known bigint, known_lease_ms integer, watched boolean, refused text
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    ends_at timestamptz;
    turns text[];
    sight record;
    told integer;
    its record;
    its_timeline bigint;
    its_cluster bigint;
BEGIN
    IF (mark = nullif(current_setting('pgleader.mark', true), '')
        AND 1 <= ALL (elections) AND 1 <= ALL (successor_of) AND 1 <= ALL (overdue) AND silence_ms > 0
        AND cardinality(heard) = cardinality(elections) AND cardinality(heard_lease_ms) = cardinality(elections)
        AND 0 <= ALL (heard) AND 0 <= ALL (heard_lease_ms) AND 3600000 >= ALL (heard_lease_ms)
        AND num_nulls(instance, direct) = 0 AND limit_ms >= 1) IS NOT TRUE
        OR greatest(array_ndims(elections), array_ndims(successor_of), array_ndims(overdue), array_ndims(heard),
                    array_ndims(heard_lease_ms)) > 1 THEN
        PERFORM pgleader.check_mark(mark);
        PERFORM pgleader.check_campaign(
            elections, successor_of, overdue, instance, direct, silence_ms, heard, heard_lease_ms, limit_ms);
    ELSIF greatest(cardinality(elections), cardinality(successor_of), cardinality(overdue)) > 1 THEN
        PERFORM pgleader.check_ids('elections', elections);
        PERFORM pgleader.check_ids('successor_of', successor_of);
        PERFORM pgleader.check_ids('overdue', overdue);
    END IF;
    SELECT c.killed, c.fatal, c.reset INTO killed, fatal, reset FROM pgleader.counters() AS c;
    turns := pgleader.turns(elections, instance);
    SELECT s.* INTO sight FROM pgleader.sight(elections, successor_of, overdue, turns) AS s;
    IF false = ANY (sight.free) THEN
        RETURN QUERY
        SELECT h.election, h.outcome, h.term, NULL::uuid, h.state, h.address, h.leader_pid, h.lease_ms, 0, false,
               h.holder_pid, h.stranger OR h.election = ANY (sight.strange), h.successor, h.silent_since,
               try_elections.killed, try_elections.fatal, try_elections.reset, h.bar, 0, NULL::bigint, NULL::integer,
               h.watched, h.refused
        FROM pgleader.held_elections(
            elections, sight.free, try_elections.heard, sight.leaders, sight.heirs, sight.bars) AS h;
        GET DIAGNOSTICS told = ROW_COUNT;
        IF told = cardinality(elections) THEN
            -- Who follows next has the time. Nothing has begun in this transaction, whose commit may be slow then.
            IF random() < 0.1 AND successor_of <> '{}' THEN
                PERFORM pgleader.tidy(successor_of);
            END IF;
            RETURN;
        END IF;
    END IF;
    its_timeline := pgleader.timeline();
    its_cluster := pgleader.system_identifier();
    -- What it takes to see how things stand is not of the time for trying.
    ends_at := clock_timestamp() + limit_ms * interval '1 ms';
    FOR its IN
        SELECT u.*, o.id IS NOT NULL AS is_overdue
        FROM unnest(elections, sight.free, try_elections.heard, heard_lease_ms, sight.leaders, sight.heirs, turns)
            AS u (id, is_free, heard, heard_lease_ms, leader, is_heir, turn)
        LEFT JOIN unnest(overdue) AS o (id) ON o.id = u.id
        LEFT JOIN pgleader.election AS e ON e.id = u.id AND e.term < u.heard
        WHERE u.is_free OR (e.id IS NOT NULL AND (u.turn IS NULL OR u.turn IN ('called', 'outranked')))
        ORDER BY u.id
    LOOP
        EXIT WHEN election IS NOT NULL AND clock_timestamp() >= ends_at;
        election := its.id;
        SELECT t.outcome, t.term, t.token, t.state, t.address, t.leader_pid, t.lease_ms, t.wait_ms, t.was_direct,
               t.holder_pid, t.stranger, t.successor, t.silent_since, t.bar, t.elsewhere_ms, t.known, t.known_lease_ms,
               t.watched, t.refused
        INTO outcome, term, token, state, address, leader_pid, lease_ms, wait_ms, was_direct, holder_pid, stranger,
             successor, silent_since, bar, elsewhere_ms, known, known_lease_ms, watched, refused
        FROM pgleader.try_election(
            its.id, its.is_overdue, instance, direct, silence_ms, its.heard, its.heard_lease_ms, its_timeline,
            its_cluster, its.turn, its.is_heir, its.leader) AS t;
        stranger := stranger OR (outcome = 'held' AND its.id = ANY (sight.strange));
        RETURN NEXT;
    END LOOP;
END
$$;

-- Purpose: try_elections. With the caller's own rights it adds what the schema's owner may not know: when the backend
--          of a leader with the caller's role last changed its state. And it names strangers, in words: null where there
--          is none, or has gone meanwhile.
CREATE OR REPLACE FUNCTION pgleader.campaign(
    mark text, elections integer[], successor_of integer[], overdue integer[], instance uuid, direct boolean,
    silence_ms integer, heard bigint[], heard_lease_ms integer[], limit_ms integer DEFAULT 3600000
) RETURNS TABLE (
    election integer, outcome text, term bigint, token uuid, state text, address text, leader_pid integer,
    lease_ms integer, wait_ms integer, was_direct boolean, holder_pid integer, stranger boolean,
    successor boolean, silent_since bigint, killed bigint, fatal bigint, reset bigint, bar text,
    elsewhere_ms integer, known bigint, known_lease_ms integer, watched boolean, refused text,
    strangers text
)
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN QUERY
    WITH tried AS MATERIALIZED (
        SELECT t.* FROM pgleader.try_elections(
            mark, elections, successor_of, overdue, instance, direct, silence_ms, heard, heard_lease_ms, limit_ms) AS t
    ), named AS MATERIALIZED (
        -- Read only where there is one: that reads the lock table once more.
        SELECT s.election, s.who
        FROM pgleader.strangers_of(ARRAY(SELECT u.election FROM tried AS u WHERE u.stranger)) AS s
    )
    SELECT t.election, t.outcome, t.term, t.token, t.state, t.address, t.leader_pid, t.lease_ms, t.wait_ms,
           t.was_direct, t.holder_pid, t.stranger, t.successor, coalesce(t.silent_since, a.state_change),
           t.killed, t.fatal, t.reset, t.bar, t.elsewhere_ms, t.known, t.known_lease_ms, t.watched, t.refused,
           CASE WHEN t.stranger THEN (SELECT n.who FROM named AS n WHERE n.election = t.election) END
    FROM tried AS t
    LEFT JOIN (
        SELECT o.pid, (extract(epoch FROM a.state_change) * 1000000)::bigint AS state_change
        FROM (SELECT DISTINCT u.holder_pid AS pid FROM tried AS u
              WHERE u.outcome = 'held' AND u.holder_pid = u.leader_pid AND u.silent_since IS NULL) AS o
        CROSS JOIN LATERAL pg_stat_get_activity(coalesce(o.pid, 0)) AS a) AS a
        ON a.pid = t.holder_pid AND a.pid = t.leader_pid AND t.outcome = 'held';
END
$$;
