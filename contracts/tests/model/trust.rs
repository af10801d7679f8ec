//! The model's meters that are exchanged, and keys that contradict themselves.

use chain::{
    code::Code,
    crypto::{self, Domain},
    id::{Address, SessionId, TxId},
    quantity::WattHours,
    receipt::Event,
    record::{Fault, Role},
    time::Timestamp,
};
use contracts::call::{Call, LiftSuspension, ProveEquivocation, Reading, ReplaceMeter, Transaction};

use super::ledger::{Local, Model, Ruling, Sender, no, not};

const DAY: u64 = 24 * 3_600_000;
/// What a meter shows at most, in Wh.
pub const MOST: u64 = 1_000_000_000_000_000;

/// A meter that is not a connector's first.
#[derive(Clone, Copy, Debug)]
pub struct Successor {
    pub exchanges: u32,
    pub first: u64,
    /// The connector's register at its beginning.
    pub base: u64,
    pub since: u64,
}

/// One side's word.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    pub account: Address,
    pub role: Role,
    pub last: u64,
    pub first: u64,
    pub until: u64,
}

/// Why a key is not trusted, or was not for a time.
#[derive(Clone, Copy, Debug)]
pub struct Blame {
    pub since: u64,
    pub session: SessionId,
    pub sequence: u64,
    pub evidence: TxId,
    pub lifted: Option<u64>,
}

/// An instant and what the meter showed then.
fn point(reading: &Reading) -> (u64, u64) {
    (reading.at.ms(), reading.register_wh.get())
}

/// No meter can have shown both: it never falls.
fn clash(one: &Reading, other: &Reading) -> bool {
    if (one.session, one.sequence) != (other.session, other.sequence) {
        return false;
    }
    let (mut early, mut late) = (point(one), point(other));
    if late.0 < early.0 {
        std::mem::swap(&mut early, &mut late);
    }
    if early.0 == late.0 { early.1 != late.1 } else { late.1 < early.1 }
}

impl Model {
    /// Whether a key is suspended now.
    pub fn is_blamed(&self, site: u32, who: &Address) -> bool {
        self.blames.get(&(site, *who)).is_some_and(|blame| blame.lifted.is_none())
    }

    fn is_trusted(&self, site: u32, who: &Address) -> bool {
        self.has(site, Role::Gateway, who) && !self.is_blamed(site, who)
    }

    /// Goes on for a gateway; for a suspended one only in a session that was open by then or that nobody has metered.
    pub fn gateway(&self, site: u32, sender: &Sender, session: Option<SessionId>) -> Ruling {
        self.only(site, Role::Gateway, sender)?;
        let Some(blame) = self.blames.get(&(site, sender.account)).filter(|blame| blame.lifted.is_none()) else { return Ok(()) };
        match session.and_then(|id| self.charges.get(&id)) {
            Some(charge) if charge.place.0 <= blame.since || charge.meter.is_none() => Ok(()),
            Some(_) | None => no(Code::RoleSuspended),
        }
    }

    /// What a connector's meter shows beyond the connector's register; negative where it shows less.
    pub fn ahead(&self, connector: Local) -> i128 {
        self.successors.get(&connector).map_or(0, |meter| i128::from(meter.first) - i128::from(meter.base))
    }

    /// Whether a meter can show this register of a connector and be exchanged then.
    pub fn is_shown(&self, connector: Local, register: u64) -> bool {
        i128::from(register) + self.ahead(connector) <= i128::from(MOST)
    }

