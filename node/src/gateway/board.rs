//! What everybody who may look is shown of the gateway's connectors: the newest sample, what was found wrong, what the driver is likely to need.
//!
//! The desk writes a row with everything that changes; readers take a copy and never hold it up. Estimates are made when somebody looks, from the chain. Nothing is
//! decided by it and nothing of it is kept on disk: what mattered is on the chain.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use chain::{
    api::{FoundView, MonitorView, RelayView, SampleView},
    id::ConnectorId,
    quantity::{Currents, WattHours, Watts},
    record::{Connector, Control, Key, Session},
    time::Timestamp,
};
use firmware_core::{Flags, Sample};

use super::{MonitorOf, estimate, run::past_of};
use crate::{app::AppHandle, clock::Clock};

/// The most findings that are shown of a connector.
const MAX_FOUND: usize = 8;

/// The rows, by connector.
pub(super) type Board = Arc<Mutex<BTreeMap<ConnectorId, MonitorView>>>;

/// Writes a connector's row.
pub(super) fn put(board: &Board, row: MonitorView) {
    board.lock().unwrap_or_else(PoisonError::into_inner).insert(row.connector, row);
}

/// A sample as it is shown.
pub(super) fn sample_view(connector: &Connector, sample: &Sample) -> SampleView {
    let relay = match connector.control {
        Control::MeterOnly => RelayView::None,
        Control::Switched if sample.flags.has(Flags::RELAY_CLOSED) => RelayView::Closed,
        Control::Switched => RelayView::Open,
    };
    SampleView {
        at: Timestamp::from_ms(sample.at_ms),
        power_w: Watts::new(sample.power_w.into()),
        current: Currents::from_ma(sample.current_ma.map(u32::from)),
        register: WattHours::new(sample.register_wh),
        temperature_dc: sample.temperature_dc,
        relay,
    }
}

/// Adds what was found, unless it is what was found last.
pub(super) fn note(found: &mut Vec<FoundView>, new: FoundView) {
    if found.first().is_some_and(|last| (last.fault, last.session) == (new.fault, new.session)) {
        return;
    }
    found.insert(0, new);
    found.truncate(MAX_FOUND);
}

/// The rows with their estimates, for whoever looks.
pub(super) fn monitor(board: Board, app: AppHandle, clock: Clock) -> MonitorOf {
    Arc::new(move || {
        let mut rows: Vec<MonitorView> = board.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let snapshot = app.snapshot().map_err(|error| error.to_string())?;
        for row in &mut rows {
            let Some(id) = row.session else { continue };
            let session: Option<Session> = snapshot.record(&Key::Session(id)).map_err(|error| error.to_string())?;
            let Some(session) = session else { continue };
            let past = past_of(&snapshot, session.account).map_err(|error| error.to_string())?;
            row.estimate = estimate::of_charge(&past, session.opened_at, clock.now());
        }
        Ok(rows)
    })
}
