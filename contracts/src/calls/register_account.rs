//! `RegisterAccount`: makes an account: by a manager or treasurer of its home, or by the account itself with an invite that one of them signed.

use chain::{
    code::{Code, Rejection},
    codec,
    crypto::{self, Domain, Signature},
    id::{Address, ChainId, CondominiumId},
    quantity::Amount,
    receipt::Event,
    record::{Account, Key, Role, Signer, SignerScope},
    time::{Duration, Timestamp},
};
use serde::{Deserialize, Serialize};

use crate::{
    call::Action,
    context::{BlockContext, CallContext},
    failure::{Failure, Fault},
    ledger::Ledger,
    roles,
};

/// Makes an account: by a manager or treasurer of its home, or by the account itself with an invite that one of them signed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RegisterAccount {
    /// The account's own key.
    pub account: Address,
    /// Its home.
    pub condominium: CondominiumId,
    /// Given where the account registers itself; then the transaction is its own first, with nonce 0.
    pub invite: Option<Invite>,
}

/// A manager's or treasurer's promise to register whoever shows it first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Invite {
    /// Who signed it: a manager or treasurer of the condominium.
    pub issuer: Address,
    /// A number that the issuer never used before.
    #[serde(with = "chain::quantity::decimal")]
    pub serial: u64,
    /// The last block time at which it is good; at most 90 days after the block's.
    pub expires: Timestamp,
    /// Over [`Invite::bytes`], behind the invite's domain.
    pub signature: Signature,
}

/// How far ahead of the block an invite's expiry may lie: 90 days.
pub const MAX_INVITE_VALIDITY: Duration = Duration::from_hours(90 * 24);

/// The roles whose holders register others.
const REGISTRARS: [Role; 2] = [Role::Manager, Role::Treasurer];

impl Invite {
    /// What the issuer signs.
    #[must_use]
    pub fn bytes(chain_id: ChainId, condominium: CondominiumId, issuer: Address, serial: u64, expires: Timestamp) -> Vec<u8> {
        codec::encode(&(chain_id, condominium, issuer, serial, expires)).unwrap_or_default()
    }
}

impl Action for RegisterAccount {
    fn name(&self) -> &'static str {
        "register_account"
    }

    fn check(&self) -> Result<(), Rejection> {
        Ok(())
    }

    /// A self-registration writes the signer with nonce 0; that it has used one is for block execution to write.
    fn apply(&self, context: &CallContext<'_>, ledger: &mut Ledger<'_>) -> Result<(), Failure> {
        match &self.invite {
            Some(invite) => {
                if self.account != context.account || self.account != context.signer {
                    return Err(Code::NotAllowed.into());
                }
                check_invite(ledger, context.block, &self.account, self.condominium, invite)?;
            }
            None => {
                roles::require_any(ledger, context, self.condominium, &REGISTRARS)?;
                check_free(ledger, &self.account)?;
            }
        }

        // every check is done: from here on only writes
        if let Some(invite) = &self.invite {
            ledger.put(&Key::Invite(invite.issuer, invite.serial), &invite.expires)?;
        }
        register(ledger, &self.account, self.condominium)?;
        Ok(())
    }
}

/// Whether an account may register itself with an invite, in this block.
///
/// Block validity asks it too: the transaction's signer is not registered yet, and whoever shows a bad invite must not fill blocks with rejections.
///
/// # Errors
/// In this order: [`Code::UnknownCondominium`]; [`Code::AccountExists`]; [`Code::NotAllowed`] where the issuer is neither manager nor treasurer at this height;
/// [`Code::Expired`] with the expiry as expected and the block's time as found; [`Code::OverLimit`] for an expiry more than [`MAX_INVITE_VALIDITY`] ahead;
/// [`Code::NotAllowed`] for a serial that was used; [`Code::BadSignature`].
pub fn check_invite(
    ledger: &Ledger<'_>,
    block: &BlockContext,
    account: &Address,
    condominium: CondominiumId,
    invite: &Invite,
) -> Result<(), Failure> {
    let Invite { issuer, serial, expires, ref signature } = *invite;
    if !ledger.has(&Key::Condominium(condominium))? {
        return Err(Code::UnknownCondominium.into());
    }
    check_free(ledger, account)?;
    if !roles::holds_any(ledger, block.height, condominium, &REGISTRARS, &issuer)? {
        return Err(Code::NotAllowed.into());
    }
    if expires < block.timestamp {
        return Err(Rejection::of(Code::Expired, expires.ms(), block.timestamp.ms()).into());
    }
    let latest = block.timestamp.saturating_add(MAX_INVITE_VALIDITY);
    if expires > latest {
        return Err(Rejection::of(Code::OverLimit, latest.ms(), expires.ms()).into());
    }
    if ledger.has(&Key::Invite(issuer, serial))? {
        return Err(Code::NotAllowed.into());
    }
    let signed = Invite::bytes(block.chain_id, condominium, issuer, serial, expires);
    crypto::verify(&issuer, Domain::Invite, &signed, signature).map_err(|_| Code::BadSignature.into())
}

