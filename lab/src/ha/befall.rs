//! How each event comes about: what precedes it, the blow itself, and what follows while it lasts.

use std::time::Duration;

use rustix::process::Signal;

use super::cluster::Cluster;
use super::event::Event;
use super::trial::{ELECTION, Stand};
use super::{questions, rest};
use crate::Result;
use crate::contest::Contest;
use crate::judge::Spans;

/// Longer than Patroni tries again: the primary gives up.
const ETCD_PAUSE: Duration = Duration::from_secs(15);

/// The candidate that shares its primary's cable.
const INSIDE: &str = "inside";

/// The candidate that comes with another order of hosts.
const LATE: &str = "late";

/// Before terms are counted.
pub(super) async fn prepare(
    event: Event,
    cluster: &mut Cluster,
    contest: &mut Contest,
) -> Result<()> {
    match event {
        Event::Synchronous => cluster.synchronous(true).await,
        Event::Rewind => {
            let old = cluster.until_whole().await?;
            cluster.members[old].kill_patroni();
            cluster.members[old].kill_server()?;
            // The others must have chosen, or it would come back as the primary that it was.
            cluster.until_led_by_another(old).await?;
            cluster.heal().await.map(drop)
        }
        Event::LastRowsLost => {
            let primary = cluster.until_whole().await?;
            cut_replication(cluster, primary)?;
            for _ in 0..2 {
                replace_leader(contest).await?;
            }
            Ok(())
        }
        Event::TwoPrimaries => {
            let primary = cluster.until_whole().await?;
            let conninfo = cluster.conninfo(&[0, 1, 2]);
            contest.join_within(INSIDE, &cluster.members[primary].name, &conninfo)?;
            until_inside_leads(cluster, contest, primary).await
        }
        _ => Ok(()),
    }
}

/// What the primary writes no longer reaches the others; all else does.
fn cut_replication(cluster: &Cluster, primary: usize) -> Result<()> {
    for (index, other) in cluster.members.iter().enumerate() {
        if index != primary {
            let rule = format!("-A INPUT -s {} -p tcp --dport 5432 -j DROP", other.address);
            cluster.members[primary].rule(&rule)?;
        }
    }
    Ok(())
}

/// Whoever leads resigns: the next leader.
async fn replace_leader(contest: &mut Contest) -> Result<String> {
    let old = super::trial::leader(contest, 0).await?;
    contest.order(&old.process, &format!("resign {ELECTION}"))?;
    let new = super::trial::leader(contest, old.term + 1).await?;
    Ok(new.process)
}

/// By an operator's transfer, as soon as it is known as a candidate.
async fn until_inside_leads(cluster: &Cluster, contest: &Contest, primary: usize) -> Result<()> {
    let transfer = format!("SELECT pgleader.transfer('{ELECTION}', '{INSIDE}')");
    let leads = |spans: &Spans| {
        let mut spans = spans.iter();
        spans
            .any(|span| span.process == INSIDE && span.steps > 0)
            .then_some(())
    };
    let mut refused = None;
    for _ in 0..10 {
        let asked = questions::execute(&cluster.members[primary].url(), &transfer).await;
        let leads = tokio::time::timeout(Duration::from_secs(2), contest.ledger().until(leads));
        if leads.await.is_ok() {
            return Ok(());
        }
        refused = asked.err();
    }
    Err(format!("the candidate inside never leads: {refused:?}").into())
}

/// The blow. Its time is taken before.
pub(super) async fn strike(event: Event, cluster: &mut Cluster, primary: usize) -> Result<()> {
    match event {
        Event::Switchover | Event::Rewind => switch_over(cluster, primary),
        Event::PrimaryKilled | Event::Synchronous => cluster.members[primary].kill_server()?,
        Event::MemberKilled | Event::LastRowsLost => {
            cluster.members[primary].kill_patroni();
            cluster.members[primary].kill_server()?;
        }
        Event::PatroniKilled | Event::LateCandidate => cluster.members[primary].kill_patroni(),
        Event::Frozen => cluster.members[primary].freeze()?,
        Event::LinkDown => cluster.members[primary].link("down")?,
        Event::PacketsDropped => cluster.members[primary].rule("-A OUTPUT -o eth0 -j DROP")?,
        Event::EtcdPaused => {
            cluster.etcd.signal(Signal::STOP);
            tokio::time::sleep(ETCD_PAUSE).await;
            cluster.etcd.signal(Signal::CONT);
        }
        Event::TwoPrimaries => {
            cluster.members[primary].kill_patroni();
            cluster.members[primary].link("down")?;
        }
    }
    Ok(())
}

fn switch_over(cluster: &Cluster, primary: usize) {
    let next = &cluster.members[(primary + 1) % cluster.members.len()];
    let from = &cluster.members[primary];
    let (address, from, to) = (from.address.clone(), from.name.clone(), next.name.clone());
    // Its answer comes when all is over; whether it did is seen at the primary.
    tokio::spawn(async move { drop(rest::switch_over(&address, &from, &to).await) });
}

/// While the event lasts, and somebody leads again.
pub(super) fn follow(
    event: Event,
    cluster: &Cluster,
    contest: &mut Contest,
    stand: &Stand,
) -> Result<()> {
    if event == Event::LateCandidate {
        let others = (0..cluster.members.len()).filter(|index| *index != stand.primary);
        let order: Vec<usize> = [stand.primary].into_iter().chain(others).collect();
        contest.join_by(LATE, &cluster.conninfo(&order))?;
    }
    Ok(())
}

/// After the cluster is whole again.
pub(super) async fn undo(event: Event, cluster: &Cluster) -> Result<()> {
    match event {
        Event::Synchronous => cluster.synchronous(false).await,
        _ => Ok(()),
    }
}
