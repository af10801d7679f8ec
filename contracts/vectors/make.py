#!/usr/bin/env python3
"""Writes the golden vectors of `contracts`: calls and transactions, genesis documents, the rules step by step, and a whole short chain.

It shares no code with the Rust crate; the Rust tests read what it wrote. `./dev vectors` makes the files again. Bytes are hexadecimal digits, values are
shown as the API shows them.

- calls.json: `good` bodies with their call, seed, transaction, id and leaf; `bad_calls` and `bad` transactions with the kind of error.
- genesis.json: `good` documents with chain id and first state, `refused` ones with the rule that they break, `bad` bytes.
- rules.json: `base` is a state; each step has `pre` (what differs from it), the block and the transaction (or none: only deadlines are met), the call,
  and what must come of it: outcome, events or receipts, changed records, state root.
- tariffs.json: bills of sessions under tariffs of every kind, from their readings.
- chain.json: blocks from genesis on with certificates and receipts, blocks that are refused in the place of the next, and the export of it all.
"""

import stories
import tariffs
from ledger import *
from stories import (ANYTIME, AWAY, BASE, CHAIN, DAY_AND_NIGHT, GATEWAY, MANAGER, NEIGHBOUR, NOON, PARAMETERS, RESIDENT, REVENUE, SCHEDULER, STRANGER, TOKEN,
                     TREASURER, VALIDATOR, VISITOR, mandate, opening, reading, tariff)

U32_MAX, U64_MAX = 2**32 - 1, 2**64 - 1
ID_1, ID_2 = derive("transaction id", b"1"), derive("transaction id", b"2")


# ---- calls and transactions -----------------------------------------------------------------------------------------------------------------------------

EVERYTHING = dict(start_time=0, end_time=1439, day_of_week=[name for name, _ in DAY.variants], min_energy=0, max_energy=U64_MAX, min_power=1,
                  max_power=U32_MAX, min_duration=0, max_duration=U64_MAX)
STARTS = [
    dict(card=ID_1, connector=(1, 17), tariff_version=1, max_spend=10 * TOKEN, max_duration=36_000_000, energy_target=None),
    dict(card=ZERO, connector=(U32_MAX, U32_MAX), tariff_version=U32_MAX, max_spend=U64_MAX, max_duration=U64_MAX, energy_target=U64_MAX),
]

