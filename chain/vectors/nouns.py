"""The types of `chain` in the terms of wire.py: records of the state, receipts, headers, certificates, proofs; and the keys of the state."""

import struct

from wire import Array, Blob, Code, Enum, Int, List, LocalId, Option, Raw, Struct, Text, Tuple, Unit, bech32m

U8, U16, U32 = Int(8), Int(16), Int(32)
U64 = AMOUNT = WATT_HOURS = TIMESTAMP = DURATION = HEIGHT = Int(64, text=True)
COST = Int(128, text=True)
HASH, SIGNATURE, ADDRESS = Raw(32), Raw(64), Raw(32, bech32m)
ID = LocalId()
CURRENTS = Array(U32, 3)

ROLE = Enum("manager", "treasurer", "gateway", "scheduler", "auditor")
CONTROL = Enum("switched", "meter_only")
PLUG_SIGNAL = Enum("none", "reported")
SERVICE = Enum("in_service", "out_of_service")
FAULT = Enum("over_current", "over_temperature", "over_time", "meter_fault", "welded_relay", "unit_lost")
END_REASON = Enum("money", "time", "vehicle_removed", "vehicle_full", "stopped_by_resident", "stopped_by_manager", ("anomaly", FAULT), "gateway_lost",
                  "never_started", "cancelled")
SKIP_REASON = Enum("not_enough_current", "later_departure", "lower_priority", "unit_lost")
PAUSE_REASON = Enum("group_limit", "later_departure", "cheaper_later", "manual")
SETTLER = Enum("gateway", "chain")

