//! Servers as services have them: an ordinary role that must know a password, databases that are not UTF8, a locale
//! that is not C, commits that reach the disk.

use crate::support;
use crate::support::cluster::url_at;
use crate::support::record::{self, Record};
use crate::support::{Cluster, client, config, contest, history, until, url_of};
use pg_leader::{Elector, ErrorKind};
use tokio_postgres::NoTls;

/// What most of the tests run as.
#[tokio::test(flavor = "multi_thread")]
async fn the_url_of_the_tests_is_an_ordinary_roles_and_needs_a_password() {
    let cluster = Cluster::start().unwrap();
    let client = client(&cluster.url()).await;
    let asked = "SELECT current_user::text, rolsuper OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls, \
                 (SELECT count(*) FROM pg_auth_members WHERE member = r.oid) \
                 FROM pg_roles AS r WHERE rolname = current_user";
    let row = client.query_one(asked, &[]).await.unwrap();
    let (role, privileged, memberships): (String, bool, i64) = (row.get(0), row.get(1), row.get(2));
    assert!(!privileged && memberships == 0);
    let without = url_of(&cluster, &role);
    let error = tokio_postgres::connect(&without, NoTls).await.err();
    let error = error.expect("a password is asked for");
    assert!(
        format!("{error:?}").contains("password missing"),
        "{error:?}"
    );
    let wrong = url_of(&cluster, &format!("{role}:wrong"));
    let error = tokio_postgres::connect(&wrong, NoTls).await.err();
    let error = error.expect("the password is compared");
    assert_eq!(error.code().map(|code| code.code()), Some("28P01"));
    let error = Elector::connect(config(&wrong)).await.unwrap_err();
    assert!(error.kind() == ErrorKind::Denied, "{error}");
    assert_eq!(
        cluster.url(),
        url_at(&format!("127.0.0.1:{}", cluster.port()))
    );
}

/// Elected, handed over, killed and fenced, under a name and at an address beyond ASCII.
async fn an_election_on(server_encoding: &str, initdb: &[&str]) {
    let builder = Cluster::builder().durable();
    let builder = initdb
        .iter()
        .fold(builder, |builder, argument| builder.initdb(argument));
    let cluster = match builder.start() {
        Err(error) if error.to_string().contains("ICU is not supported") => {
            return support::skipped("unkind_servers", "the server is built without ICU");
        }
        cluster => cluster.unwrap(),
    };
    let encoding = cluster.query("SHOW server_encoding").unwrap();
    assert_eq!(encoding.as_deref(), Some(server_encoding));
    let election = "Größe I";
    let record = Record::in_memory();
    let candidates = contest(&cluster, election, 2, &record).await;
    until("the second knows the leader's address", || {
        candidates[1].candidacy.address().as_deref() == Ok("Größe I-0")
    })
    .await;

    candidates[0].candidacy.resign().await;
    until("the second leads", || candidates[1].leads()).await;
    support::until_successor(&cluster, election).await;
    let term = candidates[1].candidacy.term();
    let writer = client(&cluster.url()).await;
    let fenced = format!("BEGIN; SELECT pgleader.fence('{election}', {term}); COMMIT");
    writer.batch_execute(&fenced).await.unwrap();

    cluster.terminate_leader(election).unwrap();
    until("the next term works", || record.last_term() > term).await;
    let error = writer.batch_execute(&fenced).await.unwrap_err();
    assert_eq!(error.code().map(|code| code.code()), Some("PL001"));
    let endings = [1, term].map(|term| history(&cluster, election, term, "ending"));
    assert_eq!(
        endings.each_ref().map(Option::as_deref),
        [Some("resigned"), Some("deposed")]
    );
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_database_of_latin1() {
    an_election_on("LATIN1", &["--encoding=LATIN1"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_database_of_no_encoding() {
    an_election_on("SQL_ASCII", &["--encoding=SQL_ASCII"]).await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn in_a_database_of_another_locale() {
    an_election_on("UTF8", &["--locale=C.UTF-8"]).await;
}

/// Where `lower('I')` is no `i`.
#[tokio::test(flavor = "multi_thread")]
async fn in_a_turkish_database() {
    an_election_on("UTF8", &["--locale-provider=icu", "--icu-locale=tr"]).await;
}
