//! What operators do, and what a candidate is told to do.

use super::{Hit, Missed, Sequel};
use crate::Result;
use crate::chaos::conductor::Conductor;
use crate::chaos::judge::history::Kind;
use crate::chaos::plan::Planned;

impl Conductor {
    pub(super) fn suspend(&mut self, planned: &Planned) {
        let election = self.crew.elections[planned.election].clone();
        let id = self.faults.begin(Kind::Suspend, None, Some(&election));
        let suspend = format!("SELECT pgleader.suspend('{election}')");
        let resume = format!("SELECT pgleader.resume('{election}')");
        match self.pull(planned, id, &suspend, Some(resume)) {
            Ok(()) => self.count(planned, &format!(" of {election}")),
            Err(missed) => self.miss(planned, Some(id), &missed),
        }
    }

    pub(super) fn pull_lever(&mut self, hit: &Hit<'_>) -> Result<(), Missed> {
        let Hit { election, name, .. } = hit;
        let (lever, back) = match hit.planned.kind {
            Kind::StepDown => (format!("step_down('{election}')"), None),
            Kind::Depose => (format!("depose('{election}')"), None),
            Kind::Transfer => (format!("transfer('{election}', '{name}')"), None),
            _ => (
                format!("exclude('{election}', '{name}')"),
                Some(format!("SELECT pgleader.include('{election}', '{name}')")),
            ),
        };
        let statement = format!("SELECT pgleader.{lever}");
        self.pull(hit.planned, hit.id, &statement, back)
    }

    /// An operator's statement, and what takes it back in the end.
    fn pull(
        &mut self,
        planned: &Planned,
        id: u64,
        statement: &str,
        back: Option<String>,
    ) -> Result<(), Missed> {
        let pulled = self.stage.primary().execute(statement);
        pulled.map_err(|error| error.to_string())?;
        match back {
            Some(statement) => {
                self.levers += 1;
                self.after(planned.lasts, Sequel::Lift { statement, id });
            }
            None => self.faults.end(id),
        }
        Ok(())
    }

    /// By its standard input.
    pub(super) fn order(&mut self, hit: &Hit<'_>) -> Result<()> {
        let Hit { place, id, .. } = *hit;
        let election = &hit.election;
        match hit.planned.kind {
            Kind::Resign | Kind::FailedWork => {
                let verb = match hit.planned.kind {
                    Kind::Resign => "resign",
                    _ => "fail",
                };
                self.crew.order(place, &format!("{verb} {election}"))?;
                self.faults.end(id);
            }
            kind => {
                self.crew.order(place, &format!("leave {election}"))?;
                let priority = match kind {
                    Kind::Priority => self.random(hit.planned).i32(-3..=3),
                    _ => 0,
                };
                let sequel = Sequel::ComeBack {
                    place,
                    election: hit.planned.election,
                    priority,
                    id,
                };
                self.after(hit.planned.lasts, sequel);
            }
        }
        Ok(())
    }
}
