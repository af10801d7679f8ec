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
