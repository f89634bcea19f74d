//! The hosts of the connection string.

use super::finding::Finding;
use crate::config::Config;
use crate::connection::Endpoints;
use crate::connection::hosts::{Looks, Round};
use crate::engine::{Sight, Timings};
use crate::error::{Error, Kind};
use crate::shown::shown;

/// Every host with its role and timeline. Nothing where there is but one.
pub(super) async fn check(config: &Config, timings: &Timings) -> Result<Option<Finding>, Error> {
    let say = |warning: String| tracing::warn!("{}", shown(&warning));
    let endpoints = Endpoints::find(config, timings, &say).await?;
    if !endpoints.several() {
        return Ok(None);
    }
    let mut looks = Looks::begin(&endpoints, timings, &[]);
    Ok(Some(judge(looks.round().await)))
}

fn judge(round: Round) -> Finding {
    let Round {
        sights, failures, ..
    } = round;
    let mut writable: Vec<&Sight> = vec![];
    for (_, sight) in sights.iter().filter(|(_, sight)| sight.writable()) {
        // One server may have several names.
        if !writable.iter().any(|other| other.server == sight.server) {
            writable.push(sight);
        }
    }
    let rivals = writable
        .iter()
        .any(|one| writable.iter().any(|other| one.rivals(other)));
    let told = writable.iter().all(|sight| sight.server.system.is_some());
    let lost = !failures.is_empty();
    let seen = sights.iter().map(|(index, sight)| (*index, words(sight)));
    let failed = failures.iter().map(|(index, name, error)| {
        let why = match error.what() {
            Kind::Unreachable(why) => why.clone(),
            _ => error.to_string(),
        };
        (*index, format!("{name}: {why}"))
    });
    let mut each: Vec<_> = seen.chain(failed).collect();
    each.sort();
    let each: Vec<_> = each.into_iter().map(|(_, words)| words).collect();
    let what = each.join("; ");
    if rivals {
        Finding::problem("hosts", format!("several primaries of one cluster accept writes: {what}")).remedy(
            "stop all but the one on the newest timeline, and make standbys of them (pg_rewind): until then \
             processes that have not seen both may lead on both",
        )
    } else if writable.len() > 1 && told {
        Finding::problem("hosts", format!("these are different clusters: {what}"))
            .remedy("name the hosts of one cluster in a connection string")
    } else if writable.len() > 1 {
        let what = format!(
            "several hosts accept writes, and do not tell of which cluster they are: {what}"
        );
        Finding::problem("hosts", what).remedy(
            "let this role execute pg_control_system(): without it processes may lead on each of them",
        )
    } else if lost {
        Finding::note("hosts", what)
            .remedy("see that every host of the connection string can be reached from here")
    } else {
        Finding::fine("hosts", what)
    }
}

fn words(sight: &Sight) -> String {
    let role = match (sight.standby, sight.read_only) {
        (true, _) => "a standby",
        (_, true) => "read-only",
        _ => "a primary",
    };
    match sight.timeline {
        Some(timeline) => format!("{}: {role} on timeline {timeline}", sight.name),
        None => format!("{}: {role}, which does not tell its timeline", sight.name),
    }
}
