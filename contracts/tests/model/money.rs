//! The model's money, roles and sites: registration, sales, payouts, transfers, roles, groups, connectors and tariffs.

use chain::{
    code::{Code, Rejection},
    id::{Address, CondominiumId, Height, RedemptionId, SessionId, TariffId},
    quantity::Amount,
    receipt::{Event, PauseReason},
    record::{Control, PlugSignal, Role},
    tariff::{Tariff, TariffDimension},
    time::Timestamp,
};
use contracts::call::{
    ConfirmRedeem, GrantRole, PutConnector, PutGroup, PutTariff, RedeemAnswer, RegisterAccount, RequestRedeem, RevokeRole, SellTokens,
    Transfer,
};

use super::{
    ledger::{Limit, Local, Model, Payout, Phases, Point, Ruling, Sender, Term, Wallet, no, not, phases, plus},
    prices,
};

/// What all condominiums may ever have sold, and the highest limit of a position that counts.
const MOST_TOKENS: u128 = 1 << 62;

impl Model {
    pub fn register_account(&mut self, sender: &Sender, call: &RegisterAccount) -> Ruling<Vec<Event>> {
        match &call.invite {
            Some(invite) => {
                if call.account != sender.account || call.account != sender.signer {
                    return no(Code::NotAllowed);
                }
                self.invited(call.account, call.condominium, invite)?;
                self.invites.insert((invite.issuer, invite.serial), invite.expires.ms());
            }
            None => {
                self.only(call.condominium.0, Role::Manager, sender).or_else(|_| self.only(call.condominium.0, Role::Treasurer, sender))?;
                if self.wallets.contains_key(&call.account) {
                    return no(Code::AccountExists);
                }
            }
        }
        Ok(vec![self.add_account(call.account, call.condominium)])
    }

    fn add_account(&mut self, account: Address, home: CondominiumId) -> Event {
        self.wallets.insert(account, Wallet { home: home.0, balance: 0, debt: 0, credit_limit: 0 });
        self.nonces.insert(account, 0);
        Event::AccountRegistered { account, home }
    }

    pub fn sell_tokens(&mut self, sender: &Sender, call: &SellTokens) -> Ruling<Vec<Event>> {
        let amount = call.amount.micro();
        if amount == 0 {
            return no(Code::ZeroValue);
        }
        self.only(call.condominium.0, Role::Treasurer, sender)?;
        if let Some(wallet) = self.wallets.get(&call.account).filter(|wallet| wallet.home != call.condominium.0) {
            return not(Code::NotHome, call.condominium.0.into(), wallet.home.into());
        }
        let today = self.now / 86_400_000;
        let sold_ever: u128 = self.treasuries.values().map(|treasury| u128::from(treasury.minted)).sum();
        let treasury = self.treasuries.get_mut(&call.condominium.0).expect("asked above");
        if call.sale != treasury.next_sale {
            return not(Code::WrongSaleNumber, treasury.next_sale, call.sale);
        }
        let sold_today = if treasury.mint_day == today { treasury.minted_today } else { 0 };
        if u128::from(sold_today) + u128::from(amount) > u128::from(treasury.cap) {
            return not(Code::MintCapExceeded, treasury.cap, sold_today.saturating_add(amount));
        }
        if sold_ever + u128::from(amount) > MOST_TOKENS {
            return no(Code::Overflow);
        }
        treasury.minted += amount;
        treasury.next_sale += 1;
        treasury.mint_day = today;
        treasury.minted_today = sold_today + amount;
        let mut events = Vec::new();
        if !self.wallets.contains_key(&call.account) {
            events.push(self.add_account(call.account, call.condominium));
        }
        let to_debt = Amount::from_micro(self.credit(&call.account, amount));
        let SellTokens { condominium, account, amount, sale, payment: _ } = *call;
        events.push(Event::TokensSold { condominium, account, amount, to_debt, sale });
        Ok(events)
    }

    /// Gives tokens: debt first, then balance; says how much paid back debt.
    pub fn credit(&mut self, account: &Address, amount: u64) -> u64 {
        let wallet = self.wallets.get_mut(account).expect("registered");
        let to_debt = amount.min(wallet.debt);
        wallet.debt -= to_debt;
        wallet.balance += amount - to_debt;
        to_debt
    }

