//! Every request, on a server: what it does and what its answer is made of.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

use crate::connection::schema;
use crate::engine::{
    Answer, Asked, Bar, Bid, ElectionState, Ending, Evicted, Heard, Id, Join, Office, Request,
    Slice, TakeOffice, Told, Try, Vacate,
};
use crate::statements::{Constants, Link, Unanswered};
use crate::testing::Cluster;

const LEASE: Duration = Duration::from_secs(1);
const NOTHING: Heard = Heard {
    term: 0,
    lease: Duration::ZERO,
};

async fn connect(cluster: &Cluster) -> Client {
    let (client, connection) = tokio_postgres::connect(&cluster.url(), NoTls)
        .await
        .expect("a session");
    tokio::spawn(connection);
    client
}

async fn installed() -> (Cluster, Client) {
    let cluster = Cluster::start().expect("a cluster");
    let client = connect(&cluster).await;
    schema::install(&client, "postgres").await.expect("it may");
    (cluster, client)
}

async fn link(cluster: &Cluster) -> Link {
    let client = connect(cluster).await;
    let mark = "SET pgleader.mark = 'ours'";
    client.batch_execute(mark).await.expect("anybody may");
    let constants = Constants {
        mark: "ours".to_owned(),
        instance: None,
        direct: true,
        pgpool: false,
        application: "test".to_owned(),
        lease: LEASE,
        silence_limit: LEASE * 100,
        announce_limit: LEASE,
    };
    let link = Link::prepare(Arc::new(client), constants).await;
    link.expect("it prepares")
}

async fn ask(link: &Link, request: Request) -> Answer {
    let asked = format!("{request:?}");
    let answer = link.send(request).await;
    answer.unwrap_or_else(|error| panic!("{asked}: {error}"))
}

async fn refused(link: &Link, request: Request) -> String {
    match link.send(request).await {
        Err(Unanswered::Session { source, .. } | Unanswered::Pooler { source, .. }) => {
            source.code().expect("refused").code().to_owned()
        }
        other => panic!("{other:?}"),
    }
}

async fn join(link: &Link, names: &[&str], address: &str) -> Vec<Id> {
    let joins = names.iter().map(|name| Join {
        name: (*name).into(),
        address: address.into(),
        priority: 0,
        heard: NOTHING,
    });
    let Answer::Joined(joined) = ask(link, Request::Join(slice(joins.collect()))).await else {
        panic!("not joined");
    };
    assert_eq!(joined.len(), names.len());
    let of = |name: &&str| {
        let joined = joined.iter().find(|(of, _)| **of == **name);
        let (_, joined) = joined.expect("it is answered");
        joined.as_ref().expect("joined").election
    };
    names.iter().map(of).collect()
}

fn of_each<T: Clone>(elections: &[Id], it: T) -> Vec<(Id, Told<T>)> {
    let elections = elections.iter();
    elections.map(|id| (*id, Ok(it.clone()))).collect()
}

fn slice<T>(of: Vec<T>) -> Slice<T> {
    let limit = LEASE;
    Slice { of, limit }
}

fn bids(elections: &[Id], overdue: bool) -> Request {
    let bids = elections.iter().map(|election| Bid {
        election: *election,
        successor: false,
        overdue,
        heard: NOTHING,
    });
    Request::Campaign(slice(bids.collect()))
}

async fn campaign(link: &Link, elections: &[Id], overdue: bool) -> Vec<Try> {
    let Answer::Campaigned(mut tried) = ask(link, bids(elections, overdue)).await else {
        panic!("not campaigned");
    };
    tried.sort_by_key(|(election, _)| *election);
    let of: Vec<Id> = tried.iter().map(|(election, _)| *election).collect();
    let mut asked = elections.to_vec();
    asked.sort_unstable();
    assert_eq!(of, asked);
    let tried = tried.into_iter().map(|(_, tried)| tried);
    tried.map(|tried| tried.expect("tried").tried).collect()
}

fn began(tried: &Try) -> u64 {
    match tried {
        Try::Began { term, token } if token.len() == 36 => *term,
        other => panic!("{other:?}"),
    }
}

