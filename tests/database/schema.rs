//! The schema as its chapters make it: what is in the catalogue, what may be called by whom, what is secret, and
//! what `plpgsql_check` says. Settles no row of docs/development/known-faults.md; it keeps the SQL contract. A superuser makes its
//! roles, databases and extensions; the schema is an ordinary role's, and so is who calls it.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use crate::support;
use crate::support::record::Record;
use crate::support::{chapters, config, status, steady, until};
use pg_leader::testing::Cluster;
use pg_leader::{Elector, ProcessState};
use tokio_postgres::{Client, NoTls};

/// The whole schema as it was in version 1.
const VERSION_1: &str = include_str!("dumps/version_1.sql");

const DUMP: &str = include_str!("dumps/dump.sql");

/// What clients read by name. Columns may be added, behind these: whoever takes one away, or gives one another type,
/// breaks a build that runs beside this one, and somebody's dashboard.
const RESULTS: [&str; 27] = [
    "announce: void",
    "backend_gone: election integer, gone boolean",
    "campaign: election integer, outcome text, term bigint, token uuid, state text, address text, leader_pid integer, \
     lease_ms integer, wait_ms integer, was_direct boolean, holder_pid integer, stranger boolean, successor boolean, \
     silent_since bigint, killed bigint, fatal bigint, reset bigint, bar text, elsewhere_ms integer, known bigint, \
     known_lease_ms integer, watched boolean, refused text, strangers text",
    "candidates: name text, address text, priority integer, place text, excluded boolean, lease interval, pid integer, \
     joined_at timestamp with time zone",
    "depose: id bigint, term bigint",
    "end_fenced: election integer, ended integer, remaining integer, who text",
    "evict: election integer, outcome text",
    "exclude: id bigint, term bigint",
    "fenced: election_id integer, pid integer, gid text, who text",
    "heartbeat: election integer, term bigint, kind text, requested_by name",
    "history: name text, term bigint, address text, started_at timestamp with time zone, \
     ready_at timestamp with time zone, ended_at timestamp with time zone, ending text, fenced_ended integer, by name, \
     request text, reason text",
    "join_elections: name text, election integer, known bigint, known_lease_ms integer, place integer, refused text",
    "leave_elections: void",
    "lock: kind regclass, election_id integer, pid integer, mode text, granted boolean",
    "read_elections: election integer, name text, term bigint, state text, address text, lease_ms integer, bar text, \
     called boolean",
    "ready: election integer, recorded boolean, refused text",
    "release: election integer, held boolean",
    "request_depose: id bigint, term bigint",
    "requests: name text, request text, address text, term bigint, by name, at timestamp with time zone, ended_by name, \
     ended_at timestamp with time zone, id bigint, reason text, ended_reason text",
    "status: name text, state text, term bigint, address text, leader_pid integer, since timestamp with time zone, \
     lease interval, successor text, candidates bigint, waiting_for text, stranger_pid integer, suspended_by name, \
     transfer_to text, excluded text[], strangers text[]",
    "step_down: id bigint, term bigint",
    "strangers: name text, lock text, pid integer, gid text, who text",
    "suspend: id bigint, term bigint",
    "take_office: election integer, outcome text, term bigint, token uuid, bar text, elsewhere_ms integer, known bigint, \
     known_lease_ms integer, refused text",
    "transfer: id bigint, term bigint",
    "turns: text[]",
    "vacate: election integer, vacated boolean, refused text",
];

const GRANTS: &str = "SELECT pgleader.grant_observer('observer'), \
    pgleader.grant_candidate('candidate'), pgleader.grant_operator('operator')";

/// Those that run with the rights of whoever calls: they tell nothing secret, or need the caller's rights.
const WITH_THE_CALLERS_RIGHTS: [&str; 40] = [
    "block",
    "campaign",
    "check_address",
    "check_all_heard",
    "check_campaign",
    "check_entries",
    "check_heard",
    "check_ids",
    "check_limit",
    "check_mark",
    "check_name",
    "check_number",
    "check_reason",
    "check_terms",
    "check_turn",
    "counters",
    "depose",
    "end_fenced",
    "end_leader",
    "evict",
    "first_number",
    "grant_candidate",
    "grant_observer",
    "grant_operator",
    "in_the_way",
    "is_the_sessions",
    "lock_name",
    "next_number",
    "not_to_be_seen",
    "queue_usage",
    "refusal",
    "refuse",
    "release",
    "set_rights",
    "silent_backend",
    "system_identifier",
    "text_of",
    "timeline",
    "version",
    "who",
];

