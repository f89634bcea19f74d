-- Who may lead next: what candidates obey of the operators' requests and of one another's priorities.

-- Purpose: the address that is to lead next, while a transfer is under way. A transfer is given up when no candidate of
--          its address lives or may lead, when the server writes another timeline, and ten leases after it was asked
--          for. Where the term has ended on its account, or within those ten leases, the ten leases count from that
--          end.
-- Hazard: a transfer that was given up stays so, whenever and however the term ends.
-- Hazard: a server whose clock was put back has requests of the future: given up.
CREATE OR REPLACE FUNCTION pgleader.transfer_to(election integer) RETURNS text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    request pgleader.request;
    since timestamptz;
    bound interval;
BEGIN
    PERFORM pgleader.check_number('election', election);
    SELECT r.* INTO request
    FROM pgleader.request AS r
    JOIN pgleader.election AS e ON e.id = r.election_id AND e.term = r.term
    WHERE r.election_id = election AND r.kind = 'transfer' AND r.ended_at IS NULL
    ORDER BY r.id DESC LIMIT 1;
    IF NOT FOUND OR pg_is_in_recovery() OR request.timeline <> pgleader.timeline() THEN
        RETURN NULL;
    END IF;
    SELECT max(a.lease) INTO bound FROM pgleader.alive AS a
    WHERE a.election_id = election AND a.address = request.address
      AND NOT pgleader.in_force(election, 'exclude', request.address);
    IF bound IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT greatest(request.requested_at, max(t.ended_at) FILTER (
               WHERE t.ended_request = 'transfer' OR t.ended_at <= request.requested_at + 10 * t.lease)),
           10 * coalesce(max(t.lease), bound)
    INTO since, bound
    FROM pgleader.term AS t WHERE t.election_id = election AND t.number = request.term;
    RETURN CASE WHEN clock_timestamp() BETWEEN since AND since + bound THEN request.address END;
END
$$;

-- Purpose: whether a suspension, or the exclusion of an address, is in force.
CREATE OR REPLACE FUNCTION pgleader.in_force(election integer, kind text, address text DEFAULT NULL)
RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_number('election', election);
    IF (kind IN ('suspend', 'exclude')) IS NOT TRUE THEN
        PERFORM pgleader.refuse('kind', kind, 'be suspend or exclude');
    END IF;
    RETURN EXISTS (
        SELECT FROM pgleader.request AS r
        WHERE r.election_id = election AND r.ended_at IS NULL AND r.kind = in_force.kind
          AND r.address IS NOT DISTINCT FROM in_force.address);
END
$$;
COMMENT ON FUNCTION pgleader.in_force(integer, text, text) IS 'null address: the kind has none';

-- Purpose: whether any candidate of any election has a priority.
-- Hazard: in the order of the index: without statistics the server else reads the whole table, of the dead too.
CREATE OR REPLACE FUNCTION pgleader.has_priorities() RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RETURN (SELECT c.election_id FROM pgleader.candidate AS c WHERE c.priority <> 0 ORDER BY c.election_id LIMIT 1)
        IS NOT NULL;
END
$$;

-- Purpose: whose turn it is in these elections, for the candidate of that instance. Writes nothing, takes no row lock.
-- Meaning: a turn for each election, in their order; null, open to him as to everybody. Null for all of them where
--          nothing is asked and nobody has a priority.
--   `suspended`   nobody may lead
--   `excluded`    his address may not lead
--   `transfer`    another address is to lead next
--   `called`      he is to lead next
--   `outranked`   somebody else comes first by his priority: a live candidate that is not excluded and has not led the
--                 last term
--   `unknown`     the requests cannot be read. Who has locked their table must not cost others their leaderships; and
--                 nobody begins a term that may be forbidden
CREATE OR REPLACE FUNCTION pgleader.turns(elections integer[], instance uuid) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5ms'
AS $$
DECLARE
    turns text[];
BEGIN
    IF (1 <= ALL (elections)) IS NOT TRUE THEN
        PERFORM pgleader.check_ids('elections', elections);
    END IF;
    -- Each asks first whether there is anything: a look at every election costs more than all the rest of a try.
    IF EXISTS (SELECT FROM pgleader.request AS r WHERE r.ended_at IS NULL) AND EXISTS (
        SELECT FROM pgleader.request AS r WHERE r.election_id = ANY (elections) AND r.ended_at IS NULL) THEN
        turns := pgleader.asked_turns(elections, instance);
    END IF;
    IF pgleader.has_priorities() AND EXISTS (
        SELECT FROM pgleader.candidate AS c WHERE c.election_id = ANY (elections) AND c.priority <> 0) THEN
        turns := pgleader.ranked_turns(elections, instance, turns);
    END IF;
    RETURN turns;
