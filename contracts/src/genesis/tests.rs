//! Which documents are beginnings of a chain, at the edge of each rule.

use chain::time::Duration;

use super::*;

const HOME: CondominiumId = CondominiumId(1);
const MANAGER: Address = Address([1; 32]);
const REVENUE: Address = Address([2; 32]);
const VALIDATOR: Address = Address([3; 32]);
const STRANGER: Address = Address([9; 32]);

fn condominium(id: u32) -> GenesisCondominium {
    GenesisCondominium {
        id: CondominiumId(id),
        name: "TRO".to_owned(),
        revenue: REVENUE,
        mint_cap_per_day: Amount::MAX,
        position_limit: Amount::ZERO,
        roles: vec![GenesisRole { role: Role::Manager, account: MANAGER }],
    }
}

fn account(address: Address) -> GenesisAccount {
    GenesisAccount { address, home: HOME, credit_limit: Amount::ZERO }
}

/// One condominium, two accounts, one validator.
fn good() -> Genesis {
    Genesis {
        version: GENESIS_VERSION,
        network: "test".to_owned(),
        kind: NetworkKind::Test,
        timestamp: Timestamp::from_ms(0),
        currency: "EUR".to_owned(),
        params: Params::default(),
        condominiums: vec![condominium(1)],
        accounts: vec![account(MANAGER), account(REVENUE)],
        validators: vec![GenesisValidator { address: VALIDATOR, power: 1, condominium: HOME, network_key: Hash32([7; 32]) }],
    }
}

fn checked(change: impl FnOnce(&mut Genesis)) -> Result<(), GenesisError> {
    let mut genesis = good();
    change(&mut genesis);
    let checked = genesis.check();
    // What is no beginning has no state either.
    assert_eq!(genesis.state().map(|_| ()), checked);
    checked
}

#[test]
fn a_document_has_our_version_names_of_one_to_thirty_two_bytes_and_a_currency() {
    assert_eq!(good().check(), Ok(()));
    assert_eq!(checked(|genesis| genesis.version = 2), Err(GenesisError::Version { found: 2 }));
    for name in ["", &"n".repeat(33), "two\nlines", "TRO\u{202e}1", "TRO\u{2066}", "T\u{200b}RO", "\u{feff}TRO", "TRO\u{e0041}"] {
        assert_eq!(checked(|genesis| genesis.network = name.to_owned()), Err(GenesisError::Name(name.to_owned())));
        assert_eq!(checked(|genesis| genesis.condominiums[0].name = name.to_owned()), Err(GenesisError::Name(name.to_owned())));
    }
    for name in ["n".to_owned(), "n".repeat(32), "Łódź №2, Praça d'Água".to_owned(), "مجمع ٢".to_owned()] {
        assert_eq!(checked(|genesis| genesis.network = name), Ok(()));
    }
    for currency in ["EU", "EURO", "EUr", "€", ""] {
        assert_eq!(checked(|genesis| genesis.currency = currency.to_owned()), Err(GenesisError::Currency(currency.to_owned())));
    }
}

/// The message of a name with U+202E said that it had 1 to 32 bytes, and turned the line around.
#[test]
fn a_name_that_is_refused_is_told_with_its_bytes_and_cannot_turn_the_line_around() {
    let told = checked(|genesis| genesis.network = "TRO\u{202e}1".to_owned()).unwrap_err().to_string();
    assert!(told.contains("found 7 bytes: \"TRO\\u{202e}1\"") && told.contains("not seen") && !told.contains('\u{202e}'), "{told}");
}

#[test]
fn there_are_condominiums_and_accounts_and_not_too_many() {
    let count = |what, limit, found| Err(GenesisError::Count { what, limit, found });
    let condominiums = |number: u32| checked(|genesis| genesis.condominiums = (1..=number).map(condominium).collect());
    assert_eq!(condominiums(0), count("condominiums", 1_024, 0));
    assert_eq!(condominiums(1_025), count("condominiums", 1_024, 1_025));
    assert_eq!(condominiums(1_024), Ok(()));
    let accounts = |number: usize| checked(|genesis| genesis.accounts = vec![account(MANAGER); number]);
    assert_eq!(accounts(0), count("accounts", 100_000, 0));
    assert_eq!(accounts(100_001), count("accounts", 100_000, 100_001));
    assert_eq!(accounts(100_000), Err(GenesisError::AccountTwice(MANAGER)));
}

#[test]
fn whatever_is_named_is_listed_once_and_in_order() {
    for ids in [[1, 1], [2, 1]] {
        let order = checked(|genesis| genesis.condominiums = ids.map(condominium).to_vec());
        assert_eq!(order, Err(GenesisError::Order(HOME)));
    }
    let nowhere = CondominiumId(2);
    assert_eq!(checked(|genesis| genesis.accounts[1].home = nowhere), Err(GenesisError::UnknownCondominium(nowhere)));
    assert_eq!(checked(|genesis| genesis.validators[0].condominium = nowhere), Err(GenesisError::UnknownCondominium(nowhere)));
    assert_eq!(checked(|genesis| genesis.condominiums[0].revenue = STRANGER), Err(GenesisError::UnknownAccount(STRANGER)));
    assert_eq!(checked(|genesis| genesis.condominiums[0].roles[0].account = STRANGER), Err(GenesisError::UnknownAccount(STRANGER)));
    assert_eq!(checked(|genesis| genesis.condominiums[0].roles[0].role = Role::Treasurer), Err(GenesisError::NoManager(HOME)));
    assert_eq!(checked(|genesis| genesis.validators[0].network_key = Hash32(VALIDATOR.0)), Err(GenesisError::SharedKey(VALIDATOR)));
    assert_eq!(checked(|genesis| genesis.validators.clear()), Err(ValidatorSetError::Count(0).into()));
    assert_eq!(checked(|genesis| genesis.validators[0].power = 0), Err(ValidatorSetError::Power.into()));
}

