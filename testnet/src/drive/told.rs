//! What the chain tells a garage: blocks are read as anybody may read them, and each event moves the stay that it is about.

use chain::{
    api::BlockReceipts,
    id::{ConnectorId, Height, SessionId},
    quantity::Amount,
    receipt::{Cause, Event, Outcome, SessionReceipt},
};

use super::{DriveError, Garage, Happening, Phase, Place, Show};
use crate::resident::Outstanding;

impl Garage {
    /// Reads new blocks and gives the connectors whose units should hear of them.
    pub(super) async fn read_blocks(&mut self, to: Height, show: &mut Show<'_>) -> Result<Vec<usize>, DriveError> {
        let mut concerned = Vec::new();
        while self.height < to {
            let height = self.height.next();
            let block = self.lines.ask(0, "the receipts of a block", async |client| client.block_receipts(height).await).await?;
            note_committed(&mut self.lines.outstanding, &block)?;
            for event in block.receipts.iter().flat_map(|receipt| &receipt.events) {
                self.take(event, &mut concerned, show);
            }
            self.height = height;
        }
        // Who must open is told first: what he gives up may be somebody else's only after his unit has said so.
        let may_flow = |connector: &usize| self.places[*connector].stay.is_some_and(|stay| stay.phase == Phase::Charging);
        concerned.sort_unstable_by_key(|connector| (may_flow(connector), *connector));
        concerned.dedup();
        Ok(concerned)
    }

    /// Takes in one event of the chain.
    fn take(&mut self, event: &Event, concerned: &mut Vec<usize>, show: &mut Show<'_>) {
        match event {
            Event::SessionOpened { session, connector, escrow, .. } => {
                self.adopt(*session, *connector, *escrow);
                if let Some((_, visit)) = self.moves(session, Phase::Queued) {
                    show(self, &Happening::Opened { visit, escrow: *escrow });
                }
            }
            Event::SessionGranted { session, current } => {
                let first = self.phase(session).is_some_and(|phase| phase == Phase::Queued);
                if let Some((connector, visit)) = self.moves(session, Phase::Charging) {
                    concerned.push(connector);
                    if first {
                        self.fates[visit].waited = self.visits[visit].source.plug_in_ms < self.now_ms;
                    }
                    show(self, &Happening::Granted { visit, current_ma: current.ma(), first });
                }
            }
            Event::SessionPaused { session, .. } => {
                if let Some((connector, visit)) = self.moves(session, Phase::Paused) {
                    concerned.push(connector);
                    show(self, &Happening::Paused { visit });
                }
            }
            Event::SessionStopping { session, reason, .. } => {
                if let Some((connector, visit)) = self.moves(session, Phase::Stopping) {
                    if self.places[connector].unit.is_closed() {
                        concerned.push(connector);
                    }
                    show(self, &Happening::Stopping { visit, reason: *reason });
                }
            }
            Event::SessionSettled(receipt) => self.take_bill(receipt, show),
            Event::AccountRegistered { .. }
            | Event::TokensSold { .. }
            | Event::RedemptionRequested { .. }
            | Event::RedemptionPaid { .. }
            | Event::RedemptionRefused { .. }
            | Event::Transferred { .. }
            | Event::RoleGranted { .. }
            | Event::RoleRevoked { .. }
            | Event::GroupPut { .. }
            | Event::ConnectorPut { .. }
            | Event::TariffPut { .. }
            | Event::SessionToppedUp { .. }
            | Event::SessionSkipped { .. }
            | Event::ReadingHandled { .. }
            | Event::EnergyUnassigned { .. }
            | Event::FaultReported { .. }
            | Event::SessionIdle { .. }
            | Event::PositionPosted { .. }
            | Event::PositionsCleared { .. }
            | Event::RoamingClosed { .. }
            | Event::PaymentDue { .. }
            | Event::PaymentReported { .. }
            | Event::PaymentReceived { .. }
            | Event::PaymentMissing { .. }
            | Event::PositionLimitSet { .. }
            | Event::MandateGranted { .. }
            | Event::MandateRevoked { .. }
            | Event::CardBound { .. }
            | Event::CardReleased { .. }
            | Event::SessionMandated { .. }
            | Event::StartAsked { .. }
            | Event::MeterProposed { .. }
            | Event::MeterReplaced { .. }
            | Event::RoleSuspended { .. }
            | Event::SuspensionLifted { .. }
            | Event::StartConfirmed { .. } => {}
        }
    }

    /// A session that nobody here has opened belongs to the car that draws at a meter alone.
    fn adopt(&mut self, session: SessionId, connector: ConnectorId, escrow: Amount) {
        let at = |place: &Place| place.connector == connector && place.unit.is_meter_only();
        let Some(number) = self.places.iter().position(at) else { return };
        let Some(stay) = self.places[number].stay.as_mut().filter(|stay| stay.session.is_none() || stay.phase == Phase::Settled) else {
            return;
        };
        (stay.session, stay.escrow) = (Some(session), escrow);
        self.sessions.insert(session, (number, stay.visit));
    }

    fn take_bill(&mut self, receipt: &SessionReceipt, show: &mut Show<'_>) {
        let moved = self.moves(&receipt.session, Phase::Settled);
        self.sessions.remove(&receipt.session);
        if let Some((connector, visit)) = moved {
            let fate = &mut self.fates[visit];
            fate.receipt = Some(*receipt);
            fate.waited |= receipt.first_granted_at.is_none();
            show(self, &Happening::Settled { visit, receipt: Box::new(*receipt) });
            self.plan(connector);
        }
    }

    fn phase(&self, session: &SessionId) -> Option<Phase> {
        let (connector, _) = self.sessions.get(session)?;
        self.places[*connector].stay.filter(|stay| stay.session == Some(*session)).map(|stay| stay.phase)
    }

    /// Moves a session on, and its stay if the car is still there; gives its connector and its visit.
    fn moves(&mut self, session: &SessionId, phase: Phase) -> Option<(usize, usize)> {
        let (connector, visit) = *self.sessions.get(session)?;
        if let Some(stay) = self.places[connector].stay.as_mut().filter(|stay| stay.session == Some(*session)) {
            stay.phase = phase;
        }
        Some((connector, visit))
    }
}

/// Strikes off what a block has of what we sent.
///
/// # Errors
/// [`DriveError::Rejected`]: nothing that is sent here may be rejected.
pub fn note_committed(outstanding: &mut Outstanding, block: &BlockReceipts) -> Result<(), DriveError> {
    for receipt in &block.receipts {
        if let Cause::Transaction(id) = receipt.cause
            && let Some(transaction) = outstanding.committed(&id)
            && let Outcome::Rejected(rejection) = receipt.outcome
        {
            let body = transaction.body();
            let (call, who) = (body.call.action().name(), body.account.to_string());
            return Err(DriveError::Rejected { call, who, height: block.height, rejection });
        }
    }
    Ok(())
}
