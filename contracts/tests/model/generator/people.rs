//! Accounts, tokens and roles: what residents, treasurers and managers might send.

use chain::{
    crypto::{self, Domain},
    hash::Hash32,
    id::{Address, CondominiumId, Height, RedemptionId},
    quantity::Amount,
    record::Role,
    time::Timestamp,
};
use contracts::call::{
    Call, ConfirmRedeem, GrantRole, Invite, RedeemAnswer, RegisterAccount, RequestRedeem, RevokeRole, SellTokens, Transfer,
};
use rand::{Rng, seq::IndexedRandom};

use super::{Generator, HOUR, SITES, TOKEN};
use crate::ledger::Model;

impl Generator {
    pub(super) fn register(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let manager = if self.one_in(2) { Role::Manager } else { Role::Treasurer };
        let sender = self.staff(model, site, manager);
        let account = if self.people.len() < 60 && self.one_in(6) { self.person() } else { self.anybody() };
        (sender, Call::RegisterAccount(RegisterAccount { account, condominium: CondominiumId(site), invite: None }))
    }

    pub(super) fn invite(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let issuer = self.staff(model, site, Role::Manager);
        let account = if self.people.len() < 60 && self.one_in(2) { self.person() } else { self.anybody() };
        self.serial += 1;
        let serial = if self.one_in(4) { self.rng.random_range(0..self.serial) } else { self.serial };
        let expires = match self.rng.random_range(0..8) {
            0 => model.now - 1,
            1 => model.now,
            2 => model.now + 90 * 24 * HOUR,
            3 => model.now + 90 * 24 * HOUR + 1,
            _ => model.now + self.rng.random_range(0..90 * 24 * HOUR),
        };
        let expires = Timestamp::from_ms(expires);
        let condominium = CondominiumId(site);
        let signed_for = if self.one_in(10) { CondominiumId(self.pick(&SITES)) } else { condominium };
        let signed = Invite::bytes(model.chain_id, signed_for, issuer, serial, expires);
        let signature = crypto::sign(&self.keys[&issuer], Domain::Invite, &signed);
        let invite = Some(Invite { issuer, serial, expires, signature });
        let sender = if self.one_in(6) { self.anybody() } else { account };
        (sender, Call::RegisterAccount(RegisterAccount { account, condominium, invite }))
    }

    pub(super) fn sale(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let sender = self.staff(model, site, Role::Treasurer);
        let at_home: Vec<Address> =
            self.people.iter().filter(|who| model.wallets.get(who).is_some_and(|wallet| wallet.home == site)).copied().collect();
        let account = match self.rng.random_range(0..16) {
            0 => self.anybody(),
            1 if self.people.len() < 60 => self.person(),
            _ => at_home.choose(&mut self.rng).copied().unwrap_or(sender),
        };
        let next = model.treasuries.get(&site).map_or(1, |treasury| treasury.next_sale);
        let sale = if self.one_in(20) { next + 1 - u64::from(self.rng.random_range(0..3_u32)).min(next) } else { next };
        let amount = match self.rng.random_range(0..25) {
            0 => Amount::ZERO,
            1 | 2 => Amount::from_micro((1 << 62) + self.rng.random_range(1..1_000)),
            _ => self.amount(12 * TOKEN),
        };
        // All that may still be sold today, or one more.
        let rest = model.treasuries.get(&site).filter(|treasury| treasury.mint_day == model.now / (24 * HOUR));
        let rest = rest.map(|treasury| treasury.cap - treasury.minted_today).filter(|rest| *rest < 12 * TOKEN && *rest > 0);
        let amount = match rest {
            Some(rest) if self.one_in(4) => Amount::from_micro(rest + self.rng.random_range(0..2)),
            Some(_) | None => amount,
        };
        let payment = Hash32(self.rng.random());
        (sender, Call::SellTokens(SellTokens { condominium: CondominiumId(site), account, amount, sale, payment }))
    }

    fn balance_of(&self, model: &Model, who: &Address) -> u64 {
        model.wallets.get(who).map_or(0, |wallet| wallet.balance)
    }

    /// Something up to a balance, often all of it, sometimes more or nothing.
    fn part_of(&mut self, balance: u64) -> Amount {
        match self.rng.random_range(0..10) {
            0 => Amount::ZERO,
            1 => Amount::from_micro(balance + 1),
            2 => Amount::from_micro(balance),
            _ => self.amount(balance / 4),
        }
    }

    pub(super) fn redeem(&mut self, model: &Model) -> (Address, Call) {
        // Some have a balance and a debt at once.
        let debtor = model.wallets.iter().find(|(_, wallet)| wallet.debt > 0 && wallet.balance > 0).map(|(who, _)| *who);
        let sender = debtor.filter(|_| self.one_in(2)).unwrap_or_else(|| self.resident(model));
        let amount = self.part_of(self.balance_of(model, &sender));
        (sender, Call::RequestRedeem(RequestRedeem { amount, payee: Hash32(self.rng.random()) }))
    }

