//! What befalls the way to the server.

use std::time::Duration;

use super::{Hit, Sequel};
use crate::chaos::conductor::Conductor;
use crate::chaos::judge::history::Kind;

impl Conductor {
    pub(super) fn strike_network(&mut self, hit: &Hit<'_>) {
        match hit.planned.kind {
            Kind::CutToServer => self.cut(hit, (true, false)),
            Kind::CutToClient => self.cut(hit, (false, true)),
            Kind::KilledWhileCut => {
                self.cut(hit, (true, true));
                self.kill_session(&hit.name);
            }
            Kind::SlowNetwork => self.slow_down(hit),
            Kind::ResetConnections => {
                if let Some(proxy) = self.proxy(hit.place) {
                    self.stage.proxies[proxy].reset();
                }
                self.faults.end(hit.id);
            }
            Kind::KilledRelay => {
                let (place, id) = (hit.place, hit.id);
                self.stage.relay().kill();
                self.crew.places[place].hindered = true;
                self.after(hit.planned.lasts, Sequel::ReviveRelay { place, id });
            }
            _ => self.cut(hit, (true, true)),
        }
    }

    fn cut(&mut self, hit: &Hit<'_>, (to_server, to_client): (bool, bool)) {
        if let Some(proxy) = self.proxy(hit.place) {
            self.stage.proxies[proxy].swallow(to_server, to_client);
        }
        self.until_healed(hit);
    }

    fn slow_down(&mut self, hit: &Hit<'_>) {
        // A round trip takes up to a third of the lease.
        let lease = self.crew.lease;
        let delay = Duration::from_millis(lease / 20 + hit.id % (lease / 10));
        if let Some(proxy) = self.proxy(hit.place) {
            self.stage.proxies[proxy].delay(delay);
        }
        self.until_healed(hit);
    }

    fn until_healed(&mut self, hit: &Hit<'_>) {
        let (place, id) = (hit.place, hit.id);
        self.crew.places[place].hindered = true;
        self.after(hit.planned.lasts, Sequel::Heal { place, id });
    }
}