CALLS = dict(
    register_account=[
        dict(account=address(RESIDENT), condominium=1, invite=None),
        dict(account=address(STRANGER), condominium=U32_MAX, invite=invite(MANAGER, CHAIN, U32_MAX, U64_MAX, U64_MAX)),
    ],
    sell_tokens=[
        dict(condominium=1, account=address(RESIDENT), amount=50 * TOKEN, sale=1, payment=ID_1),
        dict(condominium=0, account=ZERO, amount=U64_MAX, sale=U64_MAX, payment=ZERO),
    ],
    request_redeem=[dict(amount=1, payee=ID_1), dict(amount=U64_MAX, payee=ZERO)],
    confirm_redeem=[dict(redemption=ID_1, answer=dict(paid=dict(payment=ID_2))), dict(redemption=ZERO, answer="refused")],
    transfer=[dict(to=address(NEIGHBOUR), amount=3 * TOKEN), dict(to=ZERO, amount=0)],
    grant_role=[
        {"condominium": 1, "role": "manager", "account": address(NEIGHBOUR), "from": 0, "until": None},
        {"condominium": 1, "role": "auditor", "account": address(NEIGHBOUR), "from": 1, "until": U64_MAX},
        {"condominium": 1, "role": "treasurer", "account": address(NEIGHBOUR), "from": U64_MAX, "until": 0},
    ],
    revoke_role=[
        dict(condominium=1, role="gateway", account=address(GATEWAY), until=7),
        dict(condominium=U32_MAX, role="scheduler", account=ZERO, until=U64_MAX),
    ],
    put_group=[dict(group=(1, 1), parent=None, limit=[80_000] * 3), dict(group=(U32_MAX, U32_MAX), parent=U32_MAX, limit=[0, 1, U32_MAX])],
    put_connector=[
        dict(connector=(1, 17), group=2, control="switched", plug_signal="reported", rated=[32_000] * 3, tariff=1, service="in_service"),
        dict(connector=(0, 0), group=0, control="meter_only", plug_signal="none", rated=[0, 0, U32_MAX], tariff=U32_MAX, service="out_of_service"),
    ],
    put_tariff=[
        dict(tariff=(1, 1), version=1, valid_from=0, document=tariff((250_000, None, {}))),
        dict(tariff=(1, 1), version=2, valid_from=NOON, document=DAY_AND_NIGHT),
        dict(tariff=(U32_MAX, 0), version=U32_MAX, valid_from=U64_MAX, document=dict(
            time_zone="<+0330>-3:30<+0430>,J79/24,263/-1", min_price=0, max_price=U64_MAX, vat_basis_points=U32_MAX, parking_grace=U64_MAX,
            elements=[dict(price_components=[dict(dimension=name, price=U64_MAX) for name, _ in DIMENSION.variants], restrictions=EVERYTHING)] * 3)),
        dict(tariff=(1, 1), version=3, valid_from=1, document=tariff(zone="")),
    ],
    open_session=[
        opening((1, 17)),
        opening((1, 17), U64_MAX, U64_MAX, tariff_version=U32_MAX, energy_target=20_000, state_of_charge=255, depart_by=NOON,
                window={"from": 0, "until": U64_MAX}, priority=dict(surcharge=dict(basis_points=U32_MAX))),
        opening((1, 17), 0, 0, tariff_version=0, state_of_charge=0, priority=dict(surcharge=dict(basis_points=0))),
    ],
    top_up_session=[dict(session=ID_1, amount=TOKEN), dict(session=ZERO, amount=U64_MAX)],
    cancel_session=[dict(session=ID_1), dict(session=b"\xff" * 32)],
    stop_session=[dict(session=ID_1), dict(session=ZERO)],
    grant_charge=[
        dict(session=ID_1, current=[16_000, 0, 0], skipped=[]),
        dict(session=ID_1, current=[U32_MAX] * 3, skipped=[dict(session=ID_2, reason=reason) for reason, _ in SKIP_REASON.variants]),
        dict(session=ID_1, current=[0, 0, 0], skipped=[dict(session=derive("transaction id", bytes([i])), reason="unit_lost") for i in range(64)]),
    ],
    pause_charge=[dict(session=ID_1, reason=reason) for reason, _ in PAUSE_REASON.variants],
    resume_charge=[dict(session=ID_1, current=[6_000, 0, 6_000]), dict(session=ZERO, current=[0, U32_MAX, 0])],
    attest=[
        dict(readings=[reading(ID_1, 1, NOON, 1000)]),
        dict(readings=[]),
        dict(readings=[dict(session=ID_2, sequence=U64_MAX, at=U64_MAX, register_wh=U64_MAX, power_w=U32_MAX, flags=U32_MAX, samples_root=b"\xff" * 32, sample_count=U32_MAX)]),
        dict(readings=[reading(derive("transaction id", bytes([i])), i, NOON + i, 1000 * i, i % 4) for i in range(100)]),
    ],
    report_fault=[dict(connector=(1, 17), session=None, fault="over_current", at=0)]
    + [dict(connector=(1, 17), session=ID_1, fault=fault, at=U64_MAX) for fault, _ in FAULT.variants],
    settle_session=[dict(session=ID_1), dict(session=ZERO)],
    clear_positions=[dict(condominium=1), dict(condominium=U32_MAX)],
    report_payment=[dict(clearing=1, debtor=1, creditor=2, payment=ID_1), dict(clearing=U32_MAX, debtor=U32_MAX, creditor=0, payment=ZERO)],
    answer_payment=[dict(clearing=1, debtor=1, creditor=2, answer="received"), dict(clearing=U32_MAX, debtor=0, creditor=U32_MAX, answer="missing")],
    set_position_limit=[dict(condominium=1, limit=500 * TOKEN), dict(condominium=U32_MAX, limit=U64_MAX)],
    grant_mandate=[
        dict(condominium=1, terms=mandate(connectors=[17, 3])),
        dict(condominium=U32_MAX, terms=mandate(**dict.fromkeys(mandate(), U64_MAX) | dict(connectors=[U32_MAX] * 64, confirm_from=65_535))),
        dict(condominium=0, terms=mandate(**dict.fromkeys(mandate(), 0) | dict(connectors=[]))),
    ],
    revoke_mandate=[dict(condominium=1), dict(condominium=U32_MAX)],
    bind_card=[dict(condominium=1, card=ID_1, account=address(RESIDENT)), dict(condominium=U32_MAX, card=b"\xff" * 32, account=None)],
    open_session_by_mandate=STARTS,
    ask_start=[dict(start=start) for start in STARTS],
    confirm_start=[dict(start=start) for start in STARTS],
    attest_unassigned=[dict(connector=(1, 17), at=NOON, register_wh=1_300), dict(connector=(U32_MAX, 0), at=U64_MAX, register_wh=U64_MAX)],
    replace_meter=[dict(connector=(1, 17), last=1_234_567, first=3), dict(connector=(U32_MAX, 0), last=U64_MAX, first=U64_MAX)],
    prove_equivocation=[
        dict(condominium=1, first=stories.statement(GATEWAY, reading(ID_1, 4, NOON, 1000)), second=stories.statement(GATEWAY, reading(ID_1, 4, NOON, 1001))),
        dict(condominium=U32_MAX, first=b"", second=b"\xff\0"),
    ],
    lift_suspension=[dict(condominium=1, account=address(GATEWAY)), dict(condominium=U32_MAX, account=ZERO)],
)
assert list(CALLS) == [name for name, _ in CALL.variants]


