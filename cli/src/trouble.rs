//! What is wrong with an election, in words, and what to do about it.

use pg_leader::operator::{Backend, ElectionStatus, HeldLock, Stranger};
use pg_leader::{ElectionState, WaitingFor};

/// A sentence each.
pub(crate) fn of(status: &ElectionStatus) -> Vec<String> {
    let name = &status.name;
    let mut all = vec![];
    all.extend(status.strangers.iter().map(stranger));
    if let Some(by) = &status.suspended_by {
        all.push(format!(
            "suspended by {by}: nobody leads until pg-leader resume {name}"
        ));
    }
    if let Some(address) = &status.transfer_to {
        all.push(format!("a transfer to {address} is under way"));
    }
    match status.waiting_for {
        Some(WaitingFor::Candidates) => all.push(format!(
            "no candidates: start one (pg-leader run --election {name} …), or look why none can connect \
             (pg-leader doctor)"
        )),
        Some(WaitingFor::RefractoryPeriod) => all.push(
            "waiting for the refractory period: the last term's work may still run, or that of a term which a candidate \
             has heard of and this server does not know (pgleader.refractory_period says how long). It ends by itself"
                .to_owned(),
        ),
        Some(WaitingFor::FencedTransactions) => {
            let holders: Vec<String> = status.fenced.iter().map(describe).collect();
            all.push(format!(
                "waiting for fenced transactions of the last term: {}. The next leader ends those that its role \
                 may end; end the others by hand (ROLLBACK PREPARED, pg_terminate_backend, at their client where \
                 pgpool-II is between)",
                holders.join("; ")
            ));
        }
        // What stands above says it.
        Some(WaitingFor::Resume | WaitingFor::Transfer | WaitingFor::Stranger) | None => {}
        Some(other) => all.push(format!("waiting for {other}")),
    }
    if !status.excluded.is_empty() {
        all.push(format!(
            "excluded: {} (pg-leader include {name} --address …)",
            status.excluded.join(", ")
        ));
    }
    if status.state != ElectionState::Vacant && status.successor.is_none() {
        let others = status.candidates > 1 && status.excluded.is_empty();
        let comes = if others {
            "no successor yet: another candidate takes the place within a retry interval"
        } else {
            "no successor: nobody takes over when the leader ends"
        };
        all.push(comes.to_owned());
    }
    all
}

fn stranger(stranger: &Stranger) -> String {
    let (lock, what) = match stranger.lock {
        HeldLock::Leadership => (
            "the leadership",
            "Nobody can begin to lead until it lets go",
        ),
        HeldLock::Succession => (
            "the successor's place",
            "Nobody is next in line until it lets go; a candidate ends its session after a lease, where its role may",
        ),
        _ => (
            "the lock by which terms begin",
            "No term begins and no fence lets pass until it lets go; a candidate that is next ends its session after a \
             lease, where its role may",
        ),
    };
    let backend = &stranger.backend;
    let end = match (&backend.prepared, backend.pid) {
        (Some(gid), _) => format!(" (ROLLBACK PREPARED {})", quoted(gid)),
        (None, Some(pid)) => format!(
            " (SELECT pg_terminate_backend({pid}); where pgpool-II is between, end it at its client)"
        ),
        (None, None) => String::new(),
    };
    let kind = match backend.prepared {
        Some(_) => "held by a stranger,",
        None => "held by a stranger, a session that is no candidate:",
    };
    format!("{lock} is {kind} {}. {what}{end}", describe(backend))
}

/// As SQL has it.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn describe(backend: &Backend) -> String {
    let mut words = vec![match (&backend.prepared, backend.pid) {
        (Some(gid), _) => format!("the prepared transaction {}", quoted(gid)),
        (None, Some(pid)) => format!("pid {pid}"),
        (None, None) => "a prepared transaction (see pg_prepared_xacts)".to_owned(),
    }];
    words.extend(backend.user.as_ref().map(|user| format!("user {user}")));
    let application = backend.application.as_ref().filter(|name| !name.is_empty());
    words.extend(application.map(|name| format!("application {name}")));
    words.extend(
        backend
            .client
            .as_ref()
            .map(|client| format!("from {client}")),
    );
    words.join(", ")
}
