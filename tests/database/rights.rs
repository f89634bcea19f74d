//! Who may do what, per role and per object, whatever rights were given around the grants. Settles row 42 of
//! docs/development/known-faults.md. Its URL is the superuser's: it makes roles and reads everybody's rights; each role is tried as
//! itself.

use crate::support;
use crate::support::{chapters, client, url_of};
use pg_leader::testing::Cluster;
use tokio_postgres::Client;

/// What each role may call, look at, and use. Nobody but the owner may do anything else.
const VIEWS: &str = "candidates, fenced, history, lock, requests, status, stranger, strangers";
const OBSERVER: &str = "counters(), lock_name(regclass), queue_usage(), read_elections(text[],uuid), refractory_period(integer), \
    refuse(text,text,text), system_identifier(), text_of(bytea), timeline(), transfer_to(integer), version(), \
    who(integer,text,name)";
const CANDIDATE: &str = "announce(text,integer[],integer), backend_gone(text,integer[],bigint[]), \
    campaign(text,integer[],integer[],integer[],uuid,boolean,integer,bigint[],integer[],integer), \
    check_entries(text,text[],integer), check_ids(text,integer[]), check_limit(integer), check_mark(text), \
    check_number(text,bigint), check_terms(bigint[],integer), count_fenced_ended(text,integer,integer), counters(), \
    end_fenced(text,integer[]), end_fenced_backend(text,integer,integer), evict(text,integer[],bigint[]), \
    evict_silent(text,integer,bigint), fence(text,bigint), fence(text,bigint,uuid), heartbeat(text,oid,integer[]), in_the_way(integer[]), \
    is_behind_pgpool(integer,bigint), \
    join_elections(text,text[],uuid,text[],integer,timestamp with time zone,text,integer[],bigint[],integer[],boolean,integer), \
    leader_backend(integer,bigint), leader_backends(integer[],bigint[]), lease_of(integer), \
    leave_elections(text,integer[],uuid), lock_name(regclass), may_be_behind_pgpool(integer), \
    not_to_be_seen(), queue_usage(), read_elections(text[],uuid), ready(text,integer[],uuid,bigint[],integer), refractory_period(integer), \
    refuse(text,text,text), release(text,integer[],integer[],integer), silent_backend(integer,bigint), \
    strangers_of(integer[]), system_identifier(), \
    take_office(text,integer[],uuid,boolean,boolean[],integer[],bigint[],integer[],integer), text_of(bytea), \
    timeline(), transfer_to(integer), \
    try_elections(text,integer[],integer[],integer[],uuid,boolean,integer,bigint[],integer[],integer), \
    vacate(text,integer[],uuid,bigint[],text[],name[],text[],integer), version(), who(integer,text,name)";
const OPERATOR: &str = "counters(), depose(text,text), election_id(text), end_leader(integer,bigint), \
    end_leader_backend(integer,bigint), exclude(text,text,text), include(text,text,text), \
    is_behind_pgpool(integer,bigint), leader_backend(integer,bigint), lock_name(regclass), queue_usage(), \
    read_elections(text[],uuid), refractory_period(integer), refuse(text,text,text), request_depose(text,text), \
    resume(text,text), step_down(text,text), suspend(text,text), system_identifier(), text_of(bytea), timeline(), \
    transfer(text,text,text), transfer_to(integer), version(), who(integer,text,name)";

/// The roles that the owner has granted something, and others.
const ROLES: [(&str, &str, &str); 5] = [
    ("app", VIEWS, CANDIDATE),
    ("watcher", VIEWS, OBSERVER),
    ("alice", VIEWS, OPERATOR),
    ("spy", "", ""),
    ("made_anew", "", ""),
];

