//! How the server is reached.

use super::finding::Finding;
use super::server_facts::SessionFacts;
use crate::connection::Trust;
use crate::error::{Error, Kind};

/// Why no candidate could connect.
pub(super) fn refused(error: &Error) -> Finding {
    let mut finding = reason(error);
    // Where the words are not the error's own.
    if let Some(hosts) = error.hosts()
        && !finding.what.contains(hosts)
    {
        finding.what = format!("{} ({hosts})", finding.what);
    }
    finding
}

fn reason(error: &Error) -> Finding {
    match error.what() {
        Kind::Pooler(why) => Finding::problem(
            "direct",
            format!("a connection pooler stands between this process and the server: {why}"),
        )
        .remedy(
            "connect to the server itself, or through a pool in session mode",
        ),
        Kind::Standby => Finding::problem("primary", "this server is a standby").remedy(
            "connect to the primary, or list all hosts in the connection string with \
             target_session_attrs=read-write",
        ),
        Kind::ReadOnly => Finding::problem("primary", "this server is read-only")
            .remedy("connect to one that accepts writes"),
        Kind::TooOld(version) => Finding::problem("version", format!("this server is {version}"))
            .remedy("upgrade to PostgreSQL 15 or later, or use another server"),
        Kind::NoLocks => Finding::problem(
            "locks",
            "this server accepts advisory locks without taking them: a probe lock did not show in pg_locks",
        )
        .remedy("use PostgreSQL itself"),
        _ if error.sql_state() == Some("53300") => Finding::problem(
            "connections",
            format!("none is left for a candidate: {error}"),
        )
        .remedy(
            "end sessions that nobody needs, lower the sizes of connection pools, or raise max_connections \
             (the role and the database may have a CONNECTION LIMIT too)",
        ),
        Kind::Denied { what, remedy } => Finding::problem("connection", what.clone()).remedy(*remedy),
        Kind::Unreachable(why) => Finding::problem("connection", format!("no server could be reached: {why}"))
            .remedy("look at the host and the port, at what is between, and whether a server runs there"),
        _ => Finding::problem("connection", error.to_string())
            .remedy("look whether the server runs, and at the host, the port and what is between"),
    }
}

/// Whether the way in which a session ends tells what became of its process.
pub(super) fn direct(direct: bool, pgpool: bool) -> Finding {
    if pgpool {
        return Finding::warning(
            "direct",
            "pgpool-II is between. It takes a session that is ended by force for a shutdown of the server, and detaches \
             it; so nobody ends a leader's session: one that hangs is followed after its silence limit of 1.2 leases, \
             one whose process crashes after a lease more, and depose is refused",
        )
        .remedy(
            "connect to the server itself; where that is not possible, failover_on_backend_shutdown=off (pgpool-II 4.3 \
             and later)",
        );
    }
    if direct {
        return Finding::fine(
            "direct",
            "nothing stands between this process and the server",
        );
    }
    Finding::warning(
        "direct",
        "a proxy, a pool or a translation of addresses is between, or a Unix socket leads to a server whose processes \
         this one cannot see (/proc, another container): after a crash of its process a leader is \
         followed only after a lease more, since it is not known that its work has stopped",
    )
    .remedy("connect to the server itself, where that is possible")
}

pub(super) fn tls(seen: &SessionFacts, trust: Trust) -> Finding {
    let Some((protocol, cipher)) = &seen.tls else {
        return if seen.unix_socket {
            Finding::fine("tls", "a Unix socket needs none")
        } else if seen.loopback {
            Finding::fine("tls", "none; the connection does not leave this machine")
        } else {
            Finding::warning(
                "tls",
                "none: whoever is on the path can read and change everything, and can end sessions",
            )
            .remedy("turn TLS on in the server, and give sslmode=verify-full")
        };
    };
    let what = format!("{protocol}, {cipher}");
    match trust {
        Trust::VerifyFull => {
            Finding::fine("tls", format!("{what}; the server has proved its name"))
        }
        Trust::VerifyCa => Finding::fine(
            "tls",
            format!("{what}; the server's certificate is of a known root"),
        ),
        _ => Finding::note(
            "tls",
            format!("{what}; nobody has verified that it is the right server"),
        )
        .remedy("give sslmode=verify-full, and sslrootcert where the root is your own"),
    }
}