def calls():
    accepted, refused_calls, refused = [], [], []
    nonce = 0
    for name, examples in CALLS.items():
        for place, content in enumerate(examples):
            call = {name: content}
            body = dict(chain_id=CHAIN, account=address(RESIDENT), signer=address(RESIDENT if nonce % 2 else NEIGHBOUR), nonce=nonce, valid_until=NOON + nonce, call=call)
            seed = RESIDENT if nonce % 2 else NEIGHBOUR
            data = transaction(seed, body)
            accepted.append(dict(
                **good(f"{name} {place + 1}", BODY, body), call=encode(CALL, call).hex(), seed=secret(seed).hex(), transaction=data.hex(),
                id=derive("transaction id", data[64:]).hex(), leaf=derive("transaction leaf", data).hex()))
            nonce += 1
            # The richest of the short examples shows every place where something can be wrong.
            if len(encode(CALL, call)) == max(len(encode(CALL, {name: other})) for other in examples if len(encode(CALL, {name: other})) < 1500):
                for what, wrong, error in spoiled(CALL, call):
                    refused_calls.append(bad(f"{name}: {what}", wrong, error))
    refused_calls = list({entry["bytes"]: entry for entry in refused_calls}.values())

    largest = dict(chain_id=b"\xff" * 32, account=b"\xff" * 32, signer=address(1), nonce=U64_MAX, valid_until=U64_MAX, call=dict(transfer=dict(to=b"\xff" * 32, amount=U64_MAX)))
    data = transaction(1, largest)
    accepted.append(dict(**good("the largest numbers", BODY, largest), call=encode(CALL, largest["call"]).hex(), seed=secret(1).hex(), transaction=data.hex(),
                         id=derive("transaction id", data[64:]).hex(), leaf=derive("transaction leaf", data).hex()))

    body = dict(chain_id=CHAIN, account=address(1), signer=address(1), nonce=0, valid_until=NOON, call=dict(transfer=dict(to=address(2), amount=TOKEN)))
    data = transaction(1, body)
    assert len(data) == 64 + 32 * 3 + 8 * 2 + 4 + 40

    def refuse(name, wrong, error):
        assert wrong != data
        refused.append(bad(name, wrong, error))

    refuse("nothing", b"", "length")
    refuse("half a signature", data[:32], "length")
    refuse("a signature alone", data[:64], "length")
    refuse("a byte more than a transaction may have", data + bytes(65_537 - len(data)), "length")
    refuse("as long as a transaction may be", data + bytes(65_536 - len(data)), "trailing")
    refuse("a byte follows", data + b"\0", "trailing")
    refuse("the last byte is missing", data[:-1], "malformed")
    refuse("the body is missing but for a byte", data[:65], "malformed")
    place = 64 + 32 * 3 + 8 * 2
    for tag in (len(CALL.variants), 255, 1 << 31):
        refuse(f"a call of tag {tag}", data[:place] + struct.pack("<I", tag) + data[place + 4:], "malformed")
    for what, where in (("R", 0), ("S", 40), ("the chain id", 64), ("the account", 100), ("the signer", 64 + 64), ("the nonce", 64 + 96), ("the expiry", 64 + 104),
                        ("the payee", place + 5), ("the amount", len(data) - 1)):
        refuse(f"a flipped bit in {what}", data[:where] + bytes([data[where] ^ 1]) + data[where + 1:], "bad_signature")
    refuse("signed by the account, not the signer", transaction(1, body | dict(signer=address(2))), "bad_signature")
    for domain in ("vote", "proposal", "invite"):
        refuse(f"signed as {domain}", transaction(1, body, domain=domain), "bad_signature")
    encoded = data[64:]
    refuse("signed without a domain", sodium.crypto_sign(encoded, sodium.crypto_sign_seed_keypair(secret(1))[1])[:64] + encoded, "bad_signature")
    identity = b"\1" + bytes(31)
    weak = encode(BODY, body | dict(account=identity, signer=identity))
    refuse("a signer that anyone can sign for", times_base(5) + (5).to_bytes(32, "little") + weak, "bad_signature")
    s = (challenge(identity, address(1), DOMAINS["tx"] + encoded) * scalar(1) % ORDER).to_bytes(32, "little")
    refuse("an R of small order", identity + s + encoded, "bad_signature")
    high = (int.from_bytes(data[32:64], "little") + ORDER).to_bytes(32, "little")
    refuse("S + L", data[:32] + high + encoded, "bad_signature")
    save(__file__, "calls.json", dict(good=accepted, bad_calls=refused_calls, bad=refused))