    pub(super) fn answer(&mut self, model: &Model) -> (Address, Call) {
        let pending: Vec<RedemptionId> = model.payouts.keys().copied().collect();
        let gone = self.one_in(10);
        let redemption = pending.choose(&mut self.rng).copied().filter(|_| !gone);
        let redemption = redemption.or_else(|| self.past_payouts.choose(&mut self.rng).copied()).unwrap_or(RedemptionId(Hash32::ZERO));
        let home = model.payouts.get(&redemption).map_or(1, |payout| model.wallets[&payout.account].home);
        let site = if self.one_in(10) { self.pick(&SITES) } else { home };
        let sender = self.staff(model, site, Role::Treasurer);
        let answer = if self.one_in(3) { RedeemAnswer::Refused } else { RedeemAnswer::Paid { payment: Hash32(self.rng.random()) } };
        (sender, Call::ConfirmRedeem(ConfirmRedeem { redemption, answer }))
    }

    pub(super) fn transfer(&mut self, model: &Model) -> (Address, Call) {
        let sender = self.resident(model);
        let to = if self.one_in(15) { sender } else { self.anybody() };
        let mut amount = self.part_of(self.balance_of(model, &sender));
        // All that the other home may still be owed, or one more.
        if let (Some(from), Some(payee)) = (model.wallets.get(&sender), model.wallets.get(&to))
            && from.home != payee.home
            && self.one_in(4)
        {
            let limit = i128::from(model.treasuries[&payee.home].position_limit);
            let taken = model.pending(from.home, payee.home) + model.unpaid(from.home, payee.home);
            let room = limit - model.owes(from.home, payee.home) - i128::from(taken);
            amount = Amount::from_micro(u64::try_from(room + self.rng.random_range(0..2)).unwrap_or(1));
        }
        (sender, Call::Transfer(Transfer { to, amount }))
    }

    fn role(&mut self) -> Role {
        self.pick(&[Role::Manager, Role::Manager, Role::Treasurer, Role::Gateway, Role::Scheduler, Role::Auditor])
    }

    pub(super) fn grant_role(&mut self, model: &Model) -> (Address, Call) {
        // A term that ends at this very height is over: another may be granted.
        let ends_now = model.terms.iter().find(|(_, term)| term.until == Some(model.height)).map(|(key, _)| *key);
        if let Some((site, role, account)) = ends_now
            && self.one_in(2)
        {
            let sender = self.staff(model, site, Role::Manager);
            let from = Height(model.height + self.rng.random_range(0..20));
            return (sender, Call::GrantRole(GrantRole { condominium: CondominiumId(site), role, account, from, until: None }));
        }
        let site = self.site();
        let sender = self.staff(model, site, Role::Manager);
        let (role, mut account) = (self.role(), self.anybody());
        let mut from = model.height + if self.one_in(3) { model.params.notice_heights } else { self.rng.random_range(0..5) };
        // Now and then a term is continued, or somebody asks again for what he has.
        let held: Vec<_> = model.terms.iter().filter(|((condominium, held, _), _)| (*condominium, *held) == (site, role)).collect();
        if self.one_in(3)
            && let Some(((_, _, holder), term)) = held.choose(&mut self.rng)
        {
            account = *holder;
            from = term.until.unwrap_or(from);
        }
        let until = match self.rng.random_range(0..6) {
            0 => Some(Height(from)),
            1 | 2 => Some(Height(from + self.rng.random_range(1..40))),
            _ => None,
        };
        (sender, Call::GrantRole(GrantRole { condominium: CondominiumId(site), role, account, from: Height(from), until }))
    }

    pub(super) fn revoke_role(&mut self, model: &Model) -> (Address, Call) {
        let site = self.site();
        let sender = self.staff(model, site, Role::Manager);
        let held: Vec<(Role, Address)> =
            model.terms.keys().filter(|(condominium, _, _)| *condominium == site).map(|(_, role, who)| (*role, *who)).collect();
        let standing = model.standing(site, model.height + 1);
        let (role, account) = match self.rng.random_range(0..8) {
            0 => (self.role(), self.anybody()),
            1 | 2 if !standing.is_empty() => (Role::Manager, self.pick(&standing)),
            _ => held.choose(&mut self.rng).copied().unwrap_or((Role::Auditor, sender)),
        };
        let mut until = Height(model.height + self.rng.random_range(0..15));
        // One that has not begun, at its very beginning.
        if let Some(term) = model.terms.get(&(site, role, account)).filter(|term| term.from > model.height)
            && self.one_in(2)
        {
            until = Height(term.from);
        }
        (sender, Call::RevokeRole(RevokeRole { condominium: CondominiumId(site), role, account, until }))
    }
}
