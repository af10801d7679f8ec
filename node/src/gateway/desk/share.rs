//! Which limit a lease gets: the desk's view of the site, given to the rule in `limits`.

use chain::{
    id::{ConnectorId, GroupId},
    record::Control,
    time::Timestamp,
};

use super::{Desk, Place};
use crate::gateway::limits::{self, Point};

impl Desk {
    /// The current per phase that a connector's unit may be given now, in mA; nothing where that would be too little for a vehicle.
    pub(super) fn share(&self, id: ConnectorId, now: Timestamp) -> Option<[u32; 3]> {
        let place = self.places.get(&id)?;
        let asking = place.point(id, now)?;
        let others = self
            .places
            .iter()
            .filter(|(other, _)| other.condominium == id.condominium && **other != id)
            .filter_map(|(other, place)| place.point(*other, now));
        let share = limits::share(&self.groups, &asking, others);
        limits::usable(share, place.open.as_ref()?.session.granted, self.params.min_current.get())
    }
}

impl Place {
    fn point(&self, id: ConnectorId, now: Timestamp) -> Option<Point> {
        let connector = self.connector.as_ref()?;
        let session = self.open.as_ref().map(|open| &open.session);
        let (committed_ma, load_ma) = match connector.control {
            Control::Switched => (session.map_or([0; 3], |session| session.granted.ma()), self.held.load_ma(now)),
            // Reserved in its groups for good, whether anybody draws or not.
            Control::MeterOnly => (connector.rated.ma(), connector.rated.ma()),
        };
        let excess = self.excess.filter(|(_, until)| *until >= now).map_or([0; 3], |(excess, _)| excess);
        Some(Point {
            group: GroupId::new(id.condominium, connector.group),
            committed_ma,
            load_ma: std::array::from_fn(|phase| load_ma[phase].max(excess[phase])),
            granted: session.map(|session| (session.granted_height, session.granted_index)).unwrap_or_default(),
        })
    }
}