/// Everything in the schema that `role` has any right on: the schema, relations, functions.
async fn rights(client: &Client, role: &str) -> (bool, String, String) {
    let row = client
        .query_one(
            "SELECT has_schema_privilege(r.oid, 'pgleader', 'USAGE') OR has_schema_privilege(r.oid, 'pgleader', 'CREATE'),
                    (SELECT coalesce(string_agg(concat(c.relname, CASE WHEN k.kind <> 'SELECT' OR c.relkind <> 'v'
                                                       THEN ' ' || k.kind END), ', ' ORDER BY c.relname COLLATE \"C\", k.kind), '')
                     FROM pg_class AS c
                     CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES', 'DELETE', 'TRUNCATE',
                                             'TRIGGER']) AS k (kind)
                     WHERE c.relnamespace = 'pgleader'::regnamespace
                       AND CASE WHEN c.relkind NOT IN ('r', 'v') THEN false
                                WHEN k.kind IN ('DELETE', 'TRUNCATE', 'TRIGGER') THEN has_table_privilege(r.oid, c.oid, k.kind)
                                ELSE has_any_column_privilege(r.oid, c.oid, k.kind) END)
                    || (SELECT coalesce(string_agg(' sequence ' || c.relname, ''), '') FROM pg_class AS c
                        WHERE c.relnamespace = 'pgleader'::regnamespace AND c.relkind = 'S'
                          AND CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(r.oid, c.oid, 'USAGE, SELECT, UPDATE') END),
                    (SELECT coalesce(string_agg(f.name, ', ' ORDER BY f.name COLLATE \"C\"), '')
                     FROM (SELECT replace(p.oid::regprocedure::text, 'pgleader.', '') AS name FROM pg_proc AS p
                           WHERE p.pronamespace = 'pgleader'::regnamespace
                             AND has_function_privilege(r.oid, p.oid, 'EXECUTE')) AS f)
             FROM pg_roles AS r WHERE r.rolname = $1::text",
            &[&role],
        )
        .await
        .unwrap();
    (row.get(0), row.get(1), row.get(2))
}

async fn assert_rights(cluster: &Cluster, when: &str) {
    let client = client(&cluster.url()).await;
    for (role, relations, functions) in ROLES {
        let found = rights(&client, role).await;
        assert_eq!(found.1, relations, "{when}: relations of {role}");
        assert_eq!(found.2, functions, "{when}: functions of {role}");
        assert_eq!(
            found.0,
            !functions.is_empty(),
            "{when}: the schema, of {role}"
        );
    }
    let all: (i64, i64) = {
        let query = "SELECT (SELECT count(*) FROM pg_proc WHERE pronamespace = 'pgleader'::regnamespace), \
                     (SELECT count(*) FROM pg_proc AS p WHERE p.pronamespace = 'pgleader'::regnamespace \
                      AND has_function_privilege('owner', p.oid, 'EXECUTE'))";
        let row = client.query_one(query, &[]).await.unwrap();
        (row.get(0), row.get(1))
    };
    assert_eq!(all.0, all.1, "{when}: the owner may call everything");
}

async fn install(cluster: &Cluster, role: &str) {
    let client = client(&url_of(cluster, role)).await;
    let result = client.batch_execute(&chapters::script()).await;
    assert!(result.is_ok(), "{result:?}");
}

async fn start(before: &str) -> Cluster {
    let cluster = Cluster::start().unwrap();
    cluster
        .execute(
            "CREATE ROLE owner LOGIN; GRANT CREATE ON DATABASE postgres TO owner; CREATE ROLE app LOGIN; \
             CREATE ROLE watcher LOGIN; CREATE ROLE alice LOGIN; CREATE ROLE spy LOGIN; CREATE ROLE made_anew LOGIN",
        )
        .unwrap();
    cluster.execute(before).unwrap();
    install(&cluster, "owner").await;
    let owner = client(&url_of(&cluster, "owner")).await;
    owner
        .batch_execute(
            "SELECT pgleader.grant_candidate('app'), pgleader.grant_observer('watcher'), \
             pgleader.grant_operator('alice')",
        )
        .await
        .unwrap();
    cluster
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_do_what() {
    let cluster = start("").await;
    assert_rights(&cluster, "granted").await;
    install(&cluster, "owner").await;
    assert_rights(&cluster, "installed again").await;
}

/// Whoever runs what another role has made runs it with his own rights, and what he makes is not the owner's.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_installs_over_what_another_role_has_made() {
    let cluster = start("").await;
    let versions = [
        "SELECT 'of this build'",
        "CREATE OR REPLACE FUNCTION pgleader.version() RETURNS integer LANGUAGE sql AS 'SELECT 1'",
    ];
    let owner = client(&url_of(&cluster, "owner")).await;
    for version in versions {
        owner.batch_execute(version).await.unwrap();
        refuse_to_install(&cluster, "postgres", "postgres", "owner").await;
    }
    let owners = "SELECT count(DISTINCT proowner) FROM pg_proc WHERE pronamespace = 'pgleader'::regnamespace";
    assert_eq!(cluster.query(owners).unwrap().as_deref(), Some("1"));
    install(&cluster, "owner").await;
    assert_rights(&cluster, "installed again").await;

    // It waits for whoever installs.
    cluster.execute("CREATE DATABASE trap").unwrap();
    cluster
        .execute("GRANT CREATE ON DATABASE trap TO spy")
        .unwrap();
    let url = |role: &str| within(&url_of(&cluster, role), "trap");
    let spy = client(&url("spy")).await;
    spy.batch_execute(
        "CREATE SCHEMA pgleader; \
         CREATE TABLE pgleader.grantee (role name, kind text, PRIMARY KEY (role, kind)); \
         CREATE FUNCTION pgleader.take_over() RETURNS trigger LANGUAGE plpgsql AS \
         $$ BEGIN EXECUTE 'ALTER ROLE spy SUPERUSER'; RETURN NULL; END $$; \
         CREATE TRIGGER trap AFTER DELETE ON pgleader.grantee FOR EACH STATEMENT EXECUTE FUNCTION pgleader.take_over()",
    )
    .await
    .unwrap();
    refuse_to_install(&cluster, "postgres", "trap", "spy").await;
    let connected = pg_leader::Elector::connect(support::config(&url("postgres"))).await;
    let error = connected.unwrap_err().to_string();
    assert!(error.contains("belongs to the role \"spy\""), "{error}");
    // Nor where the schema is his own and something in it is not.
    cluster
        .execute("ALTER DATABASE trap OWNER TO owner")
        .unwrap();
    let superuser = client(&url("postgres")).await;
    superuser
        .batch_execute("ALTER SCHEMA pgleader OWNER TO owner")
        .await
        .unwrap();
    refuse_to_install(&cluster, "owner", "trap", "spy").await;
    let taken = "SELECT rolsuper FROM pg_roles WHERE rolname = 'spy'";
    assert_eq!(cluster.query(taken).unwrap().as_deref(), Some("f"));
}

/// The same server's other database.
fn within(url: &str, database: &str) -> String {
    let (server, _) = url.rsplit_once('/').unwrap();
    format!("{server}/{database}")
}

/// Each chapter by itself, too: what every chapter begins with refuses, whatever is run of it.
async fn refuse_to_install(cluster: &Cluster, role: &str, database: &str, whose: &str) {
    let client = client(&within(&url_of(cluster, role), database)).await;
    let begin = std::fs::read_to_string(&chapters::files()[0]).unwrap();
    for script in [chapters::script(), format!("BEGIN;\n{begin}COMMIT;\n")] {
        let error = client.batch_execute(&script).await.expect_err("another's");
        client.batch_execute("ROLLBACK").await.unwrap();
        let error = error.as_db_error().unwrap();
        assert_eq!(error.code().code(), "PL004", "{error:?}");
        assert!(
            error
                .message()
                .contains(&format!("belongs to the role \"{whose}\"")),
            "{error:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renamed_role_keeps_what_it_was_granted() {
    let cluster = start("").await;
    cluster
        .execute("ALTER ROLE app RENAME TO other; ALTER ROLE watcher RENAME TO app")
        .unwrap();
    install(&cluster, "owner").await;
    // Whoever has another's name has not what that one was granted.
    let client = client(&cluster.url()).await;
    assert_eq!(rights(&client, "app").await.2, OBSERVER);
    assert_eq!(rights(&client, "other").await.2, "");
    assert_eq!(rights(&client, "alice").await.2, OPERATOR);
    cluster.execute("ALTER ROLE alice RENAME TO bob").unwrap();
    install(&cluster, "owner").await;
    assert_eq!(rights(&client, "bob").await.2, OPERATOR);
}

/// A function that this build does not bring is not there after an upgrade, and one that is missing is missed.
#[tokio::test(flavor = "multi_thread")]
async fn functions_of_another_version_are_gone_after_an_upgrade() {
    let cluster = start("").await;
    let owner = client(&url_of(&cluster, "owner")).await;
    let names = "SELECT string_agg(p.oid::regprocedure::text, ', ' ORDER BY 1) FROM pg_proc AS p \
                 WHERE p.pronamespace = 'pgleader'::regnamespace";
    let names = format!(
        "SELECT string_agg(n, ', ' ORDER BY n) FROM ({}) AS f (n)",
        names.replace(
            "string_agg(p.oid::regprocedure::text, ', ' ORDER BY 1)",
            "p.oid::regprocedure::text"
        )
    );
    let made = cluster.query(&names).unwrap();
    owner
        .batch_execute(
            "CREATE FUNCTION pgleader.heartbeat(integer[]) RETURNS void LANGUAGE sql AS ''; \
             CREATE FUNCTION pgleader.of_old() RETURNS void LANGUAGE sql AS ''; \
             DROP FUNCTION pgleader.evict; \
             CREATE OR REPLACE FUNCTION pgleader.version() RETURNS integer LANGUAGE sql AS 'SELECT 100'",
        )
        .await
        .unwrap();
    install(&cluster, "owner").await;
    assert_eq!(cluster.query(&names).unwrap(), made);
    assert_rights(&cluster, "brought up to date").await;
    // A newer one is left alone.
    owner
        .batch_execute("CREATE OR REPLACE FUNCTION pgleader.version() RETURNS integer LANGUAGE sql AS 'SELECT 1000000'")
        .await
        .unwrap();
    let error = owner.batch_execute(&chapters::script()).await.unwrap_err();
    owner.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(error.code().map(|code| code.code()), Some("55000"));
}

/// They give rights in whatever is made, to whoever was meant by something else.
#[tokio::test(flavor = "multi_thread")]
async fn default_privileges_give_nobody_anything() {
    let gifts = ["spy", "app", "PUBLIC"].map(|role| {
        format!(
            "ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT ALL ON TABLES TO {role}; \
             ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT ALL ON SEQUENCES TO {role}; \
             ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT ALL ON FUNCTIONS TO {role}; \
             ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT ALL ON SCHEMAS TO {role};"
        )
    });
    let cluster = start(&gifts.concat()).await;
    assert_rights(&cluster, "under default privileges").await;
    install(&cluster, "owner").await;
    assert_rights(&cluster, "installed again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_given_by_hand_is_taken_back_by_the_next_install() {
    let cluster = start("").await;
    let owner = client(&url_of(&cluster, "owner")).await;
    owner
        .batch_execute(
            "GRANT USAGE, CREATE ON SCHEMA pgleader TO spy WITH GRANT OPTION; \
             GRANT SELECT ON ALL TABLES IN SCHEMA pgleader TO spy WITH GRANT OPTION; \
             GRANT USAGE ON ALL SEQUENCES IN SCHEMA pgleader TO PUBLIC; \
             GRANT UPDATE (vacated_at) ON pgleader.term TO app; \
             GRANT EXECUTE ON FUNCTION pgleader.close_term(integer, bigint) TO alice, PUBLIC",
        )
        .await
        .unwrap();
    let spy = client(&url_of(&cluster, "spy")).await;
    spy.batch_execute(
        "GRANT USAGE ON SCHEMA pgleader TO watcher, made_anew; GRANT SELECT ON pgleader.term TO watcher, made_anew",
    )
    .await
    .unwrap();
    install(&cluster, "owner").await;
    assert_rights(&cluster, "installed again").await;
}

/// A role of a name that was granted something once.
#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_was_dropped_and_made_anew_has_nothing() {
    let cluster = start("").await;
    let owner = client(&url_of(&cluster, "owner")).await;
    owner
        .batch_execute("SELECT pgleader.grant_candidate('made_anew')")
        .await
        .unwrap();
    cluster
        .execute("DROP OWNED BY made_anew; DROP ROLE made_anew; CREATE ROLE made_anew LOGIN")
        .unwrap();
    install(&cluster, "owner").await;
    assert_rights(&cluster, "made anew").await;
    // Nor does it come back with the next grant.
    owner
        .batch_execute("SELECT pgleader.grant_candidate('made_anew')")
        .await
        .unwrap();
    cluster
        .execute("DROP OWNED BY made_anew; DROP ROLE made_anew; CREATE ROLE made_anew LOGIN")
        .unwrap();
    owner
        .batch_execute("SELECT pgleader.grant_observer('made_anew')")
        .await
        .unwrap();
    install(&cluster, "owner").await;
    let superuser = client(&cluster.url()).await;
    assert_eq!(rights(&superuser, "made_anew").await.2, OBSERVER);
    cluster
        .execute("DROP OWNED BY made_anew; DROP ROLE made_anew; CREATE ROLE made_anew LOGIN")
        .unwrap();
    // So can anybody be shut out for good.
    owner
        .batch_execute(
            "SELECT pgleader.grant_operator('spy'); REVOKE USAGE ON SCHEMA pgleader FROM spy",
        )
        .await
        .unwrap();
    install(&cluster, "owner").await;
    assert_rights(&cluster, "shut out").await;
    // And a role that is gone altogether stops nobody.
    owner
        .batch_execute("SELECT pgleader.grant_observer('spy')")
        .await
        .unwrap();
    cluster.execute("DROP OWNED BY spy; DROP ROLE spy").unwrap();
    install(&cluster, "owner").await;
    cluster.execute("CREATE ROLE spy").unwrap();
    assert_rights(&cluster, "gone").await;
}

/// What is kept of a secret is no secret: who reads it all the same cannot vacate.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_tables_keep_forges_no_vacate() {
    let cluster = start("").await;
    support::make_election_1(&cluster, "e");
    let secret = "11111111-2222-3333-4444-555555555555";
    let app = client(&url_of(&cluster, "app")).await;
    app.batch_execute(&format!(
        "SET pgleader.mark = 'm'; \
         SELECT FROM pg_stat_get_activity(pg_backend_pid()) AS a, pgleader.join_elections('m', '{{e}}', '{secret}', \
             '{{a}}', 1000, a.backend_start, 'a', '{{0}}', '{{0}}', '{{0}}', false); \
         SELECT pgleader.campaign('m', ARRAY[1], '{{}}', ARRAY[1], '{secret}', true, 60000, '{{0}}', '{{0}}')"
    ))
    .await
    .unwrap();
    let everything = cluster
        .query(
            "SELECT concat((SELECT string_agg(c::text, '') FROM pgleader.candidate AS c), \
                (SELECT string_agg(t::text, '') FROM pgleader.term AS t), \
                (SELECT string_agg(e::text, '') FROM pgleader.election AS e))",
        )
        .unwrap()
        .unwrap();
    assert!(!everything.contains(secret), "{everything}");
    let kept = "SELECT DISTINCT encode(instance_hash, 'hex') FROM \
                (SELECT instance_hash FROM pgleader.candidate UNION ALL SELECT instance_hash FROM pgleader.term) AS k";
    let kept = cluster.query(kept).unwrap().unwrap();
    assert_eq!(kept.len(), 64);
    let other = client(&url_of(&cluster, "app")).await;
    other
        .batch_execute("SET pgleader.mark = 'm'")
        .await
        .unwrap();
    let token = cluster
        .query("SELECT token FROM pgleader.term")
        .unwrap()
        .unwrap();
    for guess in [&kept[..32], &kept[32..], token.as_str()] {
        let forged = format!(
            "SELECT pgleader.vacate('m', '{{1}}', '{guess}', '{{1}}', '{{resigned}}', '{{null}}', '{{null}}')"
        );
        other.batch_execute(&forged).await.unwrap();
        let vacated = "SELECT vacated_at IS NULL FROM pgleader.term";
        assert_eq!(
            cluster.query(vacated).unwrap().as_deref(),
            Some("t"),
            "{guess}"
        );
    }
    let own = format!(
        "SELECT pgleader.vacate('m', '{{1}}', '{secret}', '{{1}}', '{{resigned}}', '{{null}}', '{{null}}')"
    );
    other.batch_execute(&own).await.unwrap();
    let vacated = "SELECT vacated_at IS NOT NULL FROM pgleader.term";
    assert_eq!(cluster.query(vacated).unwrap().as_deref(), Some("t"));
}
