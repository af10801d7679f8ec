#!/usr/bin/env python3
"""Writes the golden vectors of `chain`: values and their bytes, hashes, signatures, certificates, proofs; good ones, and bad ones with their errors.

It shares no code with the Rust crate; the Rust tests read what it wrote. `./dev vectors` makes the files again. Bytes are hexadecimal digits, values are
shown as the API shows them (`json`); `error` is the kind of refusal. Formats are described in wire.py and nouns.py.
"""

import struct

import proofs
from nouns import *
from wire import *

U32_MAX, U64_MAX, U128_MAX = 2**32 - 1, 2**64 - 1, 2**128 - 1
ALICE, BOB, CAROL = address(1), address(2), address(3)


def digest(number):
    return derive("header", bytes([number]))


values, spoilt = [], []


def add(name, kind_name, kind, value, spoil=False, **extra):
    values.append(dict(type=kind_name, **good(name, kind, value, **extra)))
    if spoil:
        for what, data, error in spoiled(kind, value):
            spoilt.append(dict(type=kind_name, **bad(f"{name}: {what}", data, error)))


# ---- the format itself ----------------------------------------------------------------------------------------------------------------------------------


def primitives():
    add("no", "bool", Bool(), False)
    add("yes", "bool", Bool(), True, spoil=True)
    for number in (0, 1, 255):
        add(f"u8 {number}", "u8", U8, number)
    for number in (0, 258, U32_MAX):
        add(f"u32 {number}", "u32", U32, number)
    for number in (0, 2**53 + 1, U64_MAX):
        add(f"u64 {number}", "u64", Int(64), number)
    for number in (0, 2**64, U128_MAX):
        add(f"cost of {number} parts", "Cost", COST, number)
    for number in (0, 12_500_000, U64_MAX):
        add(f"{number} micro-tokens", "Amount", AMOUNT, number)
    add("no number", "Option<u32>", Option(U32), None)
    add("a number", "Option<u32>", Option(U32), 7, spoil=True)
    add("no text", "String", Text(), "")
    add("text of several bytes a letter", "String", Text(), "Bodø, Tromsø, Évora ⚡", spoil=True)
    add("no numbers", "Vec<u32>", List(U32), [])
    add("numbers", "Vec<u32>", List(U32), [1, 0, U32_MAX], spoil=True)
    add("bytes", "Vec<u8>", Blob(), bytes(range(5)))
    add("a phase each", "Currents", CURRENTS, [16000, 0, U32_MAX])
    for code in CODES:
        add(f"code {code}", "Code", Code(), code, spoil=code == "malformed")
    add("connector 1-17", "ConnectorId", ID, (1, 17))
    add("the last connector", "ConnectorId", ID, (U32_MAX, U32_MAX))
    for seed in (1, 2, 255):
        add(f"the key of seed {seed}", "Address", ADDRESS, address(seed))
    add("thirty-two zeros", "Address", ADDRESS, ZERO)
    long_list = List(U32)
    spoilt.append(dict(type="Vec<u32>", **bad("longer than the reader allows", encode(long_list, list(range(300))), "too_long", limit=1207)))
    values.append(dict(type="Vec<u32>", **good("exactly as long as the reader allows", long_list, list(range(300)), limit=1208)))


# ---- records ----------------------------------------------------------------------------------------------------------------------------------------------

LOCAL_DAY = dict(start_time=None, end_time=None, day_of_week=[], min_energy=None, max_energy=None, min_power=None, max_power=None, min_duration=None,
                 max_duration=None)
PLAIN = dict(time_zone="UTC0", elements=[dict(price_components=[dict(dimension="ENERGY", price=250_000)], restrictions=LOCAL_DAY)], min_price=None,
             max_price=None, vat_basis_points=0, parking_grace=0)
DAYS = [name for name, _ in DAY.variants]
FULL = dict(
    time_zone="CET-1CEST,M3.5.0,M10.5.0/3",
    elements=[
        dict(price_components=[dict(dimension=dimension, price=10**i) for i, dimension in enumerate(("ENERGY", "TIME", "PARKING_TIME", "FLAT"))],
             restrictions=dict(start_time=0, end_time=1439, day_of_week=DAYS, min_energy=0, max_energy=U64_MAX, min_power=1, max_power=U32_MAX,
                               min_duration=0, max_duration=U64_MAX)),
        dict(price_components=[], restrictions=LOCAL_DAY | dict(start_time=1320, end_time=420, day_of_week=["SATURDAY", "SUNDAY"])),
    ],
    min_price=0, max_price=U64_MAX, vat_basis_points=2500, parking_grace=900_000)
NO_COST = dict(energy=0, time=0, parking_time=0, flat=0)
QUEUED = dict(
    account=ALICE, connector=(1, 1), tariff=(1, 1), tariff_version=1, opened_at=1767614400000, opened_height=5, opened_index=2, escrow=10_000_000,
    max_duration=36_000_000, hints=dict(energy_target=None, state_of_charge=None, depart_by=None), state="queued", due=1767700800000,
    first_granted_at=None, granted=[0, 0, 0], granted_height=5, granted_index=2, meter=None, cost=NO_COST, billed_at_limit=None)
BUSY = QUEUED | dict(
    hints=dict(energy_target=20_000, state_of_charge=100, depart_by=1767650000000), first_granted_at=1767614460000, granted=[16000, 16000, 16000],
    granted_height=6, granted_index=U32_MAX,
    meter=dict(start=1000, sequence=3, at=1767618060000, register=12_040, power=11_040, samples=60),
    cost=dict(energy=11_040 * 250_000 * 36_000_000, time=0, parking_time=0, flat=36_000_000_000_000_000))
DEFAULTS = dict(
    max_block_bytes=262_144, resident_txs_per_block=16, role_txs_per_block=512, due_per_block=1000, drift=10_000, settle_grace=3_600_000,
    lease=300_000, queue_deadline=86_400_000, max_duration=259_200_000, max_spend=1_000_000_000, min_current=6000, notice_heights=1000,
    heartbeat=600_000)


