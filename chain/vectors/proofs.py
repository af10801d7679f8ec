"""Proofs of sessions and accounts for light clients: chains with changing validators, made and signed here, and what must be refused for which reason."""

import copy
import struct

from nouns import ADDRESS, CERTIFICATE, HASH, HEADER, HEIGHT, HISTORY_PATH, ID, PATH, RECEIPT, STATE_PROOF, TABLES, TARIFF_VERSION, VALIDATORS, VOTE, U32, key
from wire import (Option, Raw, Struct, List, address, derive, encode, history_path, history_root, merkle_root, merkle_siblings, save, sign, state_proof,
                  state_root)

CHANGE = Struct(header=HEADER, certificate=CERTIFICATE, next=VALIDATORS)
EARLIER = Struct(header=HEADER, path=HISTORY_PATH)
ANCHOR = Struct(header=HEADER, certificate=CERTIFICATE, changes=List(CHANGE), earlier=List(EARLIER))


class Bytes:
    """Bytes of any length, hexadecimal digits in JSON."""

    def json(self, value):
        return value.hex()


TRANSACTION = Struct(bytes=Bytes(), path=PATH)
STEP = Struct(height=HEIGHT, receipt=RECEIPT, path=PATH, transaction=Option(TRANSACTION))
TARIFF = Struct(id=ID, version=U32, record=TARIFF_VERSION, proof=STATE_PROOF)
SESSION = Struct(session=HASH, steps=List(STEP), tariff=TARIFF, anchor=ANCHOR)
ACCOUNT = Struct(address=ADDRESS, account=Option(TABLES["account"][2]), proof=STATE_PROOF, anchor=ANCHOR)


def members(seeds):
    return sorted((dict(address=address(seed), power=power) for seed, power in seeds.items()), key=lambda member: member["address"])


def set_hash(seeds):
    return derive("validator set", encode(VALIDATORS, members(seeds)))


def header_hash(header):
    return derive("header", encode(HEADER, header))


def certify(header, seeds, **fields):
    """Precommits of these seeds, in order of address; `fields` is what each of them votes for instead."""
    def commit(seed):
        vote = dict(chain_id=header["chain_id"], kind="Precommit", height=header["height"], round=1, block=header_hash(header), validator=address(seed))
        return dict(validator=address(seed), signature=sign(seed, "vote", encode(VOTE, vote | fields)))

    return dict(height=header["height"], round=1, block=header_hash(header),
                signatures=sorted(map(commit, seeds), key=lambda commit: commit["validator"]))


def leaf_path(leaves, index):
    return dict(index=index, count=len(leaves), siblings=merkle_siblings(leaves, index))


class Chain:
    """Blocks from 1 on: `sets[i]` decides block i + 1; the last one follows the last block."""

    def __init__(self, network, sets, state, told):
        self.id, self.sets, self.state, self.told = derive("genesis", network), sets, state, told
        self.headers, parent = [], self.id
        for height in range(1, len(sets)):
            header = dict(
                version=1, chain_id=self.id, height=height, parent=parent, history_root=history_root(list(map(header_hash, self.headers))),
                timestamp=1767614400000 + height, proposer=members(sets[height - 1])[0]["address"],
                transactions_root=merkle_root(self.transaction_leaves(height)), receipts_root=merkle_root(self.receipt_leaves(height)),
                state_root=state_root(state), next_validators=set_hash(sets[height]))
            parent = header_hash(header)
            self.headers.append(header)

    def transaction(self, height, index):
        return bytes([index]) * 64 + struct.pack("<QQ", height, index)

    def transaction_leaves(self, height):
        return [derive("transaction leaf", self.transaction(height, index)) for index in range(3)]

    def receipts(self, height):
        causes = [dict(transaction=derive("transaction id", self.transaction(height, index)[64:])) for index in range(3)]
        events = self.told.get(height, {})
        causes += [dict(due=b"\x11" * 32)] * (3 in events)
        return [dict(cause=cause, outcome="applied", events=events.get(index, [])) for index, cause in enumerate(causes)]

    def receipt_leaves(self, height):
        return [derive("receipt leaf", encode(RECEIPT, receipt)) for receipt in self.receipts(height)]

    def header(self, height):
        return self.headers[height - 1]

    def certified(self, height):
        return certify(self.header(height), self.sets[height - 1])

    def anchor(self, height, earlier=()):
        hashes = list(map(header_hash, self.headers[:height - 1]))
        changed = [at for at in range(1, height) if self.sets[at] != self.sets[at - 1]]
        return dict(
            header=self.header(height), certificate=self.certified(height),
            changes=[dict(header=self.header(at), certificate=self.certified(at), next=members(self.sets[at])) for at in changed],
            earlier=[dict(header=self.header(at), path=history_path(hashes, at - 1)) for at in earlier])

    def step(self, height, index):
        transaction = dict(bytes=self.transaction(height, index), path=leaf_path(self.transaction_leaves(height), index)) if index < 3 else None
        return dict(height=height, receipt=self.receipts(height)[index], path=leaf_path(self.receipt_leaves(height), index), transaction=transaction)

    def account(self, who, height=8):
        found = next((record for stored, record in self.records() if stored == key("account", who)), None)
        return dict(address=who, account=found, proof=state_proof(self.state, key("account", who)), anchor=self.anchor(height, [4]))

    def records(self):
        return self.account_records