#[test]
fn every_parameter_works_up_to_its_bounds() {
    let days = |days: u64, more_ms: u64| Duration::from_ms(days * 86_400_000 + more_ms);
    let refused = |change: &dyn Fn(&mut Params)| match checked(|genesis| change(&mut genesis.params)) {
        Ok(()) => None,
        Err(GenesisError::Parameter(rule)) => rule.split(' ').next(),
        Err(other) => panic!("{other}"),
    };
    for (bytes, rule) in [(69_631, Some("max_block_bytes")), (69_632, None), (4 << 20, None), ((4 << 20) + 1, Some("max_block_bytes"))] {
        assert_eq!(refused(&|params| params.max_block_bytes = bytes), rule, "{bytes}");
    }
    let shares = |resident, role| {
        refused(&|params| {
            params.resident_txs_per_block = resident;
            params.role_txs_per_block = role;
        })
    };
    assert_eq!(shares(0, 1), Some("resident_txs_per_block"));
    assert_eq!((shares(1, 1), shares(1, 2)), (None, None));
    assert_eq!(shares(2, 1), Some("role_txs_per_block"));
    for (due, rule) in [(0, Some("due_per_block")), (1, None), (10_000, None), (10_001, Some("due_per_block"))] {
        assert_eq!(refused(&|params| params.due_per_block = due), rule, "{due}");
    }
    for (drift_ms, rule) in [(0, Some("drift")), (1, None), (600_000, None), (600_001, Some("drift"))] {
        assert_eq!(refused(&|params| params.drift = Duration::from_ms(drift_ms)), rule, "{drift_ms}");
    }
    let lease_ms = Params::default().lease.ms();
    assert_eq!(refused(&|params| params.settle_grace = Duration::from_ms(lease_ms)), None);
    assert_eq!(refused(&|params| params.settle_grace = Duration::from_ms(lease_ms - 1)), Some("settle_grace"));
    for (span, rule) in [(Duration::ZERO, Some("queue_deadline")), (days(366, 0), None), (days(366, 1), Some("queue_deadline"))] {
        assert_eq!(refused(&|params| params.queue_deadline = span), rule, "{span:?}");
        assert_eq!(refused(&|params| params.max_duration = span), rule, "{span:?}");
    }
    assert_eq!(refused(&|params| params.max_spend = Amount::ZERO), Some("max_spend"));
}

#[test]
fn a_key_with_two_roles_in_one_condominium_is_told() {
    let mut genesis = good();
    assert_eq!(genesis.shared_roles(), []);
    let grant = |role, account| GenesisRole { role, account };
    genesis.condominiums[0].roles.push(grant(Role::Gateway, REVENUE));
    assert_eq!(genesis.shared_roles(), []);
    genesis.condominiums[0].roles.push(grant(Role::Scheduler, REVENUE));
    assert_eq!(genesis.shared_roles(), [(HOME, REVENUE, vec![Role::Gateway, Role::Scheduler])]);
}

#[test]
fn the_first_state_has_no_tokens_and_every_key_at_number_zero() {
    let genesis = good();
    let mut state = MemoryState::new();
    state.apply(&genesis.state().unwrap());
    let ledger = Ledger::new(&state);
    assert_eq!(ledger.get(&Key::Params), Ok(Some(genesis.params)));
    assert_eq!(ledger.get(&Key::Validators), Ok(Some(genesis.validator_set().unwrap())));
    assert_eq!(genesis.validator_set().unwrap().members(), [Validator { address: VALIDATOR, power: 1 }]);
    assert_eq!(ledger.get(&Key::Role(HOME, Role::Manager, MANAGER)), Ok(Some(RoleGrant { from: Height(0), until: None })));
    for address in [MANAGER, REVENUE] {
        let record = ledger.account(&address).unwrap().unwrap();
        assert_eq!((record.balance, record.held, record.debt, record.home), (Amount::ZERO, Amount::ZERO, Amount::ZERO, HOME));
        let signer = Signer { account: address, scope: SignerScope::Owner, nonce: 0 };
        assert_eq!(ledger.get(&Key::Signer(address)), Ok(Some(signer)));
    }
    // Params, validators, condominium, role, and two keys for each account.
    assert_eq!(state.len(), 8);
    assert_ne!(genesis.chain_id(), Genesis { timestamp: Timestamp::from_ms(1), ..good() }.chain_id());
}

#[test]
fn credit_limits_that_could_leave_the_range_of_numbers_make_no_chain() {
    let with_credit = |limits: [u64; 2]| {
        checked(|genesis| {
            for (account, limit) in genesis.accounts.iter_mut().zip(limits) {
                account.credit_limit = Amount::from_micro(limit);
            }
        })
    };
    let most = MAX_SUPPLY.micro();
    assert_eq!(with_credit([most - 1, 1]), Ok(()));
    assert_eq!(with_credit([most, 1]), Err(GenesisError::Credit { found: Amount::from_micro(most + 1) }));
    assert_eq!(with_credit([u64::MAX, 1]), Err(GenesisError::Credit { found: Amount::MAX }));
}