DIMENSION = Enum("ENERGY", "TIME", "PARKING_TIME", "FLAT")
DAY = Enum("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
RESTRICTIONS = Struct(
    start_time=Option(U16), end_time=Option(U16), day_of_week=List(DAY), min_energy=Option(WATT_HOURS), max_energy=Option(WATT_HOURS),
    min_power=Option(U32), max_power=Option(U32), min_duration=Option(DURATION), max_duration=Option(DURATION))
COMPONENT = Struct(dimension=DIMENSION, price=AMOUNT)
ELEMENT = Struct(price_components=List(COMPONENT), restrictions=RESTRICTIONS)
TARIFF = Struct(time_zone=Text(), elements=List(ELEMENT), min_price=Option(AMOUNT), max_price=Option(AMOUNT), vat_basis_points=U32,
                parking_grace=DURATION)

ACCOUNT = Struct(home=U32, balance=AMOUNT, held=AMOUNT, debt=AMOUNT, credit_limit=AMOUNT)
SIGNER = Struct(account=ADDRESS, scope=Enum("Owner"), nonce=U64)
CONDOMINIUM = Struct(name=Text(), revenue=ADDRESS, mint_cap_per_day=AMOUNT, position_limit=AMOUNT, minted=AMOUNT, redeemed=AMOUNT, next_sale=U64,
                     mint_day=U64, minted_today=AMOUNT)
ROLE_GRANT = Struct(**{"from": HEIGHT, "until": Option(HEIGHT)})
GROUP = Struct(parent=Option(U32), limit=CURRENTS, granted=CURRENTS, reserved=CURRENTS)
CONNECTOR = Struct(group=U32, control=CONTROL, plug_signal=PLUG_SIGNAL, rated=CURRENTS, tariff=U32, service=SERVICE, fault=Option(FAULT),
                   session=Option(HASH), last_register=WATT_HOURS, unassigned=WATT_HOURS)
TARIFF_HEAD = Struct(latest=U32)
TARIFF_VERSION = Struct(valid_from=TIMESTAMP, tariff=TARIFF)
HINTS = Struct(energy_target=Option(WATT_HOURS), state_of_charge=Option(U8), depart_by=Option(TIMESTAMP))
SESSION_STATE = Enum("queued", "charging", "paused", "idle", ("stopping", Struct(reason=END_REASON, at=TIMESTAMP)))
METER = Struct(start=WATT_HOURS, sequence=U64, at=TIMESTAMP, register=WATT_HOURS, power=U32, samples=U64)
COSTS = Struct(energy=COST, time=COST, parking_time=COST, flat=COST)
SESSION = Struct(
    account=ADDRESS, connector=ID, tariff=ID, tariff_version=U32, opened_at=TIMESTAMP, opened_height=HEIGHT, opened_index=U32, escrow=AMOUNT,
    max_duration=DURATION, hints=HINTS, state=SESSION_STATE, due=TIMESTAMP, first_granted_at=Option(TIMESTAMP), granted=CURRENTS,
    granted_height=HEIGHT, granted_index=U32, meter=Option(METER), cost=COSTS, billed_at_limit=Option(WATT_HOURS))
GRANT_SPAN = Struct(**{"from": TIMESTAMP, "until": Option(TIMESTAMP)})
SESSION_TIMES = Struct(granted=List(GRANT_SPAN), idle_since=Option(TIMESTAMP))
ROAMING = Struct(sessions=U64, energy=WATT_HOURS, charged=AMOUNT, transfers=U64, transferred=AMOUNT)
CLEARING_HEAD = Struct(latest=U32)
CLEARING = Struct(**{"from": Option(TIMESTAMP), "until": TIMESTAMP, "height": HEIGHT, "index": U32})
PAYMENT = Struct(amount=AMOUNT, report=Option(Struct(treasurer=ADDRESS, at=TIMESTAMP, payment=HASH)))
MANDATE_TERMS = Struct(max_per_session=AMOUNT, max_per_day=AMOUNT, max_price_per_kwh=AMOUNT, max_price_per_hour=AMOUNT, expires=TIMESTAMP,
                       connectors=List(U32), confirm_from=U16)
MANDATE = Struct(terms=MANDATE_TERMS, granted_at=TIMESTAMP)
MANDATE_DAY = Struct(day=U64, used=AMOUNT)
MANDATE_USE = Struct(card=HASH, day=U64, amount=AMOUNT)
ASKED_START = Struct(account=ADDRESS, card=HASH, tariff_version=U32, max_spend=AMOUNT, max_duration=DURATION, energy_target=Option(WATT_HOURS), until=TIMESTAMP)
CARD = Struct(account=ADDRESS, bound_at=TIMESTAMP)
METER_PROPOSAL = Struct(account=ADDRESS, role=ROLE, last=WATT_HOURS, first=WATT_HOURS, until=TIMESTAMP)
EXCHANGED_METER = Struct(exchanges=U32, first=WATT_HOURS, base=WATT_HOURS, since=TIMESTAMP)
SUSPENSION = Struct(since=HEIGHT, session=HASH, sequence=U64, evidence=HASH, lifted_at=Option(TIMESTAMP))
REDEMPTION = Struct(account=ADDRESS, amount=AMOUNT, requested_at=TIMESTAMP, payee=HASH)
PARAMS = Struct(
    max_block_bytes=U32, resident_txs_per_block=U32, role_txs_per_block=U32, due_per_block=U32, drift=DURATION, settle_grace=DURATION,
    lease=DURATION, queue_deadline=DURATION, max_duration=DURATION, max_spend=AMOUNT, min_current=U32, notice_heights=U64, heartbeat=DURATION)
VALIDATOR = Struct(address=ADDRESS, power=U64)
VALIDATORS = List(VALIDATOR)
UNIT = Unit()

REJECTION = Struct(code=Code(), expected=Option(U64), found=Option(U64))
OUTCOME = Enum("applied", ("rejected", REJECTION))
CAUSE = Enum(("transaction", HASH), ("due", HASH))
OVERDRAWN = Struct(energy=WATT_HOURS, amount=AMOUNT)
SESSION_RECEIPT = Struct(
    session=HASH, account=ADDRESS, connector=ID, tariff=ID, tariff_version=U32, opened_at=TIMESTAMP, first_granted_at=Option(TIMESTAMP),
    ended_at=TIMESTAMP, settled_at=TIMESTAMP, reason=END_REASON, settled_by=SETTLER, energy=WATT_HOURS, energy_billed=WATT_HOURS, cost=COSTS,
    escrow=AMOUNT, paid=AMOUNT, refund=AMOUNT, overdrawn=Option(OVERDRAWN), readings=U64, samples=U64)
REDEEMED = Struct(redemption=HASH, account=ADDRESS, amount=AMOUNT)
PAYMENT_NAMED = Struct(clearing=U32, debtor=U32, creditor=U32, amount=AMOUNT)
EVENT = Enum(
    ("account_registered", Struct(account=ADDRESS, home=U32)),
    ("tokens_sold", Struct(condominium=U32, account=ADDRESS, amount=AMOUNT, to_debt=AMOUNT, sale=U64)),
    ("redemption_requested", REDEEMED),
    ("redemption_paid", REDEEMED),
    ("redemption_refused", REDEEMED),
    ("transferred", Struct(**{"from": ADDRESS, "to": ADDRESS, "amount": AMOUNT})),
    ("role_granted", Struct(**{"condominium": U32, "role": ROLE, "account": ADDRESS, "from": HEIGHT, "until": Option(HEIGHT)})),
    ("role_revoked", Struct(condominium=U32, role=ROLE, account=ADDRESS, until=HEIGHT)),
    ("group_put", Struct(group=ID, limit=CURRENTS)),
    ("connector_put", Struct(connector=ID)),
    ("tariff_put", Struct(tariff=ID, version=U32, valid_from=TIMESTAMP)),
    ("session_opened", Struct(session=HASH, account=ADDRESS, connector=ID, escrow=AMOUNT)),
    ("session_topped_up", Struct(session=HASH, amount=AMOUNT, escrow=AMOUNT)),
    ("session_granted", Struct(session=HASH, current=CURRENTS)),
    ("session_skipped", Struct(session=HASH, reason=SKIP_REASON)),
    ("session_paused", Struct(session=HASH, reason=PAUSE_REASON)),
    ("reading_handled", Struct(session=HASH, sequence=U64, refused=Option(Code()))),
    ("energy_unassigned", Struct(connector=ID, energy=WATT_HOURS)),
    ("fault_reported", Struct(connector=ID, fault=FAULT, at=TIMESTAMP)),
    ("session_stopping", Struct(session=HASH, reason=END_REASON, settle_by=TIMESTAMP)),
    ("session_settled", SESSION_RECEIPT),
    ("position_posted", Struct(debtor=U32, creditor=U32, amount=AMOUNT)),
    ("session_idle", Struct(session=HASH, since=TIMESTAMP)),
    ("positions_cleared", Struct(**{"clearing": U32, "condominium": U32, "from": Option(TIMESTAMP), "until": TIMESTAMP})),
    ("roaming_closed", Struct(clearing=U32, home=U32, host=U32, roaming=ROAMING)),
    ("payment_due", PAYMENT_NAMED),
    ("payment_reported", PAYMENT_NAMED),
    ("payment_received", PAYMENT_NAMED),
    ("payment_missing", PAYMENT_NAMED),
    ("position_limit_set", Struct(condominium=U32, limit=AMOUNT)),
    ("mandate_granted", Struct(account=ADDRESS, condominium=U32, expires=TIMESTAMP)),
    ("mandate_revoked", Struct(account=ADDRESS, condominium=U32)),
    ("card_bound", Struct(condominium=U32, card=HASH, account=ADDRESS)),
    ("card_released", Struct(condominium=U32, card=HASH, account=ADDRESS)),
    ("session_mandated", Struct(session=HASH, card=HASH)),
    ("start_asked", Struct(account=ADDRESS, connector=ID, card=HASH, until=TIMESTAMP)),
    ("start_confirmed", Struct(session=HASH, card=HASH)),
    ("meter_proposed", Struct(connector=ID, account=ADDRESS, role=ROLE, last=WATT_HOURS, first=WATT_HOURS, until=TIMESTAMP)),
    ("meter_replaced", Struct(connector=ID, exchanges=U32, last=WATT_HOURS, first=WATT_HOURS, register=WATT_HOURS)),
    ("role_suspended", Struct(condominium=U32, account=ADDRESS, session=HASH, sequence=U64)),
    ("suspension_lifted", Struct(condominium=U32, account=ADDRESS)),
)
RECEIPT = Struct(cause=CAUSE, outcome=OUTCOME, events=List(EVENT))

HEADER = Struct(version=U32, chain_id=HASH, height=HEIGHT, parent=HASH, history_root=HASH, timestamp=TIMESTAMP, proposer=ADDRESS,
                transactions_root=HASH, receipts_root=HASH, state_root=HASH, next_validators=HASH)
BLOCK = Struct(header=HEADER, transactions=List(Blob()))
VOTE = Struct(chain_id=HASH, kind=Enum("Prevote", "Precommit"), height=HEIGHT, round=U32, block=Option(HASH), validator=ADDRESS)
PROPOSAL = Struct(chain_id=HASH, height=HEIGHT, round=U32, valid_round=Option(U32), block=HASH, proposer=ADDRESS)
CERTIFICATE = Struct(height=HEIGHT, round=U32, block=HASH, signatures=List(Struct(validator=ADDRESS, signature=SIGNATURE)))
PATH = Struct(index=U64, count=U64, siblings=List(HASH))
HISTORY = Struct(count=U64, peaks=List(HASH))
HISTORY_PATH = Struct(index=U64, count=U64, siblings=List(HASH), peaks=List(HASH))
STATE_PROOF = Struct(end=Enum("Value", "Nothing", ("OtherLeaf", Struct(path=HASH, value=HASH))), siblings=List(HASH))
SAMPLES = Struct(session=HASH, sequence=U64, salt=HASH, samples=List(Blob()))
STATE_PAGE = List(Tuple(Blob(), Blob()))
END = Struct(blocks=U64, transactions=U64, samples=U64, state_keys=U64)

# The state: a table's byte and name, how the rest of the key is packed (big endian, so that keys sort as ids do), and what stands there.
A, C, N, T, S = "32s", "I", "I", "Q", "32s"
TABLES = dict(
    account=(1, A, ACCOUNT), signer=(2, A, SIGNER), condominium=(3, C, CONDOMINIUM), role=(4, C + "B" + A, ROLE_GRANT), group=(5, C + N, GROUP),
    connector=(6, C + N, CONNECTOR), tariff_head=(7, C + N, TARIFF_HEAD), tariff_version=(8, C + N + "I", TARIFF_VERSION), session=(9, S, SESSION),
    queue=(10, C + N + "QI", HASH), due=(11, T + S, UNIT), redemption=(12, S, REDEMPTION), position=(13, C + C, AMOUNT), invite=(14, A + "Q", TIMESTAMP),
    params=(15, "", PARAMS), validators=(16, "", VALIDATORS), pending_position=(17, C + C, AMOUNT), session_times=(18, S, SESSION_TIMES),
    roaming=(19, C + C, ROAMING), clearing_head=(20, "", CLEARING_HEAD), clearing=(21, N, CLEARING), payment=(22, C + C + N, PAYMENT),
    mandate=(23, A + C, MANDATE), card=(24, C + S, CARD), mandate_day=(25, A + C, MANDATE_DAY), mandate_use=(26, S, MANDATE_USE),
    asked_start=(27, C + N, ASKED_START), meter_proposal=(28, C + N, METER_PROPOSAL), meter=(29, C + N, EXCHANGED_METER),
    suspension=(30, C + A, SUSPENSION))
ROLES = [name for name, _ in ROLE.variants]


def key(table, *parts):
    number, form, _ = TABLES[table]
    return bytes([number]) + struct.pack(">" + form, *(ROLES.index(part) if part in ROLES else part for part in parts))


def table_of(data):
    return next(name for name, (number, _, _) in TABLES.items() if number == data[0])
