//! PostgreSQL's side.

use std::collections::{BTreeSet, HashMap};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use pg_leader::testing::Cluster;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

use super::names::Names;
use super::side::Side;
use super::step::{Lever, Outcome, PATIENCE, PAUSE, Process, Said, Step, Way, address, id};
use crate::engine::{Answer, Counters, Evicted, Office, Request, Try};
use crate::postgres::OPERATOR;
use crate::statements::{Constants, Link};
use crate::tells::done;

/// What is waited for is there long before.
const CEILING: Duration = Duration::from_secs(20);

/// A server, for one run after the other.
pub struct Server {
    cluster: Cluster,
    runtime: Runtime,
    runs: u32,
}

impl Server {
    /// A throw-away one, with the schema.
    ///
    /// # Errors
    ///
    /// Where there are no binaries of PostgreSQL, or it does not come up.
    pub fn start() -> crate::Result<Server> {
        let cluster = Cluster::start()?;
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let installed = async {
            let config = pg_leader::Config::new(cluster.url());
            pg_leader::Elector::connect(config).await?.shutdown().await;
            Ok::<(), pg_leader::Error>(())
        };
        runtime.block_on(installed)?;
        cluster.execute(&format!("CREATE ROLE {OPERATOR} SUPERUSER LOGIN"))?;
        Ok(Server {
            cluster,
            runtime,
            runs: 0,
        })
    }

    /// The end of its log.
    #[must_use]
    pub fn log(&self) -> String {
        self.cluster.log()
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.cluster.version()
    }
}

/// A run on it.
pub(super) struct Real<'a> {
    server: &'a Server,
    pub(super) names: Names,
    operator: Option<Wire>,
    sessions: Vec<Session>,
    transactions: Vec<Option<Wire>>,
    /// Has locked the table of requests.
    locks_requests: Option<Wire>,
    /// Of terms, by election and number.
    tokens: HashMap<(i32, u64), Arc<str>>,
    /// Those of the last runs are gone.
    run: u32,
}

struct Session {
    pid: i32,
    wire: Option<Wire>,
    link: Option<Link>,
    /// The pid of the sender, and what he sent.
    notified: Heard,
}

type Heard = Arc<Mutex<Vec<(i32, String)>>>;

/// A connection.
struct Wire {
    client: Arc<Client>,
    pid: i32,
    task: JoinHandle<()>,
}

impl Wire {
    /// Its socket is closed without a word.
    async fn cut(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// With its last client gone it says goodbye.
    async fn goodbye(self) {
        let Wire { client, task, .. } = self;
        drop(client);
        let _ = task.await;
    }
}

impl<'a> Real<'a> {
    pub(super) fn new(server: &'a mut Server, seed: u64) -> crate::Result<Real<'a>> {
        server.runs += 1;
        let run = server.runs;
        let mut real = Real {
            names: Names::new(format!("run {run} of seed {seed}: "), ZERO),
            server,
            operator: None,
            sessions: vec![],
            transactions: vec![],
            locks_requests: None,
            tokens: HashMap::new(),
            run,
        };
        let zero = real.block_on(Real::counters)?;
        real.names = Names::new(format!("run {run} of seed {seed}: "), zero);
        Ok(real)
    }

    /// Everybody is gone.
    pub(super) fn end(mut self) -> crate::Result<()> {
        self.block_on(async |real| {
            for session in 0..real.sessions.len() {
                real.end_session(session, Way::Goodbye).await?;
            }
            real.leave_all().await
        })
    }

    fn block_on<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut Self) -> crate::Result<T>,
    ) -> crate::Result<T> {
        let server = self.server;
        server.runtime.block_on(work(self))
    }