    pub fn request_redeem(&mut self, sender: &Sender, call: &RequestRedeem) -> Ruling<Vec<Event>> {
        let amount = call.amount.micro();
        if amount == 0 {
            return no(Code::ZeroValue);
        }
        let wallet = self.wallets.get_mut(&sender.account).ok_or(Code::UnknownAccount)?;
        if wallet.balance < amount {
            return not(Code::InsufficientFunds, amount, wallet.balance);
        }
        wallet.balance -= amount;
        let redemption = RedemptionId(sender.id.0);
        self.payouts.insert(redemption, Payout { account: sender.account, amount, requested_at: self.now, payee: call.payee });
        Ok(vec![Event::RedemptionRequested { redemption, account: sender.account, amount: call.amount }])
    }

    pub fn confirm_redeem(&mut self, sender: &Sender, call: &ConfirmRedeem) -> Ruling<Vec<Event>> {
        let redemption = call.redemption;
        let payout = self.payouts.get(&redemption).ok_or(Code::UnknownRedemption)?.clone();
        let home = self.wallets[&payout.account].home;
        self.only(home, Role::Treasurer, sender)?;
        self.payouts.remove(&redemption);
        let (account, amount) = (payout.account, Amount::from_micro(payout.amount));
        Ok(vec![match call.answer {
            RedeemAnswer::Paid { .. } => {
                self.treasuries.get_mut(&home).expect("a home").redeemed += payout.amount;
                Event::RedemptionPaid { redemption, account, amount }
            }
            RedeemAnswer::Refused => {
                self.wallets.get_mut(&account).expect("registered").balance += payout.amount;
                Event::RedemptionRefused { redemption, account, amount }
            }
        }])
    }

    pub fn transfer(&mut self, sender: &Sender, call: &Transfer) -> Ruling<Vec<Event>> {
        let amount = call.amount.micro();
        if amount == 0 {
            return no(Code::ZeroValue);
        }
        let from = self.wallets.get(&sender.account).ok_or(Code::UnknownAccount)?.clone();
        if call.to == sender.account {
            return no(Code::SelfTransfer);
        }
        let to = self.wallets.get(&call.to).ok_or(Code::UnknownAccount)?.clone();
        if from.balance < amount {
            return not(Code::InsufficientFunds, amount, from.balance);
        }
        self.room_between(from.home, to.home, amount)?;
        self.wallets.get_mut(&sender.account).expect("registered").balance -= amount;
        self.wallets.get_mut(&call.to).expect("registered").balance += amount;
        let mut events = vec![Event::Transferred { from: sender.account, to: call.to, amount: call.amount }];
        events.extend(self.post(from.home, to.home, amount));
        self.count_abroad(from.home, to.home, [0, 0, 0, 1, amount]);
        Ok(events)
    }

    /// Whether a creditor lets a debtor owe so much more, all open escrows and unconfirmed payments between them included.
    pub fn room_between(&self, debtor: u32, creditor: u32, amount: u64) -> Ruling {
        if debtor == creditor {
            return Ok(());
        }
        let limit = i128::from(self.treasuries[&creditor].position_limit).min(1 << 62);
        let owed = self.owes(debtor, creditor) + i128::from(self.pending(debtor, creditor)) + i128::from(amount);
        let with_payments = owed + i128::from(self.unpaid(debtor, creditor));
        // What only reduces the other's debt is never refused.
        if owed <= 0 || with_payments <= limit {
            return Ok(());
        }
        let owed = with_payments;
        let owed = u64::try_from(owed).unwrap_or(u64::MAX);
        not(Code::PositionLimit, u64::try_from(limit).expect("not negative"), owed)
    }

    /// Lets a debtor owe a creditor so much more.
    pub fn post(&mut self, debtor: u32, creditor: u32, amount: u64) -> Option<Event> {
        if debtor == creditor || amount == 0 {
            return None;
        }
        let (pair, signed) =
            if debtor < creditor { ((debtor, creditor), i128::from(amount)) } else { ((creditor, debtor), -i128::from(amount)) };
        *self.positions.entry(pair).or_default() += signed;
        let (debtor, creditor) = (CondominiumId(debtor), CondominiumId(creditor));
        Some(Event::PositionPosted { debtor, creditor, amount: Amount::from_micro(amount) })
    }