async fn connect(cluster: &Cluster, role: &str, database: &str) -> Client {
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(cluster.port());
    config.user(role).dbname(database);
    let (client, connection) = config.connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn install(client: &Client) {
    let result = client.batch_execute(&chapters::script()).await;
    assert!(result.is_ok(), "{result:?}");
}

async fn dump(client: &Client) -> String {
    client.query_one(DUMP, &[]).await.unwrap().get(0)
}

async fn column(client: &Client, query: &str) -> Vec<String> {
    let rows = client.query(query, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

/// A cluster where an ordinary role owns the schema, and one role of each kind was granted what it needs.
async fn installed() -> (Cluster, Client) {
    let cluster = Cluster::start().unwrap();
    cluster
        .execute(
            "CREATE ROLE owner LOGIN; GRANT CREATE ON DATABASE postgres TO owner; \
             CREATE ROLE observer LOGIN; CREATE ROLE candidate LOGIN; CREATE ROLE operator LOGIN",
        )
        .unwrap();
    let owner = connect(&cluster, "owner", "postgres").await;
    install(&owner).await;
    owner.batch_execute(GRANTS).await.unwrap();
    (cluster, owner)
}

/// The first line that differs, from both.
fn difference(left: &str, right: &str) -> String {
    let (mut left, mut right) = (left.lines(), right.lines());
    for number in 1.. {
        let (left, right) = (left.next(), right.next());
        if left != right || left.is_none() {
            return format!("line {number}: {left:?} and {right:?}");
        }
    }
    unreachable!()
}

/// Every object that the chapters make, as `kind name`.
fn made_by_the_chapters() -> BTreeSet<String> {
    let mut made = BTreeSet::new();
    for line in chapters::script().lines() {
        let line = line
            .replace("OR REPLACE ", "")
            .replace("IF NOT EXISTS ", "");
        let Some(("CREATE", what)) = line.split_once(' ') else {
            continue;
        };
        let (kind, rest) = what.split_once(' ').unwrap();
        let rest = rest.strip_prefix("pgleader.").unwrap_or(rest);
        let end = rest.find(['(', ' ', ';']).unwrap_or(rest.len());
        if kind != "SCHEMA" {
            made.insert(format!("{} {}", kind.to_lowercase(), &rest[..end]));
        }
    }
    made
}

/// Nothing more and nothing less than what is to be read in the chapters.
#[tokio::test]
async fn the_catalogue_has_what_the_chapters_say() {
    let (_cluster, owner) = installed().await;
    let found = column(
        &owner,
        "SELECT DISTINCT 'function ' || p.proname FROM pg_proc AS p WHERE p.pronamespace = 'pgleader'::regnamespace \
         UNION ALL SELECT CASE c.relkind WHEN 'r' THEN 'table ' WHEN 'v' THEN 'view ' WHEN 'i' THEN 'index ' \
                                         WHEN 'S' THEN 'sequence ' ELSE c.relkind::text END || c.relname \
         FROM pg_class AS c WHERE c.relnamespace = 'pgleader'::regnamespace \
           AND NOT EXISTS (SELECT FROM pg_constraint AS k WHERE k.conindid = c.oid) \
           AND NOT EXISTS (SELECT FROM pg_depend AS i WHERE i.classid = 'pg_class'::regclass AND i.objid = c.oid \
                             AND i.deptype = 'i' AND c.relkind = 'S') \
         UNION SELECT 'trigger ' || t.tgname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid \
         WHERE c.relnamespace = 'pgleader'::regnamespace AND NOT t.tgisinternal",
    )
    .await;
    let found: BTreeSet<String> = found.into_iter().collect();
    let made = made_by_the_chapters();
    assert!(made.len() > 80, "only {made:?} were found");
    assert_eq!(found, made);
    let dump = dump(&owner).await;
    assert!(
        !dump.contains("not dumped"),
        "tests/database/dumps/dump.sql must learn a new kind of object"
    );
    assert!(dump.contains("COMMENT ON SCHEMA pgleader IS 'Leader election. Start with"));
}

/// Whoever reads them by name finds them, also a build that is a little older or newer.
#[tokio::test]
async fn what_clients_read_has_the_columns_that_they_ask_for() {
    let (_cluster, owner) = installed().await;
    let found = column(
        &owner,
        "SELECT concat(r.name, ': ', r.columns) FROM ( \
             SELECT c.relname::text AS name, string_agg(a.attname || ' ' || format_type(a.atttypid, a.atttypmod), ', ' \
                                                        ORDER BY a.attnum) AS columns \
             FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 \
             WHERE c.relnamespace = 'pgleader'::regnamespace AND c.relkind = 'v' GROUP BY c.relname \
             UNION ALL SELECT p.proname, coalesce( \
                 (SELECT string_agg(p.proargnames[n] || ' ' || format_type(p.proallargtypes[n], NULL), ', ' ORDER BY n) \
                  FROM generate_subscripts(p.proargmodes, 1) AS n WHERE p.proargmodes[n] IN ('o', 't')), \
                 pg_get_function_result(p.oid)) \
             FROM pg_proc AS p WHERE p.pronamespace = 'pgleader'::regnamespace) AS r ORDER BY 1",
    )
    .await;
    for result in RESULTS {
        let (name, _) = result.split_once(':').unwrap();
        let made = found
            .iter()
            .find(|made| made.starts_with(&format!("{name}: ")));
        let made = made.map_or("nothing", String::as_str);
        assert!(made.starts_with(result), "{result}, and there is {made}");
    }
}

/// So it lacks nothing that it could not do without.
#[tokio::test]
async fn the_dump_can_be_run_and_makes_the_same() {
    let (cluster, owner) = installed().await;
    let made = dump(&owner).await;
    cluster
        .execute("CREATE DATABASE second OWNER owner")
        .unwrap();
    let second = connect(&cluster, "owner", "second").await;
    second.batch_execute(&made).await.unwrap();
    let again = dump(&second).await;
    assert!(made == again, "{}", difference(&made, &again));
}

#[tokio::test]
async fn a_second_run_of_the_chapters_changes_nothing() {
    let (_cluster, owner) = installed().await;
    owner
        .batch_execute(
            "SET pgleader.mark = 'm'; \
             SELECT pgleader.join_elections('m', '{kept}', gen_random_uuid(), '{a}', 1000, now(), 'a', '{0}', '{0}', '{0}', \
                                            false); \
             INSERT INTO pgleader.request (election_id, term, kind, timeline, requested_by) \
             VALUES (1, 1, 'depose', 1, 'me')",
        )
        .await
        .unwrap();
    // A new OID would be a new lock, a lost row a lost term.
    let identity = "SELECT concat(e, c, 'pgleader.election'::regclass::oid, 'pgleader.candidate'::regclass::oid, \
                           'pgleader.term'::regclass::oid, r) \
                    FROM pgleader.election AS e, pgleader.candidate AS c, pgleader.request AS r";
    let (before, rows) = (dump(&owner).await, column(&owner, identity).await);
    assert_eq!(rows.len(), 1);
    install(&owner).await;
    let after = dump(&owner).await;
    assert!(before == after, "{}", difference(&before, &after));
    assert_eq!(column(&owner, identity).await, rows);
}

/// The owner of a database that a build of version 1 has installed into, and a leader there.
async fn led_on_version_1(cluster: &Cluster) -> (Client, Client) {
    cluster.execute("CREATE DATABASE old OWNER owner").unwrap();
    cluster.execute("CREATE ROLE spy LOGIN").unwrap();
    let old = connect(cluster, "owner", "old").await;
    old.batch_execute(VERSION_1).await.unwrap();
    // As default privileges did.
    old.batch_execute(
        "GRANT USAGE ON SCHEMA pgleader TO spy; GRANT ALL ON ALL TABLES IN SCHEMA pgleader TO spy; \
         GRANT ALL ON ALL FUNCTIONS IN SCHEMA pgleader TO spy",
    )
    .await
    .unwrap();
    let secret = "11111111-2222-3333-4444-555555555555";
    let leader = connect(cluster, "candidate", "old").await;
    leader
        .batch_execute(&format!(
            "SELECT pgleader.join_election('e', '{secret}', 'a', 1000, backend_start, 'a') \
             FROM pg_stat_get_activity(pg_backend_pid()); \
             SELECT pgleader.campaign(ARRAY[1], '{{}}', ARRAY[1], '{secret}', true, 60000); \
             SELECT pgleader.join_election('e', gen_random_uuid(), 'forged', 3, now(), 'a')"
        ))
        .await
        .unwrap();
    (old, leader)
}

/// Rows, terms and grants stay; columns and functions are those of a new installation; and secrets are none any more.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_schema_is_brought_up_to_date_and_its_terms_go_on() {
    let (cluster, owner) = installed().await;
    let made = dump(&owner).await;
    let (old, leader) = led_on_version_1(&cluster).await;
    let oids =
        "SELECT concat('pgleader.election'::regclass::oid, ' ', 'pgleader.term'::regclass::oid)";
    let before = column(&old, oids).await;
    install(&old).await;
    assert_eq!(column(&old, oids).await, before, "a new OID is a new lock");
    assert!(made.contains("GRANT EXECUTE ON FUNCTION pgleader.step_down(text,text) TO operator"));
    let sorted = |dump: &str| {
        let mut lines: Vec<_> = dump.lines().map(str::to_owned).collect();
        lines.sort();
        lines.join("\n")
    };
    let (new, brought) = (sorted(&made), sorted(&dump(&old).await));
    assert!(new == brought, "{}", difference(&new, &brought));

    // What a build of version 1 calls is not there any more: its leader is deposed, and told why when it connects.
    let heartbeat = leader
        .batch_execute("SELECT FROM pgleader.heartbeat(ARRAY[1])")
        .await;
    assert_eq!(
        heartbeat.unwrap_err().code().map(|code| code.code()),
        Some("42883")
    );
    let version: i32 = old
        .query_one("SELECT pgleader.version()", &[])
        .await
        .unwrap()
        .get(0);
    assert!(
        version >= 100,
        "a build of version 1 takes {version} for its own"
    );
    let kept = column(
        &old,
        "SELECT concat(t.number, ' ', t.address, ' ', t.token IS NOT NULL, ' ', \
                       t.instance_hash = sha256(uuid_send('11111111-2222-3333-4444-555555555555')), ' ', e.term) \
         FROM pgleader.term AS t JOIN pgleader.election AS e ON e.id = t.election_id",
    )
    .await;
    assert_eq!(kept, ["1 a t t 1"]);
    drop(leader);
    let url = format!("postgres://candidate@127.0.0.1:{}/old", cluster.port());
    let record = Record::in_memory();
    let elector = Elector::connect(config(&url)).await.unwrap();
    let candidacy = elector.campaign(("e", "b"), steady(&record)).unwrap();
    until("the next term works", || record.last_term() > 0).await;
    assert_eq!((record.last_term(), candidacy.term()), (2, 2));
    elector.shutdown().await;
}

/// psql replaces `:name` and reads `\`: what runs through the library need not run there.
#[tokio::test]
async fn psql_runs_the_chapters() {
    let (cluster, owner) = installed().await;
    let made = dump(&owner).await;
    cluster
        .execute("CREATE DATABASE second OWNER owner")
        .unwrap();
    let own = cluster.binaries().directory().join("psql");
    let psql = if own.exists() {
        own
    } else {
        PathBuf::from("psql")
    };
    let url = format!("postgres://owner@127.0.0.1:{}/second", cluster.port());
    for round in ["first", "second"] {
        let mut command = Command::new(&psql);
        command.args(["--no-psqlrc", "--quiet", "-1", "-v", "ON_ERROR_STOP=1"]);
        for path in chapters::files() {
            command.arg("-f").arg(path);
        }
        let output = match command.arg(&url).output() {
            Ok(output) => output,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return support::skipped("psql_runs_the_chapters", "there is no psql");
            }
            Err(error) => panic!("{}: {error}", psql.display()),
        };
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && errors.is_empty(),
            "the {round} run: {errors}"
        );
    }
    let second = connect(&cluster, "owner", "second").await;
    second.batch_execute(GRANTS).await.unwrap();
    let again = dump(&second).await;
    assert!(made == again, "{}", difference(&made, &again));
}

