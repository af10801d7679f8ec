"""Small stories about the rules: in a federation of two condominiums people do one thing after the other, and each step says what must come of it.

What is written here by hand (outcomes, sums, states) is what the rules say; ledger.py must agree with it before a step becomes a vector, and gives the rest:
every changed record and every event. `tell` gives all steps.
"""

from ledger import *

RESIDENT, NEIGHBOUR, VISITOR, STRANGER = 1, 2, 3, 4
MANAGER, TREASURER, GATEWAY, SCHEDULER, REVENUE, DEPUTY, AWAY, VALIDATOR = 10, 11, 12, 13, 14, 15, 20, 30
# Monday 2026-01-05, 12:00 UTC; 13:00 in Central Europe.
NOON = 1767614400000
TOKEN = 1_000_000
CHAIN = derive("genesis", b"rules")
ANYTIME = dict(start_time=None, end_time=None, day_of_week=[], min_energy=None, max_energy=None, min_power=None, max_power=None, min_duration=None,
               max_duration=None)
PARAMETERS = dict(
    max_block_bytes=262_144, resident_txs_per_block=16, role_txs_per_block=512, due_per_block=3, drift=10_000, settle_grace=HOUR, lease=5 * MINUTE,
    queue_deadline=24 * HOUR, max_duration=72 * HOUR, max_spend=1000 * TOKEN, min_current=6000, notice_heights=1000, heartbeat=600_000)


def tariff(*elements, zone="UTC0"):
    """Elements as (energy price, flat price or None, restrictions)."""
    made = []
    for per_kwh, flat, limits in elements:
        components = [dict(dimension="ENERGY", price=per_kwh)] + ([] if flat is None else [dict(dimension="FLAT", price=flat)])
        made.append(dict(price_components=components, restrictions=ANYTIME | limits))
    return dict(time_zone=zone, elements=made, min_price=None, max_price=None, vat_basis_points=2500, parking_grace=0)


def elements(*made, zone="UTC0", **fields):
    """A document of any kind; elements as prices by dimension, with `when` for the restrictions."""
    listed = [dict(price_components=[dict(dimension=name, price=price) for name, price in prices.items() if name != "when"],
                   restrictions=ANYTIME | prices.get("when", {})) for prices in made]
    return dict(time_zone=zone, elements=listed, min_price=None, max_price=None, vat_basis_points=0, parking_grace=0) | fields


DAY_AND_NIGHT = tariff((150_000, None, dict(start_time=22 * 60, end_time=7 * 60)), (250_000, None, {}), zone=CENTRAL_EUROPE)
ODD_HOURS = tariff((150_000, None, dict(start_time=150, end_time=180)), (250_000, None, {}), zone=CENTRAL_EUROPE)
WEEKEND = tariff((100_000, 5 * TOKEN, dict(day_of_week=["SATURDAY", "SUNDAY"])), (250_000, TOKEN, {}), zone=CENTRAL_EUROPE)


def base():
    records = {("params",): PARAMETERS, ("validators",): [dict(address=address(VALIDATOR), power=1)]}
    for number, name, revenue, minted in ((1, "TRO", REVENUE, 200 * TOKEN), (2, "BOD", AWAY, 100 * TOKEN)):
        records["condominium", number] = dict(
            name=name, revenue=address(revenue), mint_cap_per_day=1000 * TOKEN, position_limit=30 * TOKEN, minted=minted, redeemed=0, next_sale=1, mint_day=0,
            minted_today=0)
    for seed in (RESIDENT, NEIGHBOUR, VISITOR, MANAGER, TREASURER, GATEWAY, SCHEDULER, REVENUE, AWAY):
        balance = 100 * TOKEN if seed in (RESIDENT, NEIGHBOUR, VISITOR) else 0
        records["account", address(seed)] = dict(home=2 if seed in (VISITOR, AWAY) else 1, balance=balance, held=0, debt=0, credit_limit=0)
        records["signer", address(seed)] = dict(account=address(seed), scope="Owner", nonce=0)
    for role, seed in (("manager", MANAGER), ("treasurer", TREASURER), ("gateway", GATEWAY), ("scheduler", SCHEDULER)):
        records["role", 1, role, address(seed)] = {"from": 0, "until": None}
        records["role", 2, role, address(AWAY)] = {"from": 0, "until": None}
    records["group", 1, 1] = dict(parent=None, limit=[80_000] * 3, granted=NONE, reserved=[10_000, 0, 0])
    records["group", 1, 2] = dict(parent=1, limit=[40_000] * 3, granted=NONE, reserved=NONE)
    records["group", 2, 1] = dict(parent=None, limit=[80_000] * 3, granted=NONE, reserved=NONE)
    post = dict(group=2, control="switched", plug_signal="reported", rated=[32_000] * 3, tariff=1, service="in_service", fault=None, session=None,
                last_register=1000, unassigned=0)
    for number, fields in ((1, {}), (2, {}), (3, dict(tariff=2)), (4, dict(group=1, control="meter_only", plug_signal="none", rated=[10_000, 0, 0])),
                           (5, dict(service="out_of_service")), (6, dict(tariff=3)), (7, dict(tariff=4)), (8, dict(tariff=5)), (9, dict(tariff=6)), (13, dict(tariff=7))):
        records["connector", 1, number] = post | fields
    records["connector", 2, 1] = post | dict(group=1)
    documents = [tariff((250_000, None, {})), tariff((300_000, TOKEN, {})), DAY_AND_NIGHT, tariff((333_333, None, {})), ODD_HOURS, WEEKEND, tariff((0, 2 * TOKEN, {}))]
    for number, document in enumerate(documents, 1):
        records["tariff_head", 1, number] = dict(latest=1)
        records["tariff_version", 1, number, 1] = dict(valid_from=0, tariff=document)
    records["tariff_head", 2, 1], records["tariff_version", 2, 1, 1] = dict(latest=1), dict(valid_from=0, tariff=documents[0])
    return records


def sums(records):
    """What no call may change: by condominium, how far its tokens are from those that it sold; by account and group, how far sums are from their parts."""
    def rows(table):
        return [(k[1:], v) for k, v in records.items() if k[0] == table]

    off = {}

    def count(what, amount):
        off[what] = off.get(what, 0) + amount

    for (number,), condominium in rows("condominium"):
        count(number, condominium["redeemed"] - condominium["minted"])
    for (holder,), record in rows("account"):
        count(record["home"], record["balance"] + record["held"] - record["debt"])
        count(holder, record["held"])
    for (debtor, creditor), owed in rows("position"):
        count(debtor, owed)
        count(creditor, -owed)
    for (debtor, creditor, _), payment in rows("payment"):
        count(debtor, payment["amount"])
        count(creditor, -payment["amount"])
    for _, request in rows("redemption"):
        count(request["account"], -request["amount"])
    for (condominium, number), group in rows("group"):
        assert all(g + r <= most for g, r, most in zip(group["granted"], group["reserved"], group["limit"]))
        for phase in range(3):
            count((condominium, number, phase), group["granted"][phase])
    for (id,), session in rows("session"):
        count(session["account"], -session["escrow"])
        assert records["connector", *session["connector"]]["session"] == id and ("due", session["due"], id) in records
        condominium, number = session["connector"][0], records["connector", *session["connector"]]["group"]
        while number is not None:
            for phase in range(3):
                count((condominium, number, phase), -session["granted"][phase])
            number = records["group", condominium, number]["parent"]
    return {what: amount for what, amount in off.items() if amount}


BASE = base()
steps = []


class Story:
    def __init__(self, name, at=NOON, **changes):
        self.name, self.world = name, World(BASE)
        self.world.chain_id, self.world.height, self.world.now = CHAIN, 100, at

    def change(self, *k, **fields):
        """What was so before the story."""
        self.world.records[k] = self.world.records.get(k, {}) | fields
        return self

    def wait(self, span):
        self.world.now += span
        return self

    def step(self, what, who, call, expect="applied", index=0, signer=None, facts=(), **content):
        world = self.world
        world.index, world.account, world.signer = index, address(who), address(who if signer is None else signer)
        world.id = derive("transaction id", f"{self.name}: {len(steps)}".encode())
        outcome, events, after = world.play({call: content})
        wanted = expect if isinstance(expect, tuple) else (expect, None, None)
        if expect != "applied":
            wanted = dict(rejected=dict(zip(("code", "expected", "found"), wanted)))
            assert outcome == wanted, (self.name, what, outcome, wanted)
        else:
            assert outcome == "applied", (self.name, what, outcome)
        self.compare(what, after, events, facts)
        steps.append(dict(name=f"{self.name}: {what}", before=world.records, world=copy.copy(world), call={call: content}, outcome=outcome, events=events,
                          after=after.records))
        self.world = after
        self.world.height += 1
        return world.id

    def deadlines(self, what, receipts, facts=()):
        """A block without transactions; `receipts` says how many sessions are worked on."""
        world = self.world
        after = copy.copy(world)
        after.records = copy.deepcopy(world.records)
        made = after.meet_deadlines()
        assert len(made) == receipts, (self.name, what, made)
        self.compare(what, after, [event for receipt in made for event in receipt["events"]], facts)
        steps.append(dict(name=f"{self.name}: {what}", before=world.records, world=copy.copy(world), call=None, receipts=made, after=after.records))
        self.world = after
        self.world.height += 1

    def compare(self, what, world, events, facts):
        """Facts by hand: (event's name, its fields), or (a key, fields of its record), or (a key, None), or ("nothing",)."""
        assert sums(world.records) == sums(self.world.records), (self.name, what)
        for subject, wanted in facts:
            if isinstance(subject, str):
                found = [content for event in events for name, content in event.items() if name == subject]
                wanted = wanted if isinstance(wanted, list) else [wanted]
                assert len(found) == len(wanted), (self.name, what, subject, found)
                pairs = zip(found, wanted)
            else:
                record = world.records.get(subject)
                assert (record is None) == (wanted is None), (self.name, what, subject, record)
                pairs = [(record, wanted)] if isinstance(wanted, dict) else []
                assert wanted is None or isinstance(wanted, dict) or record == wanted, (self.name, what, subject, record)
            for record, fields in pairs:
                got = {name: record[name] for name in fields}
                assert got == fields, (self.name, what, subject, got, fields)

    # -- what many stories begin with --

    def opens(self, who, number, spend=10 * TOKEN, span=10 * HOUR, condominium=1, index=0):
        return self.step(f"a session opens on connector {number}", who, "open_session", index=index, **opening((condominium, number), spend, span))

    def grants(self, session, current=(16_000, 0, 0), skipped=(), index=0):
        self.step("it is granted current", SCHEDULER, "grant_charge", session=session, current=list(current), skipped=list(skipped), index=index)

    def charges(self, number, who=RESIDENT, spend=10 * TOKEN, current=(32_000,) * 3):
        session = self.opens(who, number, spend)
        self.grants(session, current)
        return session

    def reads(self, session, sequence, register, flags=0, at=None, refused=None, who=GATEWAY, facts=(), what="a reading"):
        self.step(what, who, "attest", readings=[reading(session, sequence, self.world.now if at is None else at, register, flags)],
                  facts=[("reading_handled", dict(refused=refused)), *facts])


def opening(connector, spend=10 * TOKEN, span=10 * HOUR, **fields):
    return dict(connector=connector, tariff_version=1, max_spend=spend, max_duration=span, energy_target=None, state_of_charge=None, depart_by=None,
                window=None, priority="none") | fields


def mandate(**fields):
    return dict(max_per_session=10 * TOKEN, max_per_day=15 * TOKEN, max_price_per_kwh=300_000, max_price_per_hour=0, expires=NOON + 30 * DAY_MS,
                connectors=[], confirm_from=900) | fields


def tap(connector, card, spend=10 * TOKEN, span=10 * HOUR, **fields):
    return dict(card=card, connector=connector, tariff_version=1, max_spend=spend, max_duration=span, energy_target=None) | fields


def reading(session, sequence, at, register, flags=0):
    return dict(session=session, sequence=sequence, at=at, register_wh=register, power_w=3680, flags=flags, samples_root=derive("merkle root", b"none"),
                sample_count=60)


def statement(seed, *readings, chain_id=CHAIN, **fields):
    """A signed attestation as a gateway sends it."""
    body = dict(chain_id=chain_id, account=address(seed), signer=address(seed), nonce=0, valid_until=NOON, call=dict(attest=dict(readings=list(readings))))
    return transaction(seed, body | fields)


def account(seed):
    return ("account", address(seed))