# ---- genesis --------------------------------------------------------------------------------------------------------------------------------------------

SMALL = dict(
    version=1, network="vectors", kind="test", timestamp=NOON, currency="EUR", params=PARAMETERS,
    condominiums=[dict(id=1, name="TRO", revenue=address(REVENUE), mint_cap_per_day=1000 * TOKEN, position_limit=30 * TOKEN, roles=[
        dict(role=role, account=address(seed)) for role, seed in (("manager", MANAGER), ("treasurer", TREASURER), ("gateway", GATEWAY), ("scheduler", SCHEDULER))])],
    accounts=[dict(address=address(seed), home=1, credit_limit=0) for seed in (MANAGER, TREASURER, GATEWAY, SCHEDULER, REVENUE)],
    validators=[dict(address=address(VALIDATOR), power=1, condominium=1, network_key=address(31))])
MOST_CREDIT = 1 << 62  # all credit limits together
FEDERATION = SMALL | dict(
    network="Nordlys – Porto", kind="live", currency="NOK", params=PARAMETERS | dict(heartbeat=0),
    condominiums=SMALL["condominiums"] + [dict(id=U32_MAX, name="ø" * 16, revenue=address(AWAY), mint_cap_per_day=U64_MAX, position_limit=0, roles=[
        dict(role=role, account=address(AWAY)) for role in ROLES])],
    accounts=[*SMALL["accounts"], dict(address=address(AWAY), home=U32_MAX, credit_limit=MOST_CREDIT - 50 * TOKEN), dict(address=address(RESIDENT), home=1, credit_limit=50 * TOKEN)],
    validators=[dict(address=address(seed), power=seed, condominium=1 if seed < 34 else U32_MAX, network_key=address(seed + 10)) for seed in (33, 32, 31, 34)])


def first_records(genesis):
    records = {("params",): genesis["params"]}
    records["validators",] = sorted((dict(address=v["address"], power=v["power"]) for v in genesis["validators"]), key=lambda v: v["address"])
    for condominium in genesis["condominiums"]:
        record = {name: condominium[name] for name in ("name", "revenue", "mint_cap_per_day", "position_limit")}
        records["condominium", condominium["id"]] = record | dict(minted=0, redeemed=0, next_sale=1, mint_day=0, minted_today=0)
        for grant in condominium["roles"]:
            records["role", condominium["id"], grant["role"], grant["account"]] = {"from": 0, "until": None}
    for account in genesis["accounts"]:
        records["account", account["address"]] = dict(home=account["home"], balance=0, held=0, debt=0, credit_limit=account["credit_limit"])
        records["signer", account["address"]] = dict(account=account["address"], scope="Owner", nonce=0)
    return records


def chain_id(genesis):
    return derive("genesis", encode(GENESIS, genesis))