def records():
    stored = []

    def put(name, table, parts, value):
        kind = TABLES[table][2]
        entry = good(name, kind, value)
        stored.append(dict(table=table, parts=[part.hex() if isinstance(part, bytes) else part for part in parts], key=key(table, *parts).hex(), **entry))
        if table not in (record["table"] for record in stored[:-1]):
            for what, data, error in spoiled(kind, value):
                refused.append(dict(table=table, **bad(f"{name}: {what}", data, error)))

    refused = []
    put("an account with everything", "account", [ALICE],
        dict(home=1, balance=100_000_000, held=10_000_000, debt=2, credit_limit=50_000_000))
    put("the largest account", "account", [ZERO], dict(home=U32_MAX, balance=U64_MAX, held=U64_MAX, debt=U64_MAX, credit_limit=U64_MAX))
    put("an empty account", "account", [b"\xff" * 32], dict(home=0, balance=0, held=0, debt=0, credit_limit=0))
    put("an account's own key", "signer", [ALICE], dict(account=ALICE, scope="Owner", nonce=7))
    put("a key that has signed much", "signer", [BOB], dict(account=ALICE, scope="Owner", nonce=U64_MAX))
    tro = dict(name="TRO", revenue=CAROL, mint_cap_per_day=10**9, position_limit=0, minted=5 * 10**8, redeemed=10**6, next_sale=12, mint_day=20458,
               minted_today=3 * 10**8)
    put("a condominium", "condominium", [1], tro)
    put("a condominium with a long name", "condominium", [U32_MAX], tro | dict(name="ø" * 16, position_limit=U64_MAX))
    for number, role in enumerate(ROLES):
        put(f"a {role} for good", "role", [1, role, ALICE], {"from": 0, "until": None})
        put(f"a {role} for a while", "role", [2 + number, role, BOB], {"from": 10, "until": U64_MAX})
    put("a group at the top", "group", [1, 1], dict(parent=None, limit=[80_000] * 3, granted=[0, 16_000, 32_000], reserved=[10_000, 0, 0]))
    put("a group below it", "group", [1, 258], dict(parent=1, limit=[0, 0, U32_MAX], granted=[0, 0, 0], reserved=[0, 0, U32_MAX]))
    post = dict(group=2, control="switched", plug_signal="reported", rated=[32_000] * 3, tariff=1, service="in_service", fault=None, session=digest(9),
                last_register=123_456_789, unassigned=42)
    put("a connector in use", "connector", [1, 17], post)
    put("a meter alone", "connector", [1, 4], post | dict(control="meter_only", plug_signal="none", rated=[0, 0, 10_000], session=None))
    for fault, _ in FAULT.variants:
        put(f"a connector with {fault}", "connector", [2, len(stored)], post | dict(service="out_of_service", fault=fault, session=None))
    put("a tariff's newest version", "tariff_head", [1, 1], dict(latest=3))
    put("the least tariff", "tariff_version", [1, 1, 1], dict(valid_from=0, tariff=PLAIN))
    put("a tariff that says everything", "tariff_version", [1, 2, U32_MAX], dict(valid_from=U64_MAX, tariff=FULL))
    put("a waiting session", "session", [digest(1)], QUEUED)
    put("a charging session", "session", [digest(2)], BUSY | dict(state="charging"))
    put("a paused session", "session", [digest(3)], BUSY | dict(state="paused", granted=[0, 0, 0]))
    put("a full one that stays", "session", [digest(4)], BUSY | dict(state="idle", billed_at_limit=0))
    for reason, content in END_REASON.variants:
        for fault, _ in FAULT.variants if content else [(None, None)]:
            end = {reason: fault} if fault else reason
            put(f"a session that ended by {fault or reason}", "session", [digest(len(stored))],
                BUSY | dict(state=dict(stopping=dict(reason=end, at=1767620000000)), billed_at_limit=U64_MAX, cost=dict(NO_COST, energy=U128_MAX)))
    put("a place in the queue", "queue", [1, 2, 5, 2], digest(1))
    put("the last place in the queue", "queue", [U32_MAX, U32_MAX, U64_MAX, U32_MAX], digest(2))
    put("a deadline", "due", [1767700800000, digest(1)], None)
    put("a deadline that never comes", "due", [U64_MAX, digest(1)], None)
    put("a redemption", "redemption", [digest(5)], dict(account=BOB, amount=5_000_000, requested_at=1767614400000, payee=digest(6)))
    put("a large redemption", "redemption", [digest(7)], dict(account=BOB, amount=U64_MAX, requested_at=0, payee=ZERO))
    put("a debt between condominiums", "position", [1, 2], 30_000_000)
    put("the largest debt", "position", [U32_MAX, 0], U64_MAX)
    put("a used invite", "invite", [ALICE, 4], 1767700800000)
    put("the last invite", "invite", [ALICE, U64_MAX], U64_MAX)
    put("the first parameters", "params", [], DEFAULTS)
    put("a quiet federation's parameters", "params", [], DEFAULTS | dict(heartbeat=0, notice_heights=U64_MAX, max_spend=U64_MAX))
    put("one validator", "validators", [], [dict(address=ALICE, power=1)])
    put("four validators", "validators", [],
        sorted((dict(address=address(seed), power=seed) for seed in (11, 12, 13, 14)), key=lambda member: member["address"]))
    put("what open sessions may yet post", "pending_position", [2, 1], 10_000_000)
    put("the most that they may", "pending_position", [0, U32_MAX], U64_MAX)
    put("when a session held a grant", "session_times", [digest(2)],
        dict(granted=[{"from": 1767614460000, "until": 1767615000000}, {"from": 1767616000000, "until": None}], idle_since=None))
    put("since when one is full", "session_times", [digest(4)], dict(granted=[{"from": 0, "until": None}], idle_since=U64_MAX))
    put("one that waits for its first grant", "session_times", [digest(1)], dict(granted=[], idle_since=None))
    put("what residents did elsewhere", "roaming", [2, 1], dict(sessions=12, energy=340_000, charged=85_000_000, transfers=1, transferred=5_000_000))
    put("more than can be counted", "roaming", [0, U32_MAX], dict(sessions=U64_MAX, energy=U64_MAX, charged=U64_MAX, transfers=U64_MAX, transferred=U64_MAX))
    put("three clearings", "clearing_head", [], dict(latest=3))
    put("the first clearing", "clearing", [1], {"from": None, "until": 1767614400000, "height": 7, "index": 0})
    put("a later clearing", "clearing", [U32_MAX], {"from": 1767614400000, "until": U64_MAX, "height": U64_MAX, "index": U32_MAX})
    put("a payment that is due", "payment", [1, 2, 3], dict(amount=85_000_000, report=None))
    put("one that was sent", "payment", [U32_MAX, 0, U32_MAX], dict(amount=U64_MAX, report=dict(treasurer=ALICE, at=1767614400000, payment=digest(6))))
    terms = dict(max_per_session=10_000_000, max_per_day=20_000_000, max_price_per_kwh=300_000, max_price_per_hour=0, expires=1770206400000, connectors=[17, 3],
                 confirm_from=950)
    put("a mandate for two connectors", "mandate", [ALICE, 1], dict(terms=terms, granted_at=1767614400000))
    put("the widest mandate", "mandate", [ZERO, U32_MAX], dict(granted_at=U64_MAX, terms=dict.fromkeys(terms, U64_MAX) | dict(connectors=[U32_MAX] * 64, confirm_from=65_535)))
    put("a mandate for every connector", "mandate", [BOB, 0], dict(granted_at=0, terms=dict.fromkeys(terms, 0) | dict(connectors=[])))
    put("a card", "card", [1, digest(8)], dict(account=ALICE, bound_at=1767614400000))
    put("the last card", "card", [U32_MAX, b"\xff" * 32], dict(account=ZERO, bound_at=U64_MAX))
    put("what a day used", "mandate_day", [ALICE, 1], dict(day=20458, used=12_000_000))
    put("the most that a day can use", "mandate_day", [ZERO, U32_MAX], dict(day=U64_MAX, used=U64_MAX))
    put("what a card's session counts for", "mandate_use", [digest(1)], dict(card=digest(8), day=20458, amount=10_000_000))
    asked = dict(account=ALICE, card=digest(8), tariff_version=2, max_spend=10_000_000, max_duration=36_000_000, energy_target=8_000, until=1767615000000)
    put("a start that waits", "asked_start", [1, 17], asked)
    put("the largest one", "asked_start", [U32_MAX, U32_MAX], dict(account=ZERO, card=b"\xff" * 32, tariff_version=U32_MAX, max_spend=U64_MAX, max_duration=U64_MAX, energy_target=U64_MAX, until=U64_MAX))
    put("one of which no energy is known", "asked_start", [0, 0], asked | dict(energy_target=None))
    exchange = dict(account=ALICE, role="manager", last=1_234_567, first=3, until=1767700800000)
    put("an exchange that waits for the gateway", "meter_proposal", [1, 17], exchange)
    put("the largest one that waits for a manager", "meter_proposal", [U32_MAX, U32_MAX], dict(account=ZERO, role="gateway", last=U64_MAX, first=U64_MAX, until=U64_MAX))
    put("a second meter", "meter", [1, 17], dict(exchanges=1, first=3, base=1_234_567, since=1767614400000))
    put("the last meter", "meter", [U32_MAX, U32_MAX], dict(exchanges=U32_MAX, first=U64_MAX, base=U64_MAX, since=U64_MAX))
    put("a gateway that has contradicted itself", "suspension", [1, BOB], dict(since=7, session=digest(1), sequence=4, evidence=digest(44), lifted_at=None))
    put("one that is trusted again", "suspension", [U32_MAX, ZERO], dict(since=U64_MAX, session=b"\xff" * 32, sequence=U64_MAX, evidence=ZERO, lifted_at=U64_MAX))
    put("the most that one can count for", "mandate_use", [digest(2)], dict(card=ZERO, day=U64_MAX, amount=U64_MAX))
    assert {record["table"] for record in stored} == set(TABLES)
    save(__file__, "records.json", dict(good=stored, bad=refused))