fn vacates(elections: &[Id], asked: Option<&Asked>) -> Request {
    let vacates = elections.iter().map(|election| Vacate {
        election: *election,
        term: 1,
        ending: match asked {
            Some(_) => Ending::SteppedDown,
            None => Ending::Resigned,
        },
        asked: asked.cloned(),
    });
    Request::Vacate(slice(vacates.collect()))
}

fn takes(elections: &[Id], waited: bool) -> Request {
    let takes = elections.iter().map(|election| TakeOffice {
        election: *election,
        waited,
        elsewhere: LEASE * 3600,
        heard: NOTHING,
    });
    Request::TakeOffice(slice(takes.collect()))
}

/// The locks are another's, and the successor's places ours from now on.
async fn assert_succession(link: &Link, both: &[Id]) {
    for tried in campaign(link, both, false).await {
        let Try::Held(held) = tried else {
            panic!("{tried:?}");
        };
        assert!(
            held.successor && held.stranger.is_none() && held.watched,
            "{held:?}"
        );
        assert_eq!((held.term, held.lease, held.bar), (1, Some(LEASE), None));
        assert_eq!(held.leader_pid, held.holder_pid);
        assert!(held.silent_since.is_some());
    }
}

/// Whoever asked first is on record with the end.
async fn assert_the_older_of_two_orders_ends_the_term(
    cluster: &Cluster,
    first: &Link,
    both: &[Id],
) {
    // Twice, and the older one counts.
    let asks = "SELECT pgleader.step_down('a'), pgleader.suspend('a'), pgleader.suspend('b')";
    cluster.execute(asks).expect("it may");
    let Answer::Asked(mut asked) = ask(first, Request::Heartbeat(both.to_vec())).await else {
        panic!("nothing is asked");
    };
    asked.sort_by_key(|asked| asked.election);
    let told: Vec<(Id, u64)> = asked
        .iter()
        .map(|asked| (asked.election, asked.term))
        .collect();
    let terms: Vec<(Id, u64)> = both.iter().map(|id| (*id, 1)).collect();
    assert_eq!(told, terms);
    let of_a = asked.iter().find(|asked| &*asked.asked.kind == "step down");
    let by = of_a.expect("the older of two").asked.clone();
    assert_eq!(&*by.by, "postgres");

    let vacated = of_each(both, true);
    let suspended = Asked {
        kind: "suspend".into(),
        by: by.by,
    };
    let answer = ask(first, vacates(both, Some(&suspended))).await;
    assert_eq!(answer, Answer::Vacated(vacated));
    let recorded = "SELECT string_agg(DISTINCT concat(ending, ', ', by, ' ', request), '; ') FROM pgleader.history";
    let recorded = cluster.query(recorded).expect("a row");
    assert_eq!(recorded.as_deref(), Some("stepped down, postgres suspend"));
}

