//! A candidate's session, driven by hand: each call is one step of an interleaving.

use tokio_postgres::{Client, Row};

use super::client;
use super::cluster::Server;

/// Marks the session that asks, and gives the mark.
const MARK: &str = "set_config('pgleader.mark', 'by hand', false)";

pub struct Seat {
    pub client: Client,
    instance: String,
    election: i32,
}

impl Seat {
    pub async fn join(cluster: &impl Server, election: &str, address: &str) -> Seat {
        Seat::join_with_priority(cluster, election, address, 0).await
    }

    pub async fn join_with_priority(
        cluster: &impl Server,
        election: &str,
        address: &str,
        priority: i32,
    ) -> Seat {
        Seat::join_with(&cluster.url(), election, address, priority, (0, 0)).await
    }

    /// By another URL than the cluster's.
    pub async fn join_at(url: &str, election: &str, address: &str) -> Seat {
        Seat::join_with(url, election, address, 0, (0, 0)).await
    }

    /// A candidate that has heard of a term of that lease, in milliseconds, on whatever server.
    pub async fn join_having_heard(
        cluster: &impl Server,
        election: &str,
        address: &str,
        heard: (i64, i32),
    ) -> Seat {
        Seat::join_with(&cluster.url(), election, address, 0, heard).await
    }

    async fn join_with(
        url: &str,
        election: &str,
        address: &str,
        priority: i32,
        (heard, lease): (i64, i32),
    ) -> Seat {
        let client = client(url).await;
        let joined = client
            .query_one(
                &format!("WITH new AS MATERIALIZED (SELECT gen_random_uuid() AS instance)
                 SELECT instance::text, j.election
                 FROM new, pg_stat_get_activity(pg_backend_pid()) AS a,
                      pgleader.join_elections({MARK}, ARRAY[$1::text], instance, ARRAY[$2::text], 1000, a.backend_start,
                                              'seat', ARRAY[$3::integer], ARRAY[$4::bigint], ARRAY[$5::integer], false) AS j"),
                &[&election, &address, &priority, &heard, &lease],
            )
            .await
            .expect("it joins");
        Seat {
            client,
            instance: joined.get(0),
            election: joined.get(1),
        }
    }

    /// The answer to one try of a caller that has heard of that: by the names of its columns.
    pub async fn try_having_heard(&self, (heard, lease): (i64, i32)) -> Row {
        let call = self.fill(
            "SELECT * FROM pgleader.campaign($mark, ARRAY[$election], '{}', ARRAY[$election], $instance, true, \
             3600000, ARRAY[$heard], ARRAY[$lease])",
        );
        let call = call.replace("$heard", &heard.to_string());
        let call = call.replace("$lease", &lease.to_string());
        self.client.query_one(&call, &[]).await.expect("it may try")
    }

    /// The answer to a request for office, the last term's work being over, and that of other servers waited for.
    pub async fn ask_for_office(&self, waited: i32, (heard, lease): (i64, i32)) -> Row {
        let call = self.fill(
            "SELECT * FROM pgleader.take_office($mark, ARRAY[$election], $instance, true, ARRAY[true], ARRAY[$waited], \
             ARRAY[$heard], ARRAY[$lease])",
        );
        let call = call.replace("$waited", &waited.to_string());
        let call = call.replace("$heard", &heard.to_string());
        let call = call.replace("$lease", &lease.to_string());
        self.client.query_one(&call, &[]).await.expect("it may ask")
    }

    pub fn election(&self) -> i32 {
        self.election
    }

    async fn ask(&self, call: &str) -> (String, Option<i64>) {
        let statement = self.fill(call);
        let row = self.client.query_one(&statement, &[]).await.expect(call);
        (row.get(0), row.get(1))
    }

    /// One try for the leadership: `began`, `won`, `fenced` or `held`, and the term.
    pub async fn campaign(&self) -> (String, i64) {
        let (outcome, term) = self
            .ask("SELECT outcome, term FROM pgleader.campaign($mark, ARRAY[$election], '{}', ARRAY[$election], $instance, true, 3600000, '{0}', '{0}')")
            .await;
        (outcome, term.expect("a term"))
    }

    /// The same in turn: what came of it, and why it may not lead.
    pub async fn try_in_turn(&self, is_successor: bool) -> (String, Option<String>) {
        let successor_of = if is_successor { "$election" } else { "" };
        let call = format!(
            "SELECT outcome, bar FROM pgleader.campaign($mark, ARRAY[$election], ARRAY[{successor_of}]::integer[], \
             '{{}}', $instance, true, 3600000, '{{0}}', '{{0}}')"
        );
        let row = self.client.query_one(&self.fill(&call), &[]).await;
        let row = row.expect("it may try");
        (row.get(0), row.get(1))
    }

    /// `began` and the term, `waiting` or `fenced`. `waited`: the refractory period is over.
    pub async fn take_office(&self, waited: bool) -> (String, Option<i64>) {
        let call = format!(
            "SELECT outcome, term FROM pgleader.take_office($mark, ARRAY[$election], $instance, true, ARRAY[{waited}], \
             ARRAY[3600000], '{{0}}', '{{0}}')"
        );
        self.ask(&call).await
    }

    pub fn fill(&self, call: &str) -> String {
        call.replace("$election", &self.election.to_string())
            .replace("$mark", MARK)
            .replace("$instance", &format!("'{}'", self.instance))
    }

    /// The statement that records that the work of `term` has stopped.
    pub fn vacate_call(&self, term: i64) -> String {
        let call = "SELECT vacated::text, NULL::bigint FROM pgleader.vacate($mark, ARRAY[$election], $instance, \
                    ARRAY[$term], '{resigned}', '{null}', '{null}')";
        self.fill(call).replace("$term", &term.to_string())
    }

    /// Whether it was recorded that the work of `term` has stopped.
    pub async fn vacate(&self, term: i64) -> bool {
        self.ask(&self.vacate_call(term)).await.0 == "true"
    }

    pub async fn leave(&self) {
        let call = self.fill("SELECT pgleader.leave_elections($mark, ARRAY[$election], $instance)");
        self.client
            .query_one(&call, &[])
            .await
            .expect("it may leave");
    }

    pub async fn release(&self) {
        let call = "SELECT held::text, NULL::bigint FROM pgleader.release($mark, ARRAY[$election], '{}', 3600000)";
        assert_eq!(self.ask(call).await.0, "true", "it held the leadership");
    }

    /// How many fenced transactions were ended, and how many could not be.
    pub async fn end_fenced(&self) -> (i32, i32) {
        let call =
            self.fill("SELECT ended, remaining FROM pgleader.end_fenced($mark, ARRAY[$election])");
        let row = self.client.query_one(&call, &[]).await.expect("it may ask");
        (row.get(0), row.get(1))
    }
}