    pub fn replace_meter(&mut self, sender: &Sender, call: &ReplaceMeter) -> Ruling<Vec<Event>> {
        let place = (call.connector.condominium.0, call.connector.number);
        for shown in [call.last.get(), call.first.get()] {
            if shown > MOST {
                return not(Code::OverLimit, MOST, shown);
            }
        }
        let Some(point) = self.points.get(&place) else { return no(Code::UnknownConnector) };
        let (manages, serves) = (self.has(place.0, Role::Manager, &sender.account), self.has(place.0, Role::Gateway, &sender.account));
        if !manages && !serves {
            return no(Code::NotAllowed);
        }
        let trusted = self.is_trusted(place.0, &sender.account);
        if !manages && !trusted {
            return no(Code::RoleSuspended);
        }
        let (last, first) = (call.last.get(), call.first.get());
        let ahead = self.ahead(place);
        let Ok(known) = u64::try_from(i128::from(point.register) + ahead) else { return no(Code::Overflow) };
        let is_metered = self.session_on(place).is_some_and(|id| self.charges[&id].meter.is_some());
        if last < known || (is_metered && last > known) {
            return not(Code::MeterRegister, known, last);
        }
        let Ok(register) = u64::try_from(i128::from(last) - ahead) else { return no(Code::Overflow) };
        let lost = register - point.register;
        if u128::from(point.unassigned) + u128::from(lost) > u128::from(u64::MAX) {
            return no(Code::Overflow);
        }
        let agrees = |word: &Word| {
            let other_side = if word.role == Role::Manager {
                trusted && self.has(place.0, Role::Manager, &word.account)
            } else {
                manages && self.is_trusted(place.0, &word.account)
            };
            (word.last, word.first) == (last, first) && self.now < word.until && word.account != sender.account && other_side
        };
        if !self.words.get(&place).is_some_and(agrees) {
            let word = Word {
                account: sender.account,
                role: if manages { Role::Manager } else { Role::Gateway },
                last,
                first,
                until: self.now + DAY,
            };
            self.words.insert(place, word);
            return Ok(vec![Event::MeterProposed {
                connector: call.connector,
                account: word.account,
                role: word.role,
                last: call.last,
                first: call.first,
                until: Timestamp::from_ms(word.until),
            }]);
        }
        self.words.remove(&place);
        let exchanges = self.successors.get(&place).map_or(1, |before| before.exchanges + 1);
        self.successors.insert(place, Successor { exchanges, first, base: register, since: self.now });
        let point = self.points.get_mut(&place).expect("there");
        point.register = register;
        point.unassigned += lost;
        if point.fault == Some(Fault::MeterFault) {
            point.fault = None;
        }
        let mut events = Vec::new();
        if lost > 0 {
            events.push(Event::EnergyUnassigned { connector: call.connector, energy: WattHours::new(lost) });
        }
        let register = WattHours::new(register);
        events.push(Event::MeterReplaced { connector: call.connector, exchanges, last: call.last, first: call.first, register });
        Ok(events)
    }

    pub fn prove_equivocation(&mut self, sender: &Sender, call: &ProveEquivocation) -> Ruling<Vec<Event>> {
        let mut said = Vec::new();
        for bytes in [&call.first.0, &call.second.0] {
            let Ok(statement) = Transaction::decode(bytes) else { return no(Code::NoContradiction) };
            let Call::Attest(attest) = statement.body().call.clone() else { return no(Code::NoContradiction) };
            if attest.readings.is_empty() || attest.readings.len() > 256 {
                return no(Code::NoContradiction);
            }
            said.push((statement, attest.readings));
        }
        let who = said[0].0.body().clone();
        let other = said[1].0.body();
        if (who.chain_id, who.account, who.signer) != (other.chain_id, other.account, other.signer) {
            return no(Code::NoContradiction);
        }
        let mut found = Vec::new();
        for one in &said[0].1 {
            found.extend(said[1].1.iter().filter(|other| clash(one, other)).map(|other| (*one, one.at.max(other.at).ms())));
        }
        let Some((_, of_first)) = found.first().copied() else { return no(Code::NoContradiction) };
        for (statement, _) in &said {
            let signature = chain::crypto::Signature(statement.bytes()[..64].try_into().expect("64 bytes"));
            if crypto::verify(&who.signer, Domain::Transaction, &statement.bytes()[64..], &signature).is_err() {
                return no(Code::BadSignature);
            }
        }
        let site = call.condominium.0;
        if !self.treasuries.contains_key(&site) {
            return no(Code::UnknownCondominium);
        }
        // Every key is its account's own for now.
        if who.chain_id != self.chain_id || who.signer != who.account || !self.nonces.contains_key(&who.signer) {
            return no(Code::NoContradiction);
        }
        if !self.has(site, Role::Gateway, &who.account) {
            return no(Code::RoleNotGranted);
        }
        if self.is_blamed(site, &who.account) {
            return no(Code::AlreadySuspended);
        }
        let forgiven = self.blames.get(&(site, who.account)).and_then(|blame| blame.lifted).map_or(0, |at| at + self.params.drift.ms() + 1);
        let earliest = forgiven.max(self.now - 90 * DAY);
        let is_ahead = |newest: u64| self.now + self.params.drift.ms() < newest;
        found.retain(|(_, newest)| *newest >= earliest && !is_ahead(*newest));
        let Some((said, _)) = found.first() else {
            return if is_ahead(of_first) { no(Code::ReadingAhead) } else { not(Code::EvidenceTooOld, earliest, of_first) };
        };
        let (session, sequence) = (said.session, said.sequence);
        self.blames.insert((site, who.account), Blame { since: self.height, session, sequence, evidence: sender.id, lifted: None });
        Ok(vec![Event::RoleSuspended { condominium: call.condominium, account: who.account, session, sequence }])
    }

    pub fn lift_suspension(&mut self, sender: &Sender, call: &LiftSuspension) -> Ruling<Vec<Event>> {
        let LiftSuspension { condominium, account } = *call;
        self.only(condominium.0, Role::Manager, sender)?;
        if account == sender.account {
            return no(Code::NotAllowed);
        }
        if !self.is_blamed(condominium.0, &account) {
            return no(Code::NotSuspended);
        }
        self.blames.get_mut(&(condominium.0, account)).expect("there").lifted = Some(self.now);
        Ok(vec![Event::SuspensionLifted { condominium, account }])
    }
}
