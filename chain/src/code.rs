//! Rejection codes: why the chain, or a node before it, refuses what was asked.
//!
//! One enumeration with stable numbers, the same on every node and in every receipt: people ask "why was my session refused?", and the answer is on the
//! chain. A failure of one machine (its disk, a bug) is another type and never appears here. Called by `contracts`, the API and every client.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

macro_rules! codes {
    ($($(#[$group:meta])* $number:literal $name:ident $slug:literal $text:literal $advice:literal;)*) => {
        /// Why something was refused. Numbers are stable: appended, never reused.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Code {
            $(#[doc = $text] $name = $number,)*
        }

        impl Code {
            /// Every code, in ascending order of number.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The code of this number.
            #[must_use]
            pub const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }

            /// The stable number.
            #[must_use]
            pub const fn number(self) -> u16 {
                match self { $(Self::$name => $number,)* }
            }

            /// The stable name, `snake_case`.
            #[must_use]
            pub const fn slug(self) -> &'static str {
                match self { $(Self::$name => $slug,)* }
            }

            /// What is wrong, in lower case.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// What to do about it.
            #[must_use]
            pub const fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }
        }
    };
}

codes! {
    // 1–19: the transaction itself; one of these inside a block makes the block invalid.
    1 Malformed "malformed" "the bytes are no transaction of this protocol" "build the transaction with a client of the node's version";
    2 TooLarge "too_large" "the transaction is larger than the limit" "split the call into several";
    3 BadSignature "bad_signature" "the signature does not match the signer and the body" "sign the body's exact bytes with the signer's key";
    4 WrongChain "wrong_chain" "the transaction is for another chain" "ask the node for its chain id and sign again";
    5 WrongNonce "wrong_nonce" "the nonce is not the signer's next" "ask the node for the signer's next nonce and sign again";
    6 Expired "expired" "the transaction's time to enter a block is over" "sign again with a later expiry";
    7 ValidTooLong "valid_too_long" "the expiry is more than 24 hours after the block" "sign again with an earlier expiry";
    8 UnknownSigner "unknown_signer" "the signer is not registered for the account" "register the account, or sign with its own key";
    9 TooManyFromSigner "too_many_from_signer" "the signer has reached his limit of transactions in one block" "wait for the next block";
    // 20–39: accounts, tokens, roles.
    20 NotActive "not_active" "this call or value is not active at this height" "leave the value out, or wait for the upgrade";
    21 UnknownAccount "unknown_account" "the account is not registered" "check the address; a manager, an invite or a first sale registers an account";
    22 AccountExists "account_exists" "the account is registered already" "use the account as it is";
    23 NotAllowed "not_allowed" "the account does not hold the role, or is not the owner, that this needs" "ask a manager of the condominium for the role";
    24 UnknownCondominium "unknown_condominium" "there is no such condominium" "list the condominiums and choose one";
    25 ZeroValue "zero_value" "a value that must be greater than zero is zero" "give a value greater than zero";
    26 OverLimit "over_limit" "a value is over its limit" "stay within the limit";
    27 Overflow "overflow" "the result would exceed the range of the ledger" "use a smaller value";
    28 InsufficientFunds "insufficient_funds" "the account has less than this needs" "buy tokens, or spend less";
    29 SelfTransfer "self_transfer" "payer and payee are one account" "name another payee";
    30 WrongSaleNumber "wrong_sale_number" "the sale number is not the condominium's next" "ask for the next sale number: this sale may be booked already";
    31 MintCapExceeded "mint_cap_exceeded" "the sale exceeds what the condominium may sell in a day" "sell the rest tomorrow, or have the cap raised";
    32 NotHome "not_home" "the account's home is another condominium" "let the account's home condominium do it";
    33 UnknownRedemption "unknown_redemption" "there is no such pending redemption" "it may be confirmed already: look at the account";
    34 LastManager "last_manager" "the condominium would be left without a manager" "grant the role to another manager first";
    35 RoleAlreadyGranted "role_already_granted" "the account holds the role already" "nothing is left to do";
    36 RoleNotGranted "role_not_granted" "the account does not hold the role" "nothing is left to do";
    37 NoticeTooShort "notice_too_short" "the effective height is before the end of the notice period" "name a later height";
    38 InvalidRange "invalid_range" "the end is not after the beginning" "name an end after the beginning";
    39 PositionLimit "position_limit" "one condominium would owe another more than is allowed" "charge at home or with a smaller amount, or have the treasurers clear positions, pay, or raise the limit";
    // 40–59: groups, connectors, tariffs.
    40 UnknownGroup "unknown_group" "there is no such group" "list the groups and choose one";
    41 GroupCycle "group_cycle" "a group would be its own ancestor" "choose a parent outside the group";
    42 GroupDepth "group_depth" "the group would be nested deeper than allowed" "choose a parent nearer to the top";
    43 GroupLimit "group_limit" "the current would exceed the limit of a group" "grant less, or pause another session first";
    44 UnknownConnector "unknown_connector" "there is no such connector" "list the connectors and choose one";
    45 ConnectorBusy "connector_busy" "a session is open on the connector" "wait for its end, or choose another connector";
    46 ConnectorOutOfService "connector_out_of_service" "the connector is out of service" "choose another connector, or have a manager put it back";
    47 MeterOnly "meter_only" "the connector has no switch, so nothing can be granted, paused or resumed" "leave it alone: it meters by itself";
    48 UnknownTariff "unknown_tariff" "there is no such tariff version in force" "list the tariffs and choose one";
    49 WrongTariffVersion "wrong_tariff_version" "the version is not the tariff's next" "ask for the latest version and add one";
    50 StaleTariff "stale_tariff" "another version of the tariff is in force" "look at the new price and open the session with its version";
    51 InvalidTariff "invalid_tariff" "the tariff document breaks a rule" "see the tariff's documentation";
    52 TooMany "too_many" "a list is longer than allowed" "use fewer entries";
    53 InvalidConnector "invalid_connector" "the connector's values contradict one another" "give a rated current on at least one phase, between the minimum and the limit";
    54 PlugNotReported "plug_not_reported" "the tariff has a price for parking and the connector does not report its plug" "give the connector a tariff without PARKING_TIME, or a charger that reports its plug";
    55 MeterRegister "meter_register" "the old meter's last register is below what was accepted or, while a session is metered, not what was accepted last" "read the old meter again; while a session is metered, have the gateway attest that register first";
    // 60–79: sessions and the scheduler.
    60 UnknownSession "unknown_session" "there is no such open session" "it may be settled: look for its receipt";
    61 WrongSessionState "wrong_session_state" "the session is not in a state that allows this" "look at the session's state";
    62 ConnectorRating "connector_rating" "the current exceeds what the connector is rated for" "stay within the rating on every phase";
    63 BelowMinimumCurrent "below_minimum_current" "a current is neither zero nor at least the minimum" "grant at least 6 A on a phase, or none";
    64 SkipWithoutReason "skip_without_reason" "a session that waits longer is skipped without a reason" "grant in order, or name each skipped session with its reason";
    65 InvalidSkip "invalid_skip" "a skipped session is not waiting ahead of this one" "name only sessions that wait ahead, each once";
    66 SessionMismatch "session_mismatch" "the session is not open on that connector" "name the connector's own session";
    // 80–99: outcomes of single readings.
    80 ReadingFalling "reading_falling" "the register is lower than the one before" "check the meter; replace it by the call for that";
    81 ReadingGap "reading_gap" "a reading before this one is missing" "send the readings in order";
    82 ReadingReplay "reading_replay" "a reading of this sequence number was accepted already" "nothing is left to do";
    83 ReadingBackwards "reading_backwards" "the reading is older than the one before" "send the readings in order of time";
    84 ReadingAhead "reading_ahead" "the reading is from the future" "set the gateway's clock";
    85 ReadingImpossible "reading_impossible" "the energy is more than electricity could have brought" "check the meter and the connector's rating";
    86 ReadingNotMetering "reading_not_metering" "the session is not metering" "read only sessions that were granted current";
    87 ReadingAfterStop "reading_after_stop" "the reading is later than the stop allows" "settle the session";
    88 ReadingBeforeGrant "reading_before_grant" "the reading is from before the session's first grant" "read at or after the grant";
    89 ReadingNotYours "reading_not_yours" "the session is of a condominium where the account is no gateway, or no longer" "send it with a key that is gateway there now: list the roles";
    // 100–109: clearing between condominiums.
    100 UnknownPayment "unknown_payment" "there is no such unpaid payment between condominiums" "it may be confirmed already: list the payments of the clearing";
    101 PaymentReported "payment_reported" "the payment is reported as sent already" "wait for the creditor's treasurer to answer";
    102 PaymentNotReported "payment_not_reported" "nobody has reported the payment as sent" "have the debtor's treasurer report it first";
    103 NothingToClear "nothing_to_clear" "nothing has moved between condominiums since the last clearing" "nothing is left to do";
    // 110–119: automatic start.
    110 NoMandate "no_mandate" "the account has granted no mandate for this condominium" "grant a mandate from the account's wallet";
    111 MandateExpired "mandate_expired" "the mandate is over" "grant a new mandate from the account's wallet";
    112 MandateConnector "mandate_connector" "the mandate is not for this connector" "charge at a connector that it names, or grant it for this one";
    113 MandateSession "mandate_session" "the session would lock more than the mandate allows for one" "lock less, or grant a mandate for more";
    114 MandateDay "mandate_day" "the sessions of this day would cost more than the mandate allows" "wait for the next day (UTC), or grant a mandate for more";
    115 MandatePrice "mandate_price" "the tariff has a higher price than the mandate accepts" "charge elsewhere, or grant a mandate that accepts it";
    116 UnknownCard "unknown_card" "no such card is bound in this condominium" "have a manager bind the card";
    117 CardBound "card_bound" "the card's commitment is bound already" "bind the card under a new key";
    118 NothingToConfirm "nothing_to_confirm" "no such start waits for the account's confirmation" "show the card again, and confirm within ten minutes";
    // 120–129: keys that contradict themselves.
    120 RoleSuspended "role_suspended" "the gateway's key has contradicted itself and is suspended there" "have a manager appoint another key, or lift the suspension";
    121 NoContradiction "no_contradiction" "the two statements are no attestations of one key that contradict each other" "give two signed attestations of one account with a reading of the same session and number that cannot both be true";
    122 EvidenceTooOld "evidence_too_old" "the readings are older than 90 days, or from before a suspension that was lifted" "nothing is left to do";
    123 AlreadySuspended "already_suspended" "the account is suspended there already" "nothing is left to do";
    124 NotSuspended "not_suspended" "the account is not suspended there" "nothing is left to do";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.slug())
    }
}