ANA, NOBODY, GATEWAY = address(31), address(32), address(33)
SESSION_ID = b"\x11" * 32
BALANCE = dict(home=1, balance=7_240_000, held=0, debt=0, credit_limit=0)
PLAIN = dict(start_time=None, end_time=None, day_of_week=[], min_energy=None, max_energy=None, min_power=None, max_power=None, min_duration=None,
             max_duration=None)
PRICES = dict(valid_from=1767614400000, tariff=dict(
    time_zone="UTC0", elements=[dict(price_components=[dict(dimension="ENERGY", price=250_000)], restrictions=PLAIN)], min_price=None, max_price=None,
    vat_basis_points=2500, parking_grace=0))
BILL = dict(
    session=SESSION_ID, account=ANA, connector=(1, 17), tariff=(1, 2), tariff_version=3, opened_at=1767614400003, first_granted_at=1767614400004,
    ended_at=1767614400005, settled_at=1767614400006, reason="vehicle_full", settled_by="gateway", energy=11_040, energy_billed=11_040,
    cost=dict(energy=11_040 * 250_000 * 36_000_000, time=0, parking_time=0, flat=0), escrow=10_000_000, paid=2_760_000, refund=7_240_000, overdrawn=None,
    readings=2, samples=60)


def make(network, bill=BILL, sets=None):
    told = {
        3: {1: [dict(session_opened=dict(session=SESSION_ID, account=ANA, connector=(1, 17), escrow=10_000_000))]},
        4: {0: [dict(reading_handled=dict(session=SESSION_ID, sequence=1, refused=None))]},
        5: {3: [dict(session_stopping=dict(session=SESSION_ID, reason="time", settle_by=1767621660000))]},
        6: {2: [dict(session_settled=bill)]},
    }
    records = [(key("account", ANA), BALANCE), (key("account", GATEWAY), BALANCE | dict(balance=0))]
    state = {stored: encode(TABLES["account"][2], record) for stored, record in records}
    state[key("tariff_version", 1, 2, 3)] = encode(TARIFF_VERSION, PRICES)
    state |= {bytes([99, n]): bytes([n]) for n in range(20)}
    one, four, others, three = {41: 1}, {41: 1, 42: 1, 43: 1, 44: 1}, {45: 1, 42: 1, 43: 1, 44: 1}, {45: 5, 46: 3, 47: 7}
    chain = Chain(network, sets or [one, one, four, four, four, others, others, three, three], state, told)
    chain.account_records = records
    return chain


def session_of(chain):
    tariff = dict(id=(1, 2), version=3, record=PRICES, proof=state_proof(chain.state, key("tariff_version", 1, 2, 3)))
    return dict(session=SESSION_ID, steps=[chain.step(3, 1), chain.step(4, 0), chain.step(5, 3), chain.step(6, 2)], tariff=tariff,
                anchor=chain.anchor(8, [2, 3, 4, 5, 6, 7]))


