-- How elections stand, for candidates and for who looks on.

-- Purpose: how elections stand now. A leader on record whose session is gone does not lead. A standby cannot know: the
--          state is `unknown` there.
-- Parameters: instance, the secret of a candidate's process; null where only somebody looks on.
-- Meaning of a row, one an election: its id, name, term, state and address;
--   bar      why this candidate may not lead; for who looks on: why nobody may, as far as operators say
--   called   it is this candidate's turn: it is to lead next, or to be the successor by its priority
CREATE OR REPLACE FUNCTION pgleader.read_elections(names text[], instance uuid DEFAULT NULL)
RETURNS TABLE (
    election integer, name text, term bigint, state text, address text, lease_ms integer, bar text,
    called boolean
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    ids integer[];
    turns text[];
    sight record;
    -- Where nobody has any, nobody looks at each election for one.
    has_priorities boolean;
BEGIN
    IF array_ndims(names) > 1 THEN
        PERFORM pgleader.refuse('names', names::text, 'be a plain list');
    ELSIF names IS NULL OR array_position(names, NULL) IS NOT NULL THEN
        PERFORM pgleader.refuse('names or a name', NULL, '');
    END IF;
    ids := ARRAY(
        SELECT e.id FROM (SELECT DISTINCT n.name FROM unnest(names) AS n (name)) AS u
        JOIN pgleader.election AS e ON e.name = u.name);
    turns := pgleader.turns(ids, instance);
    SELECT s.* INTO sight FROM pgleader.sight(ids, '{}', '{}', NULL) AS s;
    has_priorities := pgleader.has_priorities();
    RETURN QUERY
    SELECT e.id, e.name, e.term,
           CASE WHEN pg_is_in_recovery() THEN 'unknown' WHEN u.leader = e.pid THEN e.state ELSE 'vacant' END,
           CASE WHEN u.leader = e.pid THEN e.address END,
           ceil(extract(epoch FROM e.lease) * 1000)::integer,
           CASE WHEN u.turn NOT IN ('called', 'outranked') THEN u.turn END,
           CASE
               WHEN u.turn IS NOT NULL THEN u.turn = 'called'
               WHEN u.is_followed OR NOT has_priorities THEN false
               ELSE EXISTS (
                   SELECT FROM pgleader.candidate AS c
                   JOIN pgleader.candidate AS o ON o.election_id = c.election_id AND o.priority < c.priority
                   WHERE c.election_id = e.id AND c.instance_hash = sha256(uuid_send(read_elections.instance)))
           END
    FROM unnest(ids, turns, sight.leaders, sight.followed) AS u (id, turn, leader, is_followed)
    JOIN pgleader.election AS e ON e.id = u.id;
END
$$;

COMMENT ON FUNCTION pgleader.read_elections(text[], uuid) IS 'null instance: somebody looks on, who is no candidate';
