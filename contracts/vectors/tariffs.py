"""Tariffs and bills: the examples that OCPI 2.3 publishes (`mod_tariffs`), rebuilt, and the nights when clocks change and years end.

Only the facts of the examples are here: prices, quantities, sums. Our prices include tax, so the published sums with tax are met; steps are of one unit, so
where a published sum rests on a longer step, its rounded quantity is billed. Where OCPI restricts by current, power at 230 V stands for it. Reservations and
texts are no part of our document. Each `total` is written by hand; ledger.py must agree before it becomes a vector. `tell` gives all.
"""

from ledger import *
from stories import ANYTIME, CENTRAL_EUROPE, TOKEN, elements

WEEKDAYS = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY"]
found = []


def utc(*parts):
    return int((datetime.datetime(*parts) - datetime.datetime(1970, 1, 1)).total_seconds() * 1000)


MONDAY, SATURDAY = utc(2019, 1, 14), utc(2019, 1, 19)


def bill(name, document, total, charging=(), parking=0, begin=MONDAY, granted=None):
    """`charging`: (minutes, Wh) between readings; `parking`: minutes plugged in when full; `total` in micro-tokens."""
    at, register, readings = begin, 0, [(begin, 0)]
    for minutes, wh in charging:
        at, register = at + round(minutes * MINUTE), register + wh
        readings.append((at, register))
    idle_since = at if parking else None
    if parking:
        at += parking * MINUTE
        readings.append((at, register))
    spans = [dict(zip(("from", "until"), span)) for span in (granted or [(begin, None)])]
    cost = dict(energy=0, time=0, parking_time=0, flat=0)
    for (begun, before), (end, after) in zip(readings, readings[1:]):
        interval = Interval(document, begun, end, after - before, before, begin, spans, idle_since, at)
        cost = added(cost, interval.cost())
        if after and not before:
            cost["flat"] = matching(document, "FLAT", begin)[1] * COST_UNIT
    owed = due(document, cost, register)
    assert owed // COST_UNIT == total, (name, owed / COST_UNIT, total)
    found.append(dict(
        name=name, tariff=TARIFF.json(document), begun=str(begin), until=str(at), idle_since=None if idle_since is None else str(idle_since),
        granted=[GRANT_SPAN.json(span) for span in spans], readings=[dict(at=str(at), register=str(wh)) for at, wh in readings], cost=COSTS.json(cost),
        due=str(owed), total=str(total)))


def euro(amount):
    return round(amount * TOKEN)