def accounts_and_money():
    s = Story("register")
    s.step("by a manager", MANAGER, "register_account", account=address(STRANGER), condominium=1, invite=None,
           facts=[(account(STRANGER), dict(home=1, balance=0, credit_limit=0)), (("signer", address(STRANGER)), dict(nonce=0))])
    s.step("again", MANAGER, "register_account", "account_exists", account=address(STRANGER), condominium=1, invite=None)
    s.step("by a treasurer", TREASURER, "register_account", account=address(5), condominium=1, invite=None)
    s.step("by a resident", RESIDENT, "register_account", "not_allowed", account=address(6), condominium=1, invite=None)
    s.step("by a manager of elsewhere", MANAGER, "register_account", "not_allowed", account=address(6), condominium=2, invite=None)
    s.step("nowhere", MANAGER, "register_account", "unknown_condominium", account=address(6), condominium=9, invite=None)

    s = Story("invite")
    good = invite(TREASURER, CHAIN, 1, 7, NOON)

    def show(what, expect, card, who=STRANGER, seed=STRANGER, condominium=1):
        s.step(what, who, "register_account", expect, account=address(seed), condominium=condominium, invite=card)

    show("after its expiry", ("expired", NOON - 1, NOON), invite(MANAGER, CHAIN, 1, 8, NOON - 1))
    show("good for 90 days and a millisecond", ("over_limit", NOON + 90 * DAY_MS, NOON + 90 * DAY_MS + 1), invite(MANAGER, CHAIN, 1, 8, NOON + 90 * DAY_MS + 1))
    show("of somebody without a role", "not_allowed", invite(RESIDENT, CHAIN, 1, 8, NOON))
    show("for another condominium", "not_allowed", good, condominium=2)
    show("for another chain", "bad_signature", invite(MANAGER, ZERO, 1, 8, NOON))
    show("signed as a transaction", "bad_signature", invite(MANAGER, CHAIN, 1, 8, NOON, domain="tx"))
    show("with another serial number", "bad_signature", invite(MANAGER, CHAIN, 1, 8, NOON) | dict(serial=9))
    show("shown for somebody else", "not_allowed", good, who=RESIDENT)
    show("at its expiry", "applied", good)
    show("a second time", "not_allowed", good, who=5, seed=5)
    show("by somebody who is registered", "account_exists", invite(MANAGER, CHAIN, 1, 8, NOON), who=RESIDENT, seed=RESIDENT)
    show("good for 90 days", "applied", invite(MANAGER, CHAIN, 1, 7, NOON + 90 * DAY_MS), who=6, seed=6)

    s = Story("sell").change(*account(RESIDENT), debt=2 * TOKEN, credit_limit=5 * TOKEN)
    s.change("condominium", 1, mint_cap_per_day=50 * TOKEN)

    def sell(what, expect, amount, sale, to=RESIDENT, who=TREASURER, condominium=1, facts=()):
        s.step(what, who, "sell_tokens", expect, condominium=condominium, account=address(to), amount=amount, sale=sale, payment=ZERO, facts=facts)

    sell("nothing", "zero_value", 0, 1)
    sell("by a manager", "not_allowed", TOKEN, 1, who=MANAGER)
    sell("the second before the first", ("wrong_sale_number", 1, 2), TOKEN, 2)
    sell("to somebody at home elsewhere", ("not_home", 1, 2), TOKEN, 1, to=VISITOR)
    sell("to somebody in debt", "applied", 20 * TOKEN, 1,
         facts=[(account(RESIDENT), dict(balance=118 * TOKEN, debt=0)), ("tokens_sold", dict(to_debt=2 * TOKEN)),
                (("condominium", 1), dict(minted=220 * TOKEN, next_sale=2, minted_today=20 * TOKEN, mint_day=20458))])
    sell("the first again", ("wrong_sale_number", 2, 1), 20 * TOKEN, 1)
    sell("a micro-token over the day's cap", ("mint_cap_exceeded", 50 * TOKEN, 50 * TOKEN + 1), 30 * TOKEN + 1, 2)
    sell("up to the cap, to somebody new", "applied", 30 * TOKEN, 2, to=STRANGER,
         facts=[(account(STRANGER), dict(home=1, balance=30 * TOKEN)), ("account_registered", dict(home=1))])
    s.wait(12 * HOUR - 1)
    sell("at a millisecond to midnight UTC", ("mint_cap_exceeded", 50 * TOKEN, 50 * TOKEN + 1), 1, 3)
    s.wait(1)
    sell("the next day", "applied", 50 * TOKEN, 3, facts=[(("condominium", 1), dict(minted_today=50 * TOKEN, mint_day=20459))])
    s = Story("the last token").change("condominium", 1, mint_cap_per_day=2**64 - 1, minted=MAX_SUPPLY - 100 * TOKEN - 5)
    sell("one too many", "overflow", 6, 1)
    sell("as many as there are", "applied", 5, 1)
    sell("more than can be counted", ("mint_cap_exceeded", 2**64 - 1, 2**64 - 1), 2**64 - 1, 2)

    s = Story("redeem")
    s.step("nothing", RESIDENT, "request_redeem", "zero_value", amount=0, payee=ZERO)
    s.step("more than there is", RESIDENT, "request_redeem", ("insufficient_funds", 100 * TOKEN + 1, 100 * TOKEN), amount=100 * TOKEN + 1, payee=ZERO)
    s.step("by somebody unknown", STRANGER, "request_redeem", "unknown_account", amount=1, payee=ZERO)
    first = s.step("all", RESIDENT, "request_redeem", amount=100 * TOKEN, payee=derive("header", b"iban"),
                   facts=[(account(RESIDENT), dict(balance=0, held=100 * TOKEN))])
    s.step("confirmed by a manager", MANAGER, "confirm_redeem", "not_allowed", redemption=first, answer=dict(paid=dict(payment=ZERO)))
    s.step("confirmed by a treasurer of elsewhere", AWAY, "confirm_redeem", "not_allowed", redemption=first, answer="refused")
    s.step("refused", TREASURER, "confirm_redeem", redemption=first, answer="refused", facts=[(account(RESIDENT), dict(balance=100 * TOKEN, held=0))])
    s.step("answered twice", TREASURER, "confirm_redeem", "unknown_redemption", redemption=first, answer="refused")
    second = s.step("a part", RESIDENT, "request_redeem", amount=40 * TOKEN, payee=ZERO)
    s.step("paid", TREASURER, "confirm_redeem", redemption=second, answer=dict(paid=dict(payment=ZERO)),
           facts=[(account(RESIDENT), dict(balance=60 * TOKEN, held=0)), (("condominium", 1), dict(minted=200 * TOKEN, redeemed=40 * TOKEN))])
    s = Story("redeem in debt").change(*account(RESIDENT), debt=3 * TOKEN, credit_limit=9 * TOKEN)
    request = s.step("a part", RESIDENT, "request_redeem", amount=5 * TOKEN, payee=ZERO)
    s.step("refused: the debt stays", TREASURER, "confirm_redeem", redemption=request, answer="refused",
           facts=[(account(RESIDENT), dict(balance=100 * TOKEN, debt=3 * TOKEN))])

    s = Story("transfer").change(*account(RESIDENT), credit_limit=50 * TOKEN)
    s.step("nothing", RESIDENT, "transfer", "zero_value", to=address(NEIGHBOUR), amount=0)
    s.step("to himself", RESIDENT, "transfer", "self_transfer", to=address(RESIDENT), amount=1)
    s.step("to somebody unknown", RESIDENT, "transfer", "unknown_account", to=address(STRANGER), amount=1)
    s.step("by somebody unknown", STRANGER, "transfer", "unknown_account", to=address(RESIDENT), amount=1)
    s.step("on credit", RESIDENT, "transfer", ("insufficient_funds", 100 * TOKEN + 1, 100 * TOKEN), to=address(NEIGHBOUR), amount=100 * TOKEN + 1)
    s.step("to a neighbour", RESIDENT, "transfer", to=address(NEIGHBOUR), amount=TOKEN, facts=[(account(NEIGHBOUR), dict(balance=101 * TOKEN))])
    s.step("across homes, over the limit", VISITOR, "transfer", ("position_limit", 30 * TOKEN, 30 * TOKEN + 1), to=address(RESIDENT), amount=30 * TOKEN + 1)
    s.step("across homes, up to the limit", VISITOR, "transfer", to=address(RESIDENT), amount=30 * TOKEN,
           facts=[(("position", 2, 1), 30 * TOKEN), ("position_posted", dict(debtor=2, creditor=1))])
    s.step("one more", VISITOR, "transfer", ("position_limit", 30 * TOKEN, 30 * TOKEN + 1), to=address(RESIDENT), amount=1)
    s.step("back: less is owed", RESIDENT, "transfer", to=address(VISITOR), amount=10 * TOKEN, facts=[(("position", 2, 1), 20 * TOKEN)])
    s.step("back and beyond: the other owes", RESIDENT, "transfer", to=address(VISITOR), amount=50 * TOKEN,
           facts=[(("position", 2, 1), None), (("position", 1, 2), 30 * TOKEN)])
    s.step("and no more than it may", RESIDENT, "transfer", ("position_limit", 30 * TOKEN, 30 * TOKEN + 1), to=address(VISITOR), amount=1)
    s.step("what evens out leaves nothing", VISITOR, "transfer", to=address(RESIDENT), amount=30 * TOKEN,
           facts=[(("position", 2, 1), None), (("position", 1, 2), None)])


def roles():
    s = Story("roles")

    def grant(what, expect, role, begin, until=None, to=RESIDENT, who=MANAGER, condominium=1, facts=()):
        s.step(what, who, "grant_role", expect, condominium=condominium, role=role, account=address(to), until=until, facts=facts, **{"from": begin})

    def revoke(what, expect, role, until, of, who=MANAGER, condominium=1, facts=()):
        s.step(what, who, "revoke_role", expect, condominium=condominium, role=role, account=address(of), until=until, facts=facts)

    grant("a gateway at once", ("notice_too_short", 101, 100), "gateway", 100)
    grant("that ends before it begins", ("invalid_range", 200, 200), "gateway", 200, 200)
    grant("by a treasurer", "not_allowed", "gateway", 200, who=TREASURER)
    grant("to somebody unknown", "unknown_account", "gateway", 200, to=STRANGER)
    grant("nowhere", "unknown_condominium", "gateway", 200, condominium=3)
    grant("a gateway from the next height", "applied", "gateway", 106, 150, facts=[(("role", 1, "gateway", address(RESIDENT)), {"from": 106, "until": 150})])
    grant("again from earlier than its end", "role_already_granted", "gateway", 149)
    grant("again without a gap", "applied", "gateway", 150, 300, facts=[(("role", 1, "gateway", address(RESIDENT)), {"from": 106, "until": 300})])
    revoke("what nobody holds", "role_not_granted", "auditor", 200, RESIDENT)
    revoke("at once", ("notice_too_short", 110, 109), "gateway", 109, RESIDENT)
    revoke("after its end", "role_not_granted", "gateway", 300, RESIDENT)
    revoke("earlier than its end", "applied", "gateway", 120, RESIDENT, facts=[(("role", 1, "gateway", address(RESIDENT)), {"from": 106, "until": 120})])
    grant("an auditor for later", "applied", "auditor", 500)
    revoke("before it began", "applied", "auditor", 500, RESIDENT, facts=[(("role", 1, "auditor", address(RESIDENT)), None)])
    revoke("the last manager", "last_manager", "manager", 200, MANAGER)
    grant("a manager for a while", "applied", "manager", 130, 600, to=NEIGHBOUR)
    revoke("the last one who stays", "last_manager", "manager", 200, MANAGER)
    grant("a treasurer while one manages", "applied", "treasurer", 118)
    grant("a second manager for good", "applied", "manager", 119, to=TREASURER)
    grant("a treasurer while two manage", ("notice_too_short", 1119, 1118), "treasurer", 1118, to=NEIGHBOUR)
    grant("a treasurer after the notice", "applied", "treasurer", 1120, to=NEIGHBOUR)
    revoke("the first of two managers", "applied", "manager", 122, MANAGER, facts=[(("role", 1, "manager", address(MANAGER)), {"from": 0, "until": 122})])
    grant("by one who is no manager any more", "not_allowed", "auditor", 500)
    s.world.height = 300
    grant("again after it is over", "applied", "gateway", 301, who=TREASURER, facts=[(("role", 1, "gateway", address(RESIDENT)), {"from": 301, "until": None})])