def genesis():
    accepted, refused, spoilt = [], [], []
    for name, document in (("a condominium", SMALL), ("a federation", FEDERATION)):
        state = World(first_records(document)).state()
        validators = encode(VALIDATORS, first_records(document)["validators",])
        accepted.append(dict(**good(name, GENESIS, document), chain_id=chain_id(document).hex(), state=sorted([k.hex(), v.hex()] for k, v in state.items()),
                             state_root=state_root(state).hex(), validators_hash=derive("validator set", validators).hex()))
    for what, data, error in spoiled(GENESIS, SMALL):
        spoilt.append(bad(what, data, error))

    def refuse(name, error, **fields):
        refused.append(dict(good(name, GENESIS, SMALL | fields), error=error))

    def parameter(name, **fields):
        refuse(name, "parameter", params=PARAMETERS | fields)

    one, validator = SMALL["condominiums"][0], SMALL["validators"][0]
    refuse("version 2", "version", version=2)
    refuse("without a name", "name", network="")
    refuse("a name of 33 bytes", "name", network="n" * 33)
    refuse("a name of 17 letters and 34 bytes", "name", network="ø" * 17)
    refuse("a control character in a name", "name", condominiums=[one | dict(name="a\nb")])
    for currency in ("eur", "EURO", "EU", "EÜ", "€€€"):
        refuse(f"currency {currency}", "currency", currency=currency)
    refuse("no condominium", "count", condominiums=[])
    refuse("no account", "count", accounts=[])
    refuse("one condominium twice", "order", condominiums=[one, one])
    refuse("condominiums out of order", "order", condominiums=[one | dict(id=2), one])
    refuse("an account twice", "account_twice", accounts=SMALL["accounts"] + SMALL["accounts"][:1])
    refuse("an account of nowhere", "unknown_condominium", accounts=SMALL["accounts"] + [dict(address=address(1), home=2, credit_limit=0)])
    for name, limits in (("more credit than tokens may be", (MOST_CREDIT, 1)), ("more credit than can be counted", (U64_MAX, 1))):
        accounts = [dict(address=address(seed), home=1, credit_limit=limit) for seed, limit in zip((AWAY, RESIDENT), limits)]
        refuse(name, "credit", accounts=SMALL["accounts"] + accounts)
    refuse("a validator of nowhere", "unknown_condominium", validators=[validator | dict(condominium=2)])
    refuse("revenue for nobody", "unknown_account", condominiums=[one | dict(revenue=address(1))])
    refuse("a role for nobody", "unknown_account", condominiums=[one | dict(roles=one["roles"] + [dict(role="auditor", account=address(1))])])
    refuse("no manager", "no_manager", condominiums=[one | dict(roles=one["roles"][1:])])
    refuse("one key for votes and network", "shared_key", validators=[validator | dict(network_key=validator["address"])])
    refuse("no validator", "validators", validators=[])
    refuse("a validator without power", "validators", validators=[validator | dict(power=0)])
    refuse("a validator twice", "validators", validators=[validator, validator])
    parameter("blocks that hold no transaction", max_block_bytes=65_536 + 4_095)
    parameter("blocks beyond 4 MiB", max_block_bytes=(4 << 20) + 1)
    parameter("no transaction of a resident", resident_txs_per_block=0)
    parameter("roles with less than residents", role_txs_per_block=15)
    parameter("no due work", due_per_block=0)
    parameter("endless due work", due_per_block=10_001)
    parameter("no drift", drift=0)
    parameter("a drift of more than ten minutes", drift=600_001)
    parameter("less grace than the lease", settle_grace=5 * MINUTE - 1)
    parameter("no queue", queue_deadline=0)
    parameter("no duration", max_duration=0)
    parameter("a queue of more than 366 days", queue_deadline=366 * DAY_MS + 1)
    parameter("a duration of more than 366 days", max_duration=366 * DAY_MS + 1)
    parameter("no spending", max_spend=0)
    save(__file__, "genesis.json", dict(good=accepted, refused=refused, bad=spoilt))


# ---- rules ----------------------------------------------------------------------------------------------------------------------------------------------


def entry(k, record):
    kind = TABLES[k[0]][2]
    return dict(table=k[0], key=key(*k).hex(), record=kind.json(record))


def difference(before, after):
    """Entries of `after` that differ from `before`; those that are gone come without a record."""
    changed = []
    for k in sorted(before.keys() | after.keys(), key=lambda k: key(*k)):
        if k not in after:
            changed.append(dict(table=k[0], key=key(*k).hex(), gone=True))
        elif k not in before or encode(TABLES[k[0]][2], before[k]) != encode(TABLES[k[0]][2], after[k]):
            changed.append(entry(k, after[k]))
    return changed


def root_of(records):
    return state_root(World(records).state()).hex()