EXCEPTION WHEN lock_not_available THEN
    RETURN array_fill('unknown'::text, ARRAY[cardinality(elections)]);
END
$$;

COMMENT ON FUNCTION pgleader.turns(integer[], uuid) IS 'null instance: somebody looks on, who is no candidate';

-- Purpose: turns, as far as operators ask.
CREATE OR REPLACE FUNCTION pgleader.asked_turns(elections integer[], instance uuid) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_ids('elections', elections);
    RETURN ARRAY(
        SELECT CASE
            WHEN asked.suspended THEN 'suspended'
            WHEN asked.excluded THEN 'excluded'
            WHEN asked.target = asked.address THEN 'called'
            WHEN asked.target IS NOT NULL THEN 'transfer'
        END
        FROM unnest(elections) WITH ORDINALITY AS u (id, place)
        LEFT JOIN (
            SELECT r.election_id, c.address, bool_or(r.kind = 'suspend') AS suspended,
                   bool_or(r.kind = 'exclude' AND r.address = c.address) AS excluded,
                   CASE WHEN bool_or(r.kind = 'transfer') THEN pgleader.transfer_to(r.election_id) END AS target
            FROM pgleader.request AS r
            LEFT JOIN pgleader.candidate AS c
                ON c.election_id = r.election_id AND c.instance_hash = sha256(uuid_send(instance))
            WHERE r.election_id = ANY (elections) AND r.ended_at IS NULL
            GROUP BY r.election_id, c.address) AS asked ON asked.election_id = u.id
        ORDER BY u.place);
END
$$;

COMMENT ON FUNCTION pgleader.asked_turns(integer[], uuid) IS 'null instance: somebody looks on, who is no candidate';

-- Purpose: turns, with those that are outranked.
-- Parameters: turns, as far as operators ask.
CREATE OR REPLACE FUNCTION pgleader.ranked_turns(elections integer[], instance uuid, turns text[]) RETURNS text[]
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_ids('elections', elections);
    RETURN ARRAY(
        -- Of the candidates those of a higher priority alone are looked at: whether one lives costs more than all else.
        SELECT coalesce(u.turn, CASE WHEN EXISTS (
            SELECT FROM pgleader.alive AS a
            WHERE a.election_id = u.id AND a.priority > c.priority
              AND NOT EXISTS (
                  SELECT FROM pgleader.election AS e
                  JOIN pgleader.term AS t ON t.election_id = e.id AND t.number = e.term
                  WHERE e.id = u.id AND t.instance_hash = a.instance_hash)
              AND NOT pgleader.in_force(u.id, 'exclude', a.address)) THEN 'outranked' END)
        FROM unnest(elections, turns) WITH ORDINALITY AS u (id, turn, place)
        LEFT JOIN pgleader.candidate AS c ON c.election_id = u.id AND c.instance_hash = sha256(uuid_send(instance))
        WHERE u.place <= cardinality(elections)
        ORDER BY u.place);
END
$$;

COMMENT ON FUNCTION pgleader.ranked_turns(integer[], uuid, text[]) IS
    'null instance: somebody looks on, who is no candidate; null turns: nothing is asked; null in turns: open to him';

-- Purpose: end the requests about terms before this one, and forget those about forgotten terms. Called when it begins.
-- Hazard: who has locked the table of requests must not delay a term; a later one does it then.
CREATE OR REPLACE FUNCTION pgleader.end_requests(election integer, term bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '5ms'
AS $$
BEGIN
    IF (election >= 1 AND term >= 1) IS NOT TRUE THEN
        PERFORM pgleader.check_number('election', election);
        PERFORM pgleader.check_number('term', term);
    END IF;
    UPDATE pgleader.request AS r SET ended_at = clock_timestamp()
    WHERE r.election_id = election AND r.ended_at IS NULL AND r.kind IN ('step down', 'transfer')
      AND r.term < end_requests.term;
    IF end_requests.term % 20 = 0 THEN
        DELETE FROM pgleader.request AS r
        WHERE r.election_id = election AND r.ended_at IS NOT NULL AND r.term < (
            SELECT t.number FROM pgleader.term AS t WHERE t.election_id = election
            ORDER BY t.number DESC OFFSET 999 LIMIT 1);
    END IF;
EXCEPTION WHEN lock_not_available THEN
    RETURN;
END
$$;