def published():
    simple = elements(dict(ENERGY=275_000))
    bill("0.25 a kWh", simple, euro(5.50), [(120, 20_000)])
    start = elements(dict(FLAT=600_000, ENERGY=275_000))
    bill("0.25 a kWh and a start fee", start, euro(6.10), [(120, 20_000)])
    least = simple | dict(min_price=550_000)
    bill("0.25 a kWh and a least price: 20 kWh", least, euro(5.50), [(120, 20_000)])
    bill("0.25 a kWh and a least price: below 2 kWh", least, euro(0.55), [(20, 1_999)])
    bill("0.25 a kWh and a least price: exactly 2 kWh", least, euro(0.55), [(20, 2_000)])
    bill("0.25 a kWh and a least price: nothing", least, 0, [(20, 0)])
    parking = elements(dict(FLAT=600_000, ENERGY=275_000, PARKING_TIME=2_400_000))
    bill("a start fee and parking, 40 minutes", parking, euro(7.70), [(120, 20_000)], 40)
    bill("a start fee and parking, 45 minutes", parking, euro(7.90), [(120, 20_000)], 45)
    most = start | dict(max_price=11_000_000)
    bill("a start fee and a highest price: 50 kWh", most, euro(11), [(300, 50_000)])
    bill("a start fee and a highest price: 30 kWh", most, euro(8.85), [(180, 30_000)])
    bill("2 an hour", elements(dict(TIME=2_200_000)), euro(5.50), [(150, 12_345)])
    bill("2.10 an hour, tax included", elements(dict(TIME=2_100_000)), euro(5.25), [(150, 0)])
    both = elements(dict(TIME=3_300_000, PARKING_TIME=6_000_000))
    bill("3 an hour, 5 parked, 42 minutes", both, euro(12.45), [(150, 9_000)], 42)
    bill("3 an hour, 5 parked, 45 minutes", both, euro(12.75), [(150, 9_000)], 45)
    bill("1.90 an hour and 5.2 percent", elements(dict(TIME=1_998_800)), euro(4.997), [(150, 9_000)])
    bill("a start fee and 20.45 kWh", start, euro(6.22375), [(120, 20_450)])
    bill("a start fee and 20.5 kWh", start, euro(6.2375), [(120, 20_500)])
    # Published, for the price of that day beside the tariff, as 5.56: rounded to cents.
    bill("a start fee and 20.5 kWh at the day's price", elements(dict(FLAT=600_000, ENERGY=242_000)), euro(5.561), [(120, 20_500)])
    strong = dict(min_power=7_360)
    complex_one = elements(
        dict(FLAT=2_875_000), dict(TIME=1_200_000, when=dict(max_power=7_360)), dict(TIME=2_400_000, when=strong | dict(day_of_week=WEEKDAYS)),
        dict(TIME=1_500_000, when=strong | dict(day_of_week=["SATURDAY", "SUNDAY"])),
        dict(PARKING_TIME=5_500_000, when=dict(start_time=9 * 60, end_time=18 * 60, day_of_week=WEEKDAYS)),
        dict(PARKING_TIME=6_600_000, when=dict(start_time=10 * 60, end_time=17 * 60, day_of_week=["SATURDAY"])))
    bill("complex, Monday at 16 A, 42 minutes parked", complex_one, euro(10.025), [(165, 10_120)], 42, MONDAY + 570 * MINUTE)
    bill("complex, Monday at 16 A, 45 minutes parked", complex_one, euro(10.30), [(165, 10_120)], 45, MONDAY + 570 * MINUTE)
    bill("complex, Monday at 43 A", complex_one, euro(2.875 + 6.60), [(165, 27_200)], 0, MONDAY + 570 * MINUTE)
    # The published 13.861 reckons 114 minutes at 1.20 an hour, although the example says 1.25.
    bill("complex, Saturday at 43 A, 75 minutes parked", complex_one, euro(13.975), [(114, 18_791)], 75, SATURDAY + 810 * MINUTE)
    cheaper = copy.deepcopy(complex_one)
    cheaper["elements"][3]["price_components"][0]["price"] = 1_440_000
    bill("complex, Saturday at 43 A, 75 minutes parked, at 1.20 an hour", cheaper, euro(13.861), [(114, 18_791)], 75, SATURDAY + 810 * MINUTE)
    bill("complex, Saturday at 43 A, parked until after 17:00", complex_one, euro(2.875 + 2.85 + 6.6 * 96 / 60), [(114, 18_791)], 130, SATURDAY + 810 * MINUTE)
    bill("free of charge", elements(dict(FLAT=0)), 0, [(60, 5_000)], 60)
    by_hour = elements(
        dict(TIME=1_200_000, PARKING_TIME=TOKEN, when=dict(start_time=0, end_time=17 * 60)),
        dict(TIME=2_400_000, PARKING_TIME=TOKEN, when=dict(start_time=17 * 60, end_time=20 * 60)),
        dict(TIME=2_400_000, when=dict(start_time=20 * 60, end_time=0)))
    bill("dearer from 17:00, parked a quarter of an hour", by_hour, euro(0.55), [(10, 0)], 15, MONDAY + 1015 * MINUTE)
    bill("dearer from 17:00, parked two minutes", by_hour, 333_333, [(10, 0)], 2, MONDAY + 1015 * MINUTE)
    bill("dearer from 17:00, 45 minutes", by_hour, euro(1.30), [(45, 0)], 0, MONDAY + 995 * MINUTE)
    bill("dearer from 17:00, 35 minutes", by_hour, euro(0.90), [(35, 0)], 0, MONDAY + 995 * MINUTE)
    # The published 0.73 bills its eight minutes of paid parking as a step of 15, which no tariff of ours does: 0.613333, and 0.73 for a car that was there 15 minutes.
    bill("parking is free from 20:00", by_hour, 480_000 + 133_333, [(12, 0)], 20, MONDAY + 1180 * MINUTE)
    bill("parking is free from 20:00, a quarter of an hour before it", by_hour, euro(0.73), [(12, 0)], 27, MONDAY + 1173 * MINUTE)
    by_power = elements(dict(ENERGY=200_000, when=dict(max_power=16_000)), dict(ENERGY=350_000, when=dict(max_power=32_000)), dict(ENERGY=500_000))
    bill("by power: 6, 48 and 4 kW", by_power, euro(20.30), [(10, 1_000), (50, 40_000), (7.5, 500)])
    bill("by power: the bounds belong to the dearer element", by_power, euro(5.60 + 16), [(60, 16_000), (60, 32_000)])
    by_span = elements(dict(ENERGY=0, when=dict(max_duration=30 * MINUTE)), dict(ENERGY=250_000, when=dict(max_duration=HOUR)), dict(ENERGY=400_000))
    bill("half an hour is free", by_span, euro(0.30), [(30, 5_000), (10, 1_200)])
    bill("half an hour is free, read once", by_span, euro(0.25 * 3 + 0.4 * 3), [(90, 9_000)])


