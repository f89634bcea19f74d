//! Rules that live in SQL, broken on purpose: the checker, the simulator or conformance must find out.

/// A rule of the server's side that is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Flaw {
    /// A vacate is recorded with the term of the moment, whichever was named.
    VacateOfAnyTerm,
    /// The counters are read after the try.
    SampleAfterTry,
    /// A vacate counts on every timeline.
    VacateOfAnyTimeline,
    /// The number of a term is one more than that of the last one on record.
    NumberPlusOne,
    /// The first number of a timeline says nothing of when it was given out.
    NumberWithoutTime,
    /// What candidates have heard of raises the number, and is not waited for.
    RaisedWithoutWaiting,
    /// What a candidate has heard of is not recorded when it joins: the winner knows its own alone.
    HeardNotRecorded,
    /// Taking office does not ask whether the last term was vacated.
    OfficeUnasked,
    /// A term whose fence refuses is taken for one whose work has stopped.
    ClosedIsVacated,
    /// A lock that the session holds already is not taken a second time.
    LocksDoNotStack,
    /// The end of a session by an operator is not counted.
    KillsAreNotCounted,
    /// A crash leaves the counters as they were.
    CountersOutliveCrashes,
    /// A leader that is not silent is evicted too.
    EvictsTheLively,
    /// What a candidate has heard of goes with it, although this server does not know it.
    LeavingForgets,
    /// A request to step down outlives the term that it is about.
    StepDownForEver,
    /// A term begins although a fenced transaction is under way.
    FencesHoldNothing,
    /// A term is recorded as vacated although a fenced transaction holds its row.
    RowsAreNotHeld,
}
