"""The rules of the ledger, read from docs/money-and-roles.md, docs/sessions.md, docs/mandates.md and the design a second time: slow, plain, and without a line of the Rust code.

A `World` holds records by key, a key being the table's name and its id's parts. A call either gives its events or raises `Reject`; nothing is undone here,
because every call works on a copy. Only the zones UTC0 and Central European Time are known.
"""

import copy
import datetime
import struct
from fractions import Fraction

from verbs import *

MINUTE, HOUR, DAY_MS = 60_000, 3_600_000, 86_400_000
COST_UNIT = 36_000_000_000
MAX_SUPPLY = 2**62
NONE = [0, 0, 0]


class Reject(Exception):
    def __init__(self, code, expected=None, found=None):
        super().__init__(code, expected, found)
        self.rejection = dict(code=code, expected=expected, found=found)


def demand(condition, code, expected=None, found=None):
    if not condition:
        raise Reject(code, expected, found)


# ---- local time and prices ------------------------------------------------------------------------------------------------------------------------------

CENTRAL_EUROPE = "CET-1CEST,M3.5.0,M10.5.0/3"


def last_sunday(year, month):
    day = datetime.datetime(year, month, 31, 1)
    while day.weekday() != 6:
        day -= datetime.timedelta(days=1)
    return day


def local(zone, ms):
    at = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=ms)
    if zone == CENTRAL_EUROPE:
        summer = last_sunday(at.year, 3) <= at < last_sunday(at.year, 10)
        return at + datetime.timedelta(hours=2 if summer else 1)
    assert zone == "UTC0", zone
    return at


def holds(restrictions, clock, since, metered, wh, ms):
    """Whether an element holds: at a wall time, so long after the first grant, after so much energy, in an interval of so much energy and time."""
    start, end = restrictions["start_time"] or 0, restrictions["end_time"] or 1440
    minute = clock.hour * 60 + clock.minute
    inside = start <= minute < end if start < end else minute >= start or minute < end
    days = restrictions["day_of_week"]
    # Watts; more than any bound where energy came in no time.
    power = Fraction(wh * HOUR, ms) if ms else (float("inf") if wh else 0)

    def within(kind, value):
        least, most = restrictions[f"min_{kind}"], restrictions[f"max_{kind}"]
        return (least is None or value >= least) and (most is None or value < most)

    return inside and (not days or DAY.variants[clock.weekday()][0] in days) and within("energy", metered) and within("duration", since) and within("power", power)


def matching(tariff, dimension, ms, since=0, metered=0, wh=0, span=1):
    """The first element that has the dimension and holds, as its place and price; (None, 0) where there is none."""
    clock = local(tariff["time_zone"], ms)
    for place, element in enumerate(tariff["elements"]):
        prices = [c["price"] for c in element["price_components"] if c["dimension"] == dimension]
        if prices and holds(element["restrictions"], clock, since, metered, wh, span):
            return place, prices[0]
    return None, 0


def has(tariff, dimension):
    return any(c["dimension"] == dimension for element in tariff["elements"] for c in element["price_components"])


def energy_cost(wh, per_kwh):
    assert wh * per_kwh * COST_UNIT % 1000 == 0
    return wh * per_kwh * COST_UNIT // 1000


def time_cost(ms, per_hour):
    assert ms * per_hour * COST_UNIT % HOUR == 0
    return ms * per_hour * COST_UNIT // HOUR