/// A snapshot of a STABLE function is older than the locks it takes; without a fixed search_path a caller
/// could put his own objects in front of ours.
#[tokio::test]
async fn functions_are_volatile_with_a_fixed_search_path_and_the_rights_they_need() {
    let (_cluster, owner) = installed().await;
    let wrong = column(
        &owner,
        "SELECT p.oid::regprocedure::text FROM pg_proc AS p \
         WHERE p.pronamespace = 'pgleader'::regnamespace \
           AND (p.provolatile <> 'v' OR NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false))",
    )
    .await;
    assert!(wrong.is_empty(), "{wrong:?}");
    let with_the_callers_rights = column(
        &owner,
        "SELECT p.proname::text FROM pg_proc AS p \
         WHERE p.pronamespace = 'pgleader'::regnamespace AND NOT p.prosecdef ORDER BY 1",
    )
    .await;
    assert_eq!(with_the_callers_rights, WITH_THE_CALLERS_RIGHTS);
}

#[tokio::test]
async fn nobody_may_do_what_was_not_granted() {
    let (cluster, owner) = installed().await;
    cluster.execute("CREATE ROLE stranger LOGIN").unwrap();
    let of_a_stranger = column(
        &owner,
        "SELECT p.oid::regprocedure::text FROM pg_proc AS p \
         WHERE p.pronamespace = 'pgleader'::regnamespace \
           AND has_function_privilege('stranger', p.oid, 'EXECUTE')",
    )
    .await;
    assert!(of_a_stranger.is_empty(), "{of_a_stranger:?}");
    let tables = column(
        &owner,
        "SELECT format('%s: %s %s', r.rolname, p, c.oid::regclass) \
         FROM pg_class AS c, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS p, pg_roles AS r \
         WHERE c.relnamespace = 'pgleader'::regnamespace AND c.relkind IN ('r', 'v') \
           AND r.rolname IN ('stranger', 'observer', 'candidate', 'operator') \
           AND (c.relkind = 'r' OR p <> 'SELECT' OR r.rolname = 'stranger') \
           AND CASE WHEN p IN ('DELETE', 'TRUNCATE') THEN has_table_privilege(r.oid, c.oid, p) \
                    ELSE has_any_column_privilege(r.oid, c.oid, p) END",
    )
    .await;
    assert!(tables.is_empty(), "{tables:?}");

    let stranger = connect(&cluster, "stranger", "postgres").await;
    let error = stranger
        .batch_execute("SELECT * FROM pgleader.status")
        .await
        .unwrap_err();
    assert_eq!(
        error.code().map(|code| code.code()),
        Some("42501"),
        "{error}"
    );
}

