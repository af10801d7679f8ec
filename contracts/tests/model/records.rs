//! What the state must hold after a block, written out from the model: every record under its key, and none besides.

use std::collections::BTreeMap;

use chain::{
    codec,
    id::{CondominiumId, ConnectorId, GroupId, Height, TariffId},
    quantity::{Amount, WattHours, Watts},
    record::{
        Account, AskedStart, Card, Condominium, Connector, GrantSpan, Group, Key, Mandate, MandateDay, MandateUse, Meter, MeterProposal,
        MeterState, Redemption, RoleGrant, Session, SessionState, SessionTimes, Signer, SignerScope, Suspension, TariffHead, TariffVersion,
    },
    tariff::TariffDimension,
    time::{Duration, Timestamp},
};
use contracts::call::OpenSessionByMandate;
use serde::Serialize;

use super::{
    ledger::{Charge, Model, components, currents},
    mandates::Asked,
    prices,
    trust::{Blame, Successor, Word},
};

impl Model {
    /// Every record that the state must have now.
    pub fn records(&self) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut rows = Rows(BTreeMap::new());
        rows.put(&Key::Params, &self.params);
        rows.put(&Key::Validators, &self.validators);
        self.money_records(&mut rows);
        self.clearing_records(&mut rows);
        self.site_records(&mut rows);
        for (id, charge) in &self.charges {
            rows.put(&Key::Session(*id), &record_of(charge));
            rows.put(&Key::Due(Timestamp::from_ms(charge.due), *id), &());
            let tariff = self.tariff_of(charge);
            if prices::has(tariff, TariffDimension::Time) || prices::has(tariff, TariffDimension::ParkingTime) {
                let span = |(from, until): &(u64, Option<u64>)| GrantSpan {
                    from: Timestamp::from_ms(*from),
                    until: until.map(Timestamp::from_ms),
                };
                let granted = charge.granted.iter().map(span).collect();
                rows.put(&Key::SessionTimes(*id), &SessionTimes { granted, idle_since: charge.full_at.map(Timestamp::from_ms) });
            }
            if let Some(start) = charge.start {
                let used = MandateUse { card: start.card, day: start.day, amount: Amount::from_micro(start.amount) };
                rows.put(&Key::MandateUse(*id), &used);
            }
            if charge.state == SessionState::Queued {
                let group = GroupId::new(CondominiumId(charge.connector.0), self.points[&charge.connector].group);
                rows.put(&Key::Queue(group, Height(charge.place.0), charge.place.1), id);
            }
        }
        for ((account, site), grant) in &self.mandates {
            let mandate = Mandate { terms: grant.terms.clone(), granted_at: Timestamp::from_ms(grant.at) };
            rows.put(&Key::Mandate(*account, CondominiumId(*site)), &mandate);
        }
        for ((site, number), Asked { account, start, until }) in &self.asked {
            let OpenSessionByMandate { card, connector: _, tariff_version, max_spend, max_duration, energy_target } = *start;
            let until = Timestamp::from_ms(*until);
            let asked = AskedStart { account: *account, card, tariff_version, max_spend, max_duration, energy_target, until };
            rows.put(&Key::AskedStart(ConnectorId::new(CondominiumId(*site), *number)), &asked);
        }
        for ((account, site), tally) in &self.tallies {
            let day = MandateDay { day: tally.day, used: Amount::from_micro(tally.sum()) };
            rows.put(&Key::MandateDay(*account, CondominiumId(*site)), &day);
        }
        for ((site, card), (account, at)) in &self.cards {
            rows.put(&Key::Card(CondominiumId(*site), *card), &Card { account: *account, bound_at: Timestamp::from_ms(*at) });
        }
        self.trust_records(&mut rows);
        rows.0
    }

    fn trust_records(&self, rows: &mut Rows) {
        let place = |(site, number): &(u32, u32)| ConnectorId::new(CondominiumId(*site), *number);
        for (connector, meter) in &self.successors {
            let Successor { exchanges, first, base, since } = *meter;
            let (first, base, since) = (WattHours::new(first), WattHours::new(base), Timestamp::from_ms(since));
            rows.put(&Key::Meter(place(connector)), &Meter { exchanges, first, base, since });
        }
        for (connector, word) in &self.words {
            let Word { account, role, last, first, until } = *word;
            let (last, first, until) = (WattHours::new(last), WattHours::new(first), Timestamp::from_ms(until));
            rows.put(&Key::MeterProposal(place(connector)), &MeterProposal { account, role, last, first, until });
        }
        for ((site, account), blame) in &self.blames {
            let Blame { since, session, sequence, evidence, lifted } = *blame;
            let (since, lifted_at) = (Height(since), lifted.map(Timestamp::from_ms));
            let record = Suspension { since, session, sequence, evidence, lifted_at };
            rows.put(&Key::Suspension(CondominiumId(*site), *account), &record);
        }
    }

    fn money_records(&self, rows: &mut Rows) {
        for (address, wallet) in &self.wallets {
            let account = Account {
                home: CondominiumId(wallet.home),
                balance: Amount::from_micro(wallet.balance),
                held: Amount::from_micro(self.held(address)),
                debt: Amount::from_micro(wallet.debt),
                credit_limit: Amount::from_micro(wallet.credit_limit),
            };
            rows.put(&Key::Account(*address), &account);
        }
        for (address, nonce) in &self.nonces {
            rows.put(&Key::Signer(*address), &Signer { account: *address, scope: SignerScope::Owner, nonce: *nonce });
        }
        for (number, treasury) in &self.treasuries {
            let condominium = Condominium {
                name: treasury.name.clone(),
                revenue: treasury.revenue,
                mint_cap_per_day: Amount::from_micro(treasury.cap),
                position_limit: Amount::from_micro(treasury.position_limit),
                minted: Amount::from_micro(treasury.minted),
                redeemed: Amount::from_micro(treasury.redeemed),
                next_sale: treasury.next_sale,
                mint_day: treasury.mint_day,
                minted_today: Amount::from_micro(treasury.minted_today),
            };
            rows.put(&Key::Condominium(CondominiumId(*number)), &condominium);
        }
        for ((condominium, role, address), term) in &self.terms {
            let grant = RoleGrant { from: Height(term.from), until: term.until.map(Height) };
            rows.put(&Key::Role(CondominiumId(*condominium), *role, *address), &grant);
        }
        for (id, payout) in &self.payouts {
            let redemption = Redemption {
                account: payout.account,
                amount: Amount::from_micro(payout.amount),
                requested_at: Timestamp::from_ms(payout.requested_at),
                payee: payout.payee,
            };
            rows.put(&Key::Redemption(*id), &redemption);
        }
        for debtor in self.treasuries.keys() {
            for creditor in self.treasuries.keys().filter(|creditor| *creditor != debtor) {
                let pair = (CondominiumId(*debtor), CondominiumId(*creditor));
                if let Some(owed) = u64::try_from(self.owes(*debtor, *creditor)).ok().filter(|owed| *owed > 0) {
                    rows.put(&Key::Position(pair.0, pair.1), &Amount::from_micro(owed));
                }
                if self.pending(*debtor, *creditor) > 0 {
                    rows.put(&Key::PendingPosition(pair.0, pair.1), &Amount::from_micro(self.pending(*debtor, *creditor)));
                }
            }
        }
        for ((issuer, serial), expires) in &self.invites {
            rows.put(&Key::Invite(*issuer, *serial), &Timestamp::from_ms(*expires));
        }
    }

    fn site_records(&self, rows: &mut Rows) {
        for (id, group) in &self.groups {
            let record = Group {
                parent: group.parent,
                limit: currents(group.limit),
                granted: currents(self.granted(*id)),
                reserved: currents(self.reserved(*id)),
            };
            rows.put(&Key::Group(GroupId::new(CondominiumId(id.0), id.1)), &record);
        }
        for (id, point) in &self.points {
            let connector = Connector {
                group: point.group,
                control: point.control,
                plug_signal: point.plug_signal,
                rated: currents(point.rated),
                tariff: point.tariff,
                service: point.service,
                fault: point.fault,
                session: self.session_on(*id),
                last_register: WattHours::new(point.register),
                unassigned: WattHours::new(point.unassigned),
            };
            rows.put(&Key::Connector(ConnectorId::new(CondominiumId(id.0), id.1)), &connector);
        }
        for ((condominium, number), versions) in &self.tariffs {
            let id = TariffId::new(CondominiumId(*condominium), *number);
            for (version, (from, tariff)) in (1..).zip(versions) {
                let record = TariffVersion { valid_from: Timestamp::from_ms(*from), tariff: tariff.clone() };
                rows.put(&Key::TariffVersion(id, version), &record);
            }
            rows.put(&Key::TariffHead(id), &TariffHead { latest: u32::try_from(versions.len()).expect("few versions") });
        }
    }
}

