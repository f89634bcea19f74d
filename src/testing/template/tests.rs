use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use super::super::cluster::start;
use super::super::identity::tests::pretend;
use super::super::{Binaries, Cluster};
use super::*;

/// `None` where there is no server.
fn binaries() -> Option<Binaries> {
    let found = Binaries::find();
    if found.is_err() {
        eprintln!("skipped: no server");
    }
    found.ok()
}

fn template(cache: &Path, binaries: &Binaries) -> Template {
    Template::within(cache.to_owned(), binaries, &[]).expect("nothing is asked for")
}

fn cluster(cache: &Path, binaries: &Binaries) -> Cluster {
    let template = template(cache, binaries);
    start(binaries.clone(), &[], &[], Some(&template)).expect("a cluster")
}

/// For one more cluster, with a template in `cache`: whether it was copied. Instead of `initdb` that is done.
fn fill(cache: &Path, binaries: &Binaries, instead: impl FnOnce()) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let initdb = || {
        instead();
        pretend(&data);
        Ok(())
    };
    let copied = template(cache, binaries).fill(&data, None, initdb).unwrap();
    assert!(data.join("pg_xact/0000").exists());
    copied
}

fn identity_of(cluster: &Cluster) -> String {
    let query = "SELECT system_identifier FROM pg_control_system()";
    cluster.query(query).unwrap().unwrap()
}

/// Tells the template that there is from one that takes its place.
fn mark(cache: &Path, binaries: &Binaries) {
    let template = template(cache, binaries);
    assert!(template.content().is_some(), "there is one");
    fs::write(template.directory.join("marked"), "").unwrap();
}

fn is_marked(cache: &Path, binaries: &Binaries) -> bool {
    let template = template(cache, binaries);
    assert!(template.content().is_some(), "there is one");
    let entries = fs::read_dir(cache).unwrap().flatten();
    let others = entries.filter(|entry| entry.file_name() != "lock");
    assert_eq!(others.count(), 1, "and nothing else");
    template.directory.join("marked").exists()
}

/// It is a cluster like any other: restarted, crashed and replicated.
fn assert_well(cluster: &Cluster) {
    let id = identity_of(cluster);
    cluster.execute("CREATE TABLE t AS SELECT 1").unwrap();
    cluster.stop_fast().unwrap();
    cluster.start_again().unwrap();
    cluster
        .execute("INSERT INTO t VALUES (2); SELECT pg_switch_wal()")
        .unwrap();
    cluster.stop_immediate().unwrap();
    cluster.start_again().unwrap();
    let count = "SELECT count(*) FROM t";
    assert_eq!(cluster.query(count).unwrap().as_deref(), Some("2"));
    let standby = cluster.standby().unwrap();
    assert_eq!(identity_of(&standby), id);
    cluster.stop_fast().unwrap();
    standby.promote().unwrap();
    assert_eq!(standby.query(count).unwrap().as_deref(), Some("2"));
}

#[test]
fn a_copy_is_a_cluster_of_its_own() {
    let Some(binaries) = binaries() else { return };
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("templates");
    let made = cluster(&cache, &binaries);
    mark(&cache, &binaries);
    let copies = [cluster(&cache, &binaries), cluster(&cache, &binaries)];
    assert!(is_marked(&cache, &binaries), "it was made once");
    let all = [&made, &copies[0], &copies[1]].map(identity_of);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 3, "{all:?}");
    assert_well(&copies[0]);
    assert_well(&made);

    // As long as before: only the server finds out.
    let data = template(&cache, &binaries).directory.join("data");
    fs::write(data.join("PG_VERSION"), "99\n").unwrap();
    let started = cluster(&cache, &binaries);
    assert!(!all.contains(&identity_of(&started)));
    assert!(template(&cache, &binaries).content().is_none());
}

