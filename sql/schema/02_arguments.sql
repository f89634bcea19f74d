-- What every function refuses: an argument that is null or out of range.
--
-- It refuses before it does anything else:
--     IF (what must be so) IS NOT TRUE THEN PERFORM pgleader.refuse(...)
-- A function that is called often asks whether all is well by itself, and calls a check only where it is not: a call
-- costs time. STRICT would answer NULL, and a caller may take NULL for a yes. Where null means something a COMMENT says
-- so: `null argument: meaning`.

-- Purpose: refuse an argument.
-- Parameters: argument, its name; value, as text, never a secret; must, what it must do.
CREATE OR REPLACE FUNCTION pgleader.refuse(argument text, value text, must text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF num_nulls(argument, value, must) > 0 THEN
        RAISE EXCEPTION '% must not be null', coalesce(argument, 'an argument')
            USING ERRCODE = 'null_value_not_allowed', HINT = 'Give it a value.';
    END IF;
    RAISE EXCEPTION '% is %', argument, value
        USING ERRCODE = 'invalid_parameter_value', HINT = format('It must %s.', must);
END
$$;

-- Purpose: refuse what is no plain list of ids of elections, each of them once: a lock that is asked for twice is held
--          twice.
CREATE OR REPLACE FUNCTION pgleader.check_ids(argument text, ids integer[]) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF argument IS NULL THEN
        PERFORM pgleader.refuse('argument', NULL, '');
    END IF;
    -- `1 <= ALL` is null where one of them is.
    IF (1 <= ALL (ids)) IS NOT TRUE OR array_ndims(ids) > 1
        OR cardinality(ids) > (SELECT count(DISTINCT u.id) FROM unnest(ids) AS u (id)) THEN
        PERFORM pgleader.refuse(
            argument, CASE WHEN array_ndims(ids) > 1 OR array_position(ids, NULL) IS NULL THEN ids::text END,
            'be a plain list of ids of elections, each of them once');
    END IF;
END
$$;

-- Purpose: refuse what is no plain list with one entry an election.
-- Parameters: argument, the list's name; entries, the list as text; elections, how many there are.
CREATE OR REPLACE FUNCTION pgleader.check_entries(argument text, entries text[], elections integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF num_nulls(argument, elections) > 0 THEN
        PERFORM pgleader.refuse('argument or elections', NULL, '');
    ELSIF array_ndims(entries) > 1 THEN
        PERFORM pgleader.refuse(argument, entries::text, 'be a plain list');
    ELSIF entries IS NULL OR array_position(entries, NULL) IS NOT NULL THEN
        PERFORM pgleader.refuse(argument, NULL, '');
    ELSIF cardinality(entries) <> elections THEN
        PERFORM pgleader.refuse(argument, entries::text, format('have %s entries, one an election', elections));
    END IF;
END
$$;

-- Purpose: refuse an election's id, or a term's number, that is null or below 1.
CREATE OR REPLACE FUNCTION pgleader.check_number(argument text, number bigint) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF argument IS NULL OR (number >= 1) IS NOT TRUE THEN
        PERFORM pgleader.refuse(coalesce(argument, 'number'), CASE WHEN argument IS NOT NULL THEN number::text END,
                                'be 1 or more');
    END IF;
END
$$;

-- Purpose: the same for a list of terms, with one entry an election.
CREATE OR REPLACE FUNCTION pgleader.check_terms(terms bigint[], elections integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_entries('terms', terms::text[], elections);
    IF (1 <= ALL (terms)) IS NOT TRUE THEN
        PERFORM pgleader.check_number('terms', u.number) FROM unnest(terms) AS u (number);
    END IF;
END
$$;

-- Purpose: refuse an election's name that is null or has not 1 to 200 characters.
CREATE OR REPLACE FUNCTION pgleader.check_name(election text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (length(election) BETWEEN 1 AND 200) IS NOT TRUE THEN
        PERFORM pgleader.refuse('election', '"' || left(election, 200) || '"', 'have 1 to 200 characters');
    END IF;
END
$$;

-- Purpose: refuse an address that is null or has not 1 to 1,000 characters.
CREATE OR REPLACE FUNCTION pgleader.check_address(address text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (length(address) BETWEEN 1 AND 1000) IS NOT TRUE THEN
        PERFORM pgleader.refuse('address', '"' || left(address, 200) || '"', 'have 1 to 1000 characters');
    END IF;
END
$$;

-- Purpose: refuse an operator's reason that has not 1 to 1,000 characters.
CREATE OR REPLACE FUNCTION pgleader.check_reason(reason text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF length(reason) NOT BETWEEN 1 AND 1000 THEN
        PERFORM pgleader.refuse('reason', '"' || left(reason, 200) || '"', 'have 1 to 1000 characters');
    END IF;
END
$$;
COMMENT ON FUNCTION pgleader.check_reason(text) IS 'null reason: none is given';

-- Purpose: refuse what was heard of, where it is null or below 0 or its lease is null or longer than an hour.
CREATE OR REPLACE FUNCTION pgleader.check_heard(heard bigint, heard_lease_ms integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (heard >= 0) IS NOT TRUE THEN
        PERFORM pgleader.refuse('heard', heard::text, 'be 0 (nothing) or more');
    ELSIF (heard_lease_ms BETWEEN 0 AND 3600000) IS NOT TRUE THEN
        PERFORM pgleader.refuse('heard_lease_ms', heard_lease_ms::text, 'be between 0 and 3600000');
    END IF;
END
$$;

-- Purpose: the same for a list, with one entry an election.
CREATE OR REPLACE FUNCTION pgleader.check_all_heard(heard bigint[], heard_lease_ms integer[], elections integer)
RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pgleader.check_entries('heard', heard::text[], elections);
    PERFORM pgleader.check_entries('heard_lease_ms', heard_lease_ms::text[], elections);
    IF (0 <= ALL (heard) AND 0 <= ALL (heard_lease_ms) AND 3600000 >= ALL (heard_lease_ms)) IS NOT TRUE THEN
        PERFORM pgleader.check_heard(u.heard, u.lease_ms) FROM unnest(heard, heard_lease_ms) AS u (heard, lease_ms);
    END IF;
END
$$;

-- Purpose: refuse what pgleader.turns never says. Null: open to him as to everybody.
CREATE OR REPLACE FUNCTION pgleader.check_turn(turn text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF turn NOT IN ('suspended', 'excluded', 'transfer', 'called', 'outranked', 'unknown') THEN
        PERFORM pgleader.refuse('turn', turn, 'be null or what pgleader.turns says');
    END IF;
END
$$;
COMMENT ON FUNCTION pgleader.check_turn(text) IS 'null turn: open to him as to everybody';

-- Purpose: refuse a limit of time that is null or below 1.
CREATE OR REPLACE FUNCTION pgleader.check_limit(limit_ms integer) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF (limit_ms >= 1) IS NOT TRUE THEN
        PERFORM pgleader.refuse('limit_ms', limit_ms::text, 'be 1 or more');
    END IF;
END
$$;

-- Purpose: refuse a call on a session that is not the caller's own, before it touches a lock.
-- Parameters: mark, what the caller has put into `pgleader.mark` when it connected.
-- Meaning: PL003, a pooler hands the caller's statements to other sessions, or its session to others.
CREATE OR REPLACE FUNCTION pgleader.check_mark(mark text) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF mark IS NULL THEN
        PERFORM pgleader.refuse('mark', NULL, '');
    END IF;
    IF mark = '' OR mark IS DISTINCT FROM current_setting('pgleader.mark', true) THEN
        RAISE EXCEPTION 'this session does not bear the mark of the caller: a pooler stands between'
            USING ERRCODE = 'PL003', HINT = 'Connect without a pooler, or with one in session mode.';
    END IF;
END
$$;
