//! What this role may do.

use tokio_postgres::Client;

use super::finding::Finding;
use super::server_facts::{Rights, SessionFacts};
use crate::connection::schema;
use crate::error::Kind;

pub(super) async fn schema(client: &Client, role: &str, rights: &Rights) -> Finding {
    const CHECK: &str = "schema";
    let error = match schema::check(client, role).await {
        Ok(()) => {
            return Finding::fine(
                CHECK,
                "pgleader is there, of a version that this build understands",
            );
        }
        Err(error) => error,
    };
    match error.what() {
        Kind::SchemaMissing { .. } if rights.may_create => Finding::note(
            CHECK,
            "pgleader is not there yet: the first connect of a program of this role will install it, pg-leader run only with --install",
        )
        .remedy("run pg-leader install"),
        Kind::SchemaMissing { .. } => {
            Finding::problem(CHECK, "pgleader is not there, and this role may not create it").remedy(format!(
                "run pg-leader install as a role with CREATE on this database, then SELECT pgleader.grant_candidate('{role}')"
            ))
        }
        Kind::SchemaForbidden { .. } => Finding::problem(CHECK, "this role may not use pgleader")
            .remedy(grant(role, rights)),
        Kind::SchemaVersion {
            found,
            oldest,
            newest,
            remedy,
        } => Finding::problem(
            CHECK,
            format!("pgleader has version {found}, and this build understands {oldest} to {newest}"),
        )
        .remedy(*remedy),
        _ => Finding::problem(CHECK, error.to_string()),
    }
}

fn grant(role: &str, rights: &Rights) -> String {
    let owner = rights.owner.as_deref().unwrap_or("the schema's owner");
    format!("run SELECT pgleader.grant_candidate('{role}') as {owner}")
}

pub(super) fn functions(role: &str, rights: &Rights) -> Finding {
    const CHECK: &str = "privileges";
    match &rights.missing[..] {
        _ if rights.owner.is_none() => {
            Finding::note(CHECK, "not looked at: there is no schema yet")
        }
        _ if !rights.absent.is_empty() => Finding::problem(
            CHECK,
            format!(
                "the schema pgleader lacks {}, which a candidate calls",
                rights.absent.join(", ")
            ),
        )
        .remedy("run pg-leader install --print | psql as the schema's owner"),
        [] => Finding::fine(CHECK, "this role may do all that a candidate does"),
        missing => Finding::problem(
            CHECK,
            format!(
                "this role may not be a candidate: it may not call {}",
                missing.join(", ")
            ),
        )
        .remedy(grant(role, rights)),
    }
}

/// A silent leader is followed after its lease only if its silence can be watched.
pub(super) fn silence(seen: &SessionFacts, rights: &Rights) -> Finding {
    const CHECK: &str = "activity";
    if !seen.track_activities {
        return Finding::warning(
            CHECK,
            "track_activities is off: nobody can see that a leader's session is silent, so a leader that hangs is \
             followed only after about 2.2 leases",
        )
        .remedy("turn track_activities on, which is its default");
    }
    if rights.superuser || rights.role_sees || rights.owner_sees {
        return Finding::fine(CHECK, "the silence of any leader's session can be seen");
    }
    Finding::note(
        CHECK,
        format!(
            "the silence of a leader's session can be seen where its role is {} too",
            seen.user
        ),
    )
    .remedy(format!(
        "if candidates have several roles: GRANT pg_read_all_stats TO {}",
        rights.owner.as_deref().unwrap_or("the schema's owner")
    ))
}

pub(super) fn eviction(role: &str, rights: &Rights) -> Finding {
    const CHECK: &str = "eviction";
    if rights.superuser {
        return Finding::note(
            CHECK,
            "this role is a superuser: only superusers may end its session",
        )
        .remedy("let candidates connect as an ordinary role");
    }
    if rights.role_signals || rights.owner_signals {
        return Finding::fine(CHECK, "the session of any leader that hangs can be ended");
    }
    Finding::note(
        CHECK,
        format!("the session of a leader that hangs can be ended where its role is {role} too; else the server ends \
                 it after 1.2 leases"),
    )
    .remedy(format!(
        "if candidates have several roles: GRANT pg_signal_backend TO {}",
        rights.owner.as_deref().unwrap_or("the schema's owner")
    ))
}