#[test]
fn one_of_many_makes_it_and_the_others_wait() {
    let Some(binaries) = binaries() else { return };
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("templates");
    let count = AtomicU32::new(0);
    let copied: Vec<bool> = std::thread::scope(|scope| {
        let fill = || {
            fill(&cache, &binaries, || {
                count.fetch_add(1, Ordering::Relaxed);
            })
        };
        let all: Vec<_> = (0..8).map(|_| scope.spawn(fill)).collect();
        all.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(count.into_inner(), 1);
    assert_eq!(copied.iter().filter(|copied| **copied).count(), 7);
}

/// Whatever has become of it: each cluster is made all the same, and there is a sound template again.
#[test]
fn a_damaged_template_is_replaced() {
    let Some(binaries) = binaries() else { return };
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("templates");
    assert!(!fill(&cache, &binaries, || {}));
    let directory = template(&cache, &binaries).directory;
    let data = directory.join("data");
    let first_segment = || {
        let entries = fs::read_dir(data.join("pg_wal")).unwrap().flatten();
        let mut files = entries.filter(|entry| entry.file_type().unwrap().is_file());
        files.next().unwrap().path()
    };
    let zeros = |path: PathBuf| {
        let length = fs::metadata(&path).unwrap().len();
        fs::write(path, vec![0; usize::try_from(length).unwrap()]).unwrap();
    };
    let write = |path: &str, text: &str| fs::write(directory.join(path), text).unwrap();
    let remove = |path: &str| fs::remove_file(directory.join(path)).unwrap();
    let damages: [(&str, &dyn Fn()); 6] = [
        ("a file is gone", &|| remove("data/pg_xact/0000")),
        ("a file is cut", &|| write("data/global/pg_control", "")),
        ("its control file", &|| {
            zeros(data.join("global/pg_control"))
        }),
        ("its WAL", &|| zeros(first_segment())),
        ("it is not complete", &|| remove("complete")),
        ("its recipe is another", &|| {
            let stamp = fs::read_to_string(directory.join("complete")).unwrap();
            write("complete", &stamp.replace("initdb", "other"));
        }),
    ];
    for (what, damage) in damages {
        assert!(fill(&cache, &binaries, || {}), "{what}");
        mark(&cache, &binaries);
        damage();
        assert!(!fill(&cache, &binaries, || {}), "{what}");
        assert!(!is_marked(&cache, &binaries), "{what}");
    }
}

#[test]
fn what_was_left_unfinished_is_never_used_and_goes() {
    let Some(binaries) = binaries() else { return };
    let cache = tempfile::tempdir().unwrap();
    let cache = cache.path().join("templates");
    let template = template(&cache, &binaries);
    let earlier = cache.join("15-earlier");
    for path in [&template.directory, &template.unfinished(), &earlier] {
        fs::create_dir_all(path.join("data")).unwrap();
    }
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(earlier.join("complete"), "0 0\nboot another\n").unwrap();
    assert!(!fill(&cache, &binaries, || {}));
    assert!(!is_marked(&cache, &binaries));
}

#[test]
fn a_cache_that_cannot_be_trusted_is_left_alone() {
    let Some(binaries) = binaries() else { return };
    let root = tempfile::tempdir().unwrap();
    let sound = root.path().join("sound");
    assert!(!fill(&sound, &binaries, || {}));
    mark(&sound, &binaries);
    let link = root.path().join("link");
    std::os::unix::fs::symlink(&sound, &link).unwrap();
    let nowhere = root.path().join("file").join("templates");
    fs::write(root.path().join("file"), "").unwrap();
    let locked = root.path().join("locked");
    fs::DirBuilder::new().mode(0o500).create(&locked).unwrap();
    let mode = |mode| fs::set_permissions(&sound, fs::Permissions::from_mode(mode)).unwrap();
    let owner = |owner| std::os::unix::fs::chown(&sound, Some(owner), None).unwrap();
    let us = rustix::process::geteuid();
    let cases: [(&str, &Path, &dyn Fn()); 6] = [
        ("a link to one", &link, &|| {}),
        ("no place for one", &nowhere, &|| {}),
        ("not to be written", &locked, &|| {}),
        ("the group's", &sound, &|| mode(0o770)),
        ("everybody's", &sound, &|| mode(0o707)),
        ("another user's", &sound, &|| owner(4711)),
    ];
    for (what, cache, prepare) in cases {
        if what == "another user's" && !us.is_root() {
            continue;
        }
        assert!(fill(&sound, &binaries, || {}), "it is sound");
        prepare();
        assert!(!fill(cache, &binaries, || {}), "{what}");
        mode(0o700);
    }
    if us.is_root() {
        owner(us.as_raw());
    }
    assert!(is_marked(&sound, &binaries));
}

/// What a file says, or somebody types, may be another thing the next time.
#[test]
fn only_what_is_said_by_its_name_alone_is_kept() {
    let Some(binaries) = binaries() else { return };
    let recipe = |arguments: &[&str]| {
        let arguments: Vec<_> = arguments.iter().map(|one| (*one).to_owned()).collect();
        recipe(&binaries, &arguments)
    };
    let mut known = BTreeSet::new();
    for arguments in [
        &[][..],
        &["--encoding=LATIN1"],
        &["--encoding=UTF8"],
        &["--locale=C.UTF-8", "--encoding=UTF8"],
        &["--lc-collate=C", "--data-checksums"],
        &["--auth=scram-sha-256"],
    ] {
        known.insert(recipe(arguments).expect("it is known"));
    }
    assert_eq!(known.len(), 6, "each has a template of its own");
    for argument in [
        "--pwfile=secret",
        "--waldir=/elsewhere",
        "-W",
        "-L",
        "-E",
        "LATIN1",
        "--set=a=b",
    ] {
        assert_eq!(recipe(&["--encoding=UTF8", argument]), None, "{argument}");
    }
}
