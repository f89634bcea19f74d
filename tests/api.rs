//! What the public surface promises to the compiler.

use pg_leader::{Config, Elector, Error, Leader, Observer, Operator, Term};

fn send<T: Send>(_: &T) {}
fn shared<T: Send + Sync + 'static>() {}

/// Every future can be spawned, every handle shared.
#[test]
fn futures_are_send_and_handles_are_shared() {
    shared::<Config>();
    shared::<Elector>();
    shared::<Leader>();
    shared::<Observer>();
    shared::<Operator>();
    shared::<Term>();
    shared::<Error>();
    // Never called: the compiler has said yes.
    #[allow(dead_code, reason = "it is compiled, and that is the test")]
    fn futures(
        elector: &Elector,
        leader: &Leader,
        operator: &Operator,
        term: &Term,
        client: &tokio_postgres::Client,
    ) {
        send(&Elector::connect("postgres://app@db/app"));
        send(&elector.shutdown());
        send(&leader.resign());
        send(&leader.leave());
        send(&leader.changes());
        send(&term.deposed());
        send(&term.fence(client));
        send(&Operator::connect("postgres://operator@db/app"));
        send(&operator.status());
        send(&operator.history(None, 1));
        send(&operator.transfer("e", "a"));
        send(&operator.install());
        send(&pg_leader::examine("postgres://app@db/app"));
        send(&pg_leader::run(
            "postgres://app@db/app",
            "e",
            "a",
            |_| async { Ok::<(), std::io::Error>(()) },
        ));
    }
}
