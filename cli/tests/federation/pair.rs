//! Two condominiums on one chain, block by block as a test wants it, and what a node would say of it.

use chain::{
    api::{AccountView, CommittedTransaction, CondominiumView, PaymentState, PaymentView, Status, Submitted},
    id::{Height, TxId},
    receipt::Outcome,
    record::{Key, Payment, Signer},
    transaction::SignedBytes,
};
use contracts::ledger::Ledger;

use super::*;

pub const THERE: CondominiumId = CondominiumId(2);

/// Keys by their seeds: who serves [`HERE`] in every role, who is at home there, who manages [`THERE`] and sells there, and who is at home there.
pub const STAFF: u8 = 2;
pub const RESIDENT: u8 = 3;
pub const AWAY: u8 = 4;
pub const VISITOR: u8 = 5;

pub fn key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

pub fn address(seed: u8) -> Address {
    crypto::address_of(&key(seed))
}

pub const fn tokens(amount: u64) -> Amount {
    Amount::from_micro(amount * 1_000_000)
}

pub struct Pair {
    chain: Federation,
    /// Milliseconds since the beginning; a block every second.
    now: u64,
}

impl Pair {
    /// One block has been: a group, a tariff of 0.25 a kWh and connector 1 stand at [`HERE`], and its resident has bought 50 tokens.
    pub fn new() -> Self {
        let mut chain = Federation::with("pair", 4, |genesis| {
            let limit = tokens(30);
            genesis.condominiums[0].position_limit = limit;
            genesis.condominiums.push(GenesisCondominium {
                id: THERE,
                name: "THERE".to_owned(),
                revenue: address(AWAY),
                mint_cap_per_day: tokens(1_000),
                position_limit: limit,
                roles: [Role::Manager, Role::Treasurer].map(|role| GenesisRole { role, account: address(AWAY) }).to_vec(),
            });
            let at_home = |seed| GenesisAccount { address: address(seed), home: THERE, credit_limit: Amount::ZERO };
            genesis.accounts.extend([AWAY, VISITOR].map(at_home));
        });
        let energy = PriceComponent { dimension: TariffDimension::Energy, price: Amount::from_micro(250_000) };
        chain.set_up(
            Tariff {
                time_zone: "UTC0".to_owned(),
                elements: vec![TariffElement { price_components: vec![energy], restrictions: TariffRestrictions::default() }],
                min_price: None,
                max_price: None,
                vat_basis_points: 0,
                parking_grace: Duration::ZERO,
            },
            50,
        );
        Self { chain, now: 1_000 }
    }

    /// The next block, of calls that are all applied; their ids.
    pub fn block<const N: usize>(&mut self, calls: [(u8, Call); N]) -> [TxId; N] {
        let signed = calls.map(|(by, call)| self.chain.signed(&key(by), call));
        self.now += 1_000;
        let receipts = self.chain.block(self.now, &signed, &[]);
        assert!(receipts.iter().all(|receipt| receipt.outcome == Outcome::Applied), "{receipts:?}");
        signed.map(|transaction| transaction.get().id())
    }

    /// The visitor charges for an hour at connector 1: 3.6 kWh. The session and what settled it.
    pub fn visits(&mut self) -> (SessionId, TxId) {
        let open = OpenSession {
            connector: ConnectorId::new(HERE, 1),
            tariff_version: 1,
            max_spend: tokens(5),
            max_duration: Duration::from_hours(8),
            energy_target: None,
            state_of_charge: None,
            depart_by: None,
            window: None,
            priority: Priority::None,
        };
        let [opened] = self.block([(VISITOR, Call::OpenSession(open))]);
        let session = SessionId(opened.0);
        let grant = GrantCharge { session, current: Currents::from_ma([16_000, 0, 0]), skipped: Vec::new() };
        self.block([(STAFF, Call::GrantCharge(grant))]);
        let read = |now: u64, sequence, register, flags| {
            let at = Timestamp::from_ms(START + now);
            let (session, register_wh, power_w) = (session, WattHours::new(register), Watts::new(3_600));
            let reading = Reading { session, sequence, at, register_wh, power_w, flags, samples_root: Hash32::ZERO, sample_count: 0 };
            Call::Attest(Attest { readings: vec![reading] })
        };
        let first = read(self.now, 1, 1_000, ReadingFlags::NONE);
        self.block([(STAFF, first)]);
        self.now += 3_600_000;
        let last = read(self.now, 2, 4_600, ReadingFlags::VEHICLE_FULL);
        let settle = Call::SettleSession(SettleSession { session });
        let [_, settled] = self.block([(STAFF, last), (STAFF, settle)]);
        (session, settled)
    }