/// `instance` authorises a vacate: whoever could read it could end the refractory period of work that runs.
#[tokio::test]
async fn the_instance_cannot_be_read() {
    let (cluster, owner) = installed().await;
    support::make_election_1(&cluster, "secret");
    let secret = "11111111-2222-3333-4444-555555555555";
    let candidate = connect(&cluster, "candidate", "postgres").await;
    candidate
        .batch_execute(&format!(
            "SET pgleader.mark = 'm'; \
             SELECT FROM pg_stat_get_activity(pg_backend_pid()) AS a, pgleader.join_elections('m', '{{secret}}', \
                 '{secret}', '{{a}}', 1000, a.backend_start, 'a', '{{0}}', '{{0}}', '{{0}}', false); \
             SELECT pgleader.campaign('m', ARRAY[1], '{{}}', '{{}}', '{secret}', true, 60000, '{{0}}', '{{0}}')"
        ))
        .await
        .unwrap();
    let holders = column(
        &owner,
        "SELECT a.attrelid::regclass::text FROM pg_attribute AS a \
         JOIN pg_class AS c ON c.oid = a.attrelid AND c.relkind = 'r' \
         WHERE c.relnamespace = 'pgleader'::regnamespace AND a.attname = 'instance_hash' ORDER BY 1",
    )
    .await;
    assert_eq!(holders, ["pgleader.candidate", "pgleader.term"]);
    for role in ["observer", "candidate", "operator"] {
        let client = connect(&cluster, role, "postgres").await;
        for table in &holders {
            let query = format!("SELECT instance_hash FROM {table}");
            let kept = column(&owner, &format!("SELECT t::text FROM {table} AS t")).await;
            assert!(!kept.is_empty() && !kept.iter().any(|row| row.contains(secret)));
            let error = client.batch_execute(&query).await.unwrap_err();
            assert_eq!(
                error.code().map(|code| code.code()),
                Some("42501"),
                "{role}: {error}"
            );
        }
        for view in ["status", "history", "lock"] {
            let query = format!("SELECT v::text FROM pgleader.{view} AS v");
            let rows = column(&client, &query).await;
            assert!(!rows.is_empty(), "{view} shows nothing");
            assert!(
                !rows.iter().any(|row| row.contains(secret)),
                "{role}: {view} tells"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_of_any_name_can_be_a_candidate() {
    let (cluster, owner) = installed().await;
    let role = r#"o'dd "Role"; --%I"#;
    let create = format!("CREATE ROLE \"{}\" LOGIN", role.replace('"', "\"\""));
    cluster.execute(&create).unwrap();
    for grant in ["grant_observer", "grant_candidate", "grant_operator"] {
        let call = format!("SELECT pgleader.{grant}($1::text::name)");
        owner.execute(&call, &[&role]).await.unwrap();
    }
    let conninfo = format!(
        "host=127.0.0.1 port={} dbname=postgres user='{}'",
        cluster.port(),
        role.replace('\'', r"\'")
    );
    let elector = Elector::connect(config(&conninfo)).await.unwrap();
    let candidacy = elector
        .campaign(("odd", "a"), steady(&Record::in_memory()))
        .unwrap();
    until("it leads", || candidacy.state() == ProcessState::Leading).await;
    assert_eq!(status(&cluster, "odd", "address").as_deref(), Some("a"));
    elector.shutdown().await;
}

#[tokio::test]
async fn plpgsql_check_finds_nothing() {
    let (cluster, owner) = installed().await;
    let superuser = connect(&cluster, "postgres", "postgres").await;
    let available = "SELECT name::text FROM pg_available_extensions WHERE name = 'plpgsql_check'";
    if column(&superuser, available).await.is_empty() {
        assert!(
            std::env::var_os("PG_LEADER_REQUIRE_PLPGSQL_CHECK").is_none(),
            "plpgsql_check is not installed (Debian: apt-get install postgresql-{}-plpgsql-check), but \
             PG_LEADER_REQUIRE_PLPGSQL_CHECK is set",
            cluster.version()
        );
        return support::skipped(
            "plpgsql_check_finds_nothing",
            "the extension is not installed",
        );
    }
    superuser
        .batch_execute("CREATE EXTENSION plpgsql_check")
        .await
        .unwrap();
    // VOLATILE is on purpose, wherever it advises STABLE.
    let check = "SELECT format('%s line %s: %s (%s)', p.oid::regprocedure, c.lineno, c.message, c.detail) \
                 FROM pg_proc AS p \
                 JOIN pg_language AS l ON l.oid = p.prolang AND l.lanname = 'plpgsql' \
                 LEFT JOIN pg_trigger AS t ON t.tgfoid = p.oid \
                 CROSS JOIN LATERAL plpgsql_check_function_tb(p.oid, coalesce(t.tgrelid, 0), \
                     fatal_errors => false, all_warnings => true, oldtable => t.tgoldtable) AS c \
                 WHERE p.pronamespace = 'pgleader'::regnamespace \
                   AND c.message NOT LIKE 'routine is marked as VOLATILE, should be %'";
    let found = column(&superuser, check).await;
    assert!(found.is_empty(), "{}", found.join("\n"));

    // It does find what is wrong.
    owner
        .batch_execute(
            "CREATE FUNCTION pgleader.wrong() RETURNS void LANGUAGE plpgsql AS \
             $$ BEGIN PERFORM e.nothing FROM pgleader.election AS e; END $$",
        )
        .await
        .unwrap();
    let found = column(&superuser, check).await;
    assert!(
        found.iter().any(|line| line.contains("nothing")),
        "{found:?}"
    );
}
