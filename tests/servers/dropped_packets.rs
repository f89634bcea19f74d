//! Packets dropped on a direct connection, by a router between two hosts: network namespaces of this test's
//! own. The leader stops before its lease is over, and the next begins. Settles row 3 of
//! docs/development/known-faults.md. Needs Linux, root and iproute2; skipped with a word where they are missing.

use std::process::Command;

use crate::support;
use crate::support::candidate::Process;
use crate::support::race::Race;
use crate::support::work::Kind;
use crate::support::{Cluster, LEASE, assert_most, record, status, until};
use rustix::process::{geteuid, getpid};

fn run(command: &str) -> Result<(), String> {
    let mut words = command.split(' ');
    let program = words.next().unwrap_or_default();
    let output = Command::new(program)
        .args(words)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{command}: {}",
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// Three hosts in a row: the server's, a router, the client's.
struct Hosts {
    server: String,
    router: String,
    client: String,
}

const SERVER: &str = "10.213.1.1";

impl Hosts {
    fn new() -> Result<Hosts, String> {
        if !geteuid().is_root() {
            return Err("it needs root".to_owned());
        }
        let name = |role| format!("pgleader-{}-{role}", getpid().as_raw_nonzero());
        let (server, router, client) = (name("s"), name("r"), name("c"));
        // From here Drop removes them.
        let hosts = Hosts {
            server,
            router,
            client,
        };
        let Hosts {
            server,
            router,
            client,
        } = &hosts;
        for host in [server, router, client] {
            run(&format!("ip netns add {host}"))?;
            run(&format!("ip -n {host} link set lo up"))?;
        }
        for (host, network) in [(server, 1), (client, 2)] {
            run(&format!(
                "ip -n {router} link add to{network} type veth peer name eth0 netns {host}"
            ))?;
            run(&format!(
                "ip -n {router} addr add 10.213.{network}.2/24 dev to{network}"
            ))?;
            run(&format!("ip -n {router} link set to{network} up"))?;
            run(&format!(
                "ip -n {host} addr add 10.213.{network}.1/24 dev eth0"
            ))?;
            run(&format!("ip -n {host} link set eth0 up"))?;
            run(&format!(
                "ip -n {host} route add default via 10.213.{network}.2"
            ))?;
        }
        hosts.forward(true)?;
        Ok(hosts)
    }

    /// A router that does not forward drops what it gets, without a word to anybody.
    fn forward(&self, yes: bool) -> Result<(), String> {
        let value = u8::from(yes);
        run(&format!(
            "ip netns exec {} sysctl -q -w net.ipv4.ip_forward={value}",
            self.router
        ))
    }

    fn command(host: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", host]);
        command.arg(std::env::current_exe().expect("a test binary has a path"));
        command
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for host in [&self.server, &self.router, &self.client] {
            let _ = run(&format!("ip netns del {host}"));
        }
    }
}

const INSIDE: &str = "PG_LEADER_TEST_HOSTS";
const DROPS: usize = 5;

#[test]
fn a_leader_whose_packets_are_dropped_on_a_direct_connection() {
    let hosts = match Hosts::new() {
        Ok(hosts) => hosts,
        Err(why) => {
            assert!(
                std::env::var_os("PG_LEADER_REQUIRE_NETNS").is_none(),
                "network namespaces are required: {why}"
            );
            support::skipped(
                "dropped_packets",
                &format!("no network namespaces here: {why}"),
            );
            return;
        }
    };
    // The server and the judge live on the server's host.
    let status = Hosts::command(&hosts.server)
        .args(["--exact", "on_the_servers_host", "--ignored", "--nocapture"])
        .env(
            INSIDE,
            [hosts.server.as_str(), &hosts.router, &hosts.client].join(" "),
        )
        .status()
        .unwrap();
    assert!(status.success());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the part of the test above that runs on the server's host"]
async fn on_the_servers_host() {
    let Ok(names) = std::env::var(INSIDE) else {
        return;
    };
    let names: Vec<&str> = names.split(' ').collect();
    let [_, router, client] = names[..] else {
        panic!("{names:?}")
    };
    let forward = |value: u8| {
        run(&format!(
            "ip netns exec {router} sysctl -q -w net.ipv4.ip_forward={value}"
        ))
        .unwrap();
    };
    let cluster = Cluster::builder()
        .setting("listen_addresses", &format!("127.0.0.1,{SERVER}"))
        .start()
        .unwrap();
    let mut race = Race::on(cluster, "dropped");
    let far = race.cluster.url().replace("127.0.0.1", SERVER);
    let near = race.cluster.url();
    let command = Hosts::command(client);
    race.processes.push(Process::start_by(
        command,
        &far,
        &race.election,
        "far",
        Kind::Steady,
        &race.file(),
    ));
    race.until_term(1).await;
    let direct = race.cluster.query("SELECT direct FROM pgleader.term");
    assert_eq!(
        direct.unwrap().as_deref(),
        Some("t"),
        "a routed connection is direct"
    );
    race.join(&near, "near");
    let stands_by = async |address: &str| {
        until("the other one is the successor", || {
            status(&race.cluster, "dropped", "successor").as_deref() == Some(address)
        })
        .await;
    };
    let mut took = vec![];
    let mut term = 0;
    for _ in 0..DROPS {
        if term > 0 {
            // The far one leads again.
            race.cluster
                .execute("SELECT pgleader.step_down('dropped')")
                .unwrap();
        }
        term = race.until_term(term + 1).await;
        stands_by("near").await;
        let dropped_at = record::now();
        forward(0);
        let next = race.until_term(term + 1).await;
        took.push(record::time_to_term(&race.steps(), dropped_at, term + 1));
        term = next;
        forward(1);
        stands_by("far").await;
    }
    record::assert_no_overlap(&race.steps());
    assert_most("dropped", &took, 4, LEASE * 13 / 10, LEASE * 4);
}
