//! Descriptors that go from one process to another.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Programs choose small numbers themselves, shells use some up to 63 and 255.
pub(crate) const ASIDE: RawFd = 100;

/// Give two descriptors to the process at the other end.
pub(crate) fn send(to: &UnixStream, descriptors: [BorrowedFd<'_>; 2]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    // They cannot travel without a byte.
    sendmsg(
        to,
        &[IoSlice::new(b"\n")],
        &mut ancillary,
        SendFlags::empty(),
    )?;
    Ok(())
}

/// Take what [`send`] gave, set aside.
pub(crate) fn receive(from: &UnixStream) -> io::Result<[OwnedFd; 2]> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(
        from,
        &mut [IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::empty(),
    )?;
    let descriptors = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten()
        .map(|descriptor| aside(&descriptor))
        .collect::<io::Result<Vec<OwnedFd>>>()?;
    <[OwnedFd; 2]>::try_from(descriptors).map_err(|_| io::ErrorKind::UnexpectedEof.into())
}

/// A duplicate where it is in nobody's way, close-on-exec.
pub(crate) fn aside(descriptor: &impl AsFd) -> io::Result<OwnedFd> {
    Ok(fcntl_dupfd_cloexec(descriptor, ASIDE)?)
}

/// One that a task can wait for to become readable.
#[cfg(target_os = "linux")]
pub(crate) fn awaited(descriptor: OwnedFd) -> io::Result<tokio::io::unix::AsyncFd<OwnedFd>> {
    // What replaces it is unsafe, for the sake of what may close its descriptor while it is waited for. This does not.
    #[allow(deprecated, reason = "an OwnedFd stays open until it is dropped")]
    tokio::io::unix::AsyncFd::with_interest(descriptor, tokio::io::Interest::READABLE)
}

/// A duplicate with this very number, which what is spawned inherits.
pub(crate) fn inherited_as(descriptor: &impl AsFd, number: RawFd) -> io::Result<OwnedFd> {
    use std::os::fd::AsRawFd;
    let duplicate = fcntl_dupfd_cloexec(descriptor, number)?;
    if duplicate.as_raw_fd() != number {
        let taken = format!("descriptor {number} is taken: choose another number");
        return Err(io::Error::new(io::ErrorKind::AddrInUse, taken));
    }
    inherited(&duplicate)?;
    Ok(duplicate)
}

/// From now on what is spawned inherits it.
pub(crate) fn inherited(descriptor: &impl AsFd) -> io::Result<()> {
    Ok(fcntl_setfd(descriptor, FdFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsRawFd;

    #[test]
    fn what_is_sent_arrives_aside() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        send(&here, [writer.as_fd(), writer.as_fd()]).unwrap();
        drop(writer);
        let [first, second] = receive(&there).unwrap();
        assert!(first.as_raw_fd() >= ASIDE && second.as_raw_fd() >= ASIDE);
        drop(first);
        std::fs::File::from(second).write_all(b"through").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "through");
    }

    #[test]
    fn an_end_before_the_descriptors_is_an_error() {
        let (here, there) = UnixStream::pair().unwrap();
        drop(here);
        assert!(receive(&there).is_err());
    }

    #[test]
    fn a_number_that_is_taken_is_refused() {
        let (reader, _writer) = io::pipe().unwrap();
        let free = inherited_as(&reader, 700).unwrap();
        assert_eq!(free.as_raw_fd(), 700);
        assert!(inherited_as(&reader, 700).is_err());
    }
}