/// Its slug in JSON, its number in two bytes on the wire.
impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.serialize_str(self.slug()) } else { self.number().serialize(serializer) }
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let slug = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
            Self::ALL.iter().copied().find(|code| code.slug() == slug).ok_or_else(|| D::Error::custom(format!("unknown code {slug:?}")))
        } else {
            let number = u16::deserialize(deserializer)?;
            Self::from_number(number).ok_or_else(|| D::Error::custom(format!("unknown code {number}")))
        }
    }
}

/// A refusal with the numbers that explain it; part of the receipt, so its form is fixed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rejection {
    /// Why.
    pub code: Code,
    /// The value, bound or unit count that was expected, where the code has one.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::openapi::Decimal>))]
    pub expected: Option<u64>,
    /// The value that was found.
    #[serde(with = "crate::quantity::decimal")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<crate::openapi::Decimal>))]
    pub found: Option<u64>,
}

impl Rejection {
    /// A refusal that needs no numbers.
    #[must_use]
    pub const fn new(code: Code) -> Self {
        Self { code, expected: None, found: None }
    }

    /// A refusal of `found` where `expected` was wanted or is the bound.
    #[must_use]
    pub const fn of(code: Code, expected: u64, found: u64) -> Self {
        Self { code, expected: Some(expected), found: Some(found) }
    }
}

impl From<Code> for Rejection {
    fn from(code: Code) -> Self {
        Self::new(code)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code.text())?;
        if let Some(expected) = self.expected {
            write!(f, "; expected {expected}")?;
        }
        if let Some(found) = self.found {
            write!(f, ", found {found}")?;
        }
        write!(f, ": {}", self.code.advice())
    }
}

impl std::error::Error for Rejection {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_ascending() {
        for pair in Code::ALL.windows(2) {
            assert!(pair[0].number() < pair[1].number(), "{pair:?}");
        }
        let mut slugs: Vec<_> = Code::ALL.iter().map(|code| code.slug()).collect();
        slugs.sort_unstable();
        slugs.dedup();
        assert_eq!(slugs.len(), Code::ALL.len());
    }
}