# ---- receipts -------------------------------------------------------------------------------------------------------------------------------------------

BILL = dict(
    session=digest(1), account=ALICE, connector=(1, 17), tariff=(1, 1), tariff_version=2, opened_at=1767614400000, first_granted_at=1767614460000,
    ended_at=1767618060000, settled_at=1767618061000, reason="vehicle_full", settled_by="gateway", energy=11_040, energy_billed=11_040,
    cost=dict(NO_COST, energy=11_040 * 250_000 * 36_000_000), escrow=10_000_000, paid=2_760_000, refund=7_240_000, overdrawn=None, readings=3, samples=60)
EVENTS = [
    dict(account_registered=dict(account=ALICE, home=1)),
    dict(tokens_sold=dict(condominium=1, account=ALICE, amount=50_000_000, to_debt=0, sale=1)),
    dict(tokens_sold=dict(condominium=U32_MAX, account=ALICE, amount=U64_MAX, to_debt=U64_MAX, sale=U64_MAX)),
    dict(redemption_requested=dict(redemption=digest(2), account=BOB, amount=1)),
    dict(redemption_paid=dict(redemption=digest(2), account=BOB, amount=1)),
    dict(redemption_refused=dict(redemption=digest(2), account=BOB, amount=1)),
    dict(transferred={"from": ALICE, "to": BOB, "amount": 3_000_000}),
    dict(role_granted={"condominium": 1, "role": "gateway", "account": BOB, "from": 9, "until": None}),
    dict(role_granted={"condominium": 1, "role": "auditor", "account": BOB, "from": 9, "until": U64_MAX}),
    dict(role_revoked=dict(condominium=1, role="scheduler", account=BOB, until=10)),
    dict(group_put=dict(group=(1, 2), limit=[40_000] * 3)),
    dict(connector_put=dict(connector=(1, 17))),
    dict(tariff_put=dict(tariff=(1, 1), version=2, valid_from=1767700800000)),
    dict(session_opened=dict(session=digest(1), account=ALICE, connector=(1, 17), escrow=10_000_000)),
    dict(session_topped_up=dict(session=digest(1), amount=1, escrow=10_000_001)),
    dict(session_granted=dict(session=digest(1), current=[16_000, 0, 0])),
    dict(session_skipped=dict(session=digest(3), reason="not_enough_current")),
    *(dict(session_skipped=dict(session=digest(3), reason=reason)) for reason in ("later_departure", "lower_priority", "unit_lost")),
    *(dict(session_paused=dict(session=digest(1), reason=reason)) for reason, _ in PAUSE_REASON.variants),
    dict(reading_handled=dict(session=digest(1), sequence=1, refused=None)),
    dict(reading_handled=dict(session=digest(1), sequence=U64_MAX, refused="reading_impossible")),
    dict(energy_unassigned=dict(connector=(1, 17), energy=42)),
    *(dict(fault_reported=dict(connector=(1, 17), fault=fault, at=1767618000000)) for fault, _ in FAULT.variants),
    dict(session_stopping=dict(session=digest(1), reason="money", settle_by=1767621660000)),
    dict(session_stopping=dict(session=digest(1), reason=dict(anomaly="welded_relay"), settle_by=1767621660000)),
    dict(session_settled=BILL),
    dict(session_settled=BILL | dict(
        reason="gateway_lost", settled_by="chain", paid=10_000_000, refund=0, energy=44_160, energy_billed=40_000,
        cost=dict(energy=44_160 * 250_000 * 36_000_000, time=1, parking_time=2, flat=3), overdrawn=dict(energy=4_160, amount=1_040_000))),
    dict(session_settled=BILL | dict(reason="never_started", settled_by="chain", first_granted_at=None, energy=0, energy_billed=0, cost=NO_COST, paid=0,
                                     refund=10_000_000, readings=0, samples=0)),
    dict(position_posted=dict(debtor=2, creditor=1, amount=2_760_000)),
    dict(session_idle=dict(session=digest(4), since=1767620000000)),
    dict(positions_cleared={"clearing": 1, "condominium": 1, "from": None, "until": 1767614400000}),
    dict(positions_cleared={"clearing": U32_MAX, "condominium": U32_MAX, "from": 0, "until": U64_MAX}),
    dict(roaming_closed=dict(clearing=1, home=2, host=1, roaming=dict(sessions=12, energy=340_000, charged=85_000_000, transfers=1, transferred=5_000_000))),
    *(dict([(name, dict(clearing=3, debtor=1, creditor=2, amount=85_000_000))]) for name in ("payment_due", "payment_reported", "payment_received", "payment_missing")),
    dict(position_limit_set=dict(condominium=2, limit=500_000_000)),
    dict(mandate_granted=dict(account=ALICE, condominium=1, expires=1770206400000)),
    dict(mandate_revoked=dict(account=ALICE, condominium=U32_MAX)),
    dict(card_bound=dict(condominium=1, card=digest(8), account=ALICE)),
    dict(card_released=dict(condominium=1, card=digest(8), account=BOB)),
    dict(session_mandated=dict(session=digest(1), card=digest(8))),
    dict(start_asked=dict(account=ALICE, connector=(1, 17), card=digest(8), until=1767615000000)),
    dict(start_confirmed=dict(session=digest(1), card=digest(8))),
    dict(meter_proposed=dict(connector=(1, 17), account=ALICE, role="manager", last=1_234_567, first=3, until=1767700800000)),
    dict(meter_replaced=dict(connector=(1, 17), exchanges=1, last=1_234_567, first=3, register=1_234_567)),
    dict(role_suspended=dict(condominium=1, account=BOB, session=digest(1), sequence=4)),
    dict(suspension_lifted=dict(condominium=1, account=BOB)),
]
assert {name for event in EVENTS for name in event} == {name for name, _ in EVENT.variants}