def changed(value, path, change):
    """A copy of `value` in which what stands at `path` is replaced by `change` of it."""
    value = copy.deepcopy(value)
    inner = value
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = change(inner[path[-1]]) if callable(change) else change
    return value


def flip(data):
    return bytes([data[0] ^ 1]) + data[1:]


def differences(base, value, at=""):
    """What makes one JSON value of another: (JSON pointer, what stands there instead), as deep as it goes."""
    if isinstance(base, dict) and isinstance(value, dict) and base.keys() == value.keys():
        return [found for name in base for found in differences(base[name], value[name], f"{at}/{name}")]
    if isinstance(base, list) and isinstance(value, list) and len(base) == len(value):
        return [found for place in range(len(base)) for found in differences(base[place], value[place], f"{at}/{place}")]
    return [] if base == value else [[at, value]]


def other(value):
    """Another value of the same kind."""
    if isinstance(value, bytes):
        return flip(value)
    if isinstance(value, int):
        return value + 1
    if isinstance(value, tuple):
        return (value[0], value[1] + 1)
    raise TypeError(value)


def write():
    here, there = make(b"here"), make(b"there")
    session, account, absent = session_of(here), here.account(ANA), here.account(NOBODY)
    bases = dict(
        session=dict(kind="session", proof=SESSION.json(session)), account=dict(kind="account", proof=ACCOUNT.json(account)),
        absent=dict(kind="account", proof=ACCOUNT.json(absent)))
    cases = []

    def case(name, kind, proof, error=None, trust=None, chain=here, begins=None):
        """`begins`: the chain whose genesis document comes with the proof."""
        begins, shown = begins or chain, kind.json(proof)
        base = min(bases, key=lambda base: len(str(differences(bases[base]["proof"], shown))))
        assert bases[base]["kind"] == ("session" if kind is SESSION else "account")
        cases.append(dict(
            name=name, base=base, error=error, trust=trust or dict(genesis=chain.id.hex()), chain_id=begins.id.hex(),
            validators=VALIDATORS.json(members(begins.sets[0])), changes=differences(bases[base]["proof"], shown)))

    def checkpoint(height, chain=here):
        return dict(checkpoint=f"{height}:{header_hash(chain.header(height)).hex()}")

    case("a session from genesis", SESSION, session)
    case("an account from genesis", ACCOUNT, account)
    case("an account that is not there", ACCOUNT, absent)
    for height in (2, 3, 5, 7, 8):
        case(f"a session from the checkpoint at {height}", SESSION, session, trust=checkpoint(height))
    case("an account from a checkpoint before it", ACCOUNT, account, trust=checkpoint(4))

    # What is trusted is another chain, another block, or out of reach.
    case("the genesis of another federation", SESSION, session, "OtherGenesis", trust=dict(genesis=there.id.hex()))
    case("another federation's genesis document beside it", SESSION, session, "OtherChain", chain=there)
    case("the checkpoint of another federation", SESSION, session, "Contradicts", trust=checkpoint(8, there))
    case("the hash of one block as the checkpoint of the next", SESSION, session, "Contradicts",
         trust=dict(checkpoint=f"7:{header_hash(here.header(6)).hex()}"))
    case("a checkpoint that the proof does not reach", SESSION, session, "NotReached", trust=checkpoint(1))
    later = dict(checkpoint=f"9:{'ab' * 32}")
    case("a checkpoint after the anchor", ACCOUNT, account, "NotReached", trust=later)

    # Every field of the anchor's header: signed by nobody.
    special = dict(version="HeaderVersion", chain_id="OtherChain")
    for field in here.header(8):
        proof = changed(account, ["anchor", "header", field], other)
        case(f"anchor, header, {field}", ACCOUNT, proof, special.get(field, "CertificateOfOther"))
    for field in here.header(8):
        proof = changed(session, ["anchor", "earlier", 2, "header", field], other)
        expected = special.get(field, "HistoryPlace" if field == "height" else "History")
        # The height that it would have is the next one's.
        case(f"an earlier header, {field}", SESSION, proof, expected)
    for field in here.header(8):
        proof = changed(account, ["anchor", "changes", 1, "header", field], other)
        case(f"a change of validators, header, {field}", ACCOUNT, proof, special.get(field, "CertificateOfOther"))

    # Every field of a certificate.
    for place, where in (("anchor", ["anchor", "certificate"]), ("a change of validators", ["anchor", "changes", 1, "certificate"])):
        for field, error in (("height", "CertificateOfOther"), ("round", "Certificate:Signature"), ("block", "CertificateOfOther")):
            case(f"{place}, certificate, {field}", ACCOUNT, changed(account, [*where, field], other), error)
        for number in range(3):
            signature = [*where, "signatures", number]
            case(f"{place}, certificate, signature {number}", ACCOUNT, changed(account, [*signature, "signature"], flip), "Certificate:Signature")
            case(f"{place}, certificate, validator {number}", ACCOUNT, changed(account, [*signature, "validator"], flip), "Certificate:Stranger")
        twice = changed(account, [*where, "signatures"], lambda signatures: signatures[:1] + signatures)
        case(f"{place}, certificate, a validator twice", ACCOUNT, twice, "Certificate:Order")
        case(f"{place}, certificate, nobody", ACCOUNT, changed(account, [*where, "signatures"], []), "Certificate:Quorum")

    # What a quorum of the wrong people, or too small a one, signed well.
    last = here.header(8)
    for name, seeds, error in [
        ("exactly two thirds of the power", [46, 47], "Certificate:Quorum"),
        ("a third of the power", [45], "Certificate:Quorum"),
        ("just over two thirds", [45, 47], None),
        ("all of it", [45, 46, 47], None),
        ("the validators before", [45, 42, 43, 44], "Certificate:Stranger"),
        ("the first validator", [41], "Certificate:Stranger"),
    ]:
        case(f"signed by {name}", ACCOUNT, changed(account, ["anchor", "certificate"], certify(last, seeds)), error)
    for field, value in [("kind", "Prevote"), ("height", 7), ("round", 0), ("block", None), ("chain_id", there.id)]:
        proof = changed(account, ["anchor", "certificate"], certify(last, [45, 46, 47], **{field: value}))
        case(f"votes with another {field}", ACCOUNT, proof, "Certificate:Signature")

    # The chain of validator sets.
    changes = account["anchor"]["changes"]

    def with_changes(name, error, some, kind=ACCOUNT, base=account):
        case(name, kind, changed(base, ["anchor", "changes"], some), error)

    with_changes("a change left out", "Certificate:Stranger", [changes[0], changes[2]])
    with_changes("the last change left out", "Certificate:Stranger", changes[:2])
    with_changes("no changes", "Certificate:Stranger", [])
    with_changes("two changes exchanged", "Certificate:Stranger", [changes[0], changes[2], changes[1]])
    with_changes("a change twice", "Order", [changes[0], changes[0], changes[1], changes[2]])
    for field in ("address", "power"):
        proof = changed(account, ["anchor", "changes", 1, "next", 0, field], other if field == "power" else (lambda _: b"\0" * 32))
        case(f"the next validators, {field}", ACCOUNT, proof, "NextValidators")
    case("the next validators in another order", ACCOUNT, changed(account, ["anchor", "changes", 0, "next"], lambda s: s[::-1]), "SetOrder")
    case("a next validator twice", ACCOUNT, changed(account, ["anchor", "changes", 0, "next"], lambda s: s[:1] + s), "SetForm")
    case("no next validators", ACCOUNT, changed(account, ["anchor", "changes", 0, "next"], []), "SetForm")
    idle = dict(header=here.header(3), certificate=here.certified(3), next=members(here.sets[3]))
    with_changes("a change that changes nothing", "NoChange", [changes[0], idle, *changes[1:]])

    # Someone with a retired quorum's key makes another history.
    forged = make(b"here", sets=[{41: 1}] * 9)
    case("a retired quorum deceives whoever knows genesis alone", ACCOUNT, forged.account(ANA))
    case("and nobody who has seen a block since", ACCOUNT, forged.account(ANA), "Contradicts", trust=checkpoint(4))

    # Every field of an earlier header's path.
    for field, error in (("index", "HistoryPlace"), ("count", "HistoryPlace")):
        case(f"history path, {field}", SESSION, changed(session, ["anchor", "earlier", 1, "path", field], other), error)
    for part in ("siblings", "peaks"):
        for place in range(len(session["anchor"]["earlier"][1]["path"][part])):
            proof = changed(session, ["anchor", "earlier", 1, "path", part, place], flip)
            case(f"history path, {part} {place}", SESSION, proof, "History:RootMismatch")
    case("history path, a sibling less", SESSION, changed(session, ["anchor", "earlier", 1, "path", "siblings"], lambda s: s[:-1]), "History:SiblingCount")
    case("history path, a peak more", SESSION, changed(session, ["anchor", "earlier", 1, "path", "peaks"], lambda s: s + s), "History:PeakCount")
    case("earlier headers in another order", SESSION, changed(session, ["anchor", "earlier"], lambda s: s[::-1]), "Order")
    case("an earlier header left out", SESSION, changed(session, ["anchor", "earlier"], lambda s: s[:1] + s[2:]), "NoHeader")

    # Every step of a session.
    rejected = dict(rejected=dict(code="over_limit", expected=None, found=None))
    for number, step in enumerate(session["steps"]):
        where = ["steps", number]
        if step["receipt"]["cause"].get("transaction"):
            case(f"step {number}, cause", SESSION, changed(session, [*where, "receipt", "cause", "transaction"], flip), "ReceiptPath:RootMismatch")
            case(f"step {number}, transaction", SESSION, changed(session, [*where, "transaction", "bytes"], flip), "TransactionPath:RootMismatch")
            case(f"step {number}, no transaction", SESSION, changed(session, [*where, "transaction"], None), "OtherTransaction")
            for place in range(len(step["transaction"]["path"]["siblings"])):
                proof = changed(session, [*where, "transaction", "path", "siblings", place], flip)
                case(f"step {number}, transaction path {place}", SESSION, proof, "TransactionPath:RootMismatch")
        for place in range(len(step["path"]["siblings"])):
            proof = changed(session, [*where, "path", "siblings", place], flip)
            case(f"step {number}, receipt path {place}", SESSION, proof, "ReceiptPath:RootMismatch")
        proof = changed(session, [*where, "path", "count"], other)
        case(f"step {number}, count of receipts", SESSION, proof, "ReceiptPath")
        case(f"step {number}, outcome", SESSION, changed(session, [*where, "receipt", "outcome"], rejected), "ReceiptPath:RootMismatch")
    opened, stopping = (["steps", number, "receipt", "events", 0, event] for number, event in ((0, "session_opened"), (2, "session_stopping")))
    for where, field, value in (
        (opened, "account", NOBODY), (opened, "connector", other), (opened, "escrow", other),
        (["steps", 1, "receipt", "events", 0, "reading_handled"], "sequence", other),
        (["steps", 1, "receipt", "events", 0, "reading_handled"], "refused", "reading_impossible"),
        (stopping, "reason", "money"), (stopping, "settle_by", other),
    ):
        case(f"{where[-1]}, {field}", SESSION, changed(session, [*where, field], value), "ReceiptPath:RootMismatch")
    for field in BILL:
        if field in ("reason", "settled_by", "cost", "overdrawn"):
            continue
        proof = changed(session, ["steps", 3, "receipt", "events", 0, "session_settled", field], other)
        case(f"the bill, {field}", SESSION, proof, "ReceiptPath:RootMismatch")
    for field in BILL["cost"]:
        proof = changed(session, ["steps", 3, "receipt", "events", 0, "session_settled", "cost", field], other)
        case(f"the bill, cost, {field}", SESSION, proof, "ReceiptPath:RootMismatch")
    for field, value in (("reason", "money"), ("settled_by", "chain"), ("overdrawn", dict(energy=1, amount=1))):
        proof = changed(session, ["steps", 3, "receipt", "events", 0, "session_settled", field], value)
        case(f"the bill, {field}", SESSION, proof, "ReceiptPath:RootMismatch")
    case("steps in another order", SESSION, changed(session, ["steps"], lambda steps: steps[::-1]), "StepOrder")
    case("a step twice", SESSION, changed(session, ["steps"], lambda steps: steps[:1] + steps), "StepOrder")
    case("a step of nobody", SESSION, changed(session, ["steps"], lambda steps: [here.step(2, 0), *steps]), "OtherSession")
    case("no settlement", SESSION, changed(session, ["steps"], lambda steps: steps[:-1]), "Settlements")
    case("another session", SESSION, changed(session, ["session"], flip), "OtherSession")
    moved = changed(session, ["steps", 0, "transaction"], here.step(3, 2)["transaction"])
    case("the next transaction beside a receipt", SESSION, moved, "OtherTransaction")
    lost = make(b"here", bill=BILL | dict(paid=2_760_001))
    case("a certified bill that does not add up", SESSION, session_of(lost), "Bill", chain=lost)

    # The tariff and the account.
    for where, error in (("version", "OtherTariff"), ("id", "OtherTariff")):
        case(f"the tariff's {where}", SESSION, changed(session, ["tariff", where], other), error)
    for path in (["valid_from"], ["tariff", "vat_basis_points"], ["tariff", "parking_grace"], ["tariff", "elements", 0, "price_components", 0, "price"]):
        case(f"the tariff, {path[-1]}", SESSION, changed(session, ["tariff", "record", *path], other), "State:RootMismatch")
    element = ["elements", 0]
    for path, value in (
        (["time_zone"], "CET-1CEST,M3.5.0,M10.5.0/3"), (["min_price"], 1), (["max_price"], 1), ([*element, "restrictions", "max_energy"], 1),
        ([*element, "price_components", 0, "dimension"], "TIME"),
    ):
        proof = changed(session, ["tariff", "record", "tariff", *path], value)
        case(f"the tariff, {path[-1]}", SESSION, proof, "State:RootMismatch")
    for name, kind, base, where in (("tariff", SESSION, session, ["tariff", "proof", "end"]), ("account", ACCOUNT, account, ["proof", "end"])):
        elsewhere = dict(OtherLeaf=dict(path=b"\x22" * 32, value=b"\x33" * 32))
        for end, value in (("nothing", "Nothing"), ("another leaf", elsewhere)):
            case(f"state path of the {name}, its end: {end}", kind, changed(base, where, value), "State:WrongKind")
    for name, proof in (("tariff", session["tariff"]), ("account", account)):
        kind, base, where = (SESSION, session, ["tariff", "proof", "siblings"]) if name == "tariff" else (ACCOUNT, account, ["proof", "siblings"])
        for place in range(len(proof["proof"]["siblings"])):
            case(f"state path of the {name}, {place}", kind, changed(base, [*where, place], flip), "State:RootMismatch")
        case(f"state path of the {name}, one less", kind, changed(base, where, lambda s: s[:-1]), "State:RootMismatch")
    for field in BALANCE:
        case(f"the account, {field}", ACCOUNT, changed(account, ["account", field], other), "State:RootMismatch")
    leaf = absent["proof"]["end"]["OtherLeaf"]
    for name, end, error in (
        ("nothing", "Nothing", "RootMismatch"), ("a value", "Value", "WrongKind"),
        ("the path of its leaf", dict(OtherLeaf=leaf | dict(path=leaf["path"][:-1] + flip(leaf["path"][-1:]))), "RootMismatch"),
        ("the value of its leaf", dict(OtherLeaf=leaf | dict(value=flip(leaf["value"]))), "RootMismatch"),
        ("a leaf of its own", dict(OtherLeaf=leaf | dict(path=derive("state key", key("account", NOBODY)))), "LeafElsewhere"),
    ):
        case(f"state path of the absent account, its end: {name}", ACCOUNT, changed(absent, ["proof", "end"], end), f"State:{error}")
    case("the account of another address", ACCOUNT, changed(account, ["address"], NOBODY), "State:RootMismatch")
    case("an account denied", ACCOUNT, changed(account, ["account"], None), "State:WrongKind")
    case("an account invented", ACCOUNT, changed(absent, ["account"], BALANCE), "State:WrongKind")
    case("an account denied by another's absence", ACCOUNT, changed(absent, ["address"], ANA), "State")
    save(__file__, "verify.json", dict(bases=bases, cases=cases))