    pub fn grant_role(&mut self, sender: &Sender, call: &GrantRole) -> Ruling<Vec<Event>> {
        let (from, until) = (call.from.0, call.until.map(|until| until.0));
        if let Some(until) = until.filter(|until| *until <= from) {
            return not(Code::InvalidRange, from, until);
        }
        let site = call.condominium.0;
        self.only(site, Role::Manager, sender)?;
        if !self.wallets.contains_key(&call.account) {
            return no(Code::UnknownAccount);
        }
        let key = (site, call.role, call.account);
        let mut begin = from;
        if let Some(term) = self.terms.get(&key) {
            let continues = term.until == Some(from);
            let ended = term.until.is_some_and(|until| until <= self.height);
            if continues {
                begin = term.from;
            } else if !ended {
                return no(Code::RoleAlreadyGranted);
            }
        }
        let managers = self.standing(site, self.height);
        let notice = if call.role == Role::Treasurer && managers.len() > 1 { self.params.notice_heights.max(1) } else { 1 };
        if from < self.height + notice {
            return not(Code::NoticeTooShort, self.height + notice, from);
        }
        self.terms.insert(key, Term { from: begin, until });
        let GrantRole { condominium, role, account, from, until } = *call;
        Ok(vec![Event::RoleGranted { condominium, role, account, from, until }])
    }

    /// Managers who hold their role at a height and do not leave by themselves.
    pub fn standing(&self, site: u32, height: u64) -> Vec<Address> {
        let managers = self.terms.iter().filter(|((condominium, role, _), _)| *condominium == site && *role == Role::Manager);
        managers.filter(|(_, term)| term.until.is_none() && term.covers(height)).map(|((_, _, address), _)| *address).collect()
    }

    pub fn revoke_role(&mut self, sender: &Sender, call: &RevokeRole) -> Ruling<Vec<Event>> {
        let site = call.condominium.0;
        self.only(site, Role::Manager, sender)?;
        let key = (site, call.role, call.account);
        let term = *self.terms.get(&key).ok_or(Code::RoleNotGranted)?;
        if call.until.0 <= self.height {
            return not(Code::NoticeTooShort, self.height + 1, call.until.0);
        }
        if term.until.is_some_and(|until| until <= call.until.0) {
            return no(Code::RoleNotGranted);
        }
        if call.role == Role::Manager && self.standing(site, call.until.0).iter().all(|manager| *manager == call.account) {
            return no(Code::LastManager);
        }
        if call.until.0 <= term.from {
            self.terms.remove(&key);
        } else {
            self.terms.insert(key, Term { until: Some(call.until.0), ..term });
        }
        let RevokeRole { condominium, role, account, until } = *call;
        Ok(vec![Event::RoleRevoked { condominium, role, account, until: Height(until.0) }])
    }

    pub fn put_group(&mut self, sender: &Sender, call: &PutGroup) -> Ruling<Vec<Event>> {
        let (site, number) = (call.group.condominium.0, call.group.number);
        if call.parent == Some(number) {
            return no(Code::GroupCycle);
        }
        self.only(site, Role::Manager, sender)?;
        if call.parent.is_some_and(|parent| !self.groups.contains_key(&(site, parent))) {
            return no(Code::UnknownGroup);
        }
        let above = self.path(site, call.parent);
        if above.contains(&number) {
            return no(Code::GroupCycle);
        }
        let limit = phases(call.limit);
        let all: Vec<u32> = self.groups.keys().filter(|(condominium, _)| *condominium == site).map(|(_, group)| *group).collect();
        // How many groups the longest way from this one downwards has, itself included.
        let below = all.iter().filter_map(|group| self.path(site, Some(*group)).iter().position(|on_way| *on_way == number)).max();
        let height = below.map_or(1, |below| below + 1);
        if above.len() + height > 8 {
            return not(Code::GroupDepth, 8, (above.len() + height) as u64);
        }
        let exists = self.groups.contains_key(&(site, number));
        if !exists && all.len() >= 256 {
            return no(Code::TooMany);
        }
        let (mut granted, mut reserved, mut old_above) = ([0; 3], [0; 3], Vec::new());
        if exists {
            granted = self.granted((site, number));
            reserved = self.reserved((site, number));
            old_above = self.path(site, Some(number));
        }
        within(reserved, limit)?;
        for group in above.iter().filter(|group| !old_above.contains(group)) {
            let there = plus(self.granted((site, *group)), self.reserved((site, *group)));
            within(plus(there, plus(granted, reserved)), self.groups[&(site, *group)].limit)?;
        }
        self.groups.insert((site, number), Limit { parent: call.parent, limit });
        let mut events = vec![Event::GroupPut { group: call.group, limit: call.limit }];
        while within(plus(self.granted((site, number)), self.reserved((site, number))), limit).is_err() {
            let newest = self.newest_in(site, number);
            self.pause(newest);
            events.push(Event::SessionPaused { session: newest, reason: PauseReason::GroupLimit });
        }
        Ok(events)
    }

