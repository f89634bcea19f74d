//! The same terms on a database that is not what it was: restored from a dump, kept by a platform that
//! tells little, crashed under a role that waits for nothing. They go on upwards (invariant 2). A superuser dumps and
//! restores; candidates are of ordinary roles.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::support;
use crate::support::cluster::ROLE;
use crate::support::record::{self, Record};
use crate::support::{
    Candidate, LEASE, assert_refractory, chapters, config, skipped, until, until_successor,
};
use pg_leader::testing::Cluster;

/// A program of the server's own version, beside it or on `PATH`. Not everybody who tests has it.
fn tool(cluster: &Cluster, name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = vec![cluster.binaries().directory().to_owned()];
    places.extend(std::env::split_paths(&path));
    let found = places
        .into_iter()
        .map(|directory| directory.join(name))
        .filter(|program| program.is_file())
        .find(|program| version(program) == Some(cluster.version()));
    if found.is_none() {
        assert!(
            std::env::var_os("PG_LEADER_REQUIRE_PG_DUMP").is_none(),
            "{name} {} is not there, and PG_LEADER_REQUIRE_PG_DUMP is set",
            cluster.version()
        );
        let version = cluster.version();
        skipped("restore", &format!("{name} {version} is not there"));
    }
    found
}

fn version(program: &Path) -> Option<u32> {
    let text = output(program, &["--version"]);
    let mut words = text.split_whitespace();
    words.find_map(|word| {
        word.split(|c: char| !c.is_ascii_digit())
            .next()?
            .parse()
            .ok()
    })
}

