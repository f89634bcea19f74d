//! Advisory locks of sessions: exclusive, and they stack.

use std::collections::BTreeMap;

use super::Pid;

/// What a lock stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    Leadership,
    Succession,
}

/// Who holds what, and how many times.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Locks(BTreeMap<(Kind, i32), (Pid, u32)>);

impl Locks {
    pub(super) fn try_lock(&mut self, kind: Kind, election: i32, pid: Pid) -> bool {
        let (holder, times) = self.0.entry((kind, election)).or_insert((pid, 0));
        if *holder == pid {
            *times += 1;
        }
        *holder == pid
    }

    /// False where `pid` does not hold it.
    pub(super) fn unlock(&mut self, kind: Kind, election: i32, pid: Pid) -> bool {
        let Some((holder, times)) = self.0.get_mut(&(kind, election)) else {
            return false;
        };
        if *holder != pid {
            return false;
        }
        *times -= 1;
        if *times == 0 {
            self.0.remove(&(kind, election));
        }
        true
    }

    pub(super) fn holder(&self, kind: Kind, election: i32) -> Option<Pid> {
        self.0.get(&(kind, election)).map(|(holder, _)| *holder)
    }

    pub(super) fn free(&mut self, pid: Pid) {
        self.0.retain(|_, (holder, _)| *holder != pid);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}