    async fn connect(
        &self,
        user: &str,
        options: &str,
        notified: Option<Heard>,
    ) -> crate::Result<Wire> {
        let mut config: Config = self.server.cluster.socket_conninfo().parse()?;
        config.user(user).options(options);
        let (client, mut connection) = config.connect(NoTls).await?;
        let task = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notification(notification) = message
                    && let Some(notified) = &notified
                {
                    let sent = (notification.process_id(), notification.payload().to_owned());
                    lock(notified).push(sent);
                }
            }
        });
        let row = client.query_one("SELECT pg_backend_pid()", &[]).await?;
        Ok(Wire {
            pid: row.try_get(0)?,
            client: Arc::new(client),
            task,
        })
    }

    async fn operator(&mut self) -> crate::Result<Arc<Client>> {
        if self.operator.is_none() {
            self.operator = Some(self.connect(OPERATOR, "", None).await?);
        }
        let operator = self.operator.as_ref().ok_or("no operator")?;
        Ok(Arc::clone(&operator.client))
    }

    async fn counters(&mut self) -> crate::Result<Counters> {
        let client = self.operator().await?;
        let statement = "SELECT killed, fatal, reset FROM pgleader.counters()";
        let row = client.query_one(statement, &[]).await?;
        Ok(Counters {
            killed: row.try_get(0)?,
            fatal: row.try_get(1)?,
            reset: row.try_get(2)?,
        })
    }

    /// Wait until this backend has left the list: its locks are free, and it is counted.
    async fn gone(&mut self, pid: i32) -> crate::Result<()> {
        let client = self.operator().await?;
        let began = Instant::now();
        let statement = "SELECT NOT EXISTS (SELECT FROM pg_stat_get_activity($1))";
        while !client.query_one(statement, &[&pid]).await?.try_get(0)? {
            if began.elapsed() > CEILING {
                return Err(format!("backend {pid} does not end").into());
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    async fn open(&mut self, process: Process) -> crate::Result<()> {
        let options = format!(
            "-c idle_session_timeout={} -c lock_timeout=10s -c statement_timeout=20s \
             -c search_path=pg_catalog -c synchronous_commit=local -c stats_fetch_consistency=none \
             -c client_min_messages=error",
            PATIENCE.as_millis()
        );
        let notified = Heard::default();
        let wire = self
            .connect("postgres", &options, Some(Arc::clone(&notified)))
            .await?;
        let mark = format!("{}", wire.pid);
        wire.client
            .batch_execute(&format!(
                "SELECT set_config('pgleader.mark', '{mark}', false); LISTEN pg_leader"
            ))
            .await?;
        let instance = format!(
            "00000000-0000-4000-{:04x}-{:012x}",
            self.run,
            process.number + 1
        );
        let constants = Constants {
            mark,
            instance: Some(instance.into()),
            direct: process.direct,
            pgpool: false,
            application: "conformance".to_owned(),
            lease: process.lease,
            silence_limit: PATIENCE,
            announce_limit: CEILING / 4,
        };
        let link = Link::prepare(Arc::clone(&wire.client), constants).await?;
        self.add(wire, Some(link), notified);
        Ok(())
    }

    fn add(&mut self, wire: Wire, link: Option<Link>, notified: Heard) {
        self.names.opened(wire.pid, self.sessions.len());
        self.sessions.push(Session {
            pid: wire.pid,
            wire: Some(wire),
            link,
            notified,
        });
    }

    async fn ask(&mut self, session: usize, request: &Request) -> crate::Result<Said> {
        let Some(request) = self.names.request(request) else {
            return Err(format!("{request:?} is about what nobody has joined").into());
        };
        // Who is ended by it must be gone before anybody looks.
        let ends = self.ended_by(self.sessions[session].pid, &request).await?;
        let link = self.sessions[session].link.as_ref();
        let Ok(answer) = link.ok_or("a stranger asks nothing")?.send(request).await else {
            return Ok(Said::Refused);
        };
        self.note_tokens(&answer);
        let ended = match &answer {
            Answer::Evicted(evicted) => done(evicted).any(|(_, it)| *it == Evicted::Done),
            Answer::FencedEnded(ended) => done(ended).any(|(_, it)| it.ended > 0),
            _ => false,
        };
        for pid in ends.into_iter().filter(|_| ended) {
            self.gone(pid).await?;
        }
        let answer = self.names.answer(answer);
        Ok(Said::Answer(
            answer.ok_or("the server answers of what is not there")?,
        ))
    }

    async fn ended_by(&mut self, by: i32, request: &Request) -> crate::Result<Vec<i32>> {
        let (statement, ids) = match request {
            Request::Evict(terms) => (
                "SELECT e.pid FROM pgleader.election AS e WHERE e.pid IS NOT NULL AND e.id = ANY ($1) AND $2 > 0",
                terms.of.iter().map(|(id, _)| id.0).collect::<Vec<i32>>(),
            ),
            Request::EndFenced(elections) => (
                "SELECT f.pid FROM pgleader.fenced AS f
                 JOIN pgleader.holder AS h ON h.election_id = f.election_id AND h.pid = $2
                 WHERE h.kind = 'pgleader.election'::regclass AND f.election_id = ANY ($1)
                 UNION SELECT s.pid FROM pgleader.stranger AS s
                 WHERE s.kind = 'pgleader.candidate'::regclass AND s.election_id = ANY ($1) AND s.pid <> $2
                   AND NOT EXISTS (
                       SELECT FROM pgleader.stranger AS l
                       WHERE l.kind = 'pgleader.election'::regclass AND l.election_id = s.election_id
                         AND l.pid = s.pid)",
                elections.of.iter().map(|id| id.0).collect(),
            ),
            _ => return Ok(vec![]),
        };
        let client = self.operator().await?;
        let rows = client.query(statement, &[&ids, &by]).await?;
        let pids = rows.iter().map(|row| row.try_get(0));
        Ok(pids.collect::<Result<_, _>>()?)
    }

    fn note_tokens(&mut self, answer: &Answer) {
        match answer {
            Answer::Campaigned(tries) => {
                for (election, tried) in done(tries) {
                    if let Try::Began { term, token } = &tried.tried {
                        let of = (election.0, *term);
                        self.tokens.insert(of, Arc::clone(token));
                    }
                }
            }
            Answer::Office(offices) => {
                for (election, office) in done(offices) {
                    if let Office::Began { term, token } = office {
                        self.tokens.insert((election.0, *term), Arc::clone(token));
                    }
                }
            }
            _ => {}
        }
    }

    async fn end_session(&mut self, session: usize, how: Way) -> crate::Result<()> {
        let pid = self.sessions[session].pid;
        let Some(wire) = self.sessions[session].wire.take() else {
            return Ok(());
        };
        self.sessions[session].link = None;
        match how {
            Way::Killed => {
                let client = self.operator().await?;
                let statement = "SELECT pg_terminate_backend($1)";
                client.query_one(statement, &[&pid]).await?;
                self.gone(pid).await?;
                wire.cut().await;
            }
            Way::Cut => {
                // Nothing is on its way any more.
                let _ = wire.client.simple_query("").await;
                wire.cut().await;
            }
            Way::Goodbye => wire.goodbye().await,
            Way::TimedOut => {
                self.gone(pid).await?;
                wire.cut().await;
            }
        }
        self.gone(pid).await
    }

    /// All but the sessions: nothing of it is counted.
    async fn leave_all(&mut self) -> crate::Result<()> {
        let others = self.transactions.iter_mut().filter_map(Option::take);
        let others = others.chain(self.locks_requests.take());
        let others: Vec<Wire> = others.collect();
        for wire in others {
            let pid = wire.pid;
            let _ = wire.client.batch_execute("ROLLBACK").await;
            wire.goodbye().await;
            self.gone(pid).await?;
        }
        if let Some(operator) = self.operator.take() {
            let process = format!("/proc/{}", operator.pid);
            operator.goodbye().await;
            // Nobody is left who could ask the server: a stop that comes before its end would be counted as a kill.
            let began = Instant::now();
            while std::path::Path::new(&process).exists() && began.elapsed() < CEILING {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        Ok(())
    }

    async fn fall(&mut self, crash: bool) -> crate::Result<()> {
        // A vacate waits for no disk: this commit does, and with it all before.
        let client = self.operator().await?;
        let flushed =
            "SET synchronous_commit = on; SELECT pg_logical_emit_message(true, 'flush', '')";
        client.batch_execute(flushed).await?;
        drop(client);
        self.leave_all().await?;
        let cluster = &self.server.cluster;
        if crash {
            cluster.kill_postmaster()?;
        } else {
            cluster.stop_fast()?;
        }
        cluster.start_again()?;
        for session in &mut self.sessions {
            session.link = None;
            if let Some(wire) = session.wire.take() {
                wire.cut().await;
            }
        }
        if crash {
            self.names.counters_from(ZERO, 0);
        }
        Ok(())
    }

    async fn pull(&mut self, election: usize, lever: &Lever) -> crate::Result<Said> {
        let name = self.names.election(election);
        let client = self.operator().await?;
        let by_address = |process: &usize| address(*process);
        let result = match lever {
            Lever::StepDown => {
                let statement = "SELECT pgleader.step_down($1) IS NOT NULL";
                let row = client.query_one(statement, &[&&*name]).await?;
                return Ok(Said::Did(row.try_get(0)?));
            }
            Lever::Suspend => {
                let statement = "SELECT pgleader.suspend($1)";
                client.query_one(statement, &[&&*name]).await
            }
            Lever::Resume => {
                let statement = "SELECT pgleader.resume($1)";
                client.query_one(statement, &[&&*name]).await
            }
            Lever::Exclude(process) => {
                let statement = "SELECT pgleader.exclude($1, $2)";
                let address = by_address(process);
                client.query_one(statement, &[&&*name, &address]).await
            }
            Lever::Include(process) => {
                let statement = "SELECT pgleader.include($1, $2)";
                let address = by_address(process);
                client.query_one(statement, &[&&*name, &address]).await
            }
            Lever::Transfer(process) => {
                let statement = "SELECT pgleader.transfer($1, $2)";
                let address = by_address(process);
                client.query_one(statement, &[&&*name, &address]).await
            }
        };
        // Refused where it cannot be; what comes of it is seen by the candidates.
        if let Err(error) = result
            && error.as_db_error().is_none()
        {
            return Err(error.into());
        }
        Ok(Said::Nothing)
    }

    async fn fence(&mut self, election: usize, term: u64, holds_row: bool) -> crate::Result<Said> {
        let term = self.names.term(id(election), term);
        let own = self.names.id(id(election)).ok_or("nobody has joined it")?;
        let token = self.tokens.get(&(own.0, term));
        let token = token.map_or(NO_TOKEN, |token| token);
        let name = self.names.election(election);
        let isolation = if holds_row {
            "REPEATABLE READ"
        } else {
            "READ COMMITTED"
        };
        let wire = self.connect("postgres", "", None).await?;
        let begun = format!(
            "BEGIN ISOLATION LEVEL {isolation}; SELECT pgleader.fence('{name}', {term}, '{token}'::uuid)"
        );
        let admitted = wire.client.batch_execute(&begun).await.is_ok();
        if admitted {
            self.transactions.push(Some(wire));
        } else {
            let pid = wire.pid;
            wire.goodbye().await;
            self.gone(pid).await?;
            self.transactions.push(None);
        }
        Ok(Said::Did(admitted))
    }

    async fn commit(&mut self, transaction: usize) -> crate::Result<Said> {
        let Some(wire) = self.transactions[transaction].take() else {
            return Ok(Said::Did(false));
        };
        let pid = wire.pid;
        let committed = wire.client.batch_execute("COMMIT").await.is_ok();
        wire.goodbye().await;
        self.gone(pid).await?;
        Ok(Said::Did(committed))
    }

    async fn stranger(&mut self, election: usize, succession: bool) -> crate::Result<Said> {
        let own = self.names.id(id(election)).ok_or("nobody has joined it")?;
        let class = if succession { "candidate" } else { "election" };
        let wire = self.connect("postgres", "", None).await?;
        let statement =
            format!("SELECT pg_try_advisory_lock('pgleader.{class}'::regclass::oid::integer, $1)");
        let row = wire.client.query_one(&statement, &[&own.0]).await?;
        self.add(wire, None, Heard::default());
        Ok(Said::Did(row.try_get(0)?))
    }

    async fn lock_requests(&mut self, lock: bool) -> crate::Result<()> {
        if lock {
            let wire = self.connect("postgres", "", None).await?;
            let locked = "BEGIN; LOCK TABLE pgleader.request IN ACCESS EXCLUSIVE MODE";
            wire.client.batch_execute(locked).await?;
            self.locks_requests = Some(wire);
        } else if let Some(wire) = self.locks_requests.take() {
            let pid = wire.pid;
            wire.client.batch_execute("ROLLBACK").await?;
            wire.goodbye().await;
            self.gone(pid).await?;
        }
        Ok(())
    }

    /// A round trip on each session brings what it was notified of before.
    async fn notified(&mut self) -> crate::Result<Vec<(usize, Option<usize>, usize)>> {
        let alive = self.alive().await?;
        let mut notified = vec![];
        for number in alive {
            let session = &self.sessions[number];
            let Some(link) = &session.link else { continue };
            link.send(Request::Prove).await?;
            // The connection hands on what has come before it hands on the answer.
            let heard = std::mem::take(&mut *lock(&session.notified));
            for (by, payload) in heard {
                let payload: serde_json::Value = serde_json::from_str(&payload)?;
                let name = payload["election"].as_str().unwrap_or_default();
                if let Some(election) = self.names.number(name) {
                    notified.push((number, self.names.session(by), election));
                }
            }
        }
        notified.sort_unstable();
        Ok(notified)
    }

    async fn alive(&mut self) -> crate::Result<BTreeSet<usize>> {
        let client = self.operator().await?;
        let sessions = self.sessions.iter().enumerate();
        let open: Vec<(usize, i32)> = sessions
            .filter(|(_, session)| session.wire.is_some())
            .map(|(number, session)| (number, session.pid))
            .collect();
        let pids: Vec<i32> = open.iter().map(|(_, pid)| *pid).collect();
        let statement = "SELECT p FROM unnest($1::integer[]) AS p WHERE EXISTS (SELECT FROM pg_stat_get_activity(p))";
        let rows = client.query(statement, &[&pids]).await?;
        let alive: Result<BTreeSet<i32>, _> = rows.iter().map(|row| row.try_get(0)).collect();
        let alive = alive?;
        let open = open.into_iter().filter(|(_, pid)| alive.contains(pid));
        Ok(open.map(|(number, _)| number).collect())
    }

    async fn take(&mut self, step: &Step) -> crate::Result<Outcome> {
        let mut tells = false;
        let said = match step {
            Step::Open(process) => {
                self.open(*process).await?;
                Said::Nothing
            }
            Step::Ask { session, request } => {
                tells = matches!(request, Request::Announce(_));
                self.ask(*session, request).await?
            }
            Step::End { session, how } => {
                self.end_session(*session, *how).await?;
                Said::Nothing
            }
            Step::Crash | Step::Restart => {
                self.fall(matches!(step, Step::Crash)).await?;
                Said::Nothing
            }
            Step::Reset => {
                let client = self.operator().await?;
                client.query_one("SELECT pg_stat_reset()", &[]).await?;
                let zero = self.counters().await?;
                let resets = self.names.resets();
                self.names.counters_from(zero, resets + 1);
                Said::Nothing
            }
            Step::Lever { election, lever } => {
                tells = true;
                self.pull(*election, lever).await?
            }
            Step::LockRequests(locked) => {
                self.lock_requests(*locked).await?;
                Said::Nothing
            }
            Step::Fence {
                election,
                term,
                holds_row,
            } => self.fence(*election, *term, *holds_row).await?,
            Step::Commit(transaction) => self.commit(*transaction).await?,
            Step::Stranger {
                election,
                succession,
            } => self.stranger(*election, *succession).await?,
            Step::Pause => {
                tokio::time::sleep(PAUSE).await;
                Said::Nothing
            }
        };
        let notified = if tells {
            self.notified().await?
        } else {
            vec![]
        };
        Ok(Outcome {
            said,
            alive: self.alive().await?,
            notified,
        })
    }
}

impl Side for Real<'_> {
    fn step(&mut self, step: &Step) -> crate::Result<Outcome> {
        self.block_on(async |real| real.take(step).await)
    }
}

const NO_TOKEN: &str = "00000000-0000-0000-0000-000000000000";

const ZERO: Counters = Counters {
    killed: 0,
    fatal: 0,
    reset: 0,
};

fn lock(heard: &Heard) -> std::sync::MutexGuard<'_, Vec<(i32, String)>> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