/// Records under their keys.
pub(super) struct Rows(BTreeMap<Vec<u8>, Vec<u8>>);

impl Rows {
    pub(super) fn put<T: Serialize>(&mut self, key: &Key, record: &T) {
        let twice = self.0.insert(key.bytes(), codec::encode(record).expect("a record has an encoding"));
        assert!(twice.is_none(), "two records for {key:?}");
    }
}

fn record_of(charge: &Charge) -> Session {
    let condominium = CondominiumId(charge.connector.0);
    let meter = charge.meter.map(|meter| MeterState {
        start: WattHours::new(meter.start),
        sequence: meter.sequence,
        at: Timestamp::from_ms(meter.at),
        register: WattHours::new(meter.register),
        power: Watts::new(meter.power),
        samples: meter.samples,
    });
    Session {
        account: charge.account,
        connector: ConnectorId::new(condominium, charge.connector.1),
        tariff: TariffId::new(condominium, charge.tariff),
        tariff_version: charge.version,
        opened_at: Timestamp::from_ms(charge.opened_at),
        opened_height: Height(charge.place.0),
        opened_index: charge.place.1,
        escrow: Amount::from_micro(charge.escrow),
        max_duration: Duration::from_ms(charge.max_duration),
        hints: charge.hints,
        state: charge.state,
        due: Timestamp::from_ms(charge.due),
        first_granted_at: charge.granted_at.map(Timestamp::from_ms),
        granted: currents(charge.current),
        granted_height: Height(charge.grant_place.0),
        granted_index: charge.grant_place.1,
        meter,
        cost: components(charge),
        billed_at_limit: charge.billed_at_limit.map(WattHours::new),
    }
}