def receipts():
    every = [dict(cause=dict(transaction=digest(40 + i)), outcome="applied", events=[event]) for i, event in enumerate(EVENTS)]
    every.append(dict(cause=dict(due=digest(1)), outcome="applied", events=EVENTS))
    for code, numbers in (("not_allowed", (None, None)), ("stale_tariff", (2, 1)), ("insufficient_funds", (U64_MAX, 0)), ("reading_not_yours", (None, 0))):
        rejected = dict(code=code, expected=numbers[0], found=numbers[1])
        every.append(dict(cause=dict(transaction=digest(90)), outcome=dict(rejected=rejected), events=[]))
    for receipt in every:
        what = next(iter(receipt["events"][0])) if receipt["events"] else receipt["outcome"]["rejected"]["code"]
        add(f"a receipt of {what}", "Receipt", RECEIPT, receipt, spoil=len(receipt["events"]) < 2, hash=derive("receipt leaf", encode(RECEIPT, receipt)).hex())
    leaves = [derive("receipt leaf", encode(RECEIPT, receipt)) for receipt in every]
    return [dict(name=f"{count} receipts", count=count, root=merkle_root(leaves[:count]).hex(),
                 receipts=[encode(RECEIPT, receipt).hex() for receipt in every[:count]]) for count in (0, 1, 2, 3, 7, len(every))]


# ---- headers, blocks, votes, certificates ---------------------------------------------------------------------------------------------------------------

CHAIN = derive("genesis", b"an example")


def header(**fields):
    return dict(version=1, chain_id=CHAIN, height=1, parent=CHAIN, history_root=history_root([]), timestamp=1767614400000, proposer=ALICE,
                transactions_root=merkle_root([]), receipts_root=merkle_root([]), state_root=ZERO, next_validators=digest(3)) | fields


def hash_of(some_header):
    return derive("header", encode(HEADER, some_header))