    /// An attestation that was signed and is on no chain.
    pub fn attested(&self, by: u8, register: u64) -> SignedBytes {
        let reading = Reading {
            session: SessionId(Hash32([9; 32])),
            sequence: 1,
            at: Timestamp::from_ms(START + self.now),
            register_wh: WattHours::new(register),
            power_w: Watts::ZERO,
            flags: ReadingFlags::NONE,
            samples_root: Hash32::ZERO,
            sample_count: 0,
        };
        let call = Call::Attest(Attest { readings: vec![reading] });
        let (chain_id, account) = (self.chain.parent.chain_id, address(by));
        let body = Body { chain_id, account, signer: account, nonce: 0, valid_until: Timestamp::from_ms(START), call };
        SignedBytes(Transaction::sign(body, &key(by)).expect("small").bytes().to_vec())
    }

    /// The hash and the addresses of the validators, in the set's order.
    pub fn validators(&self) -> (Hash32, Vec<Address>) {
        let set = &self.chain.parent.validators;
        (set.hash(), set.members().iter().map(|member| member.address).collect())
    }

    pub fn chain_id(&self) -> chain::id::ChainId {
        self.chain.parent.chain_id
    }

    /// The chain as an export.
    pub fn finish(self) -> Vec<u8> {
        self.chain.finish().0
    }

    /// Puts a transaction into the next block, whatever becomes of it, as `POST /transactions` answers.
    pub fn submit(&mut self, bytes: &[u8]) -> Submitted {
        let transaction = Transaction::decode(bytes).expect("a transaction");
        let (id, signed) = (transaction.id(), VerifiedTransaction::verify(transaction).expect("signed"));
        self.now += 1_000;
        let receipt = self.chain.block(self.now, &[signed], &[]).swap_remove(0);
        let (height, timestamp) = (self.height(), self.chain.parent.timestamp);
        Submitted { id, committed: Some(CommittedTransaction { height, index: 0, timestamp, receipt }) }
    }

    fn height(&self) -> Height {
        self.chain.parent.height
    }

    fn ledger(&self) -> Ledger<'_> {
        Ledger::new(&self.chain.state)
    }

    /// As `GET /status` answers, with what a client looks at.
    pub fn status(&self, like: Status) -> Status {
        let (height, now) = (self.height(), self.chain.parent.timestamp);
        Status { network: "pair".to_owned(), chain_id: self.chain_id(), height, timestamp: now, now, ..like }
    }

    /// As `GET /accounts/{address}` answers, without roles.
    pub fn account(&self, address: Address) -> AccountView {
        let account = self.ledger().account(&address).expect("in memory").expect("registered");
        let signer = self.ledger().get::<Signer>(&Key::Signer(address)).expect("in memory");
        AccountView { address, account, available: account.balance, next_nonce: signer.map_or(0, |signer| signer.nonce), roles: Vec::new() }
    }

    /// As `GET /condominiums` answers, without sums of accounts.
    pub fn condominiums(&self) -> Vec<CondominiumView> {
        [HERE, THERE]
            .map(|id| CondominiumView {
                id,
                condominium: self.ledger().condominium(id).expect("in memory").expect("of genesis"),
                balance: Amount::ZERO,
                held: Amount::ZERO,
                debt: Amount::ZERO,
                owed_to: Amount::ZERO,
                owed_by: Amount::ZERO,
                conserved: true,
            })
            .to_vec()
    }

    /// As `GET /payments` answers, of the first clearing.
    pub fn payments(&self) -> Vec<PaymentView> {
        let of = |debtor, creditor| {
            let payment: Payment = self.ledger().get(&Key::Payment(debtor, creditor, 1)).expect("in memory")?;
            let state = payment.report.map_or(PaymentState::Due, |report| PaymentState::Reported { at: report.at });
            Some(PaymentView { clearing: 1, debtor, creditor, amount: payment.amount, state })
        };
        [of(HERE, THERE), of(THERE, HERE)].into_iter().flatten().collect()
    }
}