/// Whether an address is neither an account nor a key that signs for one.
///
/// # Errors
/// [`Code::AccountExists`].
pub fn check_free(ledger: &Ledger<'_>, address: &Address) -> Result<(), Failure> {
    if ledger.has(&Key::Account(*address))? || ledger.has(&Key::Signer(*address))? {
        return Err(Code::AccountExists.into());
    }
    Ok(())
}

/// An account as it begins: nothing in it, and no credit.
#[must_use]
pub const fn empty_account(home: CondominiumId) -> Account {
    Account { home, balance: Amount::ZERO, held: Amount::ZERO, debt: Amount::ZERO, credit_limit: Amount::ZERO }
}

/// Writes a new account and its own key, after [`check_free`].
///
/// # Errors
/// [`Fault`] as [`Ledger::put`].
pub fn register(ledger: &mut Ledger<'_>, address: &Address, home: CondominiumId) -> Result<(), Fault> {
    ledger.put(&Key::Account(*address), &empty_account(home))?;
    ledger.put(&Key::Signer(*address), &Signer { account: *address, scope: SignerScope::Owner, nonce: 0 })?;
    ledger.emit(Event::AccountRegistered { account: *address, home });
    Ok(())
}

#[cfg(test)]
mod tests {
    use chain::{id::Height, record::RoleGrant};
    use ed25519_dalek::SigningKey;

    use super::*;
    use crate::testing::{AWAY, AWAY_STAFF, Fixture, GATEWAY, HOME, MANAGER, NOON, RESIDENT, STRANGER, TREASURER};

    const DAY: Duration = Duration::from_hours(24);

    fn by_registrar(account: Address) -> RegisterAccount {
        RegisterAccount { account, condominium: HOME, invite: None }
    }

    /// A federation with a manager of [`HOME`] who has a real key, that key and his address.
    fn with_issuer() -> (Fixture, SigningKey, Address) {
        let mut chain = Fixture::new();
        let key = SigningKey::from_bytes(&[33; 32]);
        let issuer = crypto::address_of(&key);
        chain.put(&Key::Account(issuer), &empty_account(HOME));
        chain.put(&Key::Role(HOME, Role::Manager, issuer), &RoleGrant { from: chain.height, until: None });
        (chain, key, issuer)
    }

    fn invite(chain: &Fixture, key: &SigningKey, serial: u64, expires: Timestamp) -> Invite {
        let issuer = crypto::address_of(key);
        let bytes = Invite::bytes(chain.block().chain_id, HOME, issuer, serial, expires);
        Invite { issuer, serial, expires, signature: crypto::sign(key, Domain::Invite, &bytes) }
    }

    fn check(chain: &Fixture, invite: &Invite) -> Result<(), Failure> {
        check_invite(&Ledger::new(&chain.state), &chain.block(), &STRANGER, HOME, invite)
    }

    #[test]
    fn a_manager_and_a_treasurer_register_an_empty_account_with_its_own_key() {
        for registrar in [MANAGER, TREASURER] {
            let mut chain = Fixture::new();
            let events = chain.applies(registrar, &by_registrar(STRANGER));
            assert_eq!(events, [Event::AccountRegistered { account: STRANGER, home: HOME }]);
            assert_eq!(chain.account(STRANGER), empty_account(HOME));
            let signer = Signer { account: STRANGER, scope: SignerScope::Owner, nonce: 0 };
            assert_eq!(chain.get(&Key::Signer(STRANGER)), Some(signer));
        }
    }

