//! What is wrong with an election, in words, and what to do about it.

use pg_leader::{Backend, ElectionState, ElectionStatus};

/// A sentence each.
pub(crate) fn of(status: &ElectionStatus) -> Vec<String> {
    let name = &status.name;
    let mut all = vec![];
    if let Some(stranger) = &status.stranger {
        let end = stranger.pid.map_or(String::new(), |pid| {
            format!(" (SELECT pg_terminate_backend({pid}); where pgpool-II is between, end it at its client)")
        });
        all.push(format!(
            "held by a stranger, a session that is no candidate: {}. Nobody can begin to lead until it ends{end}",
            describe(stranger)
        ));
    }
    if let Some(by) = &status.suspended_by {
        all.push(format!(
            "suspended by {by}: nobody leads until pg-leader resume {name}"
        ));
    }
    if let Some(address) = &status.transfer_to {
        all.push(format!("a transfer to {address} is under way"));
    }
    match status.waiting_for.as_deref() {
        Some("candidates") => all.push(format!(
            "no candidates: start one (pg-leader run --election {name} …), or look why none can connect \
             (pg-leader doctor)"
        )),
        Some("refractory period") => all.push(
            "waiting for the refractory period: the last term's work may still run, or that of a term which a candidate \
             has heard of and this server does not know (pgleader.refractory_period says how long). It ends by itself"
                .to_owned(),
        ),
        Some("fenced transactions") => {
            let holders: Vec<String> = status.fenced.iter().map(describe).collect();
            all.push(format!(
                "waiting for fenced transactions of the last term: {}. The next leader ends those that its role \
                 may end; end the others by hand (ROLLBACK PREPARED, pg_terminate_backend, at their client where \
                 pgpool-II is between)",
                holders.join("; ")
            ));
        }
        Some("resume" | "transfer") | None => {}
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

fn describe(backend: &Backend) -> String {
    let Some(pid) = backend.pid else {
        return "a prepared transaction (see pg_prepared_xacts)".to_owned();
    };
    let mut words = vec![format!("pid {pid}")];
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
