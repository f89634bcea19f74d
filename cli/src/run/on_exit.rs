//! What follows the end of the command.

use crate::message::Ended;

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum OnExit {
    /// Leave the election and exit with the command's status.
    Leave,
    /// Give up the term and stay a candidate: another one leads next, or this one again. After a failure, or where
    /// the command has ended sooner than a lease, it holds off for five seconds.
    Restart,
    /// As `restart` where the command has succeeded, as `leave` where it has failed.
    Fail,
}

impl OnExit {
    /// Whether this process leaves the election, too.
    pub(super) fn leaves(self, ended: Ended) -> bool {
        match self {
            OnExit::Leave => true,
            OnExit::Restart => false,
            OnExit::Fail => ended.status != 0,
        }
    }
}