def parts(tariff, dimension, begin, end, wh, before=0, begun=0):
    """An interval in pieces (from, to, Wh, price), where another element begins to hold. Every boundary that there may be is laid on the line from (begin, before)
    to (end, before + wh) as an exact fraction of it, and they are tried in order; behind a cut the line is laid anew."""
    found, t, e = [], begin, before
    bounds = [element["restrictions"] for element in tariff["elements"]]
    edges = {edge for by in bounds for edge in (by["min_energy"], by["max_energy"]) if edge}
    instants = {begun + edge for by in bounds for edge in (by["min_duration"], by["max_duration"]) if edge}
    instants |= set(range(begin // MINUTE * MINUTE + MINUTE, end, MINUTE))

    def at(ms, metered):
        return matching(tariff, dimension, ms, max(0, ms - begun), metered, wh, end - begin)

    while True:
        left_ms, left_wh = end - t, before + wh - e
        line = [(Fraction(x - t, left_ms), "instant", x) for x in instants if t < x < end]
        line += [(Fraction(k - e, left_wh), "energy", k) for k in edges if e < k < before + wh]
        for place, kind, edge in sorted(line):
            point = (edge, e + int(place * left_wh)) if kind == "instant" else (t + int(place * left_ms), edge)
            if at(*point)[0] != at(t, e)[0]:
                found.append((t, point[0], point[1] - e, at(t, e)[1]))
                t, e = point
                break
        else:
            return found + [(t, end, left_wh, at(t, e)[1])]


def overlap(from_, to, begin, end):
    return max(0, min(to, end) - max(from_, begin))


class Interval:
    """What two readings enclose, in pieces of every dimension, and which of its time counts."""

    def __init__(self, tariff, begin, end, wh, before, begun, granted, idle_since, until):
        self.tariff, self.begin, self.end, self.wh, self.before = tariff, begin, end, wh, before
        self.pieces = {dimension: parts(tariff, dimension, begin, end, wh, before, begun) for dimension in ("ENERGY", "TIME", "PARKING_TIME")}
        self.granted, self.idle_since, self.until = granted, idle_since, until

    def cost(self, wh=None):
        """The cost of its first so many watt-hours and of the time until they had flowed; of all, where nothing is said."""
        now, left, energy, time, parking = self.end, self.wh if wh is None else wh, 0, 0, 0
        if wh is not None and self.wh:
            now = self.begin + (self.end - self.begin) * wh // self.wh
        until = min(self.until, now)
        for _, _, piece, price in self.pieces["ENERGY"]:
            energy += energy_cost(min(piece, left), price)
            left -= min(piece, left)
        for from_, to, _, price in self.pieces["TIME"]:
            for span in self.granted:
                end = min([until] + [edge for edge in (span["until"], self.idle_since) if edge is not None])
                time += time_cost(overlap(from_, to, span["from"], end), price)
        if self.idle_since is not None:
            for from_, to, _, price in self.pieces["PARKING_TIME"]:
                parking += time_cost(overlap(from_, to, self.idle_since + self.tariff["parking_grace"], until), price)
        return dict(energy=energy, time=time, parking_time=parking, flat=0)

    def affordable(self, spent, payable):
        """The most watt-hours with which no more is due than can be paid."""
        for wh in range(self.wh, 0, -1):
            if due(self.tariff, added(spent, self.cost(wh)), self.before + self.wh) <= payable:
                return wh
        return 0


def added(cost, more):
    return {name: cost[name] + more[name] for name in cost}


def due(tariff, cost, energy):
    """What is to be paid for a cost: within the least and the highest price, unless nothing was used."""
    total = sum(cost.values())
    if not total and not energy:
        return 0
    if tariff["min_price"] is not None:
        total = max(total, tariff["min_price"] * COST_UNIT)
    return total if tariff["max_price"] is None else min(total, tariff["max_price"] * COST_UNIT)


# ---- the world ------------------------------------------------------------------------------------------------------------------------------------------


class World:
    def __init__(self, records):
        self.records = copy.deepcopy(records)
        self.events = []
        # The block, and the transaction in it.
        self.height = self.now = self.index = 0
        self.chain_id = ZERO
        self.id = self.account = self.signer = None

    def get(self, *key):
        return self.records.get(key)

    def put(self, value, *key):
        self.records[key] = value

    def drop(self, *key):
        self.records.pop(key, None)

    def emit(self, name, **content):
        self.events.append({name: content})

    def table(self, name, *begin):
        """Ids and records of a table whose ids begin so, in the order of their keys."""
        rows = [(k, v) for k, v in self.records.items() if k[0] == name and k[1:1 + len(begin)] == begin]
        return sorted(rows, key=lambda row: key(*row[0]))

    @property
    def params(self):
        return self.get("params")

    def state(self):
        return {key(*k): encode(TABLES[k[0]][2], v) for k, v in self.records.items()}

    # -- roles --

    def holds_role(self, condominium, role, account, height=None):
        height = self.height if height is None else height
        grant = self.get("role", condominium, role, account)
        return grant is not None and grant["from"] <= height and (grant["until"] is None or height < grant["until"])

    def need_role(self, condominium, *roles):
        demand(self.get("condominium", condominium), "unknown_condominium")
        demand(any(self.holds_role(condominium, role, self.account) for role in roles), "not_allowed")

    def suspension(self, condominium, account):
        """One that is in force."""
        record = self.get("suspension", condominium, account)
        return record if record and record["lifted_at"] is None else None

    def is_trusted_gateway(self, condominium, account):
        return self.holds_role(condominium, "gateway", account) and not self.suspension(condominium, account)

    def need_gateway(self, condominium, session=None):
        """A gateway; a suspended one only for a session that was open when it was suspended or that has no reading."""
        self.need_role(condominium, "gateway")
        suspended = self.suspension(condominium, self.account)
        demand(not suspended or (session and (session["opened_height"] <= suspended["since"] or session["meter"] is None)), "role_suspended")

    def standing_managers(self, condominium, height):
        grants = self.table("role", condominium, "manager")
        return [k[3] for k, grant in grants if grant["until"] is None and grant["from"] <= height]

    # -- money --

    def credit(self, address, amount):
        """Debt first, then balance; gives the part that paid back debt."""
        account = self.get("account", address)
        to_debt = min(account["debt"], amount)
        account["debt"] -= to_debt
        account["balance"] += amount - to_debt
        return to_debt

    def lock(self, address, amount):
        account = self.get("account", address)
        demand(account, "unknown_account")
        free_credit = max(0, account["credit_limit"] - account["debt"])
        demand(amount <= account["balance"] + free_credit, "insufficient_funds", amount, account["balance"] + free_credit)
        from_balance = min(account["balance"], amount)
        account["balance"] -= from_balance
        account["debt"] += amount - from_balance
        account["held"] += amount

    def check_position(self, debtor, creditor, amount):
        if debtor == creditor:
            return
        limit = min(self.get("condominium", creditor)["position_limit"], MAX_SUPPLY)
        pending = self.get("pending_position", debtor, creditor) or 0
        net = (self.get("position", debtor, creditor) or 0) - (self.get("position", creditor, debtor) or 0) + amount + pending
        # What only reduces the creditor's own debt is nobody's to limit.
        if amount + pending > (self.get("position", creditor, debtor) or 0):
            net += self.unpaid(debtor, creditor)
            demand(net <= limit, "position_limit", limit, net)

    def unpaid(self, debtor, creditor):
        return sum(payment["amount"] for _, payment in self.table("payment", debtor, creditor))

    def expect_position(self, debtor, creditor, change):
        if debtor != creditor:
            self.put_or_drop((self.get("pending_position", debtor, creditor) or 0) + change, "pending_position", debtor, creditor)

    def put_or_drop(self, amount, *key):
        if amount:
            self.put(amount, *key)
        else:
            self.drop(*key)

    def post(self, debtor, creditor, amount):
        if debtor == creditor or not amount:
            return
        net = (self.get("position", debtor, creditor) or 0) - (self.get("position", creditor, debtor) or 0) + amount
        self.put_or_drop(max(net, 0), "position", debtor, creditor)
        self.put_or_drop(max(-net, 0), "position", creditor, debtor)
        self.emit("position_posted", debtor=debtor, creditor=creditor, amount=amount)

    def count(self, home, host, **more):
        if home != host:
            counted = self.get("roaming", home, host) or dict(sessions=0, energy=0, charged=0, transfers=0, transferred=0)
            self.put({name: counted[name] + more.get(name, 0) for name in counted}, "roaming", home, host)

    def netted(self):
        """What would have to be paid if positions were cleared now: a signed debt for each ordered pair, from which whoever stands in the middle steps out."""
        signed = {}
        for (_, debtor, creditor), owed in self.table("position"):
            signed[debtor, creditor], signed[creditor, debtor] = owed, -owed
        members = sorted({member for pair in signed for member in pair})[:64]
        debt = {(one, other): signed.get((one, other), 0) for one in members for other in members}

        def move(one, other, amount):
            debt[one, other] += amount
            debt[other, one] -= amount

        for middle in members:
            for one in members:
                for other in members:
                    through = min(debt[one, middle], debt[middle, other])
                    if through > 0:
                        limit = min(self.get("condominium", other)["position_limit"], MAX_SUPPLY)
                        limit -= (self.get("pending_position", one, other) or 0) + self.unpaid(one, other)
                        # Up to the limit; and always as much as only takes off what the other owes.
                        most = max(0, limit - max(debt[one, other], 0)) if limit > 0 else 0
                        moved = min(through, most + max(-debt[one, other], 0))
                        move(one, middle, -moved)
                        move(middle, other, -moved)
                        move(one, other, moved)
        return members, {pair: amount for pair, amount in sorted(debt.items()) if amount > 0}

    # -- groups --

    def above(self, condominium, number):
        """A group and those above it."""
        found = []
        while number is not None:
            found.append(number)
            number = self.get("group", condominium, number)["parent"]
        return found

    def hold(self, session, current):
        """Counts another current for a session in its group and all above; growing phases are checked first, the nearest group first."""
        condominium, number = session["connector"]
        path = self.above(condominium, self.get("connector", condominium, number)["group"])
        for group in path:
            record = self.get("group", condominium, group)
            for phase in range(3):
                found = record["granted"][phase] + record["reserved"][phase] - session["granted"][phase] + current[phase]
                if current[phase] > session["granted"][phase]:
                    demand(found <= record["limit"][phase], "group_limit", record["limit"][phase], found)
        for group in path:
            record = self.get("group", condominium, group)
            record["granted"] = [held - old + new for held, old, new in zip(record["granted"], session["granted"], current)]
        session["granted"] = current

    # -- sessions --

    def session(self, id):
        session = self.get("session", id)
        demand(session, "unknown_session")
        return session

    def tariff_of(self, session):
        return self.get("tariff_version", *session["tariff"], session["tariff_version"])["tariff"]

    def move_due(self, id, due):
        session = self.get("session", id)
        self.drop("due", session["due"], id)
        session["due"] = due
        self.put(None, "due", due, id)

    def homes(self, session):
        """Whose home owes and whose is owed when the session is paid."""
        revenue = self.get("condominium", session["connector"][0])["revenue"]
        return self.get("account", session["account"])["home"], self.get("account", revenue)["home"]

    def end(self, id, reason, at):
        session = self.get("session", id)
        if session["state"] == "queued":
            return self.settle(id, reason, at, "chain")
        self.hold(session, NONE)
        session["state"] = dict(stopping=dict(reason=reason, at=at))
        self.move_due(id, self.now + self.params["settle_grace"])
        self.emit("session_stopping", session=id, reason=reason, settle_by=session["due"])

    def settle(self, id, reason, at, by):
        session = self.get("session", id)
        meter = session["meter"]
        energy = meter["register"] - meter["start"] if meter else 0
        billed = energy if session["billed_at_limit"] is None else session["billed_at_limit"]
        cost = due(self.tariff_of(session), session["cost"], energy) // COST_UNIT
        paid = min(cost, session["escrow"])
        debtor, creditor = self.homes(session)
        self.expect_position(debtor, creditor, -session["escrow"])
        payer = self.get("account", session["account"])
        payer["held"] -= session["escrow"]
        self.credit(session["account"], session["escrow"] - paid)
        # What is earned is no repayment: a condominium's account has no debt of its own to settle here.
        self.get("account", self.get("condominium", session["connector"][0])["revenue"])["balance"] += paid
        self.post(debtor, creditor, paid)
        if energy or paid:
            self.count(debtor, creditor, sessions=1, energy=energy, charged=paid)
        counted, today = self.get("mandate_use", id), self.get("mandate_day", session["account"], session["connector"][0])
        if counted and today["day"] == counted["day"]:
            today["used"] -= max(0, counted["amount"] - paid)
        self.drop("mandate_use", id)
        self.drop("session", id)
        self.drop("session_times", id)
        self.drop("due", session["due"], id)
        connector = self.get("connector", *session["connector"])
        self.drop("queue", session["connector"][0], connector["group"], session["opened_height"], session["opened_index"])
        connector["session"] = None
        over = cost - session["escrow"]
        self.emit(
            "session_settled", session=id, **{name: session[name] for name in (
                "account", "connector", "tariff", "tariff_version", "opened_at", "first_granted_at", "cost", "escrow")},
            ended_at=at, settled_at=self.now, reason=reason, settled_by=by, energy=energy, energy_billed=billed, paid=paid,
            refund=session["escrow"] - paid, overdrawn=dict(energy=energy - billed, amount=over) if over > 0 else None,
            readings=meter["sequence"] if meter else 0, samples=meter["samples"] if meter else 0)

    def meet_deadlines(self):
        """Works off what is due; gives the receipts."""
        receipts = []
        due = [k for k, _ in self.table("due") if k[1] <= self.now][:self.params["due_per_block"]]
        for _, _, id in due:
            self.events = []
            state = self.get("session", id)["state"]
            if state == "queued":
                self.end(id, "never_started", self.now)
            elif isinstance(state, str):
                self.end(id, "time", self.now)
            else:
                reason, at = state["stopping"].values()
                self.settle(id, "gateway_lost" if reason == "time" else reason, at, "chain")
            receipts.append(dict(cause=dict(due=id), outcome="applied", events=self.events))
        return receipts

    # -- calls --

    def play(self, call):
        """Carries out a call and gives outcome, events and the world after it."""
        after = copy.copy(self)
        after.records, after.events = copy.deepcopy(self.records), []
        ((name, content),) = call.items()
        try:
            getattr(after, name)(**content)
        except Reject as reject:
            self.events = []
            return dict(rejected=reject.rejection), [], self
        return "applied", after.events, after

    def register(self, account, home):
        self.put(dict(home=home, balance=0, held=0, debt=0, credit_limit=0), "account", account)
        self.put(dict(account=account, scope="Owner", nonce=0), "signer", account)
        self.emit("account_registered", account=account, home=home)

    def is_free(self, account):
        return not self.get("account", account) and not self.get("signer", account)

    def register_account(self, account, condominium, invite):
        registrars = ("manager", "treasurer")
        if invite is None:
            self.need_role(condominium, *registrars)
            demand(self.is_free(account), "account_exists")
        else:
            demand(account == self.account == self.signer, "not_allowed")
            demand(self.get("condominium", condominium), "unknown_condominium")
            demand(self.is_free(account), "account_exists")
            issuer, serial, expires = invite["issuer"], invite["serial"], invite["expires"]
            demand(any(self.holds_role(condominium, role, issuer) for role in registrars), "not_allowed")
            demand(expires >= self.now, "expired", expires, self.now)
            latest = self.now + 90 * DAY_MS
            demand(expires <= latest, "over_limit", latest, expires)
            demand(self.get("invite", issuer, serial) is None, "not_allowed")
            signed = encode(INVITE_SIGNED, dict(chain_id=self.chain_id, condominium=condominium, issuer=issuer, serial=serial, expires=expires))
            demand(is_signed(issuer, "invite", signed, invite["signature"]), "bad_signature")
            self.put(expires, "invite", issuer, serial)
        self.register(account, condominium)

    def sell_tokens(self, condominium, account, amount, sale, payment):
        demand(amount, "zero_value")
        self.need_role(condominium, "treasurer")
        seller, buyer = self.get("condominium", condominium), self.get("account", account)
        if buyer:
            demand(buyer["home"] == condominium, "not_home", condominium, buyer["home"])
        else:
            demand(self.is_free(account), "account_exists")
        demand(sale == seller["next_sale"], "wrong_sale_number", seller["next_sale"], sale)
        today = self.now // DAY_MS
        minted_today = (seller["minted_today"] if seller["mint_day"] == today else 0) + amount
        demand(minted_today <= seller["mint_cap_per_day"], "mint_cap_exceeded", seller["mint_cap_per_day"], min(minted_today, 2**64 - 1))
        demand(sum(c["minted"] for _, c in self.table("condominium")) + amount <= MAX_SUPPLY, "overflow")
        if not buyer:
            self.register(account, condominium)
        seller.update(minted=seller["minted"] + amount, next_sale=sale + 1, mint_day=today, minted_today=minted_today)
        self.emit("tokens_sold", condominium=condominium, account=account, amount=amount, to_debt=self.credit(account, amount), sale=sale)

    def request_redeem(self, amount, payee):
        demand(amount, "zero_value")
        account = self.get("account", self.account)
        demand(account, "unknown_account")
        demand(amount <= account["balance"], "insufficient_funds", amount, account["balance"])
        account["balance"] -= amount
        account["held"] += amount
        self.put(dict(account=self.account, amount=amount, requested_at=self.now, payee=payee), "redemption", self.id)
        self.emit("redemption_requested", redemption=self.id, account=self.account, amount=amount)

    def confirm_redeem(self, redemption, answer):
        request = self.get("redemption", redemption)
        demand(request, "unknown_redemption")
        holder = self.get("account", request["account"])
        self.need_role(holder["home"], "treasurer")
        holder["held"] -= request["amount"]
        paid = answer != "refused"
        if paid:
            self.get("condominium", holder["home"])["redeemed"] += request["amount"]
        else:
            holder["balance"] += request["amount"]
        self.drop("redemption", redemption)
        self.emit("redemption_paid" if paid else "redemption_refused", redemption=redemption, account=request["account"], amount=request["amount"])

    def transfer(self, to, amount):
        demand(amount, "zero_value")
        payer, payee = self.get("account", self.account), self.get("account", to)
        demand(payer, "unknown_account")
        demand(to != self.account, "self_transfer")
        demand(payee, "unknown_account")
        demand(amount <= payer["balance"], "insufficient_funds", amount, payer["balance"])
        self.check_position(payer["home"], payee["home"], amount)
        payer["balance"] -= amount
        payee["balance"] += amount
        self.events.append(dict(transferred={"from": self.account, "to": to, "amount": amount}))
        self.post(payer["home"], payee["home"], amount)
        self.count(payer["home"], payee["home"], transfers=1, transferred=amount)

    def clear_positions(self, condominium):
        self.need_role(condominium, "treasurer")
        demand(self.table("position") or self.table("roaming"), "nothing_to_clear")
        latest = (self.get("clearing_head") or dict(latest=0))["latest"]
        begin = self.get("clearing", latest)["until"] if latest else None
        clearing = latest + 1
        members, debts = self.netted()
        self.put({"from": begin, "until": self.now, "height": self.height, "index": self.index}, "clearing", clearing)
        self.put(dict(latest=clearing), "clearing_head")
        self.events.append(dict(positions_cleared={"clearing": clearing, "condominium": condominium, "from": begin, "until": self.now}))
        for (_, home, host), counted in self.table("roaming"):
            self.drop("roaming", home, host)
            self.emit("roaming_closed", clearing=clearing, home=home, host=host, roaming=counted)
        for (_, debtor, creditor), _ in self.table("position"):
            if debtor in members and creditor in members:
                self.drop("position", debtor, creditor)
        for (debtor, creditor), amount in debts.items():
            if len(self.table("payment", debtor, creditor)) < 24:
                self.put(dict(amount=amount, report=None), "payment", debtor, creditor, clearing)
                self.emit("payment_due", clearing=clearing, debtor=debtor, creditor=creditor, amount=amount)
            else:
                self.put(amount, "position", debtor, creditor)

    def report_payment(self, clearing, debtor, creditor, payment):
        due = self.get("payment", debtor, creditor, clearing)
        demand(due, "unknown_payment")
        self.need_role(debtor, "treasurer")
        demand(due["report"] is None, "payment_reported")
        due["report"] = dict(treasurer=self.account, at=self.now, payment=payment)
        self.emit("payment_reported", clearing=clearing, debtor=debtor, creditor=creditor, amount=due["amount"])

    def answer_payment(self, clearing, debtor, creditor, answer):
        due = self.get("payment", debtor, creditor, clearing)
        demand(due, "unknown_payment")
        self.need_role(creditor, "treasurer")
        demand(due["report"], "payment_not_reported")
        demand(due["report"]["treasurer"] != self.account, "not_allowed")
        if answer == "received":
            self.get("condominium", debtor)["redeemed"] += due["amount"]
            self.get("condominium", creditor)["minted"] += due["amount"]
            self.drop("payment", debtor, creditor, clearing)
        else:
            due["report"] = None
        self.emit(f"payment_{answer}", clearing=clearing, debtor=debtor, creditor=creditor, amount=due["amount"])

    def set_position_limit(self, condominium, limit):
        self.need_role(condominium, "treasurer")
        self.get("condominium", condominium)["position_limit"] = limit
        self.emit("position_limit_set", condominium=condominium, limit=limit)

    def grant_role(self, condominium, role, account, until, **rest):
        begin = rest["from"]
        demand(until is None or until > begin, "invalid_range", begin, until)
        self.need_role(condominium, "manager")
        demand(self.get("account", account), "unknown_account")
        old, kept_from = self.get("role", condominium, role, account), begin
        if old and old["until"] == begin:
            kept_from = old["from"]
        elif old:
            demand(old["until"] is not None and old["until"] <= self.height, "role_already_granted")
        else:
            demand(len(self.table("role", condominium, role)) < 4096, "too_many", 4096, 4097)
        earliest = self.height + 1
        if role == "treasurer" and len(self.standing_managers(condominium, self.height)) > 1:
            earliest = max(earliest, self.height + self.params["notice_heights"])
        demand(begin >= earliest, "notice_too_short", earliest, begin)
        self.put({"from": kept_from, "until": until}, "role", condominium, role, account)
        self.events.append(dict(role_granted={"condominium": condominium, "role": role, "account": account, "from": begin, "until": until}))

    def revoke_role(self, condominium, role, account, until):
        self.need_role(condominium, "manager")
        grant = self.get("role", condominium, role, account)
        demand(grant, "role_not_granted")
        demand(until > self.height, "notice_too_short", self.height + 1, until)
        demand(grant["until"] is None or grant["until"] > until, "role_not_granted")
        if role == "manager":
            demand(set(self.standing_managers(condominium, until)) - {account}, "last_manager")
        if until <= grant["from"]:
            self.drop("role", condominium, role, account)
        else:
            grant["until"] = until
        self.emit("role_revoked", condominium=condominium, role=role, account=account, until=until)

    def put_group(self, group, parent, limit):
        condominium, number = group
        demand(parent != number, "group_cycle")
        self.need_role(condominium, "manager")
        demand(parent is None or self.get("group", condominium, parent), "unknown_group")
        above = self.above(condominium, parent)
        demand(number not in above, "group_cycle")
        groups = [k[2] for k, _ in self.table("group", condominium)]
        below = [g for g in groups if number in self.above(condominium, g)]
        levels = max([self.above(condominium, g).index(number) for g in below], default=0)
        demand(len(above) + 1 + levels <= 8, "group_depth", 8, len(above) + 1 + levels)
        old = self.get("group", condominium, number)
        demand(old or len(groups) < 256, "too_many", 256, 257)
        granted, reserved = (old["granted"], old["reserved"]) if old else (NONE, NONE)
        for phase in range(3):
            demand(reserved[phase] <= limit[phase], "group_limit", limit[phase], reserved[phase])
        left = self.above(condominium, old["parent"]) if old else []
        for joined in [g for g in above if g not in left]:
            record = self.get("group", condominium, joined)
            for phase in range(3):
                found = record["granted"][phase] + record["reserved"][phase] + granted[phase] + reserved[phase]
                demand(found <= record["limit"][phase], "group_limit", record["limit"][phase], found)
        for sign_of, changed in ((1, [g for g in above if g not in left]), (-1, [g for g in left if g not in above])):
            for g in changed:
                record = self.get("group", condominium, g)
                for sums, own in (("granted", granted), ("reserved", reserved)):
                    record[sums] = [there + sign_of * more for there, more in zip(record[sums], own)]
        self.put(dict(parent=parent, limit=limit, granted=granted, reserved=reserved), "group", condominium, number)
        self.emit("group_put", group=group, limit=limit)
        inside = [g for g in groups if g == number or number in self.above(condominium, g)]
        charging = [(s["granted_height"], s["granted_index"], k[1]) for k, s in self.table("session")
                    if s["connector"][0] == condominium and self.get("connector", *s["connector"])["group"] in inside and s["granted"] != NONE]
        for _, _, id in sorted(charging, reverse=True):
            record = self.get("group", condominium, number)
            if all(g + r <= most for g, r, most in zip(record["granted"], record["reserved"], limit)):
                break
            self.pause(id, "group_limit")

    def put_connector(self, connector, group, control, plug_signal, rated, tariff, service):
        condominium = connector[0]
        demand(any(rated), "invalid_connector")
        for phase in rated:
            demand(phase <= 1_000_000, "invalid_connector", 1_000_000, phase)
        self.need_role(condominium, "manager")
        for phase in rated:
            demand(not 0 < phase < self.params["min_current"], "invalid_connector", self.params["min_current"], phase)
        demand(self.get("group", condominium, group), "unknown_group")
        head = self.get("tariff_head", condominium, tariff)
        demand(head, "unknown_tariff")
        if plug_signal == "none":
            versions = [(n, self.get("tariff_version", condominium, tariff, n)) for n in range(1, head["latest"] + 1)]
            first = max([n for n, version in versions if version["valid_from"] <= self.now], default=1)
            for number, version in versions[first - 1:]:
                demand(not has(version["tariff"], "PARKING_TIME"), "plug_not_reported", None, number)
        old = self.get("connector", *connector)
        new = dict(group=group, control=control, plug_signal=plug_signal, rated=rated, tariff=tariff)
        if old and old["session"]:
            demand(all(old[name] == value for name, value in new.items()), "connector_busy")
        if not old:
            demand(len(self.table("connector", condominium)) < 4096, "too_many", 4096, 4097)
        before = (self.above(condominium, old["group"]), old["rated"]) if old and old["control"] == "meter_only" else ([], NONE)
        after = (self.above(condominium, group), rated) if control == "meter_only" else ([], NONE)
        for g in dict.fromkeys(after[0] + before[0]):
            record = self.get("group", condominium, g)
            less, more = (before[1] if g in before[0] else NONE), (after[1] if g in after[0] else NONE)
            record["reserved"] = [r - a + b for r, a, b in zip(record["reserved"], less, more)]
            for phase in range(3):
                found = record["granted"][phase] + record["reserved"][phase]
                demand(more[phase] <= less[phase] or found <= record["limit"][phase], "group_limit", record["limit"][phase], found)
        kept = old or dict(session=None, last_register=0, unassigned=0)
        self.put(new | dict(service=service, fault=None, session=kept["session"], last_register=kept["last_register"], unassigned=kept["unassigned"]),
                 "connector", *connector)
        self.emit("connector_put", connector=connector)

    def put_tariff(self, tariff, version, valid_from, document):
        check_tariff(document)
        self.need_role(tariff[0], "manager")
        head = self.get("tariff_head", *tariff)
        latest = head["latest"] if head else 0
        demand(version == latest + 1, "wrong_tariff_version", latest + 1, version)
        demand(valid_from >= self.now, "invalid_range", self.now, valid_from)
        earlier = [self.get("tariff_version", *tariff, n)["valid_from"] for n in range(1, latest + 1)]
        if earlier:
            demand(valid_from >= earlier[-1], "invalid_range", earlier[-1], valid_from)
        announced = len([time for time in earlier if time > self.now])
        demand(valid_from <= self.now or announced < 8, "too_many", 8, announced + 1)
        if has(document, "PARKING_TIME"):
            for k, post in self.table("connector", tariff[0]):
                demand(post["tariff"] != tariff[1] or post["plug_signal"] == "reported", "plug_not_reported", None, k[2])
        self.put(dict(valid_from=valid_from, tariff=document), "tariff_version", *tariff, version)
        self.put(dict(latest=version), "tariff_head", *tariff)
        self.emit("tariff_put", tariff=tariff, version=version, valid_from=valid_from)

    def open_session(self, connector, tariff_version, max_spend, max_duration, energy_target, state_of_charge, depart_by, window, priority):
        demand(max_spend and max_duration and energy_target != 0, "zero_value")
        demand(state_of_charge is None or state_of_charge <= 100, "over_limit", 100, state_of_charge)
        demand(window is None and priority == "none", "not_active")
        self.open(self.account, connector, tariff_version, max_spend, max_duration,
                  dict(energy_target=energy_target, state_of_charge=state_of_charge, depart_by=depart_by))

    def version_now(self, connector, post):
        """The tariff of a connector and the number of its version in force."""
        tariff = (connector[0], post["tariff"])
        latest = self.get("tariff_head", *tariff)
        valid = [n for n in range(1, (latest["latest"] if latest else 0) + 1) if self.get("tariff_version", *tariff, n)["valid_from"] <= self.now]
        demand(valid, "unknown_tariff")
        return tariff, valid[-1]

    def open(self, payer, connector, tariff_version, max_spend, max_duration, hints):
        post = self.get("connector", *connector)
        demand(post, "unknown_connector")
        demand(post["service"] == "in_service" and post["fault"] is None, "connector_out_of_service")
        demand(post["session"] is None, "connector_busy")
        for name, asked in (("max_spend", max_spend), ("max_duration", max_duration)):
            demand(asked <= self.params[name], "over_limit", self.params[name], asked)
        tariff, in_force = self.version_now(connector, post)
        demand(tariff_version == in_force, "stale_tariff", in_force, tariff_version)
        demand(self.get("account", payer), "unknown_account")
        debtor, creditor = self.homes(dict(connector=connector, account=payer))
        self.check_position(debtor, creditor, max_spend)
        self.lock(payer, max_spend)
        self.expect_position(debtor, creditor, max_spend)
        waits = post["control"] == "switched"
        due = self.now + (self.params["queue_deadline"] if waits else max_duration)
        self.put(dict(
            account=payer, connector=connector, tariff=tariff, tariff_version=tariff_version, opened_at=self.now, opened_height=self.height,
            opened_index=self.index, escrow=max_spend, max_duration=max_duration, hints=hints, state="queued" if waits else "charging",
            due=due, first_granted_at=None if waits else self.now, granted=NONE, granted_height=self.height, granted_index=self.index, meter=None,
            cost=dict(energy=0, time=0, parking_time=0, flat=0), billed_at_limit=None), "session", self.id)
        self.put(None, "due", due, self.id)
        post["session"] = self.id
        self.emit("session_opened", session=self.id, account=payer, connector=connector, escrow=max_spend)
        if waits:
            self.put(self.id, "queue", connector[0], post["group"], self.height, self.index)
        else:
            self.emit("session_granted", session=self.id, current=post["rated"])
        document = self.get("tariff_version", *tariff, tariff_version)["tariff"]
        if has(document, "TIME") or has(document, "PARKING_TIME"):
            self.put(dict(granted=[] if waits else [{"from": self.now, "until": None}], idle_since=None), "session_times", self.id)

    def top_up_session(self, session, amount):
        demand(amount, "zero_value")
        record = self.session(session)
        demand(record["account"] == self.account, "not_allowed")
        demand(record["state"] in ("queued", "charging", "paused"), "wrong_session_state")
        escrow = record["escrow"] + amount
        demand(escrow <= self.params["max_spend"], "over_limit", self.params["max_spend"], min(escrow, 2**64 - 1))
        debtor, creditor = self.homes(record)
        self.check_position(debtor, creditor, amount)
        self.lock(self.account, amount)
        self.expect_position(debtor, creditor, amount)
        record["escrow"] = escrow
        self.emit("session_topped_up", session=session, amount=amount, escrow=escrow)

    def cancel_session(self, session):
        record = self.session(session)
        demand(record["account"] == self.account, "not_allowed")
        demand(record["state"] == "queued", "wrong_session_state")
        self.end(session, "cancelled", self.now)

    def stop_session(self, session):
        record = self.session(session)
        reason = "stopped_by_resident"
        if record["account"] != self.account:
            self.need_role(record["connector"][0], "manager")
            reason = "stopped_by_manager"
        demand(isinstance(record["state"], str), "wrong_session_state")
        self.end(session, reason, self.now)

    def scheduled(self, session):
        """The session and its connector, for a scheduler's call."""
        record = self.session(session)
        self.need_role(record["connector"][0], "scheduler")
        connector = self.get("connector", *record["connector"])
        demand(connector["control"] == "switched", "meter_only")
        return record, connector

    def check_current(self, connector, current):
        for phase in current:
            demand(phase == 0 or phase >= self.params["min_current"], "below_minimum_current", self.params["min_current"], phase)
        for rated, phase in zip(connector["rated"], current):
            demand(phase <= rated, "connector_rating", rated, phase)

    def give(self, id, current):
        record = self.get("session", id)
        self.hold(record, current)
        times = self.get("session_times", id)
        if times and record["state"] != "charging":
            times["granted"] = (times["granted"] + [{"from": self.now, "until": None}])[-16:]
        record.update(state="charging", granted_height=self.height, granted_index=self.index)

    def grant_charge(self, session, current, skipped):
        demand(len(skipped) <= 64, "too_many", 64, len(skipped))
        demand(any(current), "zero_value")
        record, connector = self.scheduled(session)
        demand(record["state"] in ("queued", "charging"), "wrong_session_state")
        self.check_current(connector, current)
        first, named = record["state"] == "queued", [skip["session"] for skip in skipped]
        place = (record["opened_height"], record["opened_index"])
        ahead = [id for k, id in self.table("queue", record["connector"][0], connector["group"]) if first and k[3:] < place][:65]
        demand(len(set(named)) == len(named) and set(named) <= set(ahead), "invalid_skip")
        demand(len(named) == len(ahead), "skip_without_reason", len(ahead), len(named))
        self.give(session, current)
        for skip in skipped:
            self.emit("session_skipped", **skip)
        if first:
            self.drop("queue", record["connector"][0], connector["group"], *place)
            record["first_granted_at"] = self.now
            self.move_due(session, self.now + record["max_duration"])
        self.emit("session_granted", session=session, current=current)

    def pause(self, id, reason):
        record = self.get("session", id)
        self.hold(record, NONE)
        record["state"] = "paused"
        times = self.get("session_times", id)
        if times:
            times["granted"][-1]["until"] = self.now
        self.emit("session_paused", session=id, reason=reason)

    def pause_charge(self, session, reason):
        record, _ = self.scheduled(session)
        demand(record["state"] == "charging", "wrong_session_state")
        self.pause(session, reason)

    def resume_charge(self, session, current):
        demand(any(current), "zero_value")
        record, connector = self.scheduled(session)
        demand(record["state"] == "paused", "wrong_session_state")
        self.check_current(connector, current)
        self.give(session, current)
        self.emit("session_granted", session=session, current=current)

    def attest(self, readings):
        demand(readings, "zero_value")
        demand(len(readings) <= 256, "too_many", 256, len(readings))
        for reading in readings:
            kept, events = copy.deepcopy(self.records), list(self.events)
            try:
                self.read(**reading)
            except Reject as reject:
                self.records, self.events = kept, events
                self.emit("reading_handled", session=reading["session"], sequence=reading["sequence"], refused=reject.rejection["code"])

    def read(self, session, sequence, at, register_wh, power_w, flags, samples_root, sample_count):
        record = self.session(session)
        demand(self.holds_role(record["connector"][0], "gateway", self.account), "reading_not_yours")
        demand(not self.suspension(record["connector"][0], self.account), "role_suspended")
        demand(flags < 4, "not_active")
        demand(record["state"] != "queued", "reading_not_metering")
        connector, meter, granted_at = self.get("connector", *record["connector"]), record["meter"], record["first_granted_at"]
        last = meter["sequence"] if meter else 0
        demand(sequence > last, "reading_replay")
        demand(sequence == last + 1, "reading_gap")
        drift = self.params["drift"]
        if meter:
            demand(at >= meter["at"], "reading_backwards")
        else:
            demand(at >= granted_at - drift, "reading_before_grant")
        demand(at <= self.now + drift, "reading_ahead")
        over = isinstance(record["state"], dict)
        if over:
            demand(at <= record["state"]["stopping"]["at"] + self.params["lease"], "reading_after_stop")
        demand(register_wh >= (meter["register"] if meter else connector["last_register"]), "reading_falling")
        energy = register_wh - (meter["start"] if meter else register_wh)
        # mA · V · ms are microjoules; a watt-hour is 3.6 · 10⁹ of them. Five percent more, and 50 Wh once.
        possible = sum(connector["rated"]) * 253 * max(0, at - granted_at) * 105 + 50 * 360_000_000_000
        demand(energy * 360_000_000_000 <= possible, "reading_impossible")

        unassigned = 0 if meter else register_wh - connector["last_register"]
        before = meter or dict(start=register_wh, at=at, register=register_wh, samples=0)
        tariff = self.tariff_of(record)
        self.bill(tariff, session, before, at, register_wh)
        record["meter"] = dict(start=before["start"], sequence=sequence, at=at, register=register_wh, power=power_w, samples=before["samples"] + sample_count)
        connector["last_register"] = register_wh
        connector["unassigned"] += unassigned
        self.emit("reading_handled", session=session, sequence=sequence, refused=None)
        if unassigned:
            self.emit("energy_unassigned", connector=record["connector"], energy=unassigned)
        # Nothing can cost more than a highest price that is within the escrow, so money does not end such a session.
        spent = due(tariff, record["cost"], energy) >= record["escrow"] * COST_UNIT and not (
            tariff["max_price"] is not None and tariff["max_price"] <= record["escrow"])
        idle, parks = record["state"] == "idle", has(tariff, "PARKING_TIME") and connector["plug_signal"] == "reported"
        reason = None
        if spent:
            reason = "money"
        elif idle:
            reason = "vehicle_full" if flags & 2 else None
        elif flags & 1 and parks and not flags & 2:
            if not over:
                self.hold(record, NONE)
                record["state"] = "idle"
                self.get("session_times", session)["idle_since"] = at
                self.emit("session_idle", session=session, since=at)
        elif flags & 1:
            reason = "vehicle_full"
        elif flags & 2:
            reason = "vehicle_removed"
        if reason and not over:
            self.end(session, reason, at)

    def bill(self, tariff, id, before, at, register):
        record, begun = self.get("session", id), self.get("session", id)["first_granted_at"]
        metered, wh = before["register"] - before["start"], register - before["register"]
        times = self.get("session_times", id) or dict(granted=[], idle_since=None)
        until = begun + record["max_duration"]
        if isinstance(record["state"], dict):
            until = min(until, record["state"]["stopping"]["at"])
        interval = Interval(tariff, before["at"], at, wh, metered, begun, times["granted"], times["idle_since"], until)
        times["granted"] = [span for span in times["granted"] if span["until"] is None or span["until"] > at]
        spent = dict(record["cost"])
        if wh and not metered:
            spent["flat"] += matching(tariff, "FLAT", begun)[1] * COST_UNIT
        record["cost"] = added(spent, interval.cost())
        # Paid for is what rounds down to the escrow.
        payable = (record["escrow"] + 1) * COST_UNIT - 1
        if record["billed_at_limit"] is None and due(tariff, record["cost"], metered + wh) > payable:
            # Where even the beginning is due more, a price per session above the escrow for instance, no energy is paid for, not even what is free.
            record["billed_at_limit"] = metered + interval.affordable(spent, payable)

    def report_fault(self, connector, session, fault, at):
        post = self.get("connector", *connector)
        demand(post, "unknown_connector")
        self.need_gateway(connector[0], self.get("session", post["session"]) if post["session"] else None)
        demand(at <= self.now + self.params["drift"], "reading_ahead")
        demand(session is None or session == post["session"], "session_mismatch")
        closes = fault in ("meter_fault", "welded_relay")
        if closes:
            post["fault"] = fault
        self.emit("fault_reported", connector=connector, fault=fault, at=at)
        record = self.get("session", post["session"]) if post["session"] else None
        if record and (closes if record["state"] == "queued" else isinstance(record["state"], str)):
            known = max(record["first_granted_at"] or record["opened_at"], record["meter"]["at"] if record["meter"] else 0)
            self.end(post["session"], dict(anomaly=fault), max(at, known))

    def attest_unassigned(self, connector, at, register_wh):
        post = self.get("connector", *connector)
        demand(post, "unknown_connector")
        self.need_gateway(connector[0])
        demand(post["session"] is None, "connector_busy")
        demand(at <= self.now + self.params["drift"], "reading_ahead")
        demand(register_wh >= post["last_register"], "reading_falling")
        demand(register_wh > post["last_register"], "zero_value")
        energy = register_wh - post["last_register"]
        demand(post["unassigned"] + energy < 2**64, "overflow")
        post["last_register"] = register_wh
        post["unassigned"] += energy
        self.emit("energy_unassigned", connector=connector, energy=energy)

    def settle_session(self, session):
        record = self.session(session)
        self.need_gateway(record["connector"][0], record)
        demand(isinstance(record["state"], dict), "wrong_session_state")
        self.settle(session, *record["state"]["stopping"].values(), "gateway")

    # -- automatic start --

    def grant_mandate(self, condominium, terms):
        demand(terms["max_per_session"] and terms["max_per_day"], "zero_value")
        demand(len(terms["connectors"]) <= 64, "too_many", 64, len(terms["connectors"]))
        demand(self.get("account", self.account), "unknown_account")
        demand(self.get("condominium", condominium), "unknown_condominium")
        latest = self.now + 366 * DAY_MS
        demand(terms["expires"] > self.now, "invalid_range", self.now, terms["expires"])
        demand(terms["expires"] <= latest, "over_limit", latest, terms["expires"])
        demand(all(self.get("connector", condominium, number) for number in terms["connectors"]), "unknown_connector")
        self.put(dict(terms=terms, granted_at=self.now), "mandate", self.account, condominium)
        self.emit("mandate_granted", account=self.account, condominium=condominium, expires=terms["expires"])

    def revoke_mandate(self, condominium):
        demand(self.get("mandate", self.account, condominium), "no_mandate")
        self.drop("mandate", self.account, condominium)
        self.emit("mandate_revoked", account=self.account, condominium=condominium)

    def bind_card(self, condominium, card, account):
        bound = self.get("card", condominium, card)
        if account is None:
            demand(bound, "unknown_card")
            if bound["account"] != self.account:
                self.need_role(condominium, "manager")
            self.drop("card", condominium, card)
            self.emit("card_released", condominium=condominium, card=card, account=bound["account"])
        else:
            self.need_role(condominium, "manager")
            demand(self.get("account", account), "unknown_account")
            demand(bound is None, "card_bound")
            cards = len(self.table("card", condominium))
            demand(cards < 4096, "too_many", 4096, cards + 1)
            self.put(dict(account=account, bound_at=self.now), "card", condominium, card)
            self.emit("card_bound", condominium=condominium, card=card, account=account)

    def may_start(self, card, connector, tariff_version, max_spend, max_duration, energy_target):
        """Card and mandate of a start: whose it is, the day that it counts for, and what the day uses with it."""
        site = connector[0]
        bound = self.get("card", site, card)
        demand(bound, "unknown_card")
        account = bound["account"]
        mandate = self.get("mandate", account, site)
        demand(mandate, "no_mandate")
        terms = mandate["terms"]
        demand(self.now < terms["expires"], "mandate_expired", terms["expires"], self.now)
        demand(not terms["connectors"] or connector[1] in terms["connectors"], "mandate_connector")
        demand(max_spend <= terms["max_per_session"], "mandate_session", terms["max_per_session"], max_spend)
        day = self.now // DAY_MS
        before = self.get("mandate_day", account, site)
        used = max_spend + (before["used"] if before and before["day"] == day else 0)
        demand(used <= terms["max_per_day"], "mandate_day", terms["max_per_day"], min(used, 2**64 - 1))
        post = self.get("connector", *connector)
        demand(post, "unknown_connector")
        tariff, in_force = self.version_now(connector, post)
        prices = [component for element in self.get("tariff_version", *tariff, in_force)["tariff"]["elements"] for component in element["price_components"]]
        for limit, dimensions in (("max_price_per_kwh", ("ENERGY",)), ("max_price_per_hour", ("TIME", "PARKING_TIME"))):
            highest = max([component["price"] for component in prices if component["dimension"] in dimensions], default=0)
            demand(highest <= terms[limit], "mandate_price", terms[limit], highest)
        return account, day, used

    def start(self, account, day, used, card, connector, tariff_version, max_spend, max_duration, energy_target):
        self.open(account, connector, tariff_version, max_spend, max_duration, dict(energy_target=energy_target, state_of_charge=None, depart_by=None))
        self.put(dict(card=card, day=day, amount=max_spend), "mandate_use", self.id)
        self.put(dict(day=day, used=used), "mandate_day", account, connector[0])

    @staticmethod
    def no_zeros(start):
        demand(start["max_spend"] and start["max_duration"] and start["energy_target"] != 0, "zero_value")

    def open_session_by_mandate(self, **start):
        self.no_zeros(start)
        self.need_gateway(start["connector"][0])
        self.start(*self.may_start(**start), **start)
        self.emit("session_mandated", session=self.id, card=start["card"])

    def ask_start(self, start):
        self.no_zeros(start)
        self.need_gateway(start["connector"][0])
        account, _, _ = self.may_start(**start)
        until = self.now + 10 * 60_000
        rest = {name: value for name, value in start.items() if name != "connector"}
        self.put(dict(account=account, until=until) | rest, "asked_start", *start["connector"])
        self.emit("start_asked", account=account, connector=start["connector"], card=start["card"], until=until)

    def confirm_start(self, start):
        self.no_zeros(start)
        asked = self.get("asked_start", *start["connector"])
        demand(asked and asked["account"] == self.account and self.now < asked["until"], "nothing_to_confirm")
        demand(all(asked[name] == value for name, value in start.items() if name != "connector"), "nothing_to_confirm")
        account, day, used = self.may_start(**start)
        demand(account == self.account, "nothing_to_confirm")
        self.start(account, day, used, **start)
        self.drop("asked_start", *start["connector"])
        self.emit("start_confirmed", session=self.id, card=start["card"])

    # -- meters that are exchanged, keys that contradict themselves --

    def replace_meter(self, connector, last, first):
        for shown in (last, first):
            demand(shown <= 10**15, "over_limit", 10**15, shown)
        post, site = self.get("connector", *connector), connector[0]
        demand(post, "unknown_connector")
        self.need_role(site, "manager", "gateway")
        may = dict(manager=self.holds_role(site, "manager", self.account), gateway=self.is_trusted_gateway(site, self.account))
        demand(any(may.values()), "role_suspended")
        old = self.get("meter", *connector) or dict(exchanges=0, first=0, base=0)
        # What the meter shows less the connector's register: the same for as long as it is there.
        ahead = old["first"] - old["base"]
        known = post["last_register"] + ahead
        demand(known < 2**64, "overflow")
        session = self.get("session", post["session"]) if post["session"] else None
        demand(last == known if session and session["meter"] else last >= known, "meter_register", known, last)
        register = last - ahead
        demand(register < 2**64, "overflow")
        unassigned = register - post["last_register"]
        demand(post["unassigned"] + unassigned < 2**64 and old["exchanges"] < 2**32 - 1, "overflow")
        said = self.get("meter_proposal", *connector)
        agreed = said and (said["last"], said["first"]) == (last, first) and self.now < said["until"] and said["account"] != self.account
        if agreed and said["role"] == "manager":
            agreed = may["gateway"] and self.holds_role(site, "manager", said["account"])
        elif agreed:
            agreed = may["manager"] and self.is_trusted_gateway(site, said["account"])
        if agreed:
            self.drop("meter_proposal", *connector)
            self.put(dict(exchanges=old["exchanges"] + 1, first=first, base=register, since=self.now), "meter", *connector)
            if post["fault"] == "meter_fault":
                post["fault"] = None
            post["last_register"] = register
            post["unassigned"] += unassigned
            if unassigned:
                self.emit("energy_unassigned", connector=connector, energy=unassigned)
            self.emit("meter_replaced", connector=connector, exchanges=old["exchanges"] + 1, last=last, first=first, register=register)
        else:
            proposal = dict(account=self.account, role="manager" if may["manager"] else "gateway", last=last, first=first, until=self.now + DAY_MS)
            self.put(proposal, "meter_proposal", *connector)
            self.emit("meter_proposed", connector=connector, **proposal)

    def prove_equivocation(self, condominium, first, second):
        said = [attested(data) for data in (first, second)]
        demand(all(said), "no_contradiction")
        demand(said[0]["who"] == said[1]["who"], "no_contradiction")
        pairs = [(one, other) for one in said[0]["readings"] for other in said[1]["readings"] if contradict(one, other)]
        demand(pairs, "no_contradiction")
        demand(all(is_signed(data[128:160], "tx", data[64:], data[:64]) for data in (first, second)), "bad_signature")
        demand(self.get("condominium", condominium), "unknown_condominium")
        chain_id, account, signer = said[0]["who"]
        key = self.get("signer", signer)
        demand(chain_id == self.chain_id and key and key["account"] == account, "no_contradiction")
        demand(self.holds_role(condominium, "gateway", account), "role_not_granted")
        before = self.get("suspension", condominium, account)
        earliest = self.now - 90 * DAY_MS
        if before:
            demand(before["lifted_at"] is not None, "already_suspended")
            earliest = max(earliest, before["lifted_at"] + self.params["drift"] + 1)
        latest = self.now + self.params["drift"]
        newest = [max(one["at"], other["at"]) for one, other in pairs]
        counts = [one for (one, _), at in zip(pairs, newest) if earliest <= at <= latest]
        demand(counts or newest[0] <= latest, "reading_ahead")
        demand(counts, "evidence_too_old", earliest, newest[0])
        one = counts[0]
        self.put(dict(since=self.height, session=one["session"], sequence=one["sequence"], evidence=self.id, lifted_at=None), "suspension", condominium, account)
        self.emit("role_suspended", condominium=condominium, account=account, session=one["session"], sequence=one["sequence"])

    def lift_suspension(self, condominium, account):
        self.need_role(condominium, "manager")
        demand(account != self.account, "not_allowed")
        suspended = self.suspension(condominium, account)
        demand(suspended, "not_suspended")
        suspended["lifted_at"] = self.now
        self.emit("suspension_lifted", condominium=condominium, account=account)


# An attestation's bytes: signature, chain, account, signer, nonce, expiry, the call's tag, the number of readings, the readings.
ATTEST_TAG = [name for name, _ in CALL.variants].index("attest")
READINGS_AT, READING_BYTES = 64 + 96 + 16 + 4 + 8, 32 + 8 * 3 + 4 * 2 + 32 + 4


def attested(data):
    """Who says what in an attestation; nothing where the bytes are none."""
    if len(data) < READINGS_AT or struct.unpack_from("<I", data, READINGS_AT - 12)[0] != ATTEST_TAG:
        return None
    count = struct.unpack_from("<Q", data, READINGS_AT - 8)[0]
    if not 1 <= count <= 256 or len(data) != READINGS_AT + count * READING_BYTES:
        return None
    readings = []
    for place in range(READINGS_AT, len(data), READING_BYTES):
        sequence, at, register = struct.unpack_from("<QQQ", data, place + 32)
        readings.append(dict(session=data[place:place + 32], sequence=sequence, at=at, register=register))
    return dict(who=(data[64:96], data[96:128], data[128:160]), readings=readings)


def contradict(one, other):
    """Not both can be true: other registers at one time, or a lower one later."""
    if (one["session"], one["sequence"]) != (other["session"], other["sequence"]) or one["register"] == other["register"]:
        return False
    (early, low), (late, high) = sorted([(one["at"], one["register"]), (other["at"], other["register"])])
    return early == late or high < low


def check_tariff(document):
    demand(document["time_zone"] in ("UTC0", CENTRAL_EUROPE), "invalid_tariff")
    demand(document["vat_basis_points"] <= 10_000, "invalid_tariff", 10_000, document["vat_basis_points"])
    for price in (document["min_price"], document["max_price"]):
        demand(price is None or price <= 10**9, "invalid_tariff", 10**9, price)
    if None not in (document["min_price"], document["max_price"]):
        demand(document["min_price"] <= document["max_price"], "invalid_tariff", document["min_price"], document["max_price"])
    demand(document["parking_grace"] <= 7 * DAY_MS, "invalid_tariff", 7 * DAY_MS, document["parking_grace"])
    demand(document["elements"], "invalid_tariff", 1, 0)
    demand(len(document["elements"]) <= 32, "too_many", 32, len(document["elements"]))
    for element in document["elements"]:
        components, limits = element["price_components"], element["restrictions"]
        demand(components, "invalid_tariff", 1, 0)
        demand(len(components) <= 4, "too_many", 4, len(components))
        for place, component in enumerate(components):
            demand(component["dimension"] not in [c["dimension"] for c in components[:place]], "invalid_tariff")
            demand(component["price"] <= 10**9, "invalid_tariff", 10**9, component["price"])
        for minute in (limits["start_time"], limits["end_time"]):
            demand(minute is None or minute < 1440, "invalid_tariff", 1439, minute)
        days = [[name for name, _ in DAY.variants].index(day) for day in limits["day_of_week"]]
        demand(days == sorted(set(days)), "invalid_tariff")
        for kind in ("energy", "power", "duration"):
            least, most = limits[f"min_{kind}"] or 0, limits[f"max_{kind}"]
            demand(most is None or most > least, "invalid_tariff", least + 1, most)
        if "FLAT" in [component["dimension"] for component in components]:
            demand(not limits["min_energy"] and not limits["min_duration"] and limits["min_power"] is limits["max_power"] is None, "invalid_tariff")


def is_signed(signer, domain, message, signature):
    try:
        sodium.crypto_sign_open(signature + DOMAINS[domain] + message, signer)
        return True
    except Exception:  # the library has an exception of its own for it
        return False
