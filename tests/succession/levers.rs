//! The operator's levers: suspend and resume, exclude and include. Each takes effect at once, and within a
//! heartbeat where its notification is lost; each is recorded with who did it. `transfer` has a file of its
//! own. Settles row 29 of docs/development/known-faults.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::support;
use crate::support::operator::{Operator, lose_notifications};
use crate::support::record::{self, Record};
use crate::support::seat::Seat;
use crate::support::{
    CEILING, Candidate, Cluster, LEASE, config, history, status, until, until_successor,
};
use futures_util::StreamExt;
use pg_leader::{Campaign, Candidacy, Config, ProcessState, Term, WaitingFor};

/// Candidates that look for themselves so seldom that only a push can explain what they do.
async fn deaf(
    cluster: &Cluster,
    election: &str,
    count: usize,
    record: &Arc<Record>,
) -> Vec<Candidate> {
    let mut candidates = vec![];
    for index in 0..count {
        let config = patient(cluster);
        let address = format!("{election}-{index}");
        candidates.push(Candidate::start(config, election, &address, record).await);
        if index == 0 {
            until("the first leads", || candidates[0].leads()).await;
        }
    }
    until_successor(cluster, election).await;
    candidates
}

fn patient(cluster: &Cluster) -> Config {
    Config::new(cluster.url())
        .lease(LEASE)
        .retry_interval(CEILING * 10)
}

async fn until_waiting_for(candidacy: &Candidacy, wanted: Option<WaitingFor>) {
    let mut changes = candidacy.changes();
    let told = tokio::time::timeout(CEILING, async {
        while let Some(standing) = changes.next().await {
            if standing.waiting_for == wanted {
                return;
            }
        }
        panic!("the elector has ended");
    });
    told.await
        .unwrap_or_else(|_| panic!("never told: {wanted:?}"));
}

