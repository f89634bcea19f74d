//! What `pg-leader doctor` says about TLS.

use crate::support::certified::Certified;
use crate::support::command;

/// Through the variables that every Postgres tool reads.
#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_how_far_the_server_has_proved_itself() {
    let certified = Certified::start();
    let (root, other) = (certified.root.as_path(), certified.other_root.as_path());
    let table = [
        (
            "disable",
            None,
            Some(("fine", "does not leave this machine")),
        ),
        ("require", None, Some(("note", "nobody has verified"))),
        ("verify-ca", Some(root), Some(("fine", "of a known root"))),
        (
            "verify-full",
            Some(root),
            Some(("fine", "has proved its name")),
        ),
        ("verify-full", Some(other), None),
    ];
    for (mode, root, expected) in table {
        let mut doctor = command::bare();
        doctor
            .args(["doctor", "--json", "--lease", "30s"])
            .env("PGHOST", "localhost")
            .env("PGPORT", certified.cluster.port().to_string())
            .env("PGUSER", "postgres")
            .env("PGSSLMODE", mode);
        if let Some(root) = root {
            doctor.env("PGSSLROOTCERT", root);
        }
        let answer = command::run(doctor);
        let findings = answer.objects();
        let Some((severity, words)) = expected else {
            assert!(
                answer.code == 4 && findings.len() == 1,
                "{mode}: {answer:?}"
            );
            assert_eq!(findings[0]["check"], "connection", "{mode}: {answer:?}");
            continue;
        };
        let tls = findings.iter().find(|finding| finding["check"] == "tls");
        let tls = tls.unwrap_or_else(|| panic!("{mode}: {answer:?}"));
        assert_eq!(tls["severity"], severity, "{mode}: {tls}");
        assert!(
            tls["what"].as_str().unwrap().contains(words),
            "{mode}: {tls}"
        );
    }
}