    /// The session with the newest grant in a group and below it.
    fn newest_in(&self, site: u32, group: u32) -> SessionId {
        let inside = self.charges.iter().filter(|(_, charge)| {
            let in_group = charge.connector.0 == site && self.path(site, Some(self.points[&charge.connector].group)).contains(&group);
            in_group && charge.current != [0; 3]
        });
        let newest = inside.max_by_key(|(_, charge)| charge.grant_place);
        *newest.expect("somebody holds the current that is too much").0
    }

    pub fn put_connector(&mut self, sender: &Sender, call: &PutConnector) -> Ruling<Vec<Event>> {
        let id = (call.connector.condominium.0, call.connector.number);
        let (site, rated) = (id.0, phases(call.rated));
        if rated == [0; 3] {
            return no(Code::InvalidConnector);
        }
        if let Some(most) = rated.iter().find(|ma| **ma > 1_000_000) {
            return not(Code::InvalidConnector, 1_000_000, *most);
        }
        self.only(site, Role::Manager, sender)?;
        let minimum = u64::from(self.params.min_current.get());
        if let Some(least) = rated.iter().find(|ma| **ma > 0 && **ma < minimum) {
            return not(Code::InvalidConnector, minimum, *least);
        }
        if !self.groups.contains_key(&(site, call.group)) {
            return no(Code::UnknownGroup);
        }
        if !self.tariffs.contains_key(&(site, call.tariff)) {
            return no(Code::UnknownTariff);
        }
        if call.plug_signal == PlugSignal::None {
            // What may be billed from now on: the version in force and those that are announced.
            let first = self.in_force((site, call.tariff)).unwrap_or(1);
            let parks =
                |(number, (_, tariff)): &(u32, &(u64, Tariff))| *number >= first && prices::has(tariff, TariffDimension::ParkingTime);
            if let Some((number, _)) = (1..).zip(&self.tariffs[&(site, call.tariff)]).find(parks) {
                return Err(Rejection { code: Code::PlugNotReported, expected: None, found: Some(number.into()) });
            }
        }
        let old = self.points.get(&id).cloned();
        if let (Some(old), Some(_)) = (&old, self.session_on(id)) {
            let same = old.group == call.group
                && old.control == call.control
                && old.plug_signal == call.plug_signal
                && old.rated == rated
                && old.tariff == call.tariff;
            if !same {
                return no(Code::ConnectorBusy);
            }
        }
        if old.is_none() && self.points.keys().filter(|(condominium, _)| *condominium == site).count() >= 4_096 {
            return no(Code::TooMany);
        }
        if call.control == Control::MeterOnly {
            for group in self.path(site, Some(call.group)) {
                let there = plus(self.granted((site, group)), self.reserved((site, group)));
                let before = old.as_ref().filter(|old| old.control == Control::MeterOnly);
                let before = before.filter(|old| self.path(site, Some(old.group)).contains(&group)).map_or([0; 3], |old| old.rated);
                let limit = self.groups[&(site, group)].limit;
                for phase in 0..3 {
                    let sum = there[phase] - before[phase] + rated[phase];
                    if rated[phase] > before[phase] && sum > limit[phase] {
                        return not(Code::GroupLimit, limit[phase], sum);
                    }
                }
            }
        }
        let point = Point {
            group: call.group,
            control: call.control,
            plug_signal: call.plug_signal,
            rated,
            tariff: call.tariff,
            service: call.service,
            fault: None,
            register: old.as_ref().map_or(0, |old| old.register),
            unassigned: old.as_ref().map_or(0, |old| old.unassigned),
        };
        self.points.insert(id, point);
        Ok(vec![Event::ConnectorPut { connector: call.connector }])
    }