async fn assert_vacant_and_suspended(link: &Link) {
    let names: Vec<Arc<str>> = ["a", "b", "never"].map(Arc::from).to_vec();
    let Answer::Read(mut found) = ask(link, Request::Read(slice(names))).await else {
        panic!("not read");
    };
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    let of: Vec<&str> = found.iter().map(|(name, _)| &**name).collect();
    assert_eq!(of, ["a", "b", "never"]);
    let (_, never) = found.pop().expect("three");
    assert_eq!(never, Ok(None), "nobody has ever joined it");
    for (_, found) in found {
        let found = found.expect("it is read").expect("it was joined");
        assert_eq!(
            (found.row.term, found.row.state),
            (1, ElectionState::Vacant)
        );
        assert_eq!(found.view.bar, Some(Bar::Suspended));
        assert!(found.view.vacant && !found.view.called);
        assert_eq!((found.view.term, found.view.lease), (1, Some(LEASE)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orderly_term_from_joining_to_leaving() {
    let (cluster, _owner) = installed().await;
    let (first, second) = (link(&cluster).await, link(&cluster).await);
    let both = join(&first, &["b", "a"], "first").await;
    // Their order is the caller's: ids are not in the order of the names.
    let mut both: Vec<Id> = [both[1], both[0]].to_vec();
    both.sort_unstable();
    for tried in campaign(&first, &both, true).await {
        assert_eq!(began(&tried), 1);
    }
    let terms: Vec<(Id, u64)> = both.iter().map(|id| (*id, 1)).collect();
    assert_eq!(
        ask(&first, Request::Ready(slice(terms.clone()))).await,
        Answer::Recorded(of_each(&both, true))
    );
    let unknown = ask(&first, Request::Ready(slice(vec![(both[0], 7)]))).await;
    assert_eq!(unknown, Answer::Recorded(vec![(both[0], Ok(false))]));
    assert_eq!(ask(&first, Request::Prove).await, Answer::Done);
    let heartbeat = || Request::Heartbeat(both.clone());
    assert_eq!(ask(&first, heartbeat()).await, Answer::Asked(vec![]));

    join(&second, &["a", "b"], "second").await;
    assert_succession(&second, &both).await;
    let evicted = ask(&second, Request::Evict(slice(terms.clone()))).await;
    let nobody = of_each(&both, Evicted::NotAllowed);
    assert_eq!(evicted, Answer::Evicted(nobody), "none of them is silent");

    assert_the_older_of_two_orders_ends_the_term(&cluster, &first, &both).await;
    let release = |leadership: &[Id], succession: &[Id]| Request::Release {
        leadership: leadership.to_vec(),
        succession: succession.to_vec(),
        silence_limit: LEASE * 100,
    };
    assert_eq!(ask(&first, release(&both, &[])).await, Answer::Done);
    assert_eq!(
        ask(&first, Request::Announce(both.clone())).await,
        Answer::Done
    );
    let again = first.send(release(&both, &[])).await;
    assert!(matches!(again, Err(Unanswered::Unexpected(_))), "{again:?}");
    assert_eq!(ask(&second, release(&[], &both)).await, Answer::Done);

    assert_vacant_and_suspended(&second).await;
    assert_eq!(
        ask(&first, Request::Leave(slice(both.clone()))).await,
        Answer::Left(of_each(&both, ()))
    );
    let left = "SELECT string_agg(DISTINCT address, ',') FROM pgleader.candidates";
    assert_eq!(
        cluster.query(left).expect("a row").as_deref(),
        Some("second")
    );
    let shown = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'test second'";
    assert_eq!(cluster.query(shown).expect("a row").as_deref(), Some("1"));
}

async fn until_gone(link: &Link, both: &[Id], terms: &[(Id, u64)]) {
    let gone = Answer::Gone(of_each(both, true));
    let deadline = Instant::now() + LEASE * 30;
    while ask(link, Request::BackendGone(slice(terms.to_vec()))).await != gone {
        assert!(Instant::now() < deadline, "its backends do not leave");
    }
}

/// It is waited for, and then ended; the second takes office.
async fn assert_only_the_first_is_fenced(link: &Link, both: &[Id]) {
    let Answer::Office(waiting) = ask(link, takes(both, false)).await else {
        panic!("no office");
    };
    for (_, office) in &waiting {
        let heard = Heard {
            term: 1,
            lease: LEASE,
        };
        let elsewhere = Duration::ZERO;
        assert_eq!(*office, Ok(Office::Waiting { elsewhere, heard }));
    }
    let Answer::Office(mut taken) = ask(link, takes(both, true)).await else {
        panic!("no office");
    };
    taken.sort_by_key(|(election, _)| *election);
    let a = both[0];
    for (election, office) in &taken {
        match office {
            Ok(Office::Fenced) if *election == a => {}
            Ok(Office::Began { term: 2, token }) if *election != a => assert_eq!(token.len(), 36),
            other => panic!("{election:?}: {other:?}"),
        }
    }
    let Answer::FencedEnded(ended) = ask(link, Request::EndFenced(slice(both.to_vec()))).await
    else {
        panic!("not ended");
    };
    for (election, ended) in &ended {
        let ended = ended.as_ref().expect("nothing is refused");
        let expected = if *election == a { 1 } else { 0 };
        assert_eq!((ended.ended, ended.remaining), (expected, 0), "{ended:?}");
        assert_eq!(ended.who, None);
    }
    assert_eq!(ended.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_term_is_waited_for_and_its_fenced_transactions_end() {
    let (cluster, operator) = installed().await;
    let (first, second) = (link(&cluster).await, link(&cluster).await);
    let both = join(&first, &["a", "b"], "first").await;
    campaign(&first, &both, true).await;
    let terms: Vec<(Id, u64)> = both.iter().map(|id| (*id, 1)).collect();
    join(&second, &["a", "b"], "second").await;
    let lives = of_each(&both, false);
    let answer = ask(&second, Request::BackendGone(slice(terms.clone()))).await;
    assert_eq!(answer, Answer::Gone(lives));
    let fence = "BEGIN; SELECT 1; SELECT pgleader.fence('a', 1)";
    operator.batch_execute(fence).await.expect("it is current");

    drop(first);
    until_gone(&second, &both, &terms).await;
    let Answer::Counters(counters) = ask(&second, Request::Counters).await else {
        panic!("no counters");
    };
    assert_eq!(counters.killed, 0);
    for tried in campaign(&second, &both, true).await {
        let Try::Won(won) = tried else {
            panic!("{tried:?}");
        };
        assert_eq!(
            (won.last_term, won.wait, won.elsewhere),
            (1, LEASE, Duration::ZERO)
        );
        assert!(won.direct && won.watched.is_none() && won.heard.term == 1);
    }
    assert_only_the_first_is_fenced(&second, &both).await;
    let a = both[0];
    let asked = "SELECT pgleader.suspend('a')";
    cluster.execute(asked).expect("it may");
    let Answer::Office(barred) = ask(&second, takes(&[a], true)).await else {
        panic!("no office");
    };
    assert_eq!(barred, [(a, Ok(Office::Barred(Bar::Suspended)))]);
}

/// A share of a lock, and several modes of it in one session, are rows of their own in pg_locks.
#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_row_an_election_whatever_locks_there_are() {
    let (cluster, stranger) = installed().await;
    let (first, second) = (link(&cluster).await, link(&cluster).await);
    let all = join(&first, &["a"], "first").await;
    join(&second, &["a"], "second").await;
    let a = all[0].0;
    let locks = format!(
        "SELECT pg_advisory_lock_shared(c::oid::integer, {a}), pg_advisory_lock_shared(c::oid::integer, {a}) \
         FROM unnest('{{pgleader.election,pgleader.candidate}}'::regclass[]) AS c"
    );
    let exclusive =
        format!("SELECT pg_advisory_lock('pgleader.term'::regclass::oid::integer, {a})");
    for locks in [&locks, &exclusive] {
        stranger.batch_execute(locks).await.expect("anybody may");
    }
    for candidate in [&first, &second] {
        let tried = campaign(candidate, &all, true).await;
        let Try::Held(held) = &tried[0] else {
            panic!("{tried:?}");
        };
        assert!(held.stranger.is_some(), "{held:?}");
    }
    let unlock = "SELECT pg_advisory_unlock_all()";
    stranger.batch_execute(unlock).await.expect("anybody may");
    // Of the first session, too: it leads, is successor as well, and has shares of both.
    began(&campaign(&first, &all, true).await[0]);
    let both =
        format!("SELECT pg_try_advisory_lock('pgleader.candidate'::regclass::oid::integer, {a})");
    let row = first.client().query_one(&both, &[]).await.expect("a row");
    assert!(row.get::<_, bool>(0));
    let shares = first.client().batch_execute(&locks).await;
    shares.expect("its own locks are in nobody's way");
    let tried = campaign(&second, &all, false).await;
    assert!(
        matches!(&tried[0], Try::Held(held) if held.stranger.is_none()),
        "{tried:?}"
    );
    let Answer::Read(found) = ask(&second, Request::Read(slice(vec!["a".into()]))).await else {
        panic!("not read");
    };
    assert_eq!(found.len(), 1);
    let (_, Ok(Some(found))) = &found[0] else {
        panic!("{found:?}");
    };
    assert_eq!(found.row.state, ElectionState::Recovering);
    for (view, expected) in [("candidates", "2"), ("status", "1")] {
        let rows = format!("SELECT count(*) FROM pgleader.{view}");
        assert_eq!(
            cluster.query(&rows).expect("a row").as_deref(),
            Some(expected),
            "{view}"
        );
    }
}

/// Asked for twice, a lock of a session is held twice, and let go once.
#[tokio::test(flavor = "multi_thread")]
async fn an_election_that_is_named_twice_is_refused_before_any_lock() {
    let (cluster, _) = installed().await;
    let link = link(&cluster).await;
    let id = join(&link, &["a"], "first").await[0];
    for request in [
        bids(&[id, id], true),
        takes(&[id, id], true),
        vacates(&[id, id], None),
        Request::Ready(slice(vec![(id, 1), (id, 1)])),
        Request::BackendGone(slice(vec![(id, 1), (id, 1)])),
        Request::Evict(slice(vec![(id, 1), (id, 2)])),
        Request::EndFenced(slice(vec![id, id])),
        Request::Leave(slice(vec![id, id])),
    ] {
        assert_eq!(refused(&link, request).await, "22023");
    }
    let locks = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'";
    assert_eq!(cluster.query(locks).expect("a row").as_deref(), Some("0"));
}

/// As a later version of the schema may do while builds of this one still run.
#[tokio::test(flavor = "multi_thread")]
async fn columns_that_are_added_break_nothing() {
    let (cluster, owner) = installed().await;
    let wider = |function: &str, arguments: &str, columns: &str, call: &str| {
        format!(
            "ALTER FUNCTION pgleader.{function} RENAME TO narrow_{function}; \
             CREATE FUNCTION pgleader.{function}({arguments}) RETURNS TABLE (more text, {columns}, still_more integer) \
             LANGUAGE sql AS $$ SELECT 'more', n.*, 7 FROM pgleader.narrow_{function}({call}) AS n $$; "
        )
    };
    let script = [
        wider(
            "ready",
            "mark text, elections integer[], instance uuid, terms bigint[], limit_ms integer",
            "election integer, recorded boolean, refused text",
            "$1, $2, $3, $4, $5",
        ),
        wider(
            "vacate",
            "mark text, elections integer[], instance uuid, terms bigint[], endings text[], ended_by name[], \
             ended_request text[], limit_ms integer",
            "election integer, vacated boolean, refused text",
            "$1, $2, $3, $4, $5, $6, $7, $8",
        ),
        wider(
            "backend_gone",
            "mark text, elections integer[], terms bigint[]",
            "election integer, gone boolean",
            "$1, $2, $3",
        ),
    ];
    owner.batch_execute(&script.concat()).await.expect("it may");
    let link = link(&cluster).await;
    let all = join(&link, &["a"], "first").await;
    began(&campaign(&link, &all, true).await[0]);
    assert_eq!(
        ask(&link, Request::Ready(slice(vec![(all[0], 1)]))).await,
        Answer::Recorded(of_each(&all, true))
    );
    let gone = Answer::Gone(of_each(&all, false));
    assert_eq!(
        ask(&link, Request::BackendGone(slice(vec![(all[0], 1)]))).await,
        gone
    );
    let vacated = Answer::Vacated(of_each(&all, true));
    assert_eq!(ask(&link, vacates(&all, None)).await, vacated);
}

/// They are written when they are first polled, and the server answers in that order.
#[tokio::test(flavor = "multi_thread")]
async fn requests_under_way_are_answered_in_their_order() {
    use futures_util::stream::{FuturesOrdered, StreamExt};

    let (cluster, _) = installed().await;
    let link = link(&cluster).await;
    let all = join(&link, &["a"], "first").await;
    let mut under_way = FuturesOrdered::new();
    for request in [
        bids(&all, true),
        Request::Ready(slice(vec![(all[0], 1)])),
        vacates(&all, None),
        Request::Prove,
        Request::Read(slice(vec!["a".into()])),
    ] {
        under_way.push_back(link.send(request));
    }
    let answers: Vec<_> = under_way.collect().await;
    let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert!(matches!(answers[0], Answer::Campaigned(_)), "{answers:?}");
    assert_eq!(
        answers[1],
        Answer::Recorded(of_each(&all, true)),
        "before the vacate, or it was no term of ours"
    );
    assert_eq!(answers[2], Answer::Vacated(of_each(&all, true)));
    assert_eq!(answers[3], Answer::Done);
    assert!(matches!(answers[4], Answer::Read(_)), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_with_another_mark_is_a_poolers() {
    let (cluster, _) = installed().await;
    let link = link(&cluster).await;
    let all = join(&link, &["a"], "first").await;
    let another = "SET pgleader.mark = 'theirs'";
    link.client().batch_execute(another).await.expect("it may");
    let error = link.send(bids(&all, true)).await.expect_err("not its own");
    assert!(matches!(error, Unanswered::Pooler { .. }), "{error}");
}
