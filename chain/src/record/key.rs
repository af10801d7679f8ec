//! The keys of the state.

use super::Role;
use crate::{
    id::{Address, CardId, CondominiumId, ConnectorId, GroupId, Height, RedemptionId, SessionId, TariffId},
    time::Timestamp,
};

/// A key of the state: a table and an id in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// [`Account`].
    Account(Address),
    /// [`Signer`].
    Signer(Address),
    /// [`Condominium`].
    Condominium(CondominiumId),
    /// [`RoleGrant`].
    Role(CondominiumId, Role, Address),
    /// [`Group`].
    Group(GroupId),
    /// [`Connector`].
    Connector(ConnectorId),
    /// [`TariffHead`].
    TariffHead(TariffId),
    /// [`TariffVersion`].
    TariffVersion(TariffId, u32),
    /// [`Session`].
    Session(SessionId),
    /// A waiting session ([`SessionId`]) in its group, in order of arrival: height and index in the block of its opening.
    Queue(GroupId, Height, u32),
    /// An open session at its next deadline; the value is empty.
    Due(Timestamp, SessionId),
    /// [`Redemption`].
    Redemption(RedemptionId),
    /// What the first condominium owes the second ([`Amount`]); of a pair at most one direction is there.
    Position(CondominiumId, CondominiumId),
    /// A used invite by its issuer and serial; the value is its expiry ([`Timestamp`]).
    Invite(Address, u64),
    /// [`crate::params::Params`].
    Params,
    /// [`crate::certificate::ValidatorSet`] of the next height.
    Validators,
    /// What open sessions may yet make the first condominium owe the second ([`Amount`]): the sum of their escrows; absent where it is zero.
    PendingPosition(CondominiumId, CondominiumId),
    /// [`super::SessionTimes`] of an open session whose tariff has a price for time.
    SessionTimes(SessionId),
    /// [`super::Roaming`] of accounts of the first condominium where the second is paid; absent where there was none since the last clearing.
    Roaming(CondominiumId, CondominiumId),
    /// [`super::ClearingHead`].
    ClearingHead,
    /// [`super::Clearing`] of this number.
    Clearing(u32),
    /// [`super::Payment`] that the first condominium has to make to the second after the clearing of this number.
    Payment(CondominiumId, CondominiumId, u32),
    /// [`super::Mandate`] of an account for a condominium.
    Mandate(Address, CondominiumId),
    /// [`super::Card`] that is bound in a condominium.
    Card(CondominiumId, CardId),
    /// [`super::MandateDay`] of an account in a condominium; absent where no session was ever started under a mandate.
    MandateDay(Address, CondominiumId),
    /// [`super::MandateUse`] of an open session that was started under a mandate.
    MandateUse(SessionId),
    /// [`super::AskedStart`] at a connector, the last one; a lapsed one stays until the next.
    AskedStart(ConnectorId),
    /// [`super::MeterProposal`] for a connector, the last one; a lapsed one stays until the next.
    MeterProposal(ConnectorId),
    /// [`super::Meter`] of a connector; absent where it has its first.
    Meter(ConnectorId),
    /// [`super::Suspension`] of a gateway in a condominium, in force or lifted.
    Suspension(CondominiumId, Address),
}

impl Key {
    /// The key's bytes.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.table()];
        let condominium = |id: CondominiumId| id.0.to_be_bytes();
        match self {
            Self::Account(address) | Self::Signer(address) => bytes.extend(address.0),
            Self::Condominium(id) => bytes.extend(condominium(*id)),
            Self::Role(id, role, address) => {
                bytes.extend(condominium(*id));
                bytes.push(role.number());
                bytes.extend(address.0);
            }
            Self::Group(id) => {
                bytes.extend(condominium(id.condominium));
                bytes.extend(id.number.to_be_bytes());
            }
            Self::Connector(id) | Self::AskedStart(id) | Self::MeterProposal(id) | Self::Meter(id) => {
                bytes.extend(condominium(id.condominium));
                bytes.extend(id.number.to_be_bytes());
            }
            Self::TariffHead(id) => {
                bytes.extend(condominium(id.condominium));
                bytes.extend(id.number.to_be_bytes());
            }
            Self::TariffVersion(id, version) => {
                bytes.extend(condominium(id.condominium));
                bytes.extend(id.number.to_be_bytes());
                bytes.extend(version.to_be_bytes());
            }
            Self::Session(id) | Self::SessionTimes(id) | Self::MandateUse(id) => bytes.extend(id.0.0),
            Self::Queue(id, height, index) => {
                bytes.extend(condominium(id.condominium));
                bytes.extend(id.number.to_be_bytes());
                bytes.extend(height.0.to_be_bytes());
                bytes.extend(index.to_be_bytes());
            }
            Self::Due(at, id) => {
                bytes.extend(at.ms().to_be_bytes());
                bytes.extend(id.0.0);
            }
            Self::Redemption(id) => bytes.extend(id.0.0),
            Self::Position(debtor, creditor) | Self::PendingPosition(debtor, creditor) | Self::Roaming(debtor, creditor) => {
                bytes.extend(condominium(*debtor));
                bytes.extend(condominium(*creditor));
            }
            Self::Clearing(number) => bytes.extend(number.to_be_bytes()),
            Self::Payment(debtor, creditor, clearing) => {
                bytes.extend(condominium(*debtor));
                bytes.extend(condominium(*creditor));
                bytes.extend(clearing.to_be_bytes());
            }
            Self::Invite(issuer, serial) => {
                bytes.extend(issuer.0);
                bytes.extend(serial.to_be_bytes());
            }
            Self::Mandate(address, id) | Self::MandateDay(address, id) => {
                bytes.extend(address.0);
                bytes.extend(condominium(*id));
            }
            Self::Suspension(id, address) => {
                bytes.extend(condominium(*id));
                bytes.extend(address.0);
            }
            Self::Card(id, card) => {
                bytes.extend(condominium(*id));
                bytes.extend(card.0.0);
            }
            Self::Params | Self::Validators | Self::ClearingHead => {}
        }
        bytes
    }

    /// The first byte of the key; one per table, never reused.
    #[must_use]
    pub const fn table(&self) -> u8 {
        match self {
            Self::Account(..) => 1,
            Self::Signer(..) => 2,
            Self::Condominium(..) => 3,
            Self::Role(..) => 4,
            Self::Group(..) => 5,
            Self::Connector(..) => 6,
            Self::TariffHead(..) => 7,
            Self::TariffVersion(..) => 8,
            Self::Session(..) => 9,
            Self::Queue(..) => 10,
            Self::Due(..) => 11,
            Self::Redemption(..) => 12,
            Self::Position(..) => 13,
            Self::Invite(..) => 14,
            Self::Params => 15,
            Self::Validators => 16,
            Self::PendingPosition(..) => 17,
            Self::SessionTimes(..) => 18,
            Self::Roaming(..) => 19,
            Self::ClearingHead => 20,
            Self::Clearing(..) => 21,
            Self::Payment(..) => 22,
            Self::Mandate(..) => 23,
            Self::Card(..) => 24,
            Self::MandateDay(..) => 25,
            Self::MandateUse(..) => 26,
            Self::AskedStart(..) => 27,
            Self::MeterProposal(..) => 28,
            Self::Meter(..) => 29,
            Self::Suspension(..) => 30,
        }
    }
}