    #[test]
    fn refuses_other_registrars_and_known_accounts() {
        let mut chain = Fixture::new();
        let nowhere = RegisterAccount { condominium: CondominiumId(9), ..by_registrar(STRANGER) };
        assert_eq!(chain.rejects(MANAGER, &nowhere), Code::UnknownCondominium.into());
        for other in [RESIDENT, GATEWAY, AWAY_STAFF] {
            assert_eq!(chain.rejects(other, &by_registrar(RESIDENT)), Code::NotAllowed.into());
        }
        assert_eq!(chain.rejects(MANAGER, &by_registrar(RESIDENT)), Code::AccountExists.into());
        chain.put(&Key::Signer(STRANGER), &Signer { account: RESIDENT, scope: SignerScope::Owner, nonce: 3 });
        assert_eq!(chain.rejects(MANAGER, &by_registrar(STRANGER)), Code::AccountExists.into());
    }

    #[test]
    fn an_invite_registers_its_bearer_once() {
        let (mut chain, key, issuer) = with_issuer();
        let invite = invite(&chain, &key, 7, NOON.saturating_add(DAY));
        let call = RegisterAccount { invite: Some(invite), ..by_registrar(STRANGER) };
        // Neither can somebody else use it for him, nor does an account that exists need one.
        assert_eq!(chain.rejects(MANAGER, &call), Code::NotAllowed.into());
        let known = RegisterAccount { account: RESIDENT, ..call };
        assert_eq!(chain.rejects(RESIDENT, &known), Code::AccountExists.into());

        let events = chain.applies(STRANGER, &call);
        assert_eq!(events, [Event::AccountRegistered { account: STRANGER, home: HOME }]);
        assert_eq!(chain.get(&Key::Invite(issuer, 7)), Some(invite.expires));
        let second = RegisterAccount { account: Address([99; 32]), ..call };
        assert_eq!(chain.rejects(second.account, &second), Code::NotAllowed.into());
    }

    #[test]
    fn another_key_of_the_account_cannot_register_it() {
        let (chain, key, _) = with_issuer();
        let call = RegisterAccount { invite: Some(invite(&chain, &key, 7, NOON)), ..by_registrar(STRANGER) };
        let block = chain.block();
        let context = CallContext { block: &block, index: 0, tx_id: chain.next_tx(), account: STRANGER, signer: RESIDENT };
        assert_eq!(call.apply(&context, &mut Ledger::new(&chain.state)), Err(Code::NotAllowed.into()));
    }

    #[test]
    fn an_invite_is_good_until_it_expires_and_ninety_days_ahead() {
        let (chain, key, _) = with_issuer();
        let last = NOON.saturating_add(Duration::from_hours(2_160));
        assert_eq!(check(&chain, &invite(&chain, &key, 7, NOON)), Ok(()));
        assert_eq!(check(&chain, &invite(&chain, &key, 7, last)), Ok(()));
        let past = NOON.saturating_sub(Duration::from_ms(1));
        let expired = Rejection::of(Code::Expired, past.ms(), NOON.ms());
        assert_eq!(check(&chain, &invite(&chain, &key, 7, past)), Err(expired.into()));
        let late = last.saturating_add(Duration::from_ms(1));
        let too_far = Rejection::of(Code::OverLimit, last.ms(), late.ms());
        assert_eq!(check(&chain, &invite(&chain, &key, 7, late)), Err(too_far.into()));
    }

    #[test]
    fn an_invite_needs_an_issuer_in_office_and_his_signature_over_every_value() {
        let (mut chain, key, issuer) = with_issuer();
        let good = invite(&chain, &key, 7, NOON.saturating_add(DAY));
        let wrong = [
            Invite { serial: 8, ..good },
            Invite { expires: NOON, ..good },
            Invite { issuer: MANAGER, ..good },
            Invite { signature: Signature([1; 64]), ..good },
            Invite { signature: crypto::sign(&key, Domain::Transaction, b"anything"), ..good },
        ];
        for wrong in wrong {
            assert_eq!(check(&chain, &wrong), Err(Code::BadSignature.into()), "{wrong:?}");
        }
        let ledger = Ledger::new(&chain.state);
        let elsewhere = |condominium| check_invite(&ledger, &chain.block(), &STRANGER, condominium, &good);
        assert_eq!(elsewhere(AWAY), Err(Code::NotAllowed.into()));
        assert_eq!(elsewhere(CondominiumId(9)), Err(Code::UnknownCondominium.into()));

        assert_eq!(check(&chain, &good), Ok(()));
        chain.put(&Key::Role(HOME, Role::Manager, issuer), &RoleGrant { from: Height(0), until: Some(chain.height) });
        assert_eq!(check(&chain, &good), Err(Code::NotAllowed.into()));
        chain.put(&Key::Role(HOME, Role::Treasurer, issuer), &RoleGrant { from: chain.height, until: None });
        assert_eq!(check(&chain, &good), Ok(()));
    }
}
