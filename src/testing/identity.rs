//! Which cluster a data directory is: its system identifier. `initdb` gives each its own, a copy has another's.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{Error, ErrorKind, Read, Result};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// In front of the control file, and in the header of the first page of each WAL segment.
const IN_CONTROL_FILE: usize = 0;
const IN_WAL: usize = 24;
/// Of that page: it has the long header, with an identifier.
const LONG_HEADER: u16 = 2;

/// Give a server that was stopped in order an identifier that no other has.
///
/// # Errors
///
/// When its files do not look as those of the known versions do. It must not be started then.
pub(super) fn renew(data: &Path) -> Result<()> {
    let path = data.join("global").join("pg_control");
    let mut control = fs::read(&path)?;
    let sum_at = checksum_at(&control).ok_or_else(|| strange("pg_control"))?;
    let old = number(&control, IN_CONTROL_FILE).ok_or_else(|| strange("pg_control"))?;
    let new = fresh();
    control[IN_CONTROL_FILE..IN_CONTROL_FILE + 8].copy_from_slice(&new.to_ne_bytes());
    let sum = !crc32c(!0, &control[..sum_at]);
    control[sum_at..sum_at + 4].copy_from_slice(&sum.to_ne_bytes());

    let mut segments = 0;
    for entry in fs::read_dir(data.join("pg_wal"))? {
        let entry = entry?;
        let name = entry.file_name();
        let is_segment =
            name.len() == 24 && name.as_encoded_bytes().iter().all(u8::is_ascii_hexdigit);
        if is_segment {
            renew_segment(&entry.path(), old, new)?;
            segments += 1;
        }
    }
    if segments == 0 {
        return Err(strange("pg_wal"));
    }
    OpenOptions::new()
        .write(true)
        .open(&path)?
        .write_all_at(&control, 0)
}

fn renew_segment(path: &Path, old: u64, new: u64) -> Result<()> {
    let mut file: File = OpenOptions::new().read(true).write(true).open(path)?;
    let mut header = [0; IN_WAL + 8];
    file.read_exact(&mut header)?;
    let flags = u16::from_ne_bytes([header[2], header[3]]);
    if flags & LONG_HEADER == 0 || number(&header, IN_WAL) != Some(old) {
        return Err(strange("a segment of the WAL"));
    }
    file.write_all_at(&new.to_ne_bytes(), IN_WAL as u64)
}

/// Where the control file has the checksum of all that comes before it. That differs from version to version.
fn checksum_at(control: &[u8]) -> Option<usize> {
    let mut state = !0_u32;
    for (index, word) in control.chunks_exact(4).enumerate() {
        // Behind the identifier and the versions.
        if index >= 4 && word == (!state).to_ne_bytes() {
            return Some(index * 4);
        }
        state = crc32c(state, word);
    }
    None
}

/// One step of CRC-32C, bit by bit: the control file has 300 bytes.
fn crc32c(state: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(state, |state, byte| {
        (0..8).fold(state ^ u32::from(*byte), |state, _| {
            (state >> 1) ^ if state & 1 == 1 { 0x82F6_3B78 } else { 0 }
        })
    })
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..at + 8)?;
    Some(u64::from_ne_bytes(bytes.try_into().ok()?))
}

/// As `initdb` does it: the second, and below it what differs within one; here at random.
fn fresh() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.map_or(1, |since| since.as_secs() & 0x7FFF_FFFF);
    let random = RandomState::new().build_hasher().finish();
    (seconds << 32) | (random & 0xFFFF_FFFF)
}

fn strange(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("{what} is not as expected"))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A directory that has what is read and written here, and no more.
    pub(in super::super) fn pretend(data: &Path) {
        for directory in ["global", "pg_wal", "pg_wal/archive_status", "pg_xact"] {
            fs::create_dir_all(data.join(directory)).unwrap();
        }
        let mut control = vec![7; 296];
        let sum = !crc32c(!0, &control);
        control.extend(sum.to_ne_bytes());
        control.resize(8192, 0);
        fs::write(data.join("global/pg_control"), control).unwrap();
        let mut segment = vec![0; 8192];
        segment[2..4].copy_from_slice(&LONG_HEADER.to_ne_bytes());
        segment[IN_WAL..IN_WAL + 8].copy_from_slice(&[7; 8]);
        fs::write(data.join("pg_wal/000000010000000000000001"), segment).unwrap();
        fs::write(data.join("pg_xact/0000"), "").unwrap();
    }

    #[test]
    fn both_files_get_the_new_one() {
        let data = tempfile::tempdir().unwrap();
        pretend(data.path());
        renew(data.path()).unwrap();
        let control = fs::read(data.path().join("global/pg_control")).unwrap();
        let segment = fs::read(data.path().join("pg_wal/000000010000000000000001")).unwrap();
        let new = number(&control, IN_CONTROL_FILE);
        assert_ne!(new, number(&[7; 8], 0));
        assert_eq!(number(&segment, IN_WAL), new);
        assert_eq!(checksum_at(&control), Some(296));
        assert_eq!((control.len(), segment.len()), (8192, 8192));
        // Now they are of one cluster, and no longer so.
        fs::write(data.path().join("pg_wal/000000010000000000000002"), [0; 99]).unwrap();
        assert!(renew(data.path()).is_err());
    }

    #[test]
    fn the_checksum_is_the_one_of_its_name() {
        assert_eq!(!crc32c(!0, b"123456789"), 0xE306_9283);
        let halves = crc32c(crc32c(!0, b"1234"), b"56789");
        assert_eq!(!halves, 0xE306_9283);
    }

    #[test]
    fn the_place_of_the_checksum_is_found() {
        for length in [40, 296] {
            let mut control: Vec<u8> = (0..length).map(|byte: u32| byte as u8).collect();
            let sum = !crc32c(!0, &control);
            control.extend(sum.to_ne_bytes());
            control.resize(8192, 0);
            assert_eq!(checksum_at(&control), Some(length as usize));
            control[20] ^= 1;
            assert_eq!(checksum_at(&control), None);
        }
        assert_eq!(checksum_at(&[]), None);
    }

    #[test]
    fn identifiers_are_positive_and_differ() {
        let all: std::collections::BTreeSet<u64> = (0..1000).map(|_| fresh()).collect();
        assert_eq!(all.len(), 1000);
        assert!(all.iter().all(|one| i64::try_from(*one).is_ok()));
    }
}