    pub fn put_tariff(&mut self, sender: &Sender, call: &PutTariff) -> Ruling<Vec<Event>> {
        judge_document(&call.document)?;
        let id = (call.tariff.condominium.0, call.tariff.number);
        self.only(id.0, Role::Manager, sender)?;
        let versions = self.tariffs.get(&id).cloned().unwrap_or_default();
        if u64::from(call.version) != versions.len() as u64 + 1 {
            return not(Code::WrongTariffVersion, versions.len() as u64 + 1, call.version.into());
        }
        let from = call.valid_from.ms();
        if from < self.now {
            return not(Code::InvalidRange, self.now, from);
        }
        if let Some((latest, _)) = versions.last().filter(|(latest, _)| from < *latest) {
            return not(Code::InvalidRange, *latest, from);
        }
        let announced = versions.iter().filter(|(from, _)| *from > self.now).count();
        if from > self.now && announced >= 8 {
            return not(Code::TooMany, 8, announced as u64 + 1);
        }
        if prices::has(&call.document, TariffDimension::ParkingTime) {
            let blind =
                |((site, _), point): &(&Local, &Point)| *site == id.0 && point.tariff == id.1 && point.plug_signal == PlugSignal::None;
            if let Some(((_, number), _)) = self.points.iter().find(blind) {
                return Err(Rejection { code: Code::PlugNotReported, expected: None, found: Some((*number).into()) });
            }
        }
        self.tariffs.entry(id).or_default().push((from, call.document.clone()));
        let PutTariff { tariff, version, .. } = *call;
        let tariff = TariffId::new(tariff.condominium, tariff.number);
        Ok(vec![Event::TariffPut { tariff, version, valid_from: Timestamp::from_ms(from) }])
    }
}

/// Whether every phase is within its limit.
fn within(sum: Phases, limit: Phases) -> Ruling {
    match (0..3).find(|phase| sum[*phase] > limit[*phase]) {
        Some(phase) => not(Code::GroupLimit, limit[phase], sum[phase]),
        None => Ok(()),
    }
}

fn judge_document(tariff: &Tariff) -> Ruling {
    if !prices::ZONES.contains(&tariff.time_zone.as_str()) {
        return no(Code::InvalidTariff);
    }
    if tariff.vat_basis_points > 10_000 {
        return not(Code::InvalidTariff, 10_000, tariff.vat_basis_points.into());
    }
    let (least, most) = (tariff.min_price.map(Amount::micro), tariff.max_price.map(Amount::micro));
    for price in [least, most].into_iter().flatten() {
        at_most(1_000_000_000, price)?;
    }
    if let (Some(least), Some(most)) = (least, most)
        && most < least
    {
        return not(Code::InvalidTariff, least, most);
    }
    at_most(7 * 86_400_000, tariff.parking_grace.ms())?;
    one_to(tariff.elements.len(), 32)?;
    for element in &tariff.elements {
        one_to(element.price_components.len(), 4)?;
        for (place, component) in element.price_components.iter().enumerate() {
            let again = element.price_components[..place].iter().any(|earlier| earlier.dimension == component.dimension);
            if again {
                return no(Code::InvalidTariff);
            }
            if component.price.micro() > 1_000_000_000 {
                return not(Code::InvalidTariff, 1_000_000_000, component.price.micro());
            }
        }
        let by = &element.restrictions;
        if let Some(minute) = [by.start_time, by.end_time].into_iter().flatten().find(|minute| *minute >= 1440) {
            return not(Code::InvalidTariff, 1439, minute.into());
        }
        if by.day_of_week.windows(2).any(|days| days[0] >= days[1]) {
            return no(Code::InvalidTariff);
        }
        let energy = (by.min_energy.map(|wh| wh.get()), by.max_energy.map(|wh| wh.get()));
        let power = (by.min_power.map(|watts| u64::from(watts.get())), by.max_power.map(|watts| u64::from(watts.get())));
        let duration = (by.min_duration.map(|span| span.ms()), by.max_duration.map(|span| span.ms()));
        for (least, most) in [energy, power, duration] {
            if most.is_some_and(|most| most <= least.unwrap_or(0)) {
                return not(Code::InvalidTariff, least.unwrap_or(0) + 1, most.unwrap_or(0));
            }
        }
        let once = element.price_components.iter().any(|component| component.dimension == TariffDimension::Flat);
        let later = energy.0.unwrap_or(0) > 0 || duration.0.unwrap_or(0) > 0;
        if once && (later || power != (None, None)) {
            return no(Code::InvalidTariff);
        }
    }
    Ok(())
}

fn at_most(most: u64, found: u64) -> Ruling {
    if found > most { not(Code::InvalidTariff, most, found) } else { Ok(()) }
}

fn one_to(found: usize, most: usize) -> Ruling {
    if found == 0 {
        return not(Code::InvalidTariff, 1, 0);
    }
    if found > most { not(Code::TooMany, most as u64, found as u64) } else { Ok(()) }
}