def rules():
    vectors = []
    for step in stories.tell():
        world, call = step["world"], step["call"]
        vector = dict(name=step["name"], block=dict(height=world.height, timestamp=world.now), pre=difference(BASE, step["before"]))
        if call is None:
            vector |= dict(call=None, receipts=[RECEIPT.json(receipt) for receipt in step["receipts"]])
        else:
            # Where the call is refused, the block's numbers in the world are those of the step all the same.
            vector |= dict(transaction=dict(id=world.id.hex(), index=world.index, account=bech32m(world.account), signer=bech32m(world.signer)),
                           call=CALL.json(call), outcome=OUTCOME.json(step["outcome"]), events=[EVENT.json(event) for event in step["events"]])
        vector |= dict(changes=difference(step["before"], step["after"]), root=root_of(step["after"]))
        vectors.append(vector)
    names = [vector["name"] for vector in vectors]
    repeated = {name for name in names if names.count(name) > 1}
    for number, vector in enumerate(vectors):
        if vector["name"] in repeated:
            vector["name"] += f" ({number})"
    base = [entry(k, record) for k, record in sorted(BASE.items(), key=lambda row: key(*row[0]))]
    save(__file__, "rules.json", dict(chain_id=CHAIN.hex(), base=base, root=root_of(BASE), steps=vectors))


# ---- a whole chain ----------------------------------------------------------------------------------------------------------------------------------------

STREET = FEDERATION | dict(
    network="street", kind="test", params=PARAMETERS,
    condominiums=[SMALL["condominiums"][0], FEDERATION["condominiums"][1] | dict(id=2, name="BOD", mint_cap_per_day=1000 * TOKEN, position_limit=30 * TOKEN)],
    accounts=[*SMALL["accounts"], dict(address=address(AWAY), home=2, credit_limit=0)],
    validators=[dict(address=address(seed), power=1, condominium=1, network_key=address(seed + 10)) for seed in (31, 32, 33, 34)])


class Chain:
    """Blocks one after the other, each with everything that its header names."""

    def __init__(self, genesis):
        self.id, self.seeds = chain_id(genesis), {address(seed): seed for seed in range(64)}
        self.world = World(first_records(genesis))
        self.world.chain_id, self.world.now = self.id, genesis["timestamp"]
        self.hashes, self.blocks, self.records = [], [], []

    def body(self, who, call, nonce=None, **fields):
        signer = self.world.get("signer", address(who))
        nonce = nonce if nonce is not None else signer["nonce"] if signer else 0
        return dict(chain_id=self.id, account=address(who), signer=address(who), nonce=nonce, valid_until=self.world.now + HOUR, call=call) | fields

    def admit(self, data):
        """Carries out one signed transaction; gives its receipt."""
        world = self.world
        out = self.pending.pop(0)
        assert transaction(self.seeds[out["signer"]], out) == data
        signer = world.get("signer", out["signer"])
        assert out["nonce"] == (signer["nonce"] if signer else 0) and (signer or out["call"]["register_account"]["invite"])
        world.id, world.account, world.signer = derive("transaction id", data[64:]), out["account"], out["signer"]
        if signer:
            signer["nonce"] += 1
        outcome, events, self.world = world.play(out["call"])
        if not signer:
            self.world.get("signer", out["signer"])["nonce"] = 1
        return dict(cause=dict(transaction=world.id), outcome=outcome, events=events)

    def header(self, transactions, receipts, **fields):
        validators = encode(VALIDATORS, self.world.get("validators"))
        return dict(
            version=1, chain_id=self.id, height=len(self.hashes) + 1, parent=self.hashes[-1] if self.hashes else self.id, history_root=history_root(self.hashes),
            timestamp=self.world.now, proposer=address(31 + len(self.hashes) % 4), transactions_root=merkle_root([derive("transaction leaf", t) for t in transactions]),
            receipts_root=merkle_root([derive("receipt leaf", encode(RECEIPT, receipt)) for receipt in receipts]), state_root=state_root(self.world.state()),
            next_validators=derive("validator set", validators)) | fields

    def block(self, name, wait, *asked):
        """`asked`: (who, call); nonces count up by themselves."""
        self.world.now += wait
        self.world.height = len(self.hashes) + 1
        used, self.pending = {}, []
        for who, call in asked:
            begin = self.world.get("signer", address(who))
            self.pending.append(self.body(who, call, (begin["nonce"] if begin else 0) + used.get(who, 0)))
            used[who] = used.get(who, 0) + 1
        transactions = [transaction(self.seeds[body["signer"]], body) for body in self.pending]
        receipts = []
        for index, data in enumerate(transactions):
            self.world.index = index
            receipts.append(self.admit(data))
        receipts += self.world.meet_deadlines()
        header = self.header(transactions, receipts)
        made, hashed = encode(BLOCK, dict(header=header, transactions=transactions)), derive("header", encode(HEADER, header))
        voters = sorted(address(seed) for seed in (31, 32, 33, 34))[:3 + len(self.hashes) % 2]
        vote = dict(chain_id=self.id, kind="Precommit", height=header["height"], round=0, block=hashed)
        signatures = [dict(validator=v, signature=sign(self.seeds[v], "vote", encode(VOTE, vote | dict(validator=v)))) for v in voters]
        certificate = encode(CERTIFICATE, dict(height=header["height"], round=0, block=hashed, signatures=signatures))
        self.hashes.append(hashed)
        self.records += [(2, made), (3, certificate), (4, encode(List(RECEIPT), receipts))]
        self.blocks.append(dict(name=name, bytes=made.hex(), hash=hashed.hex(), certificate=certificate.hex(), receipts=[RECEIPT.json(r) for r in receipts],
                                history_root=history_root(self.hashes).hex()))
        return [receipt["cause"].get("transaction") for receipt in receipts], [receipt["outcome"] for receipt in receipts]