fn output(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Everything in a database, without the random key of newer releases.
fn dump(pg_dump: &Path, cluster: &Cluster, options: &[&str]) -> String {
    let url = cluster.url();
    let text = output(pg_dump, &[&["--no-owner", &url], options].concat());
    let lines = text.lines().filter(|line| !line.starts_with(r"\restrict"));
    let lines = lines.filter(|line| !line.starts_with(r"\unrestrict"));
    lines.map(|line| format!("{line}\n")).collect()
}

fn run_file(psql: &Path, cluster: &Cluster, file: &Path) {
    let file = file.display().to_string();
    let stop = "ON_ERROR_STOP=1";
    output(psql, &["-X", "-q", "-v", stop, "-f", &file, &cluster.url()]);
}

/// As somebody does who installs by hand.
fn install(psql: &Path, cluster: &Cluster) {
    let url = cluster.url();
    let mut arguments = vec!["-X", "-q", "-1", "-v", "ON_ERROR_STOP=1"];
    let files: Vec<String> = chapters::files()
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    arguments.extend(files.iter().flat_map(|file| ["-f", file]));
    arguments.push(&url);
    output(psql, &arguments);
}

fn as_role(cluster: &Cluster, role: &str) -> String {
    cluster.url().replace("postgres@", &format!("{role}@"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_dump_goes_on() {
    let old = Cluster::start().unwrap();
    let (Some(pg_dump), Some(psql)) = (tool(&old, "pg_dump"), tool(&old, "psql")) else {
        return;
    };
    support::elector(&old).await.shutdown().await;
    let role = "CREATE ROLE app LOGIN";
    old.execute(role).unwrap();
    old.execute("SELECT pgleader.grant_candidate('app')")
        .unwrap();
    let record = Record::in_memory();
    let first = Candidate::start(config(&as_role(&old, "app")), "dump", "old", &record).await;
    until("the first term works", || record.last_term() == 1).await;
    first.candidacy.resign().await;
    until("the second term works", || record.last_term() == 2).await;
    first.candidacy.leave().await;
    let vacated = "SELECT bool_and(vacated_at IS NOT NULL) FROM pgleader.term";
    assert_eq!(old.query(vacated).unwrap().as_deref(), Some("t"));

    let new = Cluster::start().unwrap();
    new.execute(role).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dump.sql");
    let dumped = dump(&pg_dump, &old, &[]);
    std::fs::write(&file, &dumped).unwrap();
    run_file(&psql, &new, &file);
    let rights =
        "SELECT has_function_privilege('public', 'pgleader.fence(text, bigint)', 'EXECUTE')";
    assert_eq!(new.query(rights).unwrap().as_deref(), Some("f"));
    install(&psql, &new);
    // What was granted is the same; the role has another oid here.
    let without_oids = |dump: String| {
        let lines = dump.lines().map(|line| match line.split_once('\t') {
            Some(("app", rest)) => rest.split('\t').next().unwrap_or_default().to_owned(),
            _ => line.to_owned(),
        });
        lines.collect::<Vec<_>>()
    };
    assert!(
        without_oids(dump(&pg_dump, &new, &[])) == without_oids(dumped),
        "the chapters changed it"
    );

    // As the role that the dump says may: the grants have come along.
    let joined = Instant::now();
    let next = Candidate::start(config(&as_role(&new, "app")), "dump", "new", &record).await;
    until("the next term works", || record.last_term() > 2).await;
    assert_refractory(joined.elapsed());
    let last = record.last_term();
    next.candidacy.resign().await;
    until("a later term works", || record.last_term() > last).await;
    record::assert_no_overlap(&record.steps());
}

/// Restored without its rights a dump lets everybody call everything; an install puts that right.
#[tokio::test(flavor = "multi_thread")]
async fn an_install_takes_back_what_a_dump_without_rights_gave() {
    let old = Cluster::start().unwrap();
    let (Some(pg_dump), Some(psql)) = (tool(&old, "pg_dump"), tool(&old, "psql")) else {
        return;
    };
    support::elector(&old).await.shutdown().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dump.sql");
    std::fs::write(&file, dump(&pg_dump, &old, &["--no-privileges"])).unwrap();
    let new = Cluster::start().unwrap();
    run_file(&psql, &new, &file);
    let open = "SELECT count(*) FROM pg_proc AS p WHERE p.pronamespace = 'pgleader'::regnamespace \
                AND has_function_privilege('public', p.oid, 'EXECUTE')";
    assert_ne!(new.query(open).unwrap().as_deref(), Some("0"));
    install(&psql, &new);
    assert_eq!(new.query(open).unwrap().as_deref(), Some("0"));
}

/// Something between leads an old socket to another server, or this one is made a standby under it.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_become_a_standby_under_its_sessions_is_left() {
    let builder = Cluster::builder().setting("allow_system_table_mods", "on");
    let cluster = builder.start().unwrap();
    let is_standby = |standby: bool| {
        let make = format!(
            "CREATE OR REPLACE FUNCTION pg_catalog.pg_is_in_recovery() RETURNS boolean LANGUAGE sql AS 'SELECT {standby}'"
        );
        cluster.execute(&make).unwrap();
    };
    let record = Record::in_memory();
    let first = Candidate::start(config(&cluster.url()), "standby", "a", &record).await;
    until("the first leads", || first.leads()).await;
    let second = Candidate::start(config(&cluster.url()), "standby", "b", &record).await;
    until_successor(&cluster, "standby").await;
    is_standby(true);
    until("nobody leads", || !first.leads() && !second.leads()).await;
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name IN ('pg-leader a', 'pg-leader b') \
                    AND state_change < now() - interval '1 s'";
    until("both have left it", || {
        cluster.query(sessions).unwrap().as_deref() == Some("0")
    })
    .await;
    let term = record.last_term();
    is_standby(false);
    until("somebody leads again", || {
        (first.leads() || second.leads()) && record.last_term() > term
    })
    .await;
    record::assert_no_overlap(&record.steps());
}

/// As Aurora has it: its WAL has no position that anybody is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_platform_whose_wal_has_no_position() {
    let builder = Cluster::builder().setting("allow_system_table_mods", "on");
    let cluster = builder.start().unwrap();
    cluster
        .execute(
            "CREATE FUNCTION no_position() RETURNS pg_lsn LANGUAGE plpgsql AS \
             $$ BEGIN RAISE EXCEPTION 'wal_level must be set to \"logical\"' USING ERRCODE = '55000'; END $$; \
             CREATE OR REPLACE FUNCTION pg_catalog.pg_current_wal_lsn() RETURNS pg_lsn LANGUAGE sql AS \
             'SELECT public.no_position()'",
        )
        .unwrap();
    let record = Record::in_memory();
    let first = Candidate::start(config(&cluster.url()), "aurora", "a", &record).await;
    until("the first leads", || first.leads()).await;
    let second = Candidate::start(config(&cluster.url()), "aurora", "b", &record).await;
    until_successor(&cluster, "aurora").await;
    first.elector.shutdown().await;
    until("the second leads", || second.leads()).await;
    record::assert_no_overlap(&record.steps());
    let told = "SELECT bool_or(timeline <> 1 OR system_identifier IS NOT NULL) FROM pgleader.term";
    assert_eq!(cluster.query(told).unwrap().as_deref(), Some("f"));
}

/// Some platforms keep functions about WAL and the control file to themselves.
#[tokio::test(flavor = "multi_thread")]
async fn a_platform_that_tells_nothing_about_itself() {
    let cluster = Cluster::start().unwrap();
    cluster
        .execute(
            "DO $$ DECLARE kept regprocedure; BEGIN \
             FOR kept IN SELECT p.oid FROM pg_proc AS p WHERE p.proname IN ('pg_walfile_name', \
                 'pg_control_system', 'pg_current_wal_lsn') LOOP \
                 EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', kept); \
             END LOOP; END $$; \
             CREATE ROLE owner LOGIN; GRANT CREATE ON DATABASE postgres TO owner",
        )
        .unwrap();
    let record = Record::in_memory();
    let owner = as_role(&cluster, "owner");
    let mut candidates = vec![];
    for address in ["a", "b"] {
        candidates.push(Candidate::start(config(&owner), "quiet", address, &record).await);
        until("somebody works", || record.last_term() == 1).await;
    }
    for term in 1..=3 {
        until_successor(&cluster, "quiet").await;
        let leader = support::leading(&candidates).await;
        leader.candidacy.resign().await;
        until("the next term works", || record.last_term() == term + 1).await;
        let gap = record::gap_after(&record.steps(), term).unwrap();
        assert!(gap < LEASE / 2, "an orderly handover took {gap:?}");
    }
    let told = "SELECT bool_or(timeline <> 1 OR system_identifier IS NOT NULL) FROM pgleader.term";
    assert_eq!(cluster.query(told).unwrap().as_deref(), Some("f"));
    // A superuser is told: the test has taken the right things away.
    let identity = "SELECT pgleader.system_identifier()";
    assert!(cluster.query(identity).unwrap().is_some());
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn no_term_is_lost_in_a_crash_whatever_the_role_is_set_to() {
    // What nobody waits for is written every ten seconds at most, so a crash loses it.
    let cluster = Cluster::builder()
        .setting("wal_writer_delay", "10s")
        .setting("autovacuum", "off")
        .start()
        .unwrap();
    cluster
        .execute(
            "CREATE ROLE app LOGIN; GRANT CREATE ON DATABASE postgres TO app; \
             ALTER ROLE app SET synchronous_commit = off",
        )
        .unwrap();
    let app = as_role(&cluster, "app");
    let (client, connection) = tokio_postgres::connect(&app, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    let setting = client.query_one("SHOW synchronous_commit", &[]).await;
    assert_eq!(setting.unwrap().get::<_, &str>(0), "off");

    let record = Record::in_memory();
    let candidate = Candidate::start(config(&app), "durable", "a", &record).await;
    for crash in 0..3 {
        until("somebody leads", || candidate.leads()).await;
        let term = record.last_term();
        candidate.candidacy.resign().await;
        until("the next term works", || record.last_term() > term).await;
        let term = record.last_term();
        cluster.stop_immediate().unwrap();
        // Before anybody can connect again, which would write.
        cluster.start_again().unwrap();
        let kept = format!("SELECT count(*) FROM pgleader.term WHERE number = {term}");
        assert_eq!(
            cluster.query(&kept).unwrap().as_deref(),
            Some("1"),
            "{crash}"
        );
        until("a later term works", || record.last_term() > term).await;
    }
    record::assert_no_overlap(&record.steps());
}

/// New tables are new locks: a leader under the old ones must not go on. Restore only while no candidate runs;
/// whoever did not has two leaders for a heartbeat, and not for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_schema_made_anew_ends_the_leadership_under_the_old_one() {
    let cluster = support::Cluster::start().unwrap();
    let record = Record::in_memory();
    let old = Candidate::start(config(&cluster.url()), "anew", "old", &record).await;
    until("the old one leads", || old.leads()).await;
    let pid = cluster.leader_pid("anew").unwrap().unwrap();
    let mut anew = format!("SET ROLE {ROLE}; DROP SCHEMA pgleader CASCADE;");
    anew.push_str(&chapters::script());
    // The election's row is there again, with the number that it had.
    anew.push_str(
        "RESET ROLE; SELECT j.election FROM pg_stat_get_activity(pg_backend_pid()) AS a, \
             pgleader.join_elections(set_config('pgleader.mark', 'by hand', false), '{anew}', gen_random_uuid(), '{new}', \
                                     1000, a.backend_start, 'by hand', '{0}', '{0}', '{0}', false) AS j",
    );
    cluster.execute(&anew).unwrap();
    let session = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {pid}");
    until("the session under the old locks has ended", || {
        cluster.query(&session).unwrap().as_deref() == Some("0")
    })
    .await;
    until("it leads again, under the new ones", || {
        cluster.leader_pid("anew").unwrap().is_some() && old.leads()
    })
    .await;
}