def groups_and_posts():
    s = Story("groups")

    def put(what, expect, number, parent, limit, who=MANAGER, condominium=1, facts=()):
        limit = limit if isinstance(limit, list) else [limit] * 3
        s.step(what, who, "put_group", expect, group=(condominium, number), parent=parent, limit=limit, facts=facts)

    put("by a scheduler", "not_allowed", 3, None, 10_000, who=SCHEDULER)
    put("nowhere", "unknown_condominium", 3, None, 10_000, condominium=7)
    put("below itself", "group_cycle", 3, 3, 10_000)
    put("below one that is not there", "unknown_group", 3, 4, 10_000)
    put("the top below its own child", "group_cycle", 1, 2, 80_000)
    put("less than is reserved", ("group_limit", 9_999, 10_000), 1, None, [9_999, 0, 0])
    put("just what is reserved", "applied", 1, None, [10_000, 0, 0])
    put("the top again", "applied", 1, None, 80_000)
    for number in range(3, 9):
        put(f"level {number}", "applied", number, number - 1, 40_000)
    put("level nine", ("group_depth", 8, 9), 9, 8, 40_000)
    put("a tree that becomes too deep", "applied", 9, None, 1)
    put("a tree that becomes too deep, moved", ("group_depth", 8, 9), 1, 9, 80_000)

    s = Story("newest first")
    a, b, c = (s.opens(who, number) for who, number in ((RESIDENT, 1), (NEIGHBOUR, 2), (RESIDENT, 3)))
    for session in (a, b, c):
        s.grants(session, (13_000, 0, 0))
    put("a limit that holds two", "applied", 2, 1, 26_000,
        facts=[(("session", c), dict(state="paused", granted=NONE)), (("session", b), dict(state="charging")), (("group", 1, 2), dict(granted=[26_000, 0, 0])),
               (("group", 1, 1), dict(granted=[26_000, 0, 0])), ("session_paused", dict(session=c, reason="group_limit"))])
    s.step("the third again", SCHEDULER, "resume_charge", ("group_limit", 26_000, 32_000), session=c, current=[6_000, 0, 0])
    s.step("the first gets less and is the newest now", SCHEDULER, "grant_charge", session=a, current=[10_000, 0, 0], skipped=[],
           facts=[(("group", 1, 2), dict(granted=[23_000, 0, 0]))])
    put("a limit that holds one", "applied", 2, 1, [14_000, 0, 0], facts=[(("session", a), dict(state="paused")), (("session", b), dict(state="charging"))])
    put("a limit above it that holds none, beside what is reserved", "applied", 1, None, [20_000, 0, 0],
        facts=[(("session", b), dict(state="paused")), (("group", 1, 1), dict(granted=NONE, reserved=[10_000, 0, 0]))])

    s = Story("a group moves")
    a = s.charges(1, current=(32_000, 32_000, 0))
    put("a small one", "applied", 3, 1, [40_000, 31_000, 0])
    put("below the small one", ("group_limit", 31_000, 32_000), 2, 3, 40_000)
    put("the small one grows", "applied", 3, 1, 32_000)
    put("below the grown one", "applied", 2, 3, 40_000, facts=[(("group", 1, 3), dict(granted=[32_000, 32_000, 0])), (("group", 1, 1), dict(granted=[32_000, 32_000, 0]))])
    put("to the top", "applied", 2, None, 40_000, facts=[(("group", 1, 3), dict(granted=NONE)), (("group", 1, 1), dict(granted=NONE))])

    s = Story("connectors")

    def post(what, expect, number=10, who=MANAGER, condominium=1, facts=(), **fields):
        values = dict(group=2, control="switched", plug_signal="reported", rated=[32_000] * 3, tariff=1, service="in_service") | fields
        s.step(what, who, "put_connector", expect, connector=(condominium, number), facts=facts, **values)

    post("without a phase", "invalid_connector", rated=NONE)
    post("of more than 1 000 A", ("invalid_connector", 1_000_000, 1_000_001), rated=[0, 1_000_001, 0])
    post("below the minimum", ("invalid_connector", 6_000, 5_999), rated=[32_000, 5_999, 0])
    post("by a resident", "not_allowed", who=RESIDENT)
    post("in no group", "unknown_group", group=9)
    post("without a tariff", "unknown_tariff", tariff=9)
    post("a new one", "applied", facts=[(("connector", 1, 10), dict(last_register=0, session=None))])
    post("a meter that does not fit", ("group_limit", 40_000, 40_001), 11, control="meter_only", rated=[0, 40_001, 0])
    post("a meter", "applied", 11, control="meter_only", rated=[0, 40_000, 0], facts=[(("group", 1, 2), dict(reserved=[0, 40_000, 0])), (("group", 1, 1), dict(reserved=[10_000, 40_000, 0]))])
    post("a second meter does not fit", ("group_limit", 40_000, 46_000), 12, control="meter_only", rated=[6_000, 6_000, 0])
    post("the meter moves up", "applied", 11, group=1, control="meter_only", rated=[0, 50_000, 0], facts=[(("group", 1, 2), dict(reserved=NONE)), (("group", 1, 1), dict(reserved=[10_000, 50_000, 0]))])
    post("the meter becomes a switch", "applied", 11, facts=[(("group", 1, 1), dict(reserved=[10_000, 0, 0]))])
    session = s.opens(RESIDENT, 1)
    post("while a session is open", "connector_busy", 1, rated=[16_000] * 3)
    post("out of service while a session is open", "applied", 1, service="out_of_service", facts=[(("connector", 1, 1), dict(session=session, last_register=1000))])
    s.step("that session is stopped", RESIDENT, "stop_session", session=session)
    s.step("nobody opens another", RESIDENT, "open_session", "connector_out_of_service", **opening((1, 1)))

    s = Story("tariffs")

    def publish(what, expect, document, version=2, valid_from=NOON, number=1, who=MANAGER, facts=()):
        s.step(what, who, "put_tariff", expect, tariff=(1, number), version=version, valid_from=valid_from, document=document, facts=facts)

    plain = tariff((200_000, None, {}))
    publish("by a treasurer", "not_allowed", plain, who=TREASURER)
    publish("the same version", ("wrong_tariff_version", 2, 1), plain, 1)
    publish("one too far", ("wrong_tariff_version", 2, 3), plain, 3)
    publish("from a millisecond ago", ("invalid_range", NOON, NOON - 1), plain, valid_from=NOON - 1)
    publish("with too high a least price", ("invalid_tariff", 10**9, 10**9 + 1), plain | dict(min_price=10**9 + 1))
    publish("with too high a highest price", ("invalid_tariff", 10**9, 10**9 + 1), plain | dict(max_price=10**9 + 1))
    publish("with a highest price below the least", ("invalid_tariff", 2, 1), plain | dict(min_price=2, max_price=1))
    publish("with more than a week of grace", ("invalid_tariff", 7 * DAY_MS, 7 * DAY_MS + 1), plain | dict(parking_grace=7 * DAY_MS + 1))
    publish("without elements", ("invalid_tariff", 1, 0), plain | dict(elements=[]))
    publish("with 33 elements", ("too_many", 32, 33), tariff(*[(1, None, {})] * 33))
    publish("energy twice", "invalid_tariff", plain | dict(elements=[dict(price_components=[dict(dimension="ENERGY", price=1)] * 2, restrictions=ANYTIME)]))
    publish("too dear", ("invalid_tariff", 10**9, 10**9 + 1), tariff((10**9 + 1, None, {})))
    publish("at the 25th hour", ("invalid_tariff", 1439, 1440), tariff((1, None, dict(end_time=1440))))
    publish("days out of order", "invalid_tariff", tariff((1, None, dict(day_of_week=["SUNDAY", "MONDAY"]))))
    for kind in ("energy", "power", "duration"):
        publish(f"below no {kind}", ("invalid_tariff", 1, 0), tariff((1, None, {f"max_{kind}": 0})))
        publish(f"from the {kind} that it ends at", ("invalid_tariff", 8, 7), tariff((1, None, {f"min_{kind}": 7, f"max_{kind}": 7})))
    publish("once, but later", "invalid_tariff", tariff((1, 1, dict(min_energy=1))))
    publish("once, but after a while", "invalid_tariff", tariff((1, 1, dict(min_duration=1))))
    publish("once, but by power", "invalid_tariff", tariff((1, 1, dict(max_power=1))))
    parking = elements(dict(ENERGY=1, PARKING_TIME=1))
    publish("parked, where a plug is not reported", ("plug_not_reported", None, 4), parking)
    publish("parked, where nobody plugs in", "applied", parking, 1, number=98)
    post = dict(group=2, control="switched", rated=[32_000] * 3, service="in_service")
    for what, expect, fields in (("which has no plug", ("plug_not_reported", None, 1), dict(plug_signal="none", tariff=98)), ("which has one", "applied", dict(plug_signal="reported", tariff=98))):
        s.step("a connector for it, " + what, MANAGER, "put_connector", expect, connector=(1, 20), **post, **fields)
    publish("nothing parked any more", "applied", plain, 2, number=98)
    s.step("a connector without a plug may have it now", MANAGER, "put_connector", connector=(1, 21), plug_signal="none", tariff=98, **post)
    publish("and parking cannot come back", ("plug_not_reported", None, 21), parking, 3, number=98)
    publish("more tax than price", ("invalid_tariff", 10_000, 10_001), plain | dict(vat_basis_points=10_001))
    publish("as dear as can be, with all elements", "applied", tariff(*[(10**9, 10**9, dict(start_time=i, end_time=i)) for i in range(32)]), 1, number=99,
            facts=[(("tariff_head", 1, 99), dict(latest=1))])
    publish("a new version for tomorrow", "applied", plain, valid_from=NOON + DAY_MS)
    publish("another before that one", ("invalid_range", NOON + DAY_MS, NOON + DAY_MS - 1), plain, 3, NOON + DAY_MS - 1)
    for version in range(3, 10):
        publish(f"version {version}", "applied", plain, version, NOON + DAY_MS)
    publish("a ninth that is announced", ("too_many", 8, 9), plain, 10, NOON + DAY_MS)
    s.step("today the first holds", RESIDENT, "open_session", ("stale_tariff", 1, 9), **opening((1, 1), tariff_version=9))
    s.wait(DAY_MS)
    s.step("tomorrow the last", RESIDENT, "open_session", ("stale_tariff", 9, 1), **opening((1, 1)))
    s.step("and it is named", RESIDENT, "open_session", **opening((1, 1), tariff_version=9))


