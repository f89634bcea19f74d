//! x
use pg_leader_proof::model::*;
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let f: u8 = a[2].parse().unwrap();
    let o: u8 = a[3].parse().unwrap();
    let b = if a[1] == "2" {
        Bounds::two("t", f, o)
    } else {
        Bounds::three("t", f, o)
    };
    let secs: u64 = a.get(4).map_or(60, |s| s.parse().unwrap());
    if a.get(5).is_some() {
        for fault in Fault::DIRECT {
            let b = b.clone().only(&[fault]);
            let r = check(
                &b,
                Subject::shipped(),
                Some(std::time::Duration::from_secs(secs)),
            );
            println!("{fault:?} {r}");
        }
    } else {
        let r = check(
            &b,
            Subject::shipped(),
            Some(std::time::Duration::from_secs(secs)),
        );
        println!("{r}");
    }
}