def frame(tag, payload):
    framed = bytes([tag]) + struct.pack("<I", len(payload)) + payload
    return framed + derive("export record", framed)


def chain():
    c = Chain(STREET)
    plug = dict(group=2, control="switched", plug_signal="reported", rated=[32_000] * 3, tariff=1, service="in_service")
    c.block("the house is set up", 1000, *((MANAGER, call) for call in (
        dict(register_account=dict(account=address(RESIDENT), condominium=1, invite=None)),
        dict(put_group=dict(group=(1, 1), parent=None, limit=[80_000] * 3)), dict(put_group=dict(group=(1, 2), parent=1, limit=[40_000] * 3)),
        dict(put_tariff=dict(tariff=(1, 1), version=1, valid_from=NOON + 1000, document=DAY_AND_NIGHT)),
        dict(put_connector=dict(connector=(1, 1), **plug)), dict(put_connector=dict(connector=(1, 2), **plug)))))
    _, outcomes = c.block(
        "people come and buy", 1000,
        (TREASURER, dict(sell_tokens=dict(condominium=1, account=address(RESIDENT), amount=50 * TOKEN, sale=1, payment=ID_1))),
        (AWAY, dict(sell_tokens=dict(condominium=2, account=address(VISITOR), amount=40 * TOKEN, sale=1, payment=ID_2))),
        (STRANGER, dict(register_account=dict(account=address(STRANGER), condominium=1, invite=invite(TREASURER, c.id, 1, 1, NOON + DAY_MS)))),
        (RESIDENT, dict(transfer=dict(to=address(STRANGER), amount=51 * TOKEN))), (RESIDENT, dict(transfer=dict(to=address(STRANGER), amount=5 * TOKEN))))
    assert [isinstance(outcome, str) for outcome in outcomes] == [True, True, True, False, True]
    (a, b), _ = c.block("two sessions open", 1, (RESIDENT, dict(open_session=opening((1, 1)))), (VISITOR, dict(open_session=opening((1, 2), 20 * TOKEN))))
    c.block("the second goes first", 1000, (SCHEDULER, dict(grant_charge=dict(session=b, current=[32_000] * 3, skipped=[dict(session=a, reason="unit_lost")]))),
            (GATEWAY, dict(attest=dict(readings=[reading(b, 1, NOON + 3001, 100)]))))
    c.block("an hour later it leaves", HOUR, (GATEWAY, dict(attest=dict(readings=[reading(b, 2, NOON + HOUR, 11_141, 2), reading(a, 1, NOON, 0)]))),
            (GATEWAY, dict(settle_session=dict(session=b))), (VISITOR, dict(request_redeem=dict(amount=7 * TOKEN, payee=ZERO))))
    assert c.world.get("account", address(AWAY))["balance"] == 0 and c.world.get("account", address(REVENUE))["balance"] == c.world.get("position", 2, 1) == 11_041 * 250
    c.block("nobody asks for anything", DAY_MS)
    assert c.world.get("session", a) is None
    _, outcomes = c.block("what was due is gone", 1, (RESIDENT, dict(cancel_session=dict(session=a))),
                          (RESIDENT, dict(request_redeem=dict(amount=45 * TOKEN, payee=ID_1))))
    assert [isinstance(outcome, str) for outcome in outcomes] == [False, True]
    assert c.world.get("account", address(RESIDENT)) == dict(home=1, balance=0, held=45 * TOKEN, debt=0, credit_limit=0)
    end = len(c.blocks)

    # Blocks that nobody may vote for, in the place of the next.
    c.world.now += 1000
    c.world.height = end + 1
    state, refused = copy.deepcopy(c.world), []

    def refuse(name, error, bodies=(), **fields):
        c.world = copy.deepcopy(state)
        transactions = [body if isinstance(body, bytes) else transaction(c.seeds[body["signer"]], body) for body in bodies]
        header = c.header(transactions, []) | fields
        refused.append(dict(name=name, bytes=encode(BLOCK, dict(header=header, transactions=transactions)).hex(), error=error))

    refuse("nothing is wrong", None)
    refuse("another version", "version: expected 1, found 2", version=2)
    refuse("another height", f"height: expected {end + 1}, found {end}", height=end)
    refuse("the parent's time", f"timestamp: expected {state.now - 1000}, found {state.now - 1000}", timestamp=state.now - 1000)
    for field in ("chain_id", "parent", "history_root", "transactions_root", "receipts_root", "state_root", "next_validators"):
        right = c.header([], [])[field]
        refuse(f"another {field}", f"{field.replace('_', ' ')}: expected {right.hex()}, found {ID_1.hex()}", **{field: ID_1})
    refuse("a proposer who is none", f"proposer {bech32m(address(1))} is no validator of this height", proposer=address(1))
    pay = dict(transfer=dict(to=address(STRANGER), amount=1))

    def refuse_transaction(name, code, *bodies, place=0):
        refuse(name, f"transaction {place}: {code}", bodies)

    nonce = state.get("signer", address(RESIDENT))["nonce"]
    refuse_transaction("a nonce again", "wrong_nonce", c.body(RESIDENT, pay, nonce - 1))
    refuse_transaction("a nonce is left out", "wrong_nonce", c.body(RESIDENT, pay), c.body(RESIDENT, pay, nonce + 2), place=1)
    refuse_transaction("for another chain", "wrong_chain", c.body(RESIDENT, pay, chain_id=ID_1))
    refuse_transaction("a millisecond after its expiry", "expired", c.body(RESIDENT, pay, valid_until=state.now - 1))
    refuse_transaction("good for a millisecond too long", "valid_too_long", c.body(RESIDENT, pay, valid_until=state.now + DAY_MS + 1))
    refuse_transaction("by somebody unknown", "unknown_signer", c.body(6, pay))
    refuse_transaction("for another's account", "unknown_signer", c.body(RESIDENT, pay, account=address(STRANGER)))
    for name, card in (("a used invite", invite(TREASURER, c.id, 1, 1, NOON + DAY_MS)), ("a false invite", invite(RESIDENT, c.id, 1, 2, NOON + 9 * DAY_MS))):
        refuse_transaction(name, "unknown_signer", c.body(6, dict(register_account=dict(account=address(6), condominium=1, invite=card))))
    refuse_transaction("a newcomer begins at 1", "unknown_signer",
                       c.body(6, dict(register_account=dict(account=address(6), condominium=1, invite=invite(TREASURER, c.id, 1, 2, NOON + 9 * DAY_MS))), 1))
    refuse_transaction("a resident's seventeenth", "too_many_from_signer", *(c.body(RESIDENT, pay, nonce + i) for i in range(17)), place=16)

    first = state_root(World(first_records(STREET)).state())
    transactions = sum(struct.unpack_from("<Q", made, 4 + 32 + 8 + 32 + 32 + 8 + 32 * 5)[0] for tag, made in c.records if tag == 2)
    rows = sorted(state.state().items())
    records = [(1, encode(GENESIS, STREET)), *c.records, (6, encode(STATE_PAGE, rows)),
               (7, encode(END, dict(blocks=end, transactions=transactions, samples=0, state_keys=len(rows))))]
    export = b"CWEXPORT" + struct.pack("<I", 1) + b"".join(frame(tag, payload) for tag, payload in records)
    save(__file__, "chain.json", dict(genesis=GENESIS.json(STREET), chain_id=c.id.hex(), state_root=first.hex(), blocks=c.blocks, refused=refused, export=export.hex()))


calls()
genesis()
rules()
save(__file__, "tariffs.json", dict(bills=tariffs.tell()))
chain()