fn request(cluster: &Cluster, election: &str, columns: &str) -> Option<String> {
    let newest = format!(
        "SELECT concat_ws(', ', {columns}) FROM pgleader.requests WHERE name = '{election}' \
         ORDER BY at DESC LIMIT 1"
    );
    cluster.query(&newest).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_leads_while_an_election_is_suspended() {
    let cluster = Cluster::start().unwrap();
    let operator = Operator::of(&cluster).await;
    let record = Record::in_memory();
    let candidates = deaf(&cluster, "s", 3, &record).await;
    let observer = candidates[0].elector.observe("s").unwrap();

    assert_eq!(operator.call("suspend('s')").await.as_deref(), Some("1"));
    for candidate in &candidates {
        until_waiting_for(&candidate.candidacy, Some(WaitingFor::Resume)).await;
    }
    let seen = ["state", "waiting_for", "suspended_by", "successor"];
    let seen = seen.map(|column| status(&cluster, "s", column));
    let [state, waiting_for, suspended_by, successor] = seen.each_ref().map(Option::as_deref);
    assert_eq!(state, Some("vacant"));
    assert_eq!(waiting_for, Some("resume"));
    assert_eq!(suspended_by, Some("operator"));
    assert_eq!(
        successor, None,
        "who may not lead gives up being the successor"
    );
    assert_eq!(observer.term(), 1);
    assert_eq!(
        history(&cluster, "s", 1, "concat_ws(', ', ending, by, request)").as_deref(),
        Some("stepped down, operator, suspend")
    );
    // Once more is fine, and nothing new.
    assert_eq!(operator.call("suspend('s')").await, None);
    assert_eq!(
        request(&cluster, "s", "request, by, ended_by").as_deref(),
        Some("suspend, operator")
    );

    assert_eq!(operator.call("resume('s')").await.as_deref(), Some("t"));
    until("somebody leads", || candidates.iter().any(Candidate::leads)).await;
    assert_eq!(operator.call("resume('s')").await.as_deref(), Some("f"));
    assert_eq!(
        request(&cluster, "s", "request, by, ended_by").as_deref(),
        Some("suspend, operator, operator")
    );
    until("the second term works", || record.last_term() == 2).await;
    record::assert_no_overlap(&record.steps());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_survives_restarts_of_candidates_and_server() {
    let cluster = Cluster::start().unwrap();
    let operator = Operator::of(&cluster).await;
    let record = Record::in_memory();
    let mut candidates = support::contest(&cluster, "kept", 2, &record).await;
    operator.call("suspend('kept')").await;
    until_waiting_for(&candidates[1].candidacy, Some(WaitingFor::Resume)).await;

    cluster.stop_fast().unwrap();
    cluster.start_again().unwrap();
    let last = candidates.pop().unwrap();
    last.elector.shutdown().await;
    let again = config(&cluster.url());
    candidates.push(Candidate::start(again, "kept", "kept-1", &record).await);
    for candidate in &candidates {
        until_waiting_for(&candidate.candidacy, Some(WaitingFor::Resume)).await;
    }
    until("both are there again", || {
        status(&cluster, "kept", "candidates").as_deref() == Some("2")
    })
    .await;
    assert_eq!(
        status(&cluster, "kept", "waiting_for").as_deref(),
        Some("resume")
    );
    assert_eq!(status(&cluster, "kept", "term").as_deref(), Some("1"));

    Operator::again(&cluster).await.call("resume('kept')").await;
    until("somebody leads", || candidates.iter().any(Candidate::leads)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_excluded_address_stays_out_until_it_is_included() {
    let cluster = Cluster::start().unwrap();
    let operator = Operator::of(&cluster).await;
    let record = Record::in_memory();
    let candidates = deaf(&cluster, "x", 2, &record).await;

    assert_eq!(
        operator.call("exclude('x', 'x-0')").await.as_deref(),
        Some("1")
    );
    until("the other leads", || candidates[1].leads()).await;
    until_waiting_for(&candidates[0].candidacy, Some(WaitingFor::Inclusion)).await;
    assert_eq!(
        history(&cluster, "x", 1, "concat_ws(', ', ending, by, request)").as_deref(),
        Some("stepped down, operator, exclude")
    );
    // Also after a restart: what is excluded is the address.
    candidates[0].elector.shutdown().await;
    let again = Candidate::start(patient(&cluster), "x", "x-0", &record).await;
    until_waiting_for(&again.candidacy, Some(WaitingFor::Inclusion)).await;
    // Also who joins only later.
    assert_eq!(operator.call("exclude('x', 'x-2')").await, None);
    let third = Candidate::start(patient(&cluster), "x", "x-2", &record).await;
    until_waiting_for(&third.candidacy, Some(WaitingFor::Inclusion)).await;
    assert_eq!(status(&cluster, "x", "successor"), None);
    assert_eq!(
        status(&cluster, "x", "excluded").as_deref(),
        Some("{x-0,x-2}")
    );

    // With the last one out nobody may lead.
    assert_eq!(
        operator.call("exclude('x', 'x-1')").await.as_deref(),
        Some("2")
    );
    until("nobody leads", || {
        status(&cluster, "x", "waiting_for").as_deref() == Some("candidates")
    })
    .await;
    until_waiting_for(&candidates[1].candidacy, Some(WaitingFor::Inclusion)).await;

    assert_eq!(
        operator.call("include('x', 'x-0')").await.as_deref(),
        Some("t")
    );
    until("it leads again", || again.leads()).await;
    assert_eq!(
        operator.call("include('x', 'x-0')").await.as_deref(),
        Some("f")
    );
    assert_eq!(status(&cluster, "x", "address").as_deref(), Some("x-0"));
    until("it works", || record.last_term() == 3).await;
    record::assert_no_overlap(&record.steps());
}

/// The next heartbeat makes good what the leader did not hear, a retry interval what followers did not.
#[tokio::test(flavor = "multi_thread")]
async fn levers_work_where_every_notification_is_lost() {
    let cluster = Cluster::start().unwrap();
    let operator = Operator::of(&cluster).await;
    let record = Record::in_memory();
    let candidates = support::contest(&cluster, "lost", 2, &record).await;
    lose_notifications(&cluster);
    let vacant = || status(&cluster, "lost", "state").as_deref() == Some("vacant");
    let leads = |index: usize| {
        let candidates = &candidates;
        until("the right one leads", move || candidates[index].leads())
    };

    operator.call("step_down('lost')").await;
    leads(1).await;
    operator.call("transfer('lost', 'lost-0')").await;
    leads(0).await;
    operator.call("exclude('lost', 'lost-0')").await;
    leads(1).await;
    operator.call("suspend('lost')").await;
    until("nobody leads", vacant).await;
    operator.call("exclude('lost', 'lost-1')").await;
    operator.call("include('lost', 'lost-0')").await;
    operator.call("resume('lost')").await;
    leads(0).await;

    for (term, request) in [
        (1, "step down"),
        (2, "transfer"),
        (3, "exclude"),
        (4, "suspend"),
    ] {
        let by = history(&cluster, "lost", term, "concat_ws(', ', by, request)");
        assert_eq!(by, Some(format!("operator, {request}")));
        let at = format!(
            "SELECT t.ended_at - r.at < interval '1 s' FROM pgleader.history AS t \
             JOIN pgleader.requests AS r USING (name, term, request) WHERE t.term = {term}"
        );
        // A heartbeat is an eighth of the lease.
        assert_eq!(
            cluster.query(&at).unwrap().as_deref(),
            Some("t"),
            "{request}"
        );
    }
    record::assert_no_overlap(&record.steps());
}

/// The lock is for those who may lead: who waits for the old work lets it go.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_reaches_who_has_won_already() {
    let cluster = Cluster::start().unwrap();
    let operator = Operator::of(&cluster).await;
    let first = Seat::join(&cluster, "won", "a").await;
    let second = Seat::join(&cluster, "won", "b").await;
    assert_eq!(first.campaign().await, ("began".to_owned(), 1));
    drop(first);
    until("its session is gone", || {
        status(&cluster, "won", "candidates").as_deref() == Some("1")
    })
    .await;
    assert_eq!(second.campaign().await, ("won".to_owned(), 1));
    operator.call("suspend('won')").await;
    for waited in [false, true] {
        assert_eq!(
            second.take_office(waited).await,
            ("barred".to_owned(), None)
        );
    }
    assert_eq!(
        status(&cluster, "won", "waiting_for").as_deref(),
        Some("resume")
    );
    operator.call("resume('won')").await;
    assert_eq!(
        second.take_office(true).await,
        ("began".to_owned(), Some(2))
    );
}

/// Whoever locks the requests forbids nobody to lead, and lets nobody begin who may be forbidden to.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_begins_a_term_while_the_requests_cannot_be_read() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    let seat = Seat::join(&cluster, "blind", "a").await;
    let maintainer = support::client(&cluster.url()).await;
    maintainer
        .batch_execute("BEGIN; LOCK TABLE pgleader.request")
        .await
        .unwrap();
    assert_eq!(seat.campaign().await, ("held".to_owned(), 0));
    maintainer.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(seat.campaign().await, ("began".to_owned(), 1));
}

/// Neither does a lever that was not committed yet.
#[tokio::test(flavor = "multi_thread")]
async fn an_operators_open_transaction_blocks_no_other_operator() {
    let cluster = Cluster::start().unwrap();
    let operator = Operator::of(&cluster).await;
    let record = Record::in_memory();
    let candidates = support::contest(&cluster, "open", 2, &record).await;
    let slow = Operator::again(&cluster).await;
    slow.client
        .batch_execute("BEGIN; SELECT pgleader.suspend('open')")
        .await
        .unwrap();
    operator.call("suspend('open')").await;
    until_waiting_for(&candidates[0].candidacy, Some(WaitingFor::Resume)).await;
    slow.client.batch_execute("ROLLBACK").await.unwrap();

    slow.client
        .batch_execute("BEGIN; SELECT pgleader.resume('open')")
        .await
        .unwrap();
    let refusal = operator.refused("resume('open')").await;
    assert_eq!(refusal, "55P03: another transaction lifts this just now");
    assert_eq!(
        status(&cluster, "open", "waiting_for").as_deref(),
        Some("resume")
    );
    slow.client.batch_execute("COMMIT").await.unwrap();
    until("somebody leads", || candidates.iter().any(Candidate::leads)).await;
}

/// Old requests are cleared away with every twentieth term, and whoever locks them delays none.
#[tokio::test(flavor = "multi_thread")]
async fn a_term_begins_while_the_requests_cannot_be_written() {
    let cluster = Cluster::start().unwrap();
    drop(support::elector(&cluster).await);
    let seat = Seat::join(&cluster, "indexed", "a").await;
    for term in 1..20 {
        assert_eq!(seat.campaign().await, ("began".to_owned(), term));
        assert!(seat.vacate(term).await);
        seat.release().await;
    }
    let maintainer = support::client(&cluster.url()).await;
    maintainer
        .batch_execute("BEGIN; LOCK TABLE pgleader.request IN SHARE MODE")
        .await
        .unwrap();
    let began = tokio::time::timeout(CEILING, seat.campaign()).await;
    assert_eq!(
        began.expect("it waits for nobody"),
        ("began".to_owned(), 20)
    );
}

/// Another term begins after the lever has looked who leads: it is left alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_lever_acts_on_the_term_that_it_returns() {
    let cluster = Cluster::start().unwrap();
    let operator = Operator::of(&cluster).await;
    let seat = Seat::join(&cluster, "late", "a").await;
    let _target = Seat::join(&cluster, "late", "b").await;
    assert_eq!(seat.campaign().await, ("began".to_owned(), 1));
    cluster
        .execute(
            "CREATE OR REPLACE FUNCTION pgleader.leading_term(election integer) RETURNS bigint \
             LANGUAGE sql AS $$ SELECT 0::bigint $$",
        )
        .unwrap();
    assert_eq!(operator.call("step_down('late')").await, None);
    assert_eq!(
        operator.refused("transfer('late', 'b')").await,
        "55000: another term of election \"late\" began just now"
    );
    assert_eq!(request(&cluster, "late", "request, term"), None);
}

/// The vacate goes on the next session, and tells who asked for it all the same.
#[tokio::test(flavor = "multi_thread")]
async fn who_ended_a_term_is_on_record_though_its_session_was_lost_before_the_work_had_stopped() {
    let cluster = Cluster::start().unwrap();
    let operator = Operator::of(&cluster).await;
    let elector = support::elector(&cluster).await;
    let told = Arc::new(AtomicBool::new(false));
    let tell = Arc::clone(&told);
    let lead = move |term: Term| {
        let tell = Arc::clone(&tell);
        async move {
            term.ending().await;
            tell.store(true, Ordering::SeqCst);
            // It does not stop by itself.
            std::future::pending::<Result<(), std::io::Error>>().await
        }
    };
    let campaign = Campaign::new("kept", "a").graceful(true);
    let candidacy = elector.campaign(campaign, lead).unwrap();
    until("it leads", || candidacy.state() != ProcessState::Following).await;
    operator.call("step_down('kept')").await;
    until("the work is told", || told.load(Ordering::SeqCst)).await;
    let killed = "SELECT pg_terminate_backend(leader_pid) FROM pgleader.status WHERE name = 'kept'";
    assert_eq!(cluster.query(killed).unwrap().as_deref(), Some("t"));
    until("its end is on record, and by whom", || {
        let ended = history(&cluster, "kept", 1, "concat_ws(', ', ending, by, request)");
        ended.as_deref() == Some("stepped down, operator, step down")
    })
    .await;
}

/// Whoever reads it a week later finds why, and a program its own request.
#[tokio::test(flavor = "multi_thread")]
async fn a_lever_answers_with_its_request_and_the_views_say_why() {
    use pg_leader::operator::Lever;

    let cluster = Cluster::start().unwrap();
    let record = Record::in_memory();
    let candidates = support::contest(&cluster, "why", 1, &record).await;
    let operator = pg_leader::operator::Operator::connect(config(&cluster.url())).await;
    let operator = operator.unwrap();
    let suspended = operator.suspend("why", Some("moving")).await.unwrap();
    assert!(suspended.request.is_some() && suspended.term == Some(1));
    let again = operator.suspend("why", Some("once more")).await.unwrap();
    assert_eq!(again.request, suspended.request, "it is in force already");
    until("its end is on record", || {
        history(&cluster, "why", 1, "ending").is_some()
    })
    .await;
    let term = operator.history(Some("why"), 1).await.unwrap().remove(0);
    let ended = (term.request, term.reason.as_deref());
    assert_eq!(ended, (Some(Lever::Suspend), Some("moving")));
    let nobody = operator.step_down("why", None).await.unwrap();
    assert_eq!((nobody.request, nobody.term), (None, None));

    let resumed = operator.resume("why", Some("moved")).await.unwrap();
    assert_eq!(resumed, suspended.request);
    assert_eq!(operator.resume("why", None).await.unwrap(), None);
    let request = operator.requests(Some("why"), 1).await.unwrap().remove(0);
    assert_eq!(Some(request.id), suspended.request);
    assert_eq!(request.reason.as_deref(), Some("moving"));
    assert_eq!(request.ended_reason.as_deref(), Some("moved"));

    until("it leads again", || candidates[0].leads()).await;
    let excluded = operator.exclude("why", "elsewhere", None).await.unwrap();
    assert!(excluded.request > suspended.request && excluded.term.is_none());
    let included = operator.include("why", "elsewhere", None).await.unwrap();
    assert_eq!(included, excluded.request);
    let term = candidates[0].candidacy.term();
    let deposed = operator.depose("why", Some("it hangs")).await.unwrap();
    assert!(deposed.request > excluded.request && deposed.term == Some(term));
    until("its end is on record", || {
        history(&cluster, "why", term, "reason").as_deref() == Some("it hangs")
    })
    .await;
    let refused = operator.suspend("why", Some("")).await.unwrap_err();
    assert_eq!(refused.kind(), pg_leader::ErrorKind::Refused, "{refused}");
}