def sessions_begin():
    s = Story("open").change(*account(NEIGHBOUR), balance=3 * TOKEN, credit_limit=8 * TOKEN, debt=TOKEN)

    def refuse(what, expect, who=RESIDENT, connector=(1, 1), **fields):
        s.step(what, who, "open_session", expect, **opening(connector, **fields))

    refuse("for nothing", "zero_value", spend=0)
    refuse("for no time", "zero_value", span=0)
    refuse("for no energy", "zero_value", energy_target=0)
    refuse("with a battery of 101 percent", ("over_limit", 100, 101), state_of_charge=101)
    refuse("in a window", "not_active", window={"from": 0, "until": 1})
    refuse("with priority", "not_active", priority=dict(surcharge=dict(basis_points=100)))
    refuse("on a connector that is not there", "unknown_connector", connector=(1, 99))
    refuse("out of service", "connector_out_of_service", connector=(1, 5))
    refuse("for more than may be", ("over_limit", 1000 * TOKEN, 1000 * TOKEN + 1), spend=1000 * TOKEN + 1)
    refuse("for longer than may be", ("over_limit", 72 * HOUR, 72 * HOUR + 1), span=72 * HOUR + 1)
    refuse("under a version of the future", ("stale_tariff", 1, 2), tariff_version=2)
    refuse("by somebody unknown", "unknown_account", who=STRANGER)
    refuse("with more than he has", ("insufficient_funds", 100 * TOKEN + 1, 100 * TOKEN), spend=100 * TOKEN + 1)
    refuse("beyond his credit", ("insufficient_funds", 10 * TOKEN + 1, 10 * TOKEN), who=NEIGHBOUR, spend=10 * TOKEN + 1)
    refuse("away from home, beyond the position", ("position_limit", 30 * TOKEN, 30 * TOKEN + 1), who=VISITOR, spend=30 * TOKEN + 1)
    first = s.step("on credit", NEIGHBOUR, "open_session", index=3, **opening((1, 1), state_of_charge=100, depart_by=0, energy_target=1),
                   facts=[(account(NEIGHBOUR), dict(balance=0, held=10 * TOKEN, debt=8 * TOKEN))])
    refuse("on a busy connector", "connector_busy")
    s.step("gives it up: credit is paid back first", NEIGHBOUR, "cancel_session", session=first,
           facts=[(account(NEIGHBOUR), dict(balance=2 * TOKEN, held=0, debt=0)), (("session", first), None),
                  ("session_settled", dict(reason="cancelled", paid=0, refund=10 * TOKEN, settled_by="chain", energy=0, first_granted_at=None))])

    s = Story("away from home")
    first = s.opens(VISITOR, 1, 20 * TOKEN)
    s.step("a second escrow beyond the position", VISITOR, "open_session", ("position_limit", 30 * TOKEN, 30 * TOKEN + 1), **opening((1, 2), 10 * TOKEN + 1))
    second = s.opens(VISITOR, 2, 10 * TOKEN)
    s.step("no transfer beside them", VISITOR, "transfer", ("position_limit", 30 * TOKEN, 30 * TOKEN + 1), to=address(RESIDENT), amount=1)
    s.step("no top up", VISITOR, "top_up_session", ("position_limit", 30 * TOKEN, 30 * TOKEN + 1), session=second, amount=1)
    s.grants(first, (32_000,) * 3)
    s.reads(first, 1, 1000)
    s.wait(HOUR)
    s.reads(first, 2, 5000, flags=2, facts=[("session_stopping", dict(reason="vehicle_removed"))])
    s.step("is settled between homes", GATEWAY, "settle_session", session=first,
           facts=[("session_settled", dict(paid=TOKEN, refund=19 * TOKEN)), (("position", 2, 1), TOKEN), (("pending_position", 2, 1), 10 * TOKEN),
                  (account(REVENUE), dict(balance=TOKEN)), (account(VISITOR), dict(balance=89 * TOKEN, held=10 * TOKEN))])
    s.step("the other is cancelled", VISITOR, "cancel_session", session=second, facts=[(("pending_position", 2, 1), None), (("position", 2, 1), TOKEN)])

    s = Story("a meter alone")
    meter = s.opens(RESIDENT, 4)
    s.step("is granted", SCHEDULER, "grant_charge", "meter_only", session=meter, current=[6_000, 0, 0], skipped=[])
    s.step("is paused", SCHEDULER, "pause_charge", "meter_only", session=meter, reason="manual")
    s.step("is resumed", SCHEDULER, "resume_charge", "meter_only", session=meter, current=[6_000, 0, 0])
    s.wait(HOUR)
    s.reads(meter, 1, 1500, facts=[("energy_unassigned", dict(energy=500)), (("connector", 1, 4), dict(unassigned=500, last_register=1500))])
    s.step("stopped", RESIDENT, "stop_session", session=meter, facts=[(("group", 1, 1), dict(reserved=[10_000, 0, 0], granted=NONE))])
    s.step("costs nothing", GATEWAY, "settle_session", session=meter, facts=[("session_settled", dict(paid=0, readings=1, samples=60, reason="stopped_by_resident"))])

    def shows(what, expect, register, number=4, at=None, who=GATEWAY, facts=()):
        s.step(what, who, "attest_unassigned", expect, connector=(1, number), at=s.world.now if at is None else at, register_wh=register, facts=facts)

    shows("what flows on is nobody's", "applied", 1900, facts=[("energy_unassigned", dict(connector=(1, 4), energy=400)), (("connector", 1, 4), dict(unassigned=900, last_register=1900)),
                                                               (account(RESIDENT), dict(balance=100 * TOKEN, held=0))])
    shows("the same again", "zero_value", 1900)
    shows("a falling register", "reading_falling", 1899)
    shows("in the future", "reading_ahead", 2000, at=s.world.now + 10_001)
    shows("by a scheduler", "not_allowed", 2000, who=SCHEDULER)
    shows("by a gateway of elsewhere", "not_allowed", 2000, who=AWAY)
    shows("nowhere", "unknown_connector", 2000, number=99)
    shows("a welded relay's, a little ahead", "applied", 1042, number=1, at=s.world.now + 10_000, facts=[(("connector", 1, 1), dict(unassigned=42, last_register=1042))])
    again = s.opens(NEIGHBOUR, 4)
    shows("beside a session", "connector_busy", 2000)
    s.reads(again, 1, 1900, facts=[(("connector", 1, 4), dict(unassigned=900))], what="its first reading: nothing twice")
    s = Story("as much as can be counted").change("connector", 1, 4, unassigned=2**64 - 5)
    shows("is counted", "applied", 1004, facts=[(("connector", 1, 4), dict(unassigned=2**64 - 1))])
    shows("and no more", "overflow", 1005)

    s = Story("queue")
    a, b, c = (s.opens(who, number, index=7 - number) for who, number in ((RESIDENT, 1), (NEIGHBOUR, 2), (RESIDENT, 3)))
    d = s.opens(VISITOR, 1, condominium=2)
    skip = [dict(session=a, reason="not_enough_current"), dict(session=b, reason="unit_lost")]

    def grant(what, expect, session, skipped=(), current=(16_000, 16_000, 16_000), who=SCHEDULER, facts=()):
        s.step(what, who, "grant_charge", expect, session=session, current=list(current), skipped=list(skipped), facts=facts)

    grant("out of turn", ("skip_without_reason", 2, 0), c)
    grant("with one reason", ("skip_without_reason", 2, 1), c, skip[:1])
    grant("with one reason twice", "invalid_skip", c, skip[:1] * 2)
    grant("skips itself", "invalid_skip", c, skip + [dict(session=c, reason="unit_lost")])
    grant("skips one of another condominium", "invalid_skip", c, skip + [dict(session=d, reason="unit_lost")])
    grant("skips one that waits behind", "invalid_skip", a, skip[1:])
    grant("without current", "zero_value", a, current=NONE)
    grant("with too little", ("below_minimum_current", 6_000, 5_999), a, current=(16_000, 5_999, 0))
    grant("with too much", ("connector_rating", 32_000, 32_001), a, current=(0, 0, 32_001))
    grant("by the manager", "not_allowed", a, who=MANAGER)
    grant("of nothing", "unknown_session", ZERO)
    grant("65 skipped", ("too_many", 64, 65), c, skip[:1] * 65)
    grant("with all reasons, in any order", "applied", c, skip[::-1],
          facts=[("session_skipped", [dict(session=b, reason="unit_lost"), dict(session=a, reason="not_enough_current")]),
                 (("session", c), dict(state="charging", due=NOON + 10 * HOUR, first_granted_at=NOON)), (("queue", 1, 2, 102, 4), None), (("due", NOON + 24 * HOUR, c), None)])
    grant("beyond the group", ("group_limit", 40_000, 48_000), a, current=(0, 32_000, 0))
    grant("in turn", "applied", a, current=(24_000, 0, 0), facts=[(("group", 1, 2), dict(granted=[40_000, 16_000, 16_000])), (("group", 1, 1), dict(granted=[40_000, 16_000, 16_000]))])
    grant("other phases instead", "applied", a, current=(0, 24_000, 0), facts=[(("group", 1, 2), dict(granted=[16_000, 40_000, 16_000]))])
    grant("a change skips nobody", "invalid_skip", a, skip[1:])
    s.step("the waiting one is paused", SCHEDULER, "pause_charge", "wrong_session_state", session=b, reason="manual")
    s.step("the first is paused", SCHEDULER, "pause_charge", session=a, reason="cheaper_later", facts=[(("group", 1, 2), dict(granted=[16_000] * 3))])
    s.step("twice", SCHEDULER, "pause_charge", "wrong_session_state", session=a, reason="cheaper_later")
    s.step("by a gateway", GATEWAY, "pause_charge", "not_allowed", session=c, reason="manual")
    grant("a paused one is not granted", "wrong_session_state", a)
    s.step("resumed beyond the group", SCHEDULER, "resume_charge", ("group_limit", 40_000, 48_000), session=a, current=[0, 0, 32_000])
    s.step("resumed without current", SCHEDULER, "resume_charge", "zero_value", session=a, current=NONE)
    s.step("resumed with too little", SCHEDULER, "resume_charge", ("below_minimum_current", 6_000, 1), session=a, current=[1, 0, 0])
    s.step("resumed", SCHEDULER, "resume_charge", session=a, current=[6_000, 0, 0], facts=[(("session", a), dict(state="charging", first_granted_at=NOON))])
    s.step("what charges is resumed", SCHEDULER, "resume_charge", "wrong_session_state", session=a, current=[6_000, 0, 0])
    s.step("is cancelled when it charges", RESIDENT, "cancel_session", "wrong_session_state", session=a)
    s.step("is cancelled by another", NEIGHBOUR, "cancel_session", "not_allowed", session=a)

    s = Story("top up").change(*account(RESIDENT), balance=20 * TOKEN, credit_limit=5 * TOKEN)
    a = s.opens(RESIDENT, 1)

    def top_up(what, expect, amount, who=RESIDENT, session=None, facts=()):
        s.step(what, who, "top_up_session", expect, session=session or a, amount=amount, facts=facts)

    top_up("by nothing", "zero_value", 0)
    top_up("of another's", "not_allowed", 1, who=NEIGHBOUR)
    top_up("of none", "unknown_session", 1, session=ZERO)
    top_up("over the limit", ("over_limit", 1000 * TOKEN, 1000 * TOKEN + 1), 990 * TOKEN + 1)
    top_up("over his means", ("insufficient_funds", 15 * TOKEN + 1, 15 * TOKEN), 15 * TOKEN + 1)
    top_up("with all his means", "applied", 15 * TOKEN, facts=[(account(RESIDENT), dict(balance=0, held=25 * TOKEN, debt=5 * TOKEN)), (("session", a), dict(escrow=25 * TOKEN))])
    s.grants(a)
    s.step("stopped by a manager", MANAGER, "stop_session", session=a, facts=[("session_stopping", dict(reason="stopped_by_manager", settle_by=NOON + HOUR))])
    top_up("when it is over", "wrong_session_state", 1)
    s.step("stopped again", RESIDENT, "stop_session", "wrong_session_state", session=a)
    s.step("settled by a manager", MANAGER, "settle_session", "not_allowed", session=a)
    s.step("settled", GATEWAY, "settle_session", session=a, facts=[(account(RESIDENT), dict(balance=20 * TOKEN, held=0, debt=0)), (("connector", 1, 1), dict(session=None))])
    s.step("settled again", GATEWAY, "settle_session", "unknown_session", session=a)
    s.step("stopped when it is gone", RESIDENT, "stop_session", "unknown_session", session=a)

    s = Story("stop")
    a = s.opens(RESIDENT, 1)
    s.step("by a neighbour", NEIGHBOUR, "stop_session", "not_allowed", session=a)
    s.step("settled while it waits", GATEWAY, "settle_session", "wrong_session_state", session=a)
    s.step("by a manager while it waits: settled at once", MANAGER, "stop_session", session=a,
           facts=[("session_settled", dict(reason="stopped_by_manager", settled_by="chain", refund=10 * TOKEN)), (("queue", 1, 2, 100, 0), None)])


def metering():
    s = Story("readings")
    a = s.opens(RESIDENT, 1)
    s.reads(a, 1, 1000, refused="reading_not_metering", what="before the grant")
    s.grants(a, (32_000,) * 3)
    s.step("no readings", GATEWAY, "attest", "zero_value", readings=[])
    s.step("257 readings", GATEWAY, "attest", ("too_many", 256, 257), readings=[reading(a, 1, NOON, 1000)] * 257)
    s.reads(ZERO, 1, 1000, refused="unknown_session", what="of no session")
    s.reads(a, 1, 1000, refused="reading_not_yours", who=AWAY, what="by a gateway of elsewhere")
    s.reads(a, 1, 1000, flags=4, refused="not_active", what="with an unknown flag")
    s.reads(a, 0, 1000, refused="reading_replay", what="number 0")
    s.reads(a, 2, 1000, refused="reading_gap", what="number 2 first")
    s.reads(a, 1, 1000, at=NOON - 10_001, refused="reading_before_grant", what="too long before the grant")
    s.reads(a, 1, 1000, at=NOON + 10_001, refused="reading_ahead", what="too far ahead")
    s.reads(a, 1, 999, refused="reading_falling", what="below the connector's last")
    s.reads(a, 1, 1042, at=NOON - 10_000, what="the first, with energy that is nobody's", facts=[("energy_unassigned", dict(connector=(1, 1), energy=42)), (("session", a), dict(cost=dict(energy=0, time=0, parking_time=0, flat=0)))])
    s.reads(a, 1, 1042, refused="reading_replay", what="again")
    s.reads(a, 2, 1042, at=NOON - 10_001, refused="reading_backwards", what="from before the first")
    s.reads(a, 2, 1041, refused="reading_falling", what="below the first")
    s.reads(a, 2, 1042 + 51, at=NOON, refused="reading_impossible", what="51 Wh in no time")
    s.reads(a, 2, 1042 + 50, at=NOON, what="50 Wh in no time")
    # 96 A at 253 V and five percent for ten minutes: 4 250.4 Wh, and the 50 Wh.
    s.wait(10 * MINUTE)
    s.reads(a, 3, 1042 + 4301, refused="reading_impossible", what="a watt-hour too many")
    s.step("each reading for itself", GATEWAY, "attest",
           readings=[reading(a, 3, NOON + 10 * MINUTE, 1042 + 4301), reading(a, 4, NOON, 9), reading(a, 3, NOON + 10 * MINUTE, 1042 + 4300), reading(a, 4, NOON + 10 * MINUTE, 1042 + 4300)],
           facts=[("reading_handled", [dict(refused="reading_impossible"), dict(refused="reading_gap"), dict(refused=None), dict(refused=None)]),
                  (("session", a), dict(cost=dict(energy=4300 * 250 * COST_UNIT, time=0, parking_time=0, flat=0)))])
    s.step("stopped", RESIDENT, "stop_session", session=a)
    s.wait(10 * MINUTE)
    s.reads(a, 5, 6000, at=NOON + 15 * MINUTE + 1, refused="reading_after_stop", what="later than the lease")
    s.reads(a, 5, 6042, at=NOON + 15 * MINUTE, flags=1, what="at the end of the lease; the reason stays", facts=[(("session", a), dict(state=dict(stopping=dict(reason="stopped_by_resident", at=NOON + 10 * MINUTE))))])
    s.step("settled", GATEWAY, "settle_session", session=a,
           facts=[("session_settled", dict(energy=5000, energy_billed=5000, paid=1_250_000, refund=8_750_000, readings=5, samples=300, settled_by="gateway", reason="stopped_by_resident"))])

    s = Story("rounding")
    a = s.charges(7)
    s.reads(a, 1, 1000)
    s.wait(HOUR)
    # 333 333 · 10.001 = 3 333 663.333: rounded down once, although three readings are billed.
    s.reads(a, 2, 1000 + 3_333)
    s.wait(HOUR)
    s.reads(a, 3, 1000 + 10_001, flags=1, facts=[("session_stopping", dict(reason="vehicle_full"))])
    s.step("the rest of a micro-token is the resident's", GATEWAY, "settle_session", session=a, facts=[("session_settled", dict(paid=3_333_663, refund=6_666_337, overdrawn=None))])

    s = Story("flat")
    a = s.charges(3)
    s.reads(a, 1, 1000, what="no energy, no flat price", facts=[(("session", a), dict(cost=dict(energy=0, time=0, parking_time=0, flat=0)))])
    s.wait(HOUR)
    s.reads(a, 2, 1001, what="it is due with the first watt-hour", facts=[(("session", a), dict(cost=dict(energy=300 * COST_UNIT, time=0, parking_time=0, flat=TOKEN * COST_UNIT)))])
    s.wait(HOUR)
    s.reads(a, 3, 2000, flags=3, what="and once; full goes before removed", facts=[("session_stopping", dict(reason="vehicle_full"))])
    s.step("settled", GATEWAY, "settle_session", session=a, facts=[("session_settled", dict(paid=1_300_000))])

    s = Story("money")
    a = s.charges(1, spend=TOKEN)
    s.reads(a, 1, 1000)
    s.wait(HOUR)
    s.reads(a, 2, 4999, facts=[(("session", a), dict(state="charging"))], what="a watt-hour is left")
    s.reads(a, 3, 5000, flags=1, what="exactly spent: money before full", facts=[("session_stopping", dict(reason="money")), (("session", a), dict(billed_at_limit=None))])
    s.step("settled", GATEWAY, "settle_session", session=a, facts=[("session_settled", dict(paid=TOKEN, refund=0, overdrawn=None, energy_billed=4000))])

    s = Story("overdrawn")
    a = s.charges(1, spend=TOKEN)
    s.reads(a, 1, 1000)
    s.wait(HOUR)
    s.reads(a, 2, 4000)
    s.wait(HOUR)
    s.reads(a, 3, 6000, what="1 000 Wh too many", facts=[("session_stopping", dict(reason="money")), (("session", a), dict(billed_at_limit=4000))])
    s.reads(a, 4, 6400, what="and 400 Wh after the stop", facts=[(("session", a), dict(billed_at_limit=4000))])
    s.step("the condominium bears it", GATEWAY, "settle_session", session=a,
           facts=[("session_settled", dict(energy=5400, energy_billed=4000, paid=TOKEN, refund=0, overdrawn=dict(energy=1400, amount=350_000))),
                  (account(RESIDENT), dict(balance=99 * TOKEN, held=0)), (account(REVENUE), dict(balance=TOKEN))])

    s = Story("overdrawn by less than a micro-token")
    a = s.charges(7, spend=3_333_663)
    s.reads(a, 1, 1000)
    s.wait(HOUR)
    s.reads(a, 2, 1000 + 10_001, what="pays for all of it", facts=[("session_stopping", dict(reason="money")), (("session", a), dict(billed_at_limit=None))])
    s.step("settled", GATEWAY, "settle_session", session=a, facts=[("session_settled", dict(paid=3_333_663, overdrawn=None, energy_billed=10_001))])

    for cut in ([], [1500]):
        s = Story(f"free energy and a price per session above the escrow, {len(cut) + 1} readings")
        a = s.charges(13, spend=TOKEN)
        s.reads(a, 1, 1000)
        s.wait(HOUR)
        for sequence, register in enumerate([*cut, 3000], 2):
            s.reads(a, sequence, register)
        s.step("pays for no energy", GATEWAY, "settle_session", session=a,
               facts=[("session_settled", dict(reason="money", energy=2000, energy_billed=0, paid=TOKEN, overdrawn=dict(energy=2000, amount=TOKEN)))])

    s = Story("an escrow of just the price per session")
    a = s.charges(3, spend=TOKEN)
    s.reads(a, 1, 1000)
    s.wait(HOUR)
    s.reads(a, 2, 2000, facts=[("session_stopping", dict(reason="money"))])
    s.step("pays for no energy", GATEWAY, "settle_session", session=a,
           facts=[("session_settled", dict(energy_billed=0, paid=TOKEN, overdrawn=dict(energy=1000, amount=300_000)))])


