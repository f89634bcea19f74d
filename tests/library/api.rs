//! What the public surface promises to the compiler.

use pg_leader::doctor::{Finding, Severity, examine};
use pg_leader::operator::{
    CandidatePlace, CandidateStatus, ElectionStatus, Installed, Lever, Operator, PastRequest,
    PastTerm, TermEnding,
};
use pg_leader::{
    Campaign, Candidacy, Changes, Config, ElectionState, Elector, Error, ErrorKind, Observer,
    Standing, Term, WaitingFor,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio_postgres::types::{FromSqlOwned, ToSql};

fn send<T: Send>(_: &T) {}
fn shared<T: Send + Sync + 'static>() {}
fn cheap<T: Clone + Send + Sync + 'static>() {}
fn plain<T: Serialize + DeserializeOwned + Clone + Send + Sync + 'static>() {}
fn crosses<T: ToSql + FromSqlOwned + Copy>() {}

/// Every future can be spawned, every handle shared.
#[test]
fn futures_are_send_and_handles_are_shared() {
    cheap::<Config>();
    cheap::<Campaign>();
    cheap::<Elector>();
    cheap::<Candidacy>();
    cheap::<Observer>();
    cheap::<Term>();
    shared::<Operator>();
    shared::<Error>();
    // Never called: the compiler has said yes.
    #[allow(dead_code, reason = "it is compiled, and that is the test")]
    fn futures(
        elector: &Elector,
        candidacy: &Candidacy,
        operator: &Operator,
        term: &Term,
        client: &tokio_postgres::Client,
        changes: &Changes,
    ) {
        send(&Elector::connect("postgres://app@db/app"));
        send(&elector.shutdown());
        send(&candidacy.resign());
        send(&candidacy.leave());
        send(changes);
        send(&term.ending());
        send(&term.fence(client));
        send(&Operator::connect("postgres://operator@db/app"));
        send(&operator.status());
        send(&operator.history(None, 1));
        send(&operator.transfer("e", "a", Some("why")));
        send(&operator.resume("e", None));
        send(&operator.install());
        send(&examine("postgres://app@db/app"));
        send(&pg_leader::run(
            "postgres://app@db/app",
            "e",
            "a",
            |_| async {},
        ));
    }
}

/// Work returns nothing, a result with whatever error, or never.
#[test]
fn lead_returns_what_it_has_to_say() {
    #[allow(dead_code, reason = "it is compiled, and that is the test")]
    fn campaigns(elector: &Elector) -> Result<(), Error> {
        async fn step() -> Result<(), std::io::Error> {
            Ok(())
        }
        let name = "e".to_owned();
        elector.campaign((&name, "a"), |_| async {})?.detach();
        elector
            .campaign((name, "a".to_owned()), |_| step())?
            .detach();
        let forever = |_| async {
            loop {
                tokio::task::yield_now().await;
            }
        };
        elector.campaign(("e", "a"), forever)?.detach();
        let fails = |term: Term| async move {
            step().await?;
            term.ready();
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        };
        elector.campaign(Campaign::new("e", "a"), fails)?.detach();
        Ok(())
    }
}

#[test]
fn what_is_plain_data_is_serialized_and_what_is_in_sql_crosses() {
    plain::<Standing>();
    plain::<ElectionStatus>();
    plain::<CandidateStatus>();
    plain::<PastTerm>();
    plain::<PastRequest>();
    plain::<Installed>();
    plain::<Finding>();
    plain::<Severity>();
    plain::<ErrorKind>();
    crosses::<ElectionState>();
    crosses::<WaitingFor>();
    crosses::<CandidatePlace>();
    crosses::<TermEnding>();
    crosses::<Lever>();
}