def nights():
    night = elements(dict(ENERGY=150_000, TIME=600_000, when=dict(start_time=22 * 60, end_time=7 * 60)), dict(ENERGY=250_000, TIME=1_200_000), zone=CENTRAL_EUROPE)
    # 22:00 to 07:00 is eight hours on the night of the 29th of March 2026, and ten on that of the 25th of October.
    bill("the short night", night, euro(8 * 0.15 + 8 * 0.6), [(480, 8_000)], 0, utc(2026, 3, 28, 21))
    bill("an hour more than the short night", night, euro(8 * 0.15 + 0.25 + 8 * 0.6 + 1.2), [(540, 9_000)], 0, utc(2026, 3, 28, 21))
    bill("the long night", night, euro(10 * 0.15 + 10 * 0.6), [(600, 10_000)], 0, utc(2026, 10, 24, 20))
    bill("an hour more than the long night", night, euro(10 * 0.15 + 0.25 + 10 * 0.6 + 1.2), [(660, 11_000)], 0, utc(2026, 10, 24, 20))
    odd = elements(dict(ENERGY=100_000, TIME=TOKEN, when=dict(start_time=150, end_time=180)), dict(ENERGY=200_000, TIME=2 * TOKEN), zone=CENTRAL_EUROPE)
    bill("half past two does not come", odd, euro(2 * 0.2 + 2 * 2), [(120, 2_000)], 0, utc(2026, 3, 29, 0))
    bill("half past two comes twice", odd, euro(0.1 + 0.2 + 1 + 2), [(120, 2_000)], 0, utc(2026, 10, 25, 0))
    from_two = elements(dict(PARKING_TIME=TOKEN, when=dict(start_time=120, end_time=240)), dict(ENERGY=100_000), zone=CENTRAL_EUROPE)
    bill("parked from two to four on the short night", from_two, euro(0.1 + 1), [(60, 1_000)], 240, utc(2026, 3, 28, 23, 30))
    bill("parked from two to four on the long night", from_two, euro(0.1 + 3), [(60, 1_000)], 300, utc(2026, 10, 24, 22, 30))
    # 2026 ends on a Thursday; 2028 is a leap year.
    week = elements(dict(ENERGY=300_000, TIME=3 * TOKEN, when=dict(day_of_week=["FRIDAY"])), dict(ENERGY=100_000, TIME=TOKEN), zone=CENTRAL_EUROPE)
    bill("into the new year", week, euro(2 * 0.1 + 3 * 0.3 + 2 + 9), [(300, 5_000)], 0, utc(2026, 12, 31, 21))
    bill("into the new year in proportion, the floor before midnight", week, euro(0.1 * 333 / 1000 + 0.3 * 667 / 1000 + 1 + 6), [(180, 1_000)], 0, utc(2026, 12, 31, 22))
    leap = elements(dict(ENERGY=300_000, when=dict(day_of_week=["TUESDAY"])), dict(ENERGY=100_000), zone=CENTRAL_EUROPE)
    bill("over the 29th of February", leap, euro(24 * 0.3 + 2 * 0.1), [(1560, 26_000)], 0, utc(2028, 2, 28, 22))


def edges_meet():
    tiers = elements(dict(ENERGY=100_000, TIME=TOKEN, when=dict(max_energy=1_000)), dict(ENERGY=200_000, TIME=2 * TOKEN, when=dict(max_duration=2 * HOUR)),
                     dict(ENERGY=400_000, TIME=4 * TOKEN))
    bill("a kWh, then two hours, then the rest", tiers, euro(0.1 + 0.2 + 0.4 + 1 + 2 + 4), [(180, 3_000)])
    bill("a kWh and two hours in one point", tiers, euro(0.1 + 0.4 * 0.5 + 2 + 4), [(180, 1_500)])
    # 7 Wh in 10 minutes: the third is reached after 257 142.857… ms, the floor of it belongs to the earlier part.
    exact = elements(dict(ENERGY=100_000, TIME=3_600_000, when=dict(max_energy=3)), dict(ENERGY=200_000, TIME=7_200_000))
    bill("the floor of the time goes to the earlier part", exact, 300 + 800 + (257_142 + 2 * (600_000 - 257_142)), [(10, 7)])
    at_once = elements(dict(ENERGY=100_000, when=dict(max_energy=10)), dict(ENERGY=200_000))
    bill("energy in no time", at_once, 1_000 + 2_000, [(0, 20)])
    bill("energy in no time is above every power", elements(dict(ENERGY=100_000, when=dict(max_power=2**32 - 1)), dict(ENERGY=200_000)), 4_000, [(0, 20)])
    paused = elements(dict(TIME=3_600_000))
    bill("only time with a grant counts", paused, 360_000 + 600_000, [(20, 100), (20, 0)],
         granted=[(MONDAY - HOUR, MONDAY + 6 * MINUTE), (MONDAY + 30 * MINUTE, None)])


def tell():
    published()
    nights()
    edges_meet()
    return found