def utc(year, month, day, hour, minute=0):
    """An instant of UTC."""
    return int((datetime.datetime(year, month, day, hour, minute) - datetime.datetime(1970, 1, 1)).total_seconds()) * 1000


def money_splits():
    s = Story("credit and refund").change(*account(RESIDENT), balance=3 * TOKEN, credit_limit=9 * TOKEN, debt=TOKEN)
    a = s.charges(1)
    s.reads(a, 1, 1000)
    s.wait(HOUR)
    s.reads(a, 2, 17_000, flags=2)
    s.step("the refund pays back debt", GATEWAY, "settle_session", session=a,
           facts=[("session_settled", dict(paid=4 * TOKEN, refund=6 * TOKEN)), (account(RESIDENT), dict(balance=0, held=0, debt=2 * TOKEN))])
    s.step("a transfer does not", NEIGHBOUR, "transfer", to=address(RESIDENT), amount=TOKEN, facts=[(account(RESIDENT), dict(balance=TOKEN, debt=2 * TOKEN))])
    s.step("a sale does, and the rest is balance", TREASURER, "sell_tokens", condominium=1, account=address(RESIDENT), amount=5 * TOKEN, sale=1, payment=ZERO,
           facts=[(account(RESIDENT), dict(balance=4 * TOKEN, debt=0)), ("tokens_sold", dict(to_debt=2 * TOKEN))])

    s = Story("revenue at home elsewhere").change("condominium", 1, revenue=address(AWAY))
    a = s.opens(RESIDENT, 1, 30 * TOKEN)
    s.step("keeps within the position of that home", NEIGHBOUR, "open_session", ("position_limit", 30 * TOKEN, 30 * TOKEN + 1), **opening((1, 2), 1))
    s.grants(a, (32_000,) * 3)
    s.reads(a, 1, 1000)
    s.wait(HOUR)
    s.reads(a, 2, 1001, flags=2)
    s.step("is paid there", GATEWAY, "settle_session", session=a,
           facts=[(("position", 1, 2), 250), (("pending_position", 1, 2), None), (account(AWAY), dict(balance=250))])

    s = Story("revenue charges").change(*account(REVENUE), balance=10 * TOKEN, credit_limit=TOKEN)
    a = s.charges(1, who=REVENUE, spend=11 * TOKEN)
    s.reads(a, 1, 1000)
    s.wait(HOUR)
    s.reads(a, 2, 9000, flags=1)
    s.step("and pays itself", GATEWAY, "settle_session", session=a,
           facts=[("session_settled", dict(paid=2 * TOKEN, refund=9 * TOKEN)), (account(REVENUE), dict(balance=10 * TOKEN, held=0, debt=0))])

    # 5 000 Wh by day cost 1.25; 0.25 are left for the night: 1 666 Wh of 5 001.
    s = Story("the escrow ends after an edge", utc(2026, 1, 5, 20))
    a = s.charges(6, spend=1_500_000)
    s.reads(a, 1, 1000)
    s.wait(2 * HOUR)
    s.reads(a, 2, 11_001, facts=[("session_stopping", dict(reason="money"))])
    s.step("settled", GATEWAY, "settle_session", session=a,
           facts=[("session_settled", dict(energy_billed=6_666, paid=1_500_000, overdrawn=dict(energy=3_335, amount=500_150)))])

    s = Story("a tariff that is only announced").change("tariff_version", 1, 1, 1, valid_from=NOON + 1)
    s.step("too early", RESIDENT, "open_session", "unknown_tariff", **opening((1, 1)))
    s.wait(1)
    s.step("in force", RESIDENT, "open_session", **opening((1, 1)))


def clearing():
    def stage(name):
        """Three condominiums; in the third lives somebody who is its treasurer too."""
        s = Story(name).change("condominium", 3, **BASE["condominium", 1] | dict(name="KRO", revenue=address(REVENUE)))
        s.change("role", 3, "treasurer", address(STRANGER), **{"from": 0, "until": None})
        s.change(*account(STRANGER), home=3, balance=50 * TOKEN, held=0, debt=0, credit_limit=0)
        s.change("signer", address(STRANGER), account=address(STRANGER), scope="Owner", nonce=0)
        return s

    def pay(s, what, expect="applied", who=TREASURER, clearing=1, debtor=1, creditor=2, facts=()):
        s.step(what, who, "report_payment", expect, clearing=clearing, debtor=debtor, creditor=creditor, payment=ZERO, facts=facts)

    def answer(s, what, expect="applied", who=AWAY, clearing=1, debtor=1, creditor=2, said="received", facts=()):
        s.step(what, who, "answer_payment", expect, clearing=clearing, debtor=debtor, creditor=creditor, answer=said, facts=facts)

    s = Story("a period of roaming")
    s.step("there is nothing to clear", TREASURER, "clear_positions", "nothing_to_clear", condominium=1)
    s.step("nobody but a treasurer", MANAGER, "clear_positions", "not_allowed", condominium=1)
    s.step("nowhere", TREASURER, "clear_positions", "unknown_condominium", condominium=9)
    a = s.opens(VISITOR, 1, 20 * TOKEN)
    s.grants(a, (32_000,) * 3)
    s.reads(a, 1, 1000)
    s.wait(HOUR)
    s.reads(a, 2, 5000, flags=2)
    s.step("a session", GATEWAY, "settle_session", session=a, facts=[(("roaming", 2, 1), dict(sessions=1, energy=4000, charged=TOKEN, transfers=0))])
    a = s.opens(VISITOR, 1, 20 * TOKEN)
    s.step("one that did nothing", VISITOR, "cancel_session", session=a, facts=[(("roaming", 2, 1), dict(sessions=1))])
    s.step("a transfer", RESIDENT, "transfer", to=address(VISITOR), amount=5 * TOKEN,
           facts=[(("roaming", 1, 2), dict(sessions=0, transfers=1, transferred=5 * TOKEN)), (("position", 1, 2), 4 * TOKEN), (("position", 2, 1), None)])
    s.step("ends", TREASURER, "clear_positions", condominium=1, index=4,
           facts=[("positions_cleared", {"clearing": 1, "from": None, "until": NOON + HOUR}), ("payment_due", dict(debtor=1, creditor=2, amount=4 * TOKEN)),
                  ("roaming_closed", [dict(home=1, host=2), dict(home=2, host=1)]), (("roaming", 2, 1), None), (("position", 1, 2), None),
                  (("clearing", 1), dict(index=4, until=NOON + HOUR)), (("payment", 1, 2, 1), dict(amount=4 * TOKEN, report=None))])
    s.step("what is not paid counts against the limit", RESIDENT, "transfer", ("position_limit", 30 * TOKEN, 30 * TOKEN + 1), to=address(VISITOR), amount=26 * TOKEN + 1)
    s.step("up to it", RESIDENT, "transfer", to=address(VISITOR), amount=26 * TOKEN)
    answer(s, "is not confirmed before it is reported", "payment_not_reported")
    pay(s, "is not reported by the creditor", "not_allowed", who=AWAY)
    pay(s, "of another clearing", "unknown_payment", clearing=2)
    pay(s, "the other way round", "unknown_payment", debtor=2, creditor=1)
    pay(s, "is reported", facts=[(("payment", 1, 2, 1), dict(report=dict(treasurer=address(TREASURER), at=NOON + HOUR, payment=ZERO)))])
    pay(s, "again", "payment_reported")
    answer(s, "is not answered by the debtor", "not_allowed", who=TREASURER)
    answer(s, "has not arrived", said="missing", facts=[(("payment", 1, 2, 1), dict(report=None))])
    pay(s, "is reported anew")
    answer(s, "has arrived", facts=[(("payment", 1, 2, 1), None), (("condominium", 1), dict(redeemed=4 * TOKEN, minted=200 * TOKEN)),
                                    (("condominium", 2), dict(minted=104 * TOKEN, redeemed=0))])
    answer(s, "once", "unknown_payment")
    s.wait(DAY_MS)
    s.step("the next period ends", AWAY, "clear_positions", condominium=2,
           facts=[("positions_cleared", {"clearing": 2, "from": NOON + HOUR, "until": NOON + HOUR + DAY_MS}), ("payment_due", dict(amount=26 * TOKEN))])

    s = Story("one treasurer for two").change("role", 2, "treasurer", address(TREASURER), **{"from": 0, "until": None})
    s.change("payment", 1, 2, 1, amount=TOKEN, report=None)
    pay(s, "reports")
    answer(s, "and cannot confirm", "not_allowed", who=TREASURER)
    answer(s, "another one can")

    s = stage("three condominiums")
    s.step("the first owes the second", RESIDENT, "transfer", to=address(VISITOR), amount=10 * TOKEN)
    s.step("the second owes the third", VISITOR, "transfer", to=address(STRANGER), amount=4 * TOKEN)
    s.step("the second steps out of the middle", STRANGER, "clear_positions", condominium=3,
           facts=[("payment_due", [dict(debtor=1, creditor=2, amount=6 * TOKEN), dict(debtor=1, creditor=3, amount=4 * TOKEN)])])

    s = stage("a circle")
    s.step("the first owes the second", RESIDENT, "transfer", to=address(VISITOR), amount=10 * TOKEN)
    s.step("the second owes the third", VISITOR, "transfer", to=address(STRANGER), amount=7 * TOKEN)
    s.step("the third owes the first", STRANGER, "transfer", to=address(RESIDENT), amount=8 * TOKEN)
    s.step("is gone but for its rest", TREASURER, "clear_positions", condominium=1,
           facts=[("payment_due", [dict(debtor=1, creditor=2, amount=2 * TOKEN), dict(debtor=3, creditor=2, amount=TOKEN)])])

    s = stage("a limit in the way").change("payment", 1, 3, 9, amount=TOKEN, report=None)
    s.world.records["pending_position", 1, 3] = TOKEN
    s.step("is set", STRANGER, "set_position_limit", condominium=3, limit=5 * TOKEN, facts=[(("condominium", 3), dict(position_limit=5 * TOKEN))])
    s.step("is not set by a manager", MANAGER, "set_position_limit", "not_allowed", condominium=1, limit=0)
    s.step("nowhere", MANAGER, "set_position_limit", "unknown_condominium", condominium=9, limit=0)
    s.step("the first owes the second", RESIDENT, "transfer", to=address(VISITOR), amount=10 * TOKEN)
    s.step("the second owes the third", VISITOR, "transfer", to=address(STRANGER), amount=5 * TOKEN)
    s.step("leaves a part in the middle", TREASURER, "clear_positions", condominium=1,
           facts=[("payment_due", [dict(debtor=1, creditor=2, amount=7 * TOKEN), dict(debtor=1, creditor=3, amount=3 * TOKEN),
                                   dict(debtor=2, creditor=3, amount=2 * TOKEN)])])

    s = Story("a limit of all tokens").change("condominium", 2, position_limit=2**64 - 1)
    s.step("is no other limit", RESIDENT, "transfer", to=address(VISITOR), amount=100 * TOKEN, facts=[(("position", 1, 2), 100 * TOKEN)])


def prices_change():
    def bill(name, begin, end, wh, paid, number=6, split=None):
        s = Story(name, begin)
        a = s.charges(number)
        s.reads(a, 1, 1000)
        registers = [1000 + wh] if split is None else [1000 + part for part in split[1]] + [1000 + wh]
        times = [end] if split is None else [*split[0], end]
        for sequence, (at, register) in enumerate(zip(times, registers), 2):
            s.wait(at - s.world.now)
            s.reads(a, sequence, register, flags=2 if at == end else 0)
        s.step("settled", GATEWAY, "settle_session", session=a, facts=[("session_settled", dict(energy=wh, paid=paid))])

    # 21:00 to 23:00 local: 5 000 Wh by day, 5 001 by night.
    bill("an evening", utc(2026, 1, 5, 20), utc(2026, 1, 5, 22), 10_001, 5_000 * 250 + 5_001 * 150)
    # A reading at the edge: what was metered before it is billed by day.
    bill("an evening with a reading at the edge", utc(2026, 1, 5, 20), utc(2026, 1, 5, 22), 10_001, 9_000 * 250 + 1_001 * 150, split=([utc(2026, 1, 5, 21)], [9_000]))
    # 21:00 to 07:30 local: an hour by day, nine by night, half an hour by day. Of 7 Wh the first gets 0 (7 · 1/10.5), the second 6 (7 · 9/9.5), the last 1.
    bill("few watt-hours in a long night", utc(2026, 1, 5, 20), utc(2026, 1, 6, 6, 30), 7, 6 * 150 + 1 * 250)
    # The clock is set forward at 01:00 UTC: night ends at 05:00 UTC.
    bill("the night in March", utc(2026, 3, 29, 4), utc(2026, 3, 29, 6), 10_000, 5_000 * 150 + 5_000 * 250)
    bill("the night before it", utc(2026, 3, 28, 4), utc(2026, 3, 28, 6), 10_000, 10_000 * 150)
    # 02:30 to 03:00 does not exist in that night; in October it comes twice, from 00:30 and from 01:30 UTC.
    bill("the half hour that is missing", utc(2026, 3, 29, 0), utc(2026, 3, 29, 2), 8_000, 8_000 * 250, number=8)
    bill("the half hour that comes twice", utc(2026, 10, 25, 0), utc(2026, 10, 25, 2), 8_000, 4_000 * 250 + 4_000 * 150, number=8)
    # Sunday ends at 23:00 UTC; the flat price is that of the first grant.
    bill("a weekend ends", utc(2026, 1, 4, 22), utc(2026, 1, 5, 0), 8_000, 5 * TOKEN + 4_000 * 100 + 4_000 * 250, number=9)
    bill("a weekend begins", utc(2026, 1, 9, 22), utc(2026, 1, 10, 0), 8_000, TOKEN + 4_000 * 250 + 4_000 * 100, number=9)