def blocks():
    examples = [
        ("the first header", header()),
        ("a later header", header(height=2**40, parent=digest(1), history_root=digest(2), timestamp=2**45, state_root=digest(4))),
        ("a header of the largest numbers", header(version=U32_MAX, height=U64_MAX, timestamp=U64_MAX)),
    ]
    for name, example in examples:
        add(name, "Header", HEADER, example, spoil=True, hash=hash_of(example).hex())
    # What a transaction's bytes are is not the block's matter.
    for transactions in ([], [b""], [b"\1\2\3"], [bytes([i]) * (100 + i) for i in range(5)]):
        root = merkle_root([derive("transaction leaf", transaction) for transaction in transactions])
        block = dict(header=header(transactions_root=root), transactions=transactions)
        add(f"a block of {len(transactions)} transactions, {sum(map(len, transactions))} bytes", "Block", BLOCK, block, spoil=True, root=root.hex(),
            hash=hash_of(block["header"]).hex())


def certificates():
    members = sorted((dict(address=address(seed), power=power) for seed, power in ((21, 1), (22, 1), (23, 1), (24, 1))), key=lambda m: m["address"])
    seeds = {address(seed): seed for seed in (21, 22, 23, 24, 25)}
    set_hash = derive("validator set", encode(VALIDATORS, members))
    add("four validators", "ValidatorSet", VALIDATORS, members, spoil=True, hash=set_hash.hex())
    one = [dict(address=ALICE, power=2**63 - 1)]
    add("one validator with all power", "ValidatorSet", VALIDATORS, one, hash=derive("validator set", encode(VALIDATORS, one)).hex())

    block = hash_of(header())

    def vote(validator, **fields):
        return dict(chain_id=CHAIN, kind="Precommit", height=1, round=2, block=block, validator=validator) | fields

    def body(name, kind_name, kind, value, seed, domain):
        signed = encode(kind, value)
        add(name, kind_name, kind, value, spoil=True, signature=sign(seed, domain, signed).hex(), domain=domain, signer=address(seed).hex())

    body("a precommit", "VoteBody", VOTE, vote(address(21)), 21, "vote")
    body("a prevote for nothing", "VoteBody", VOTE, vote(address(22), kind="Prevote", block=None, round=U32_MAX), 22, "vote")
    fresh = dict(chain_id=CHAIN, height=1, round=0, valid_round=None, block=block, proposer=address(21))
    body("a first proposal", "ProposalBody", PROPOSAL, fresh, 21, "proposal")
    body("a proposal made again", "ProposalBody", PROPOSAL, fresh | dict(round=3, valid_round=1, height=U64_MAX), 21, "proposal")

    def commit(validator, domain="vote", **fields):
        return dict(validator=validator, signature=sign(seeds[validator], domain, encode(VOTE, vote(validator, **fields))))

    def certificate(commits, **fields):
        return dict(height=1, round=2, block=block, signatures=commits) | fields

    a, b, c, d = (member["address"] for member in members)
    stranger = address(25)
    flipped = commit(d)
    flipped["signature"] = bytes([flipped["signature"][0] ^ 1]) + flipped["signature"][1:]
    cases = [
        ("three of four", certificate([commit(a), commit(b), commit(c)]), None),
        ("all four", certificate([commit(a), commit(b), commit(c), commit(d)]), None),
        ("two of four", certificate([commit(a), commit(b)]), "quorum"),
        ("nobody", certificate([]), "quorum"),
        ("a quorum and one flipped bit", certificate([commit(a), commit(b), commit(c), flipped]), "signature"),
        ("one validator twice", certificate([commit(a), commit(b), commit(b)]), "order"),
        ("out of order", certificate([commit(b), commit(a), commit(c)]), "order"),
        ("a stranger beside a quorum", certificate(sorted([commit(a), commit(b), commit(c), commit(stranger)], key=lambda s: s["validator"])), "stranger"),
        ("prevotes", certificate([commit(v, kind="Prevote") for v in (a, b, c)]), "signature"),
        ("votes of another round", certificate([commit(v, round=1) for v in (a, b, c)]), "signature"),
        ("votes of another height", certificate([commit(v, height=2) for v in (a, b, c)]), "signature"),
        ("votes for nothing", certificate([commit(v, block=None) for v in (a, b, c)]), "signature"),
        ("votes of another chain", certificate([commit(v, chain_id=digest(8)) for v in (a, b, c)]), "signature"),
        ("signatures as proposals", certificate([commit(v, domain="proposal") for v in (a, b, c)]), "signature"),
        ("another's vote under one's name", certificate([commit(a), commit(b), dict(commit(a), validator=c)]), "signature"),
        ("another block", certificate([commit(a), commit(b), commit(c)], block=digest(8)), "signature"),
    ]
    verdicts = []
    for name, value, error in cases:
        verdicts.append(dict(good(name, CERTIFICATE, value), error=error))
    add("a certificate", "CommitCertificate", CERTIFICATE, cases[0][1], spoil=True)
    sets = [
        ("no validators", [], "count"),
        ("257 validators", [dict(address=digest(i % 256)[:31] + bytes([i // 256]), power=1) for i in range(257)], "count"),
        ("a validator without power", [dict(address=ALICE, power=1), dict(address=BOB, power=0)], "power"),
        ("power beyond 63 bits", [dict(address=ALICE, power=2**62), dict(address=BOB, power=2**62)], "power"),
        ("a validator twice", [dict(address=ALICE, power=1), dict(address=ALICE, power=1)], "twice"),
    ]
    document = dict(
        chain_id=CHAIN.hex(), validators=encode(VALIDATORS, members).hex(), certificates=verdicts,
        sets=[dict(name=name, json=VALIDATORS.json(members), error=error) for name, members, error in sets])
    save(__file__, "certificates.json", document)


# ---- addresses and signatures ---------------------------------------------------------------------------------------------------------------------------


def addresses():
    accepted = [dict(name=f"seed {seed}", seed=secret(seed).hex(), bytes=address(seed).hex(), text=bech32m(address(seed))) for seed in (0, 1, 2, 127, 255)]
    accepted += [dict(name=name, seed=None, bytes=data.hex(), text=bech32m(data)) for name, data in (("zeros", ZERO), ("ones", b"\xff" * 32))]
    text = bech32m(ALICE)
    other = "q" if text[20] != "q" else "p"
    padded = [int.from_bytes(ALICE, "big") << 4 >> 5 * (51 - i) & 31 for i in range(52)]
    padded[-1] |= 1
    refused = [
        ("nothing", ""), ("the prefix alone", "watt1"), ("upper case", text.upper()), ("one capital", text[:-1] + text[-1].upper() if text[-1].isalpha() else "W" + text[1:]),
        ("one changed letter", text[:20] + other + text[21:]), ("two letters changed places", text[:10] + text[11] + text[10] + text[12:]),
        ("the last letter is missing", text[:-1]), ("one letter more", text + "q"), ("a space before", " " + text), ("a space after", text + " "),
        ("another prefix", bech32m(ALICE, "wat")), ("bech32 without the m", bech32m(ALICE, constant=1)), ("31 bytes", bech32m(ALICE[:31])),
        ("33 bytes", bech32m(ALICE + b"\0")), ("no bytes", bech32m(b"")), ("padding that is not zero", bech32m(ALICE, groups=padded)),
        ("a letter that is none", text[:10] + "b" + text[11:]), ("hexadecimal", ALICE.hex()),
    ]
    for name, wrong in refused:
        assert wrong != text, name
    return dict(good=accepted, bad=[dict(name=name, text=wrong) for name, wrong in refused])


def signatures():
    message = b"the signed bytes"
    cases = []

    def case(name, signer, domain, signature, valid, signed=message):
        cases.append(dict(name=name, signer=signer.hex(), domain=domain, message=signed.hex(), signature=signature.hex(), valid=valid))

    for domain in DOMAINS:
        case(f"signed as {domain}", ALICE, domain, sign(1, domain, message), True)
        case(f"nothing signed as {domain}", BOB, domain, sign(2, domain, b""), True, b"")
        for other in DOMAINS:
            if other != domain:
                case(f"signed as {other}, shown as {domain}", ALICE, domain, sign(1, other, message), False)
    whole = sign(1, "tx", message)
    for bit in (0, 7, 255, 256, 300, 511):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        case(f"bit {bit} of the signature flipped", ALICE, "tx", bytes(changed), False)
    case("a bit of the message flipped", ALICE, "tx", whole, False, bytes([message[0] ^ 1]) + message[1:])
    case("a byte follows the message", ALICE, "tx", whole, False, message + b"\0")
    case("another signer", BOB, "tx", whole, False)
    case("signed without a domain", ALICE, "tx", sodium.crypto_sign(message, sodium.crypto_sign_seed_keypair(secret(1))[1])[:64], False)
    case("zeros", ALICE, "tx", bytes(64), False)
    high = (int.from_bytes(whole[32:], "little") + ORDER).to_bytes(32, "little")
    case("the same signature with S + L", ALICE, "tx", whole[:32] + high, False)
    case("a key that is no point", b"\2" + bytes(31), "tx", whole, False)

    # Equations that hold over points of small order: lax verifiers accept them, and whoever knows no secret key can make them.
    tagged = DOMAINS["tx"] + message
    identity, minus_one = b"\1" + bytes(31), (2**255 - 20).to_bytes(32, "little")
    order_four = bytes(32)
    order_eight = bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
    s = 123_456_789
    for name, point in (("the identity", identity), ("the point of order 2", minus_one), ("a point of order 4", order_four), ("a point of order 8", order_eight)):
        case(f"the key is {name}", point, "tx", times_base(s) + s.to_bytes(32, "little"), False)
    lax = 0
    while challenge(times_base(s + lax), minus_one, tagged) % 2:
        lax += 1
    case("the key is the point of order 2 and the equation holds", minus_one, "tx", times_base(s + lax) + (s + lax).to_bytes(32, "little"), False)
    for name, point in (("the identity", identity), ("the point of order 2", minus_one), ("a point of order 4", order_four)):
        k = challenge(point, ALICE, tagged)
        case(f"R is {name}", ALICE, "tx", point + (k * scalar(1) % ORDER).to_bytes(32, "little"), False)
    case("R is the identity in another encoding", ALICE, "tx", (2**255 - 18).to_bytes(32, "little") + bytes(32), False)
    # The construction itself is sound: with an R of full order the same arithmetic makes a good signature.
    r = times_base(s)
    case("made by hand with an R of full order", ALICE, "tx", r + ((s + challenge(r, ALICE, tagged) * scalar(1)) % ORDER).to_bytes(32, "little"), True)
    return cases


# ---- trees ----------------------------------------------------------------------------------------------------------------------------------------------


def leaf(number):
    return derive("receipt leaf", struct.pack("<Q", number))


def merkle():
    lists, paths, wrong = [], [], []
    for count in [*range(18), 31, 32, 33, 64, 100]:
        leaves = [leaf(i) for i in range(count)]
        root = merkle_root(leaves)
        lists.append(dict(name=f"{count} leaves", leaves=[digest.hex() for digest in leaves], root=root.hex()))
        for index in sorted({0, 1, count // 2, count - 2, count - 1} & set(range(count))):
            path = dict(index=index, count=count, siblings=merkle_siblings(leaves, index))
            paths.append(dict(good(f"leaf {index} of {count}", PATH, path), leaf=leaves[index].hex(), root=root.hex()))
            if (index, count) not in ((0, 1), (1, 2), (4, 5), (3, 8), (16, 17)):
                continue

            def refuse(name, error, claimed=leaves[index], of=root, **fields):
                wrong.append(dict(good(f"leaf {index} of {count}, {name}", PATH, path | fields), leaf=claimed.hex(), root=of.hex(), error=error))

            refuse("a superfluous sibling", "sibling_count", siblings=path["siblings"] + [ZERO])
            if count > 1:
                refuse("a missing sibling", "sibling_count", siblings=path["siblings"][:-1])
                refuse("a flipped sibling", "root_mismatch", siblings=[bytes([path["siblings"][0][0] ^ 128]) + path["siblings"][0][1:]] + path["siblings"][1:])
            if len(path["siblings"]) > 1:
                refuse("siblings in reverse", "root_mismatch", siblings=path["siblings"][::-1])
            if count % 2 == 0:
                refuse("the neighbour's place", "root_mismatch", index=index ^ 1)
            refuse("a place past the end", "index_out_of_range", index=count)
            refuse("of no leaves", "index_out_of_range", count=0)
            refuse("another leaf", "root_mismatch", claimed=leaf(999))
            refuse("another root", "root_mismatch", of=merkle_top(leaves))
    many = dict(index=0, count=2, siblings=[ZERO] * 65)
    spoilt.append(dict(type="Path", **bad("65 siblings", encode(PATH, many), "malformed")))
    example = dict(index=1, count=3, siblings=[leaf(0), leaf(2)])
    add("a path", "Path", PATH, example, spoil=True)
    save(__file__, "merkle.json", dict(lists=lists, good=paths, bad=wrong))


def history():
    states, paths, wrong = [], [], []
    for count in [*range(18), 31, 32, 33, 77]:
        leaves = [leaf(i) for i in range(count)]
        root = history_root(leaves)
        value = dict(count=count, peaks=history_peaks(leaves))
        states.append(dict(good(f"{count} headers", HISTORY, value), leaves=[digest.hex() for digest in leaves], root=root.hex()))
        for index in sorted({0, 1, count // 2, count - 2, count - 1} & set(range(count))):
            path = history_path(leaves, index)
            paths.append(dict(good(f"header {index} of {count}", HISTORY_PATH, path), leaf=leaves[index].hex(), root=root.hex()))
            if (index, count) not in ((0, 1), (2, 3), (3, 7), (8, 13)):
                continue

            def refuse(name, error, claimed=leaves[index], of=root, **fields):
                wrong.append(dict(good(f"header {index} of {count}, {name}", HISTORY_PATH, path | fields), leaf=claimed.hex(), root=of.hex(), error=error))

            refuse("a superfluous sibling", "sibling_count", siblings=path["siblings"] + [ZERO])
            refuse("a superfluous peak", "peak_count", peaks=path["peaks"] + [ZERO])
            if path["siblings"]:
                refuse("a missing sibling", "sibling_count", siblings=path["siblings"][1:])
                refuse("a changed sibling", "root_mismatch", siblings=[leaf(999)] + path["siblings"][1:])
            if path["peaks"]:
                refuse("a missing peak", "peak_count", peaks=path["peaks"][:-1])
                refuse("a changed peak", "root_mismatch", peaks=path["peaks"][:-1] + [leaf(999)])
            if len(path["peaks"]) > 1:
                refuse("peaks in reverse", "root_mismatch", peaks=path["peaks"][::-1])
            refuse("a place past the end", "index_out_of_range", index=count)
            refuse("more headers than a history may have", "index_out_of_range", count=2**63)
            refuse("another header", "root_mismatch", claimed=leaf(999))
            refuse("the root as of a list", "root_mismatch", of=merkle_root(leaves))
    add("a history of seven", "History", HISTORY, dict(count=7, peaks=[leaf(1), leaf(2), leaf(3)]), spoil=True)
    add("a history path", "HistoryPath", HISTORY_PATH, history_path([leaf(i) for i in range(7)], 2), spoil=True)
    for name, value in (("a history with too few peaks", dict(count=7, peaks=[leaf(1)])), ("a history with too many peaks", dict(count=1, peaks=[leaf(1)] * 2)),
                        ("a history beyond its range", dict(count=2**63, peaks=[leaf(1)]))):
        spoilt.append(dict(type="History", **bad(name, encode(HISTORY, value), "malformed")))
    spoilt.append(dict(type="HistoryPath", **bad("64 peaks", encode(HISTORY_PATH, dict(index=0, count=1, siblings=[], peaks=[ZERO] * 64)), "malformed")))
    save(__file__, "history.json", dict(states=states, good=paths, bad=wrong))


def state():
    states, proofs, wrong = [], [], []
    for count in (0, 1, 2, 3, 10, 64, 200):
        held = {struct.pack(">BI", 3, i): (b"" if i == 1 else b"value %d" % i) for i in range(count)}
        root = state_root(held)
        states.append(dict(name=f"{count} keys", entries=[[k.hex(), v.hex()] for k, v in held.items()], root=root.hex()))
        absent = [b"", b"\3", struct.pack(">BI", 3, 1000), struct.pack(">BI", 4, 0)] + [b"absent %d" % i for i in range(4)]
        for wanted in list(held)[:6] + absent:
            value, proof = held.get(wanted), state_proof(held, wanted)

            def entry(name, of=root, k=wanted, v=value, p=proof):
                return dict(good(name, STATE_PROOF, p), state=count, root=of.hex(), key=k.hex(), value=None if v is None else v.hex())

            proofs.append(entry(f"{'a value' if value is not None else 'no value'} among {count} keys"))
            if count not in (0, 1, 10):
                continue

            def refuse(name, error, end=proof["end"], siblings=proof["siblings"], **fields):
                wrong.append(dict(entry(f"among {count} keys: {name}", p=dict(end=end, siblings=siblings), **fields), error=error))

            refuse("another root", "root_mismatch", of=digest(1))
            # A leaf that lies elsewhere is found before the hashes are.
            if not isinstance(proof["end"], dict):
                refuse("a superfluous sibling", "root_mismatch", siblings=[ZERO] + proof["siblings"])
            if proof["siblings"]:
                refuse("a missing sibling", "root_mismatch", siblings=proof["siblings"][:-1])
                refuse("a changed sibling", "root_mismatch", siblings=proof["siblings"][:-1] + [digest(1)])
            if value is not None:
                refuse("a value denied", "wrong_kind", v=None)
                refuse("another value", "root_mismatch", v=value + b"!")
                own = {"OtherLeaf": dict(path=derive("state key", wanted), value=derive("state value", value))}
                refuse("the key's own leaf as another's", "leaf_elsewhere", end=own, v=None)
            else:
                refuse("a value claimed", "wrong_kind", v=b"")
                refuse("a value claimed as shown", "root_mismatch", end="Value", v=b"")
                far = bytes([derive("state key", wanted)[0] ^ 128]) + bytes(31)
                if proof["siblings"]:
                    refuse("a leaf from elsewhere", "leaf_elsewhere", end={"OtherLeaf": dict(path=far, value=ZERO)})
                refuse("a leaf that is not there", "root_mismatch", end={"OtherLeaf": dict(path=derive("state key", wanted)[:31] + bytes([derive("state key", wanted)[31] ^ 1]), value=ZERO)})
    add("a proof of a value", "StateProof", STATE_PROOF, dict(end="Value", siblings=[digest(1)]), spoil=True)
    add("a proof of nothing", "StateProof", STATE_PROOF, dict(end="Nothing", siblings=[]))
    add("a proof by another leaf", "StateProof", STATE_PROOF, {"end": {"OtherLeaf": dict(path=digest(1), value=digest(2))}, "siblings": [digest(3)]}, spoil=True)
    spoilt.append(dict(type="StateProof", **bad("257 siblings", encode(STATE_PROOF, dict(end="Value", siblings=[ZERO] * 257)), "malformed")))
    save(__file__, "state.json", dict(states=states, good=proofs, bad=wrong))


# ---- samples and export ---------------------------------------------------------------------------------------------------------------------------------


def frame(tag, payload):
    framed = bytes([tag]) + struct.pack("<I", len(payload)) + payload
    return framed + derive("export record", framed)


def export():
    samples = dict(session=digest(1), sequence=3, salt=digest(2), samples=[b"sample %d" % i for i in range(3)])
    leaves = [derive("sample leaf", samples["salt"], sample) for sample in samples["samples"]]
    add("samples of a reading", "Samples", SAMPLES, samples, spoil=True, root=merkle_root(leaves).hex(), leaves=[digest.hex() for digest in leaves])
    none = samples | dict(samples=[])
    add("a reading without samples", "Samples", SAMPLES, none, root=merkle_root([]).hex(), leaves=[])
    end = dict(blocks=1, transactions=0, samples=U64_MAX, state_keys=2)
    add("the end of an export", "End", END, end, spoil=True)
    page = [(key("condominium", 1), b"a value"), (key("params"), b"")]
    add("a page of the state", "StatePage", STATE_PAGE, page, spoil=True)
    add("an empty page", "StatePage", STATE_PAGE, [])
    preamble = b"CWEXPORT" + struct.pack("<I", 1)
    parts = [("genesis", 1, b"genesis"), ("block", 2, encode(BLOCK, dict(header=header(), transactions=[]))), ("certificate", 3, b"\3"),
             ("receipts", 4, encode(List(RECEIPT), [])), ("samples", 5, encode(SAMPLES, samples)), ("state", 6, encode(STATE_PAGE, page)), ("end", 7, encode(END, end))]
    data, records = preamble, []
    for kind, tag, payload in parts:
        records.append(dict(kind=kind, offset=len(data), payload=payload.hex(), intact=True))
        data += frame(tag, payload)
    files = [dict(name="one record of each kind", bytes=data.hex(), records=records, error=None),
             dict(name="no records", bytes=preamble.hex(), records=[], error=None)]
    for name, place in (("the first payload", records[0]["offset"] + 5), ("the last checksum", len(data) - 1)):
        flipped = data[:place] + bytes([data[place] ^ 1]) + data[place + 1:]
        seen = [dict(record) for record in records]
        broken = seen[0 if place < records[1]["offset"] else -1]
        broken["intact"] = False
        if place < records[1]["offset"]:
            broken["payload"] = bytes([b"g"[0] ^ 1]).hex() + broken["payload"][2:]
        files.append(dict(name=f"a flipped bit in {name}", bytes=flipped.hex(), records=seen, error=None))
    last = records[-1]["offset"]
    files += [
        dict(name="another magic", bytes=(b"cwexport" + data[8:]).hex(), records=[], error="preamble"),
        dict(name="version 2", bytes=(b"CWEXPORT" + struct.pack("<I", 2) + data[12:]).hex(), records=[], error="preamble"),
        dict(name="a kind that is none", bytes=(data[:last] + b"\10" + data[last + 1:]).hex(), records=records[:-1], error="kind"),
        dict(name="kind 0", bytes=(data[:last] + b"\0" + data[last + 1:]).hex(), records=records[:-1], error="kind"),
        dict(name="a record that is too long", bytes=(data[:last + 1] + struct.pack("<I", (32 << 20) + 1) + data[last + 5:]).hex(), records=records[:-1], error="length"),
        dict(name="the last byte is missing", bytes=data[:-1].hex(), records=records[:-1], error="truncated"),
        dict(name="an unfinished preamble", bytes=data[:11].hex(), records=[], error="truncated"),
    ]
    save(__file__, "export.json", dict(files=files))


CONTEXTS = ("transaction id", "header", "genesis", "validator set", "transaction leaf", "receipt leaf", "sample leaf", "merkle node", "merkle root",
            "history node", "history root", "state key", "state value", "state leaf", "state node", "card")


def keys_and_hashes():
    texts = addresses()
    hashes = [dict(context="commonwatt 2026 " + context, message=message.hex(), hash=derive(context, message).hex())
              for context in CONTEXTS for message in (b"", b"commonwatt", bytes(range(256)) * 5)]
    save(__file__, "keys.json", dict(addresses=texts["good"], bad_addresses=texts["bad"], signatures=signatures(), hashes=hashes))


primitives()
records()
roots = receipts()
blocks()
certificates()
merkle()
history()
state()
export()
keys_and_hashes()
proofs.write()
save(__file__, "values.json", dict(good=values, bad=spoilt, receipt_roots=roots))