def billed(s, document, number=1):
    """From now on the tariff of a connector says so."""
    return s.change("tariff_version", 1, number, 1, valid_from=0, tariff=document)


def time_counts():
    by_hour = elements(dict(TIME=2 * TOKEN))
    s = billed(Story("two tokens an hour"), by_hour)
    a = s.opens(RESIDENT, 1)
    s.wait(HOUR)
    s.grants(a)
    s.reads(a, 1, 1000, facts=[(("session_times", a), dict(granted=[{"from": NOON + HOUR, "until": None}], idle_since=None))])
    s.wait(HOUR // 2)
    s.reads(a, 2, 1000, what="half an hour without energy", facts=[(("session", a), dict(cost=dict(energy=0, time=TOKEN * COST_UNIT, parking_time=0, flat=0)))])
    s.step("paused", SCHEDULER, "pause_charge", session=a, reason="manual")
    s.wait(10 * MINUTE)
    s.reads(a, 3, 1000, what="ten minutes later", facts=[(("session", a), dict(cost=dict(energy=0, time=TOKEN * COST_UNIT, parking_time=0, flat=0))),
                                                         (("session_times", a), dict(granted=[]))])
    s.wait(10 * MINUTE)
    s.step("resumed", SCHEDULER, "resume_charge", session=a, current=[16_000, 0, 0])
    s.wait(15 * MINUTE)
    s.step("stopped", RESIDENT, "stop_session", session=a)
    s.wait(MINUTE)
    s.reads(a, 4, 3000, what="the last reading is a minute after the stop", facts=[(("session", a), dict(cost=dict(energy=0, time=3 * TOKEN // 2 * COST_UNIT, parking_time=0, flat=0)))])
    s.step("settled", GATEWAY, "settle_session", session=a, facts=[("session_settled", dict(paid=1_500_000, energy=2000)), (("session_times", a), None)])

    s = billed(Story("often paused between two readings"), by_hour)
    a = s.charges(1)
    s.reads(a, 1, 1000)
    for _ in range(17):
        s.wait(MINUTE)
        s.step("paused", SCHEDULER, "pause_charge", session=a, reason="manual")
        s.wait(MINUTE)
        s.step("resumed", SCHEDULER, "resume_charge", session=a, current=[16_000, 0, 0])
    s.wait(MINUTE)
    s.reads(a, 2, 1000, what="sixteen spans are remembered, the oldest two are not", facts=[(("session", a), dict(cost=dict(energy=0, time=time_cost(16 * MINUTE, 2 * TOKEN), parking_time=0, flat=0)))])

    s = billed(Story("a block that comes late"), by_hour)
    a = s.opens(RESIDENT, 1, span=HOUR)
    s.grants(a)
    s.reads(a, 1, 1000)
    s.wait(3 * HOUR)
    s.deadlines("two hours after the time is over", 1)
    s.reads(a, 2, 5000, what="counts no hour that nobody asked for", facts=[(("session", a), dict(cost=dict(energy=0, time=2 * TOKEN * COST_UNIT, parking_time=0, flat=0)))])

    s = billed(Story("a meter alone, by the hour"), elements(dict(TIME=TOKEN), dict(ENERGY=100_000)), 1)
    a = s.opens(RESIDENT, 4)
    s.reads(a, 1, 1000)
    s.wait(HOUR)
    s.reads(a, 2, 2000, flags=2, facts=[("session_stopping", dict(reason="vehicle_removed")), (("session", a), dict(cost=dict(energy=100_000 * COST_UNIT, time=TOKEN * COST_UNIT, parking_time=0, flat=0)))])

    parking = elements(dict(ENERGY=250_000, TIME=TOKEN, PARKING_TIME=6 * TOKEN), parking_grace=10 * MINUTE)
    s = billed(Story("full and plugged in"), parking)
    a = s.charges(1)
    s.reads(a, 1, 1000)
    s.wait(HOUR)
    s.reads(a, 2, 9000, flags=1, what="is full", facts=[("session_idle", dict(session=a, since=NOON + HOUR)), (("session", a), dict(state="idle", granted=NONE, due=NOON + 10 * HOUR)),
            (("group", 1, 2), dict(granted=NONE)), (("session_times", a), dict(idle_since=NOON + HOUR))])
    s.step("is granted", SCHEDULER, "grant_charge", "wrong_session_state", session=a, current=[16_000, 0, 0], skipped=[])
    s.step("is paused", SCHEDULER, "pause_charge", "wrong_session_state", session=a, reason="manual")
    s.step("is resumed", SCHEDULER, "resume_charge", "wrong_session_state", session=a, current=[16_000, 0, 0])
    s.step("gets more", RESIDENT, "top_up_session", "wrong_session_state", session=a, amount=1)
    s.step("is settled", GATEWAY, "settle_session", "wrong_session_state", session=a)
    s.wait(8 * MINUTE)
    s.reads(a, 3, 9000, flags=1, what="still within the grace", facts=[(("session", a), dict(state="idle", cost=dict(energy=2 * TOKEN * COST_UNIT, time=TOKEN * COST_UNIT, parking_time=0, flat=0)))])
    s.wait(12 * MINUTE)
    s.reads(a, 4, 9000, flags=2, what="leaves ten minutes after it", facts=[("session_stopping", dict(reason="vehicle_full"))])
    s.wait(MINUTE)
    s.step("settled", GATEWAY, "settle_session", session=a, facts=[("session_settled", dict(reason="vehicle_full", paid=4_000_000, energy=8000, cost=dict(energy=2 * TOKEN * COST_UNIT, time=TOKEN * COST_UNIT, parking_time=TOKEN * COST_UNIT, flat=0)))])

    s = billed(Story("full and gone at once"), parking)
    a = s.charges(1)
    s.reads(a, 1, 1000)
    s.reads(a, 2, 1000, flags=3, facts=[("session_stopping", dict(reason="vehicle_full"))])

    s = billed(Story("full where the plug is not reported"), parking).change("connector", 1, 1, plug_signal="none")
    a = s.charges(1)
    s.reads(a, 1, 1000, flags=1, facts=[("session_stopping", dict(reason="vehicle_full"))])

    s = billed(Story("parked until the money is spent"), parking)
    a = s.charges(1, spend=3 * TOKEN)
    s.reads(a, 1, 1000)
    s.reads(a, 2, 1000, flags=1)
    s.wait(10 * MINUTE + 30 * MINUTE)
    s.reads(a, 3, 1000, facts=[("session_stopping", dict(reason="money"))])

    s = billed(Story("parked until the time is over"), parking)
    a = s.opens(RESIDENT, 1, span=HOUR)
    s.grants(a)
    s.reads(a, 1, 1000, flags=1)
    s.wait(HOUR + MINUTE)
    s.deadlines("a minute late", 1, [("session_stopping", dict(reason="time"))])
    s.reads(a, 2, 1000, what="parked to the end of the hour", facts=[(("session", a), dict(cost=dict(energy=0, time=0, parking_time=5 * TOKEN * COST_UNIT, flat=0)))])

    s = billed(Story("full, while it was paused"), parking)
    a = s.charges(1)
    s.reads(a, 1, 1000)
    s.wait(30 * MINUTE)
    s.step("paused", SCHEDULER, "pause_charge", session=a, reason="manual")
    s.wait(30 * MINUTE)
    s.reads(a, 2, 2000, flags=1, what="the reading says so", facts=[("session_idle", dict(since=NOON + HOUR)), (("session", a), dict(state="idle", cost=dict(energy=250_000 * COST_UNIT, time=TOKEN // 2 * COST_UNIT, parking_time=0, flat=0)))])
    s.step("its owner stops it", RESIDENT, "stop_session", session=a, facts=[("session_stopping", dict(reason="stopped_by_resident"))])


def tiers_and_bounds():
    tiers = elements(dict(ENERGY=100_000, when=dict(max_energy=2_000)), dict(ENERGY=200_000, when=dict(max_energy=5_000)), dict(ENERGY=400_000))
    for cut in ([6_000], [1_000, 6_000], [2_000, 5_000, 6_000]):
        s = billed(Story(f"tiers of energy, {len(cut) + 1} readings"), tiers)
        a = s.charges(1)
        s.reads(a, 1, 1000)
        for sequence, wh in enumerate(cut, 2):
            s.wait(HOUR)
            s.reads(a, sequence, 1000 + wh)
        s.step("stopped", RESIDENT, "stop_session", session=a)
        s.step("settled", GATEWAY, "settle_session", session=a, facts=[("session_settled", dict(paid=200_000 + 600_000 + 400_000))])

    by_power = elements(dict(ENERGY=200_000, when=dict(max_power=6_000)), dict(ENERGY=350_000, when=dict(max_power=12_000)), dict(ENERGY=500_000))
    s = billed(Story("by power"), by_power)
    a = s.charges(1, current=(32_000,) * 3)
    s.reads(a, 1, 1000)
    for sequence, wh, paid in ((2, 5_999, 1_199_800), (3, 6_000, 2_100_000), (4, 12_000, 6_000_000)):
        s.wait(HOUR)
        before = s.world.get("session", a)["cost"]["energy"]
        s.reads(a, sequence, s.world.get("session", a)["meter"]["register"] + wh, what=f"{wh} W", facts=[(("session", a), dict(cost=dict(energy=before + paid * COST_UNIT, time=0, parking_time=0, flat=0)))])

    by_span = elements(dict(TIME=0, when=dict(max_duration=HOUR)), dict(TIME=3 * TOKEN), dict(ENERGY=100_000, when=dict(min_duration=HOUR)))
    s = billed(Story("the first hour is free"), by_span)
    a = s.charges(1)
    s.reads(a, 1, 1000)
    s.wait(90 * MINUTE)
    s.reads(a, 2, 1001, what="a watt-hour over an hour and a half goes to the later part", facts=[(("session", a), dict(cost=dict(energy=100 * COST_UNIT, time=3 * TOKEN // 2 * COST_UNIT, parking_time=0, flat=0)))])

    least = elements(dict(ENERGY=250_000), min_price=500_000, max_price=2 * TOKEN)
    for wh, paid in ((0, 0), (1, 500_000), (2_000, 500_000), (2_001, 500_250), (8_000, 2_000_000), (9_000, 2_000_000)):
        s = billed(Story(f"between a least and a highest price, {wh} Wh"), least)
        a = s.charges(1)
        s.reads(a, 1, 1000)
        s.wait(HOUR)
        s.reads(a, 2, 1000 + wh)
        s.step("stopped", RESIDENT, "stop_session", session=a)
        s.step("settled", GATEWAY, "settle_session", session=a, facts=[("session_settled", dict(paid=paid, energy_billed=wh, overdrawn=None))])

    s = billed(Story("an escrow of just the highest price"), least)
    a = s.charges(1, spend=2 * TOKEN)
    s.reads(a, 1, 1000)
    s.wait(HOUR)
    s.reads(a, 2, 1000 + 20_000, what="is never spent", facts=[(("session", a), dict(state="charging", billed_at_limit=None))])
    s.step("stopped", RESIDENT, "stop_session", session=a)
    s.step("settled", GATEWAY, "settle_session", session=a, facts=[("session_settled", dict(paid=2 * TOKEN, refund=0, energy_billed=20_000, overdrawn=None))])

    s = billed(Story("an escrow below the least price"), least)
    a = s.charges(1, spend=400_000)
    s.reads(a, 1, 1000)
    s.wait(HOUR)
    s.reads(a, 2, 1001, facts=[("session_stopping", dict(reason="money")), (("session", a), dict(billed_at_limit=0))])
    s.step("pays for no energy", GATEWAY, "settle_session", session=a, facts=[("session_settled", dict(paid=400_000, energy_billed=0, overdrawn=dict(energy=1, amount=100_000)))])

    s = billed(Story("an escrow that time and energy spend together"), elements(dict(ENERGY=100_000, TIME=TOKEN)))
    a = s.charges(1, spend=TOKEN)
    s.reads(a, 1, 1000)
    s.wait(HOUR)
    # 2 000 Wh and an hour cost 1.2 tokens; five sixths of both cost one. A watt-hour is 1.8 s and 600 micro-tokens.
    s.reads(a, 2, 3000, facts=[("session_stopping", dict(reason="money")), (("session", a), dict(billed_at_limit=1666))])
    s.step("settled", GATEWAY, "settle_session", session=a, facts=[("session_settled", dict(paid=TOKEN, energy_billed=1666, overdrawn=dict(energy=334, amount=200_000)))])


def ends_and_deadlines():
    s = Story("faults")
    a = s.charges(1)
    waiting = s.opens(NEIGHBOUR, 2)

    def fault(what, expect, kind, number=1, session=None, at=None, who=GATEWAY, facts=()):
        s.step(what, who, "report_fault", expect, connector=(1, number), session=session, fault=kind, at=s.world.now if at is None else at, facts=facts)

    fault("nowhere", "unknown_connector", "unit_lost", 99)
    fault("by a scheduler", "not_allowed", "unit_lost", who=SCHEDULER)
    fault("in the future", "reading_ahead", "unit_lost", at=NOON + 10_001)
    fault("in another's session", "session_mismatch", "unit_lost", session=waiting)
    fault("with nobody there", "applied", "over_temperature", 3, facts=[(("connector", 1, 3), dict(fault=None))])
    fault("where somebody waits: he keeps his place", "applied", "unit_lost", 2, waiting, facts=[(("session", waiting), dict(state="queued"))])
    fault("a welded relay where somebody waits: he is refunded", "applied", "welded_relay", 2, facts=[(("session", waiting), None), (("connector", 1, 2), dict(fault="welded_relay", session=None)), ("session_settled", dict(reason=dict(anomaly="welded_relay"), refund=10 * TOKEN, settled_by="chain"))])
    s.step("nobody opens there", NEIGHBOUR, "open_session", "connector_out_of_service", **opening((1, 2)))
    s.step("until a manager has put it again", MANAGER, "put_connector", connector=(1, 2), group=2, control="switched", plug_signal="reported", rated=[32_000] * 3, tariff=1, service="in_service", facts=[(("connector", 1, 2), dict(fault=None))])
    fault("dated before the grant", "applied", "over_current", session=a, at=NOON - HOUR, facts=[("session_stopping", dict(reason=dict(anomaly="over_current"))), (("session", a), dict(state=dict(stopping=dict(reason=dict(anomaly="over_current"), at=NOON)), granted=NONE))])
    fault("another after it: the reason stays", "applied", "meter_fault", facts=[(("session", a), dict(state=dict(stopping=dict(reason=dict(anomaly="over_current"), at=NOON)))), (("connector", 1, 1), dict(fault="meter_fault"))])

    s = Story("never started")
    a = s.opens(RESIDENT, 1)
    s.wait(24 * HOUR - 1)
    s.deadlines("a millisecond early", 0)
    s.wait(1)
    s.deadlines("at the queue's deadline", 1, [("session_settled", dict(reason="never_started", refund=10 * TOKEN, settled_by="chain", ended_at=NOON + 24 * HOUR)), (account(RESIDENT), dict(balance=100 * TOKEN)), (("connector", 1, 1), dict(session=None)), (("queue", 1, 2, 100, 0), None)])

    s = Story("the gateway dies")
    a = s.charges(1)
    s.reads(a, 1, 1000)
    s.wait(HOUR)
    s.reads(a, 2, 5000)
    s.wait(9 * HOUR)
    s.deadlines("its time is over", 1, [("session_stopping", dict(reason="time", settle_by=NOON + 11 * HOUR)), (("group", 1, 2), dict(granted=NONE)), (("session", a), dict(state=dict(stopping=dict(reason="time", at=NOON + 10 * HOUR))))])
    s.wait(HOUR - 1)
    s.deadlines("the gateway still may", 0)
    s.wait(1)
    s.deadlines("the chain settles from the last reading", 1, [("session_settled", dict(reason="gateway_lost", settled_by="chain", energy=4000, paid=TOKEN, refund=9 * TOKEN, ended_at=NOON + 10 * HOUR, settled_at=NOON + 11 * HOUR)), (account(RESIDENT), dict(balance=99 * TOKEN, held=0))])

    s = Story("nobody settles a stopped one")
    a = s.charges(1)
    s.step("paused", SCHEDULER, "pause_charge", session=a, reason="later_departure")
    s.step("stopped", RESIDENT, "stop_session", session=a)
    s.wait(5 * HOUR)
    s.deadlines("hours later: the reason stays", 1, [("session_settled", dict(reason="stopped_by_resident", settled_by="chain", paid=0))])

    s = Story("a time that passes in the pause")
    a = s.charges(1)
    s.step("paused", SCHEDULER, "pause_charge", session=a, reason="manual")
    s.wait(10 * HOUR)
    s.deadlines("its time is over", 1, [("session_stopping", dict(reason="time"))])
    s.reads(a, 1, 1000, what="the last reading")
    s.step("the gateway settles in time", GATEWAY, "settle_session", session=a, facts=[("session_settled", dict(reason="time", settled_by="gateway"))])

    s = Story("more is due than a block works on")
    four = [s.opens(who, number) for who, number in ((RESIDENT, 1), (NEIGHBOUR, 2), (VISITOR, 3), (RESIDENT, 6))]
    s.wait(25 * HOUR)
    s.deadlines("three", 3, [("session_settled", [dict(session=id, reason="never_started") for id in sorted(four)[:3]])])
    s.deadlines("and the fourth in the next block", 1, [("session_settled", dict(session=sorted(four)[3]))])
    s.deadlines("then nothing", 0)


def automatic_start():
    card, other = derive("card", b"1"), derive("card", b"2")
    s = Story("mandate")

    def grant(what, expect, who=RESIDENT, condominium=1, **fields):
        s.step(what, who, "grant_mandate", expect, condominium=condominium, terms=mandate(**fields))

    grant("of nothing a session", "zero_value", max_per_session=0)
    grant("of nothing a day", "zero_value", max_per_day=0)
    grant("for 65 connectors", ("too_many", 64, 65), connectors=[1] * 65)
    grant("by a stranger", "unknown_account", who=STRANGER)
    grant("nowhere", "unknown_condominium", condominium=9)
    grant("that is over", ("invalid_range", NOON, NOON), expires=NOON)
    grant("for ever", ("over_limit", NOON + 366 * DAY_MS, NOON + 366 * DAY_MS + 1), expires=NOON + 366 * DAY_MS + 1)
    grant("for a connector that is not there", "unknown_connector", connectors=[1, 99])
    s.step("taken back before it is given", RESIDENT, "revoke_mandate", "no_mandate", condominium=1)
    s.step("granted", RESIDENT, "grant_mandate", condominium=1, terms=mandate(connectors=[2]),
           facts=[("mandate_granted", dict(account=address(RESIDENT), expires=NOON + 30 * DAY_MS)), (("mandate", address(RESIDENT), 1), dict(granted_at=NOON))])
    s.wait(HOUR)
    s.step("replaced", RESIDENT, "grant_mandate", condominium=1, terms=mandate(), facts=[(("mandate", address(RESIDENT), 1), dict(terms=mandate(), granted_at=NOON + HOUR))])
    s.step("taken back", RESIDENT, "revoke_mandate", condominium=1, facts=[(("mandate", address(RESIDENT), 1), None)])

    s = Story("card")

    def bind(what, expect, who=MANAGER, condominium=1, account=address(RESIDENT), card=card, facts=()):
        s.step(what, who, "bind_card", expect, condominium=condominium, card=card, account=account, facts=facts)

    bind("by its owner", "not_allowed", who=RESIDENT)
    bind("nowhere", "unknown_condominium", condominium=9)
    bind("of a stranger", "unknown_account", account=address(STRANGER))
    bind("released before it is bound", "unknown_card", account=None)
    bind("bound", "applied", facts=[(("card", 1, card), dict(account=address(RESIDENT), bound_at=NOON)), ("card_bound", dict(card=card))])
    bind("bound again", "card_bound")
    bind("to another", "card_bound", account=address(NEIGHBOUR))
    bind("another one", "applied", card=other, account=address(VISITOR))
    bind("released by a neighbour", "not_allowed", who=NEIGHBOUR, account=None)
    bind("released by its owner", "applied", who=RESIDENT, account=None, facts=[(("card", 1, card), None)])
    bind("the other by the manager", "applied", account=None, card=other, facts=[("card_released", dict(account=address(VISITOR)))])

    s = Story("a card starts a session")

    def taps(what, expect="applied", number=1, who=GATEWAY, card=card, site=1, facts=(), **fields):
        return s.step(what, who, "open_session_by_mandate", expect, facts=facts, **tap((site, number), card, **fields))

    taps("for nothing", "zero_value", spend=0)
    taps("for no time", "zero_value", span=0)
    taps("for no energy", "zero_value", energy_target=0)
    taps("nowhere", "unknown_condominium", site=9)
    taps("by the manager", "not_allowed", who=MANAGER)
    taps("an unknown card", "unknown_card")
    s.step("the card is bound", MANAGER, "bind_card", condominium=1, card=card, account=address(RESIDENT))
    taps("without a mandate", "no_mandate")
    s.step("a mandate", RESIDENT, "grant_mandate", condominium=1, terms=mandate(connectors=[1, 2, 4, 5, 3], max_price_per_kwh=250_000))
    taps("at another connector", "mandate_connector", number=6)
    taps("for more than a session may", ("mandate_session", 10 * TOKEN, 10 * TOKEN + 1), spend=10 * TOKEN + 1)
    taps("at a higher price", ("mandate_price", 250_000, 300_000), number=3)
    taps("out of service", "connector_out_of_service", number=5)
    taps("under another version", ("stale_tariff", 1, 2), tariff_version=2)
    taps("for longer than may be", ("over_limit", 72 * HOUR, 72 * HOUR + 1), span=72 * HOUR + 1)
    first = taps("within the mandate", energy_target=8_000, facts=[
        ("session_opened", dict(account=address(RESIDENT), escrow=10 * TOKEN)), ("session_mandated", dict(card=card)),
        (("mandate_day", address(RESIDENT), 1), dict(day=NOON // DAY_MS, used=10 * TOKEN)), (account(RESIDENT), dict(held=10 * TOKEN, balance=90 * TOKEN))])
    taps("again where it waits", "connector_busy", spend=TOKEN)
    taps("for more than a day may", ("mandate_day", 15 * TOKEN, 15 * TOKEN + 1), number=2, spend=5 * TOKEN + 1)
    second = taps("for the rest of the day", number=4, spend=5 * TOKEN, facts=[("session_granted", dict(current=[10_000, 0, 0]))])
    s.grants(first, (32_000,) * 3)
    s.reads(first, 1, 1000)
    s.wait(HOUR)
    s.reads(first, 2, 9000, flags=2)
    s.step("what it did not cost counts no more", GATEWAY, "settle_session", session=first,
           facts=[("session_settled", dict(paid=2 * TOKEN, refund=8 * TOKEN)), (("mandate_day", address(RESIDENT), 1), dict(used=7 * TOKEN)),
                  (("mandate_use", first), None), (("mandate_use", second), dict(amount=5 * TOKEN))])
    s.step("the mandate is taken back", RESIDENT, "revoke_mandate", condominium=1)
    taps("then nothing starts", "no_mandate")
    s.step("it is granted anew, and the day is the same", RESIDENT, "grant_mandate", condominium=1, terms=mandate(max_per_day=8 * TOKEN, expires=NOON + 13 * HOUR))
    taps("beyond the new day's limit", ("mandate_day", 8 * TOKEN, 8 * TOKEN + 1), spend=TOKEN + 1)
    s.wait(11 * HOUR)
    s.step("on the next day the old one ends", RESIDENT, "stop_session", session=second)
    third = taps("on the next day", spend=8 * TOKEN, facts=[(("mandate_day", address(RESIDENT), 1), dict(day=NOON // DAY_MS + 1, used=8 * TOKEN))])
    s.step("the old one is settled for its own day", GATEWAY, "settle_session", session=second,
           facts=[(("mandate_day", address(RESIDENT), 1), dict(used=8 * TOKEN))])
    s.step("topped up by its owner", RESIDENT, "top_up_session", session=third, amount=TOKEN)
    s.step("cancelled", RESIDENT, "cancel_session", session=third, facts=[(("mandate_day", address(RESIDENT), 1), dict(used=0))])
    s.wait(HOUR)
    taps("when the mandate is over", ("mandate_expired", NOON + 13 * HOUR, NOON + 13 * HOUR))

    s = Story("a start is confirmed")
    s.step("the card is bound", MANAGER, "bind_card", condominium=1, card=card, account=address(RESIDENT))
    start = tap((1, 1), card, energy_target=8_000)

    def asks(what, expect="applied", who=GATEWAY, facts=(), **fields):
        s.step(what, who, "ask_start", expect, facts=facts, start=start | fields)

    def confirms(what, expect="nothing_to_confirm", who=RESIDENT, facts=(), **fields):
        return s.step(what, who, "confirm_start", expect, facts=facts, start=start | fields)

    asks("without a mandate", "no_mandate")
    s.step("a mandate", RESIDENT, "grant_mandate", condominium=1, terms=mandate())
    confirms("before it was asked")
    asks("for nothing", "zero_value", max_spend=0)
    asks("by its owner", "not_allowed", who=RESIDENT)
    asks("for more than a session may", ("mandate_session", 10 * TOKEN, 10 * TOKEN + 1), max_spend=10 * TOKEN + 1)
    asks("asked", facts=[("start_asked", dict(account=address(RESIDENT), until=NOON + 600_000)), (account(RESIDENT), dict(held=0)),
                         (("asked_start", 1, 1), dict(account=address(RESIDENT), max_spend=10 * TOKEN))])
    confirms("by another", who=VISITOR)
    confirms("at another connector", connector=(1, 2))
    confirms("for less", max_spend=9 * TOKEN)
    confirms("of no energy", "zero_value", energy_target=0)
    confirms("confirmed", "applied", facts=[("session_opened", dict(account=address(RESIDENT), escrow=10 * TOKEN)), ("start_confirmed", dict(card=card)),
                                            (("asked_start", 1, 1), None), (("mandate_day", address(RESIDENT), 1), dict(used=10 * TOKEN))])
    confirms("twice")
    asks("for more than a day may", ("mandate_day", 15 * TOKEN, 15 * TOKEN + 1), connector=(1, 2), max_spend=5 * TOKEN + 1)
    asks("elsewhere", connector=(1, 2), max_spend=2 * TOKEN)
    asks("and again, in its place", connector=(1, 2), max_spend=3 * TOKEN, facts=[(("asked_start", 1, 2), dict(max_spend=3 * TOKEN))])
    confirms("the one before", connector=(1, 2), max_spend=2 * TOKEN)
    s.step("released", RESIDENT, "bind_card", condominium=1, card=card, account=None)
    confirms("of a card that is nobody's", "unknown_card", connector=(1, 2), max_spend=3 * TOKEN)
    s.step("bound to a visitor", MANAGER, "bind_card", condominium=1, card=card, account=address(VISITOR))
    s.step("who has a mandate", VISITOR, "grant_mandate", condominium=1, terms=mandate())
    confirms("of what is another's card now", connector=(1, 2), max_spend=3 * TOKEN)
    asks("the visitor is asked", connector=(1, 2), max_spend=TOKEN)
    s.wait(600_000)
    confirms("too late", who=VISITOR, connector=(1, 2), max_spend=TOKEN)

    s = Story("a visitor's card").change(*account(VISITOR), balance=20 * TOKEN).change("condominium", 2, minted=20 * TOKEN)
    s.step("is bound", MANAGER, "bind_card", condominium=1, card=card, account=address(VISITOR))
    s.step("his mandate", VISITOR, "grant_mandate", condominium=1, terms=mandate(max_per_session=200 * TOKEN, max_per_day=200 * TOKEN))
    s.step("beyond the position", GATEWAY, "open_session_by_mandate", ("position_limit", 30 * TOKEN, 31 * TOKEN), **tap((1, 1), card, 31 * TOKEN))
    s.step("beyond his means", GATEWAY, "open_session_by_mandate", ("insufficient_funds", 21 * TOKEN, 20 * TOKEN), **tap((1, 1), card, 21 * TOKEN))
    s.step("within both", GATEWAY, "open_session_by_mandate", **tap((1, 1), card, 20 * TOKEN), facts=[(("pending_position", 2, 1), 20 * TOKEN)])

    s = Story("a price per hour")
    s.change("tariff_version", 1, 1, 1, tariff=elements(dict(ENERGY=250_000), dict(TIME=TOKEN, when=dict(day_of_week=["SUNDAY"])), dict(PARKING_TIME=2 * TOKEN)))
    s.step("the card is bound", MANAGER, "bind_card", condominium=1, card=card, account=address(RESIDENT))
    s.step("a mandate", RESIDENT, "grant_mandate", condominium=1, terms=mandate(max_price_per_hour=2 * TOKEN - 1))
    s.step("is higher", GATEWAY, "open_session_by_mandate", ("mandate_price", 2 * TOKEN - 1, 2 * TOKEN), **tap((1, 1), card))
    s.step("another mandate", RESIDENT, "grant_mandate", condominium=1, terms=mandate(max_price_per_hour=2 * TOKEN))
    id = s.step("is as high", GATEWAY, "open_session_by_mandate", **tap((1, 1), card))
    assert ("session_times", id) in s.world.records


def exchanged_meters():
    s = Story("a meter is exchanged")

    def exchange(what, expect="applied", last=1000, first=0, number=1, who=MANAGER, facts=()):
        s.step(what, who, "replace_meter", expect, facts=facts, connector=(1, number), last=last, first=first)

    exchange("nowhere", "unknown_connector", number=99)
    for who in (RESIDENT, TREASURER, SCHEDULER, AWAY):
        exchange("by somebody else", "not_allowed", who=who)
    exchange("below what was read", ("meter_register", 1000, 999), last=999)
    exchange("a manager says so", last=1200, first=7,
             facts=[("meter_proposed", dict(account=address(MANAGER), role="manager", until=NOON + DAY_MS)), (("meter", 1, 1), None)])
    exchange("he cannot agree with himself", last=1200, first=7, facts=[("meter_proposed", dict(role="manager"))])
    exchange("the gateway has read another register", last=1201, first=7, who=GATEWAY, facts=[("meter_proposed", dict(role="gateway", last=1201))])
    exchange("the manager looks again", last=1201, first=7,
             facts=[("meter_replaced", dict(exchanges=1, last=1201, first=7, register=1201)), ("energy_unassigned", dict(energy=201)), (("meter_proposal", 1, 1), None),
                    (("meter", 1, 1), dict(exchanges=1, first=7, base=1201, since=NOON)), (("connector", 1, 1), dict(last_register=1201, unassigned=201))])
    exchange("beyond all meters", ("over_limit", 10**15, 10**15 + 1), last=10**15 + 1)
    exchange("beyond all meters again", ("over_limit", 10**15, 2**64 - 1), first=2**64 - 1)
    id = s.charges(1)
    s.reads(id, 1, 1201, what="the register goes on")
    s.wait(HOUR)
    s.reads(id, 2, 9201)
    exchange("not what was read last", ("meter_register", 8007, 8008), last=8008)
    exchange("nor what was read before", ("meter_register", 8007, 8006), last=8006)
    exchange("in the middle of a session", last=8007, first=500_000, who=GATEWAY)
    s.wait(DAY_MS - 1)
    exchange("agreed to in time", last=8007, first=500_000,
             facts=[("meter_replaced", dict(exchanges=2, register=9201)), (("meter", 1, 1), dict(exchanges=2, first=500_000, base=9201)),
                    (("connector", 1, 1), dict(last_register=9201, unassigned=201)), ("energy_unassigned", [])])
    s.reads(id, 3, 9701, what="the second segment", facts=[(("session", id), dict(cost=dict(energy=8500 * 250 * COST_UNIT, time=0, parking_time=0, flat=0)))])
    exchange("the most that a meter shows", number=2, last=10**15, first=10**15)

    s = Story("what no register holds").change("meter", 1, 1, exchanges=1, first=0, base=2**64 - 10, since=0).change("connector", 1, 1, last_register=2**64 - 10)
    s.change("meter", 1, 2, exchanges=2**32 - 1, first=10**15, base=0, since=0).change("connector", 1, 2, last_register=2**64 - 1)
    s.change("meter", 1, 3, exchanges=2**32 - 1, first=0, base=1000, since=0)
    exchange("the register", "overflow", last=10)
    exchange("what the old meter shows", "overflow", last=10**15, number=2)
    exchange("one exchange too many", "overflow", number=3)

    s = Story("a meter's fault").change("connector", 1, 1, fault="meter_fault").change("connector", 1, 2, fault="welded_relay", unassigned=2**64 - 100)
    exchange("is reported, and the meter exchanged", last=1000, who=GATEWAY)
    exchange("agreed to", last=1000, facts=[(("connector", 1, 1), dict(fault=None)), ("meter_replaced", dict(register=1000))])
    exchange("more than can be nobody's", "overflow", last=1100, number=2)
    exchange("another fault", last=1050, number=2)
    exchange("stays", last=1050, number=2, who=GATEWAY, facts=[(("connector", 1, 2), dict(fault="welded_relay", unassigned=2**64 - 50))])
    exchange("too late", last=1000, first=1, number=3)
    s.wait(DAY_MS)
    exchange("it has lapsed", last=1000, first=1, number=3, who=GATEWAY, facts=[("meter_proposed", dict(role="gateway"))])
    s.step("a resident becomes a gateway", MANAGER, "grant_role", condominium=1, role="gateway", account=address(RESIDENT), until=None, **{"from": s.world.height + 1})
    s.step("the old one is one no longer", MANAGER, "revoke_role", condominium=1, role="gateway", account=address(GATEWAY), until=s.world.height + 1)
    exchange("whose word counts no more", last=1000, first=1, number=3, facts=[("meter_proposed", dict(role="manager"))])
    exchange("but his successor's", last=1000, first=1, number=3, who=RESIDENT, facts=[("meter_replaced", dict(exchanges=1))])


def contradictions():
    s = Story("a gateway contradicts itself")
    id = s.charges(1)
    s.reads(id, 1, 1000)

    def shows(what, first, second, expect="applied", who=RESIDENT, condominium=1, facts=()):
        s.step(what, who, "prove_equivocation", expect, facts=facts, condominium=condominium, first=first, second=second)

    def says(at, register, sequence=2, seed=GATEWAY, session=id, **fields):
        return statement(seed, reading(session, sequence, NOON + at, register), **fields)

    one = says(0, 1100)
    for what, other in (
            ("the same", one), ("more at a later time", says(1, 1101)), ("less at an earlier time", says(-1, 1099)), ("as much later", says(1, 1100)),
            ("another number", says(0, 1101, 3)), ("another session", says(0, 1101, session=ZERO)), ("another key", says(0, 1101, seed=AWAY)),
            ("another chain", says(0, 1101, chain_id=ZERO)), ("another account", says(0, 1101, account=address(RESIDENT))), ("nothing", b""),
            ("a byte less", one[:-1]), ("a byte more", one + b"\0"), ("no readings", statement(GATEWAY)),
            ("too many", statement(GATEWAY, *[reading(id, 2, NOON, 1101)] * 257)),
            ("another call", transaction(GATEWAY, dict(chain_id=CHAIN, account=address(GATEWAY), signer=address(GATEWAY), nonce=0, valid_until=NOON,
                                                       call=dict(settle_session=dict(session=id)))))):
        shows(f"beside {what}", one, other, "no_contradiction")
    shows("for another chain", says(0, 1, chain_id=ZERO), says(0, 2, chain_id=ZERO), "no_contradiction")
    shows("for an account that is not its own", says(0, 1, account=address(RESIDENT)), says(0, 2, account=address(RESIDENT)), "no_contradiction")
    other = says(0, 1101)
    shows("with a bit of the signature turned", one, bytes([other[0] ^ 1]) + other[1:], "bad_signature")
    shows("with another register than was signed", other[:-52] + b"\7" + other[-51:], other, "bad_signature")
    shows("nowhere", one, other, "unknown_condominium", condominium=3)
    shows("where it is no gateway", one, other, "role_not_granted", condominium=2)
    shows("by one who is none", says(0, 1, seed=RESIDENT), says(0, 2, seed=RESIDENT), "role_not_granted")
    shows("more than the drift ahead", says(0, 8), says(10_001, 7), "reading_ahead")
    shows("years ahead", says(365 * DAY_MS, 7), says(365 * DAY_MS, 8), "reading_ahead")
    s.wait(90 * DAY_MS + 1)
    shows("ninety days later", one, other, ("evidence_too_old", NOON + 1, NOON))
    s.world.now -= 1
    evidence = s.world.height
    shows("shown", one, other, who=VISITOR, facts=[
        ("role_suspended", dict(account=address(GATEWAY), session=id, sequence=2)),
        (("suspension", 1, address(GATEWAY)), dict(since=evidence, session=id, sequence=2, lifted_at=None))])
    shows("twice", one, other, "already_suspended")
    s.reads(id, 2, 1010, refused="role_suspended", what="it attests nothing")
    s.step("not even what is nobody's", GATEWAY, "attest_unassigned", "role_suspended", connector=(1, 2), at=NOON, register_wh=2000)
    s.step("nor exchanges a meter", GATEWAY, "replace_meter", "role_suspended", connector=(1, 2), last=1000, first=0)
    card = b"\xca" * 32
    s.step("nor opens anything", GATEWAY, "open_session_by_mandate", "role_suspended", **tap((1, 2), card))
    s.step("nor asks", GATEWAY, "ask_start", "role_suspended", start=tap((1, 2), card))
    s.step("nor says what is wrong elsewhere", GATEWAY, "report_fault", "role_suspended", connector=(1, 2), session=None, fault="over_time", at=NOON)
    s.step("it ends what runs", GATEWAY, "report_fault", connector=(1, 1), session=id, fault="over_time", at=s.world.now)
    s.step("and settles it", GATEWAY, "settle_session", session=id, facts=[("session_settled", dict(energy=0, refund=10 * TOKEN))])
    late = s.opens(NEIGHBOUR, 2)
    s.grants(late)
    s.reads(late, 1, 1000, refused="role_suspended", what="nor what is younger")
    s.step("which it ends, because nobody has metered it", GATEWAY, "report_fault", connector=(1, 2), session=late, fault="over_time", at=s.world.now)
    s.step("and gives back whole", GATEWAY, "settle_session", session=late, facts=[("session_settled", dict(energy=0, refund=10 * TOKEN))])

    def lift(what, expect="applied", who=MANAGER, condominium=1, of=GATEWAY, facts=()):
        s.step(what, who, "lift_suspension", expect, facts=facts, condominium=condominium, account=address(of))

    lift("by somebody else", "not_allowed", who=RESIDENT)
    lift("by itself", "not_allowed", who=GATEWAY)
    lift("nowhere", "unknown_condominium", condominium=3)
    lift("of one who is not suspended", "not_suspended", of=RESIDENT)
    lift("of himself", "not_allowed", of=MANAGER)
    s.step("another key for the meantime", MANAGER, "grant_role", condominium=1, role="gateway", account=address(VISITOR), until=None, **{"from": s.world.height + 1})
    late = s.opens(NEIGHBOUR, 2)
    s.grants(late)
    s.reads(late, 1, 1000, who=VISITOR, what="it meters")
    s.step("which the other does not end", GATEWAY, "report_fault", "role_suspended", connector=(1, 2), session=late, fault="over_time", at=s.world.now)
    s.step("but its owner", NEIGHBOUR, "stop_session", session=late)
    s.step("nor settle", GATEWAY, "settle_session", "role_suspended", session=late)
    s.step("as the new one does", VISITOR, "settle_session", session=late, facts=[("session_settled", dict(energy=0))])
    lift("lifted", facts=[("suspension_lifted", dict(account=address(GATEWAY))), (("suspension", 1, address(GATEWAY)), dict(lifted_at=s.world.now))])
    lift("twice", "not_suspended")
    first = s.world.now + 10_001
    shows("what was lifted", one, other, ("evidence_too_old", first, NOON))
    at = first - 1 - NOON
    shows("as far ahead as it could have been by then", says(at, 7), says(at, 8), ("evidence_too_old", first, first - 1))
    s.wait(1)
    both = statement(GATEWAY, reading(ZERO, 1, NOON, 7), reading(ZERO, 1, NOON, 8), reading(ZERO, 2, first + DAY_MS, 7), reading(ZERO, 2, first + DAY_MS, 8),
                     reading(ZERO, 9, first - 1, 5), reading(ZERO, 9, first, 4))
    shows("in one statement, of what comes later, behind what is too old and what is ahead", both, both, facts=[("role_suspended", dict(session=ZERO, sequence=9))])


def tell():
    accounts_and_money()
    roles()
    groups_and_posts()
    sessions_begin()
    metering()
    money_splits()
    clearing()
    prices_change()
    time_counts()
    tiers_and_bounds()
    ends_and_deadlines()
    automatic_start()
    exchanged_meters()
    contradictions()
    return steps
