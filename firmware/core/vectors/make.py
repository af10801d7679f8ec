#!/usr/bin/env python3
"""Writes unit-protocol.json: messages of the unit protocol, good and bad, made from docs/unit-protocol.md alone.

It shares no code with the Rust crate; the Rust tests read what it wrote. To make the file again:

    python3 -m venv /tmp/vectors && /tmp/vectors/bin/pip install blake3==1.0.11
    /tmp/vectors/bin/python firmware/core/vectors/make.py
"""

import json
import pathlib

from blake3 import blake3

DEVICE_KEY = bytes(range(0x40, 0x60))
DEVICE = 0x00C0FFEE


def keyed(key, message):
    return blake3(message, key=key).digest()


UP = keyed(DEVICE_KEY, b"commonwatt unit v1 up")
DOWN = keyed(DEVICE_KEY, b"commonwatt unit v1 down")


def le(value, size):
    return value.to_bytes(size, "little", signed=value < 0)


def tagged(key, covered):
    return covered + keyed(key, covered)[:16]


def head(kind, boot=7, counter=3, device=DEVICE, version=1):
    return le(version, 1) + le(kind, 1) + le(device, 4) + le(boot, 4) + le(counter, 4)


def config_request(sensor=37, capabilities=3, firmware=0x0102, key=UP, kind=1, tail=b"", **h):
    body = head(kind, **h) + le(sensor, 1) + le(capabilities, 1) + le(firmware, 2) + tail
    return tagged(key, body)


def config_answer(server_time_ms=1763821800123, transmit_period_s=60, sample_period_s=60, mains_v=230, phases=3,
                  rated_ma=32000, over_limit_grace_ms=5000, address="0.0.0.0", router="0.0.0.0", prefix=0,
                  server=b"", key=DOWN, kind=2, tail=b"", **h):
    body = head(kind, **h) + le(server_time_ms, 6)
    body += le(transmit_period_s, 2) + le(sample_period_s, 2) + le(mains_v, 2) + le(phases, 1)
    body += le(rated_ma, 2) + le(over_limit_grace_ms, 2)
    body += bytes(int(part) for part in address.split(".")) + bytes(int(part) for part in router.split("."))
    body += le(prefix, 1) + server.ljust(48, b"\0") + tail
    return tagged(key, body)


def record(step_ms, step_wh, power_w, current_ma, temperature_dc, flags):
    body = le(step_ms, 3) + le(step_wh, 2) + le(power_w, 2)
    for phase in current_ma:
        body += le(phase, 2)
    return body + le(-32768 if temperature_dc is None else temperature_dc, 2) + le(flags, 1)


def readings(samples=(), first=None, count=None, sensor=37, capabilities=3, tap=0, uid=b"", uid_length=None,
             key=UP, kind=3, base=None, first_step=(0, 0), records=None, tail=b"", **h):
    """samples: (at_ms, register_wh, power_w, current_ma, temperature_dc, flags)"""
    body = head(kind, **h) + le(sensor, 1) + le(capabilities, 1)
    body += le(tap, 2) + le(len(uid) if uid_length is None else uid_length, 1) + uid.ljust(10, b"\0")
    first = (1 if samples else 0) if first is None else first
    body += le(first, 4) + le(len(samples) if count is None else count, 1)
    at, register = base or (samples[0][:2] if samples else (0, 0))
    body += le(at, 6) + le(register, 8)
    if records is None:
        records = []
        before = (samples[0][0] - first_step[0], samples[0][1] - first_step[1]) if samples else None
        for sample in samples:
            records.append(record(sample[0] - before[0], sample[1] - before[1], *sample[2:]))
            before = sample
    return tagged(key, body + b"".join(records) + tail)


def readings_answer(server_time_ms=1763821860456, stored_sample=2, card=1, flags=0, seconds=150,
                    milliampere_seconds=2400000, limit_ma=(16000, 0, 0), key=DOWN, kind=4, tail=b"", **h):
    body = head(kind, **h) + le(server_time_ms, 6) + le(stored_sample, 4) + le(card, 1) + le(flags, 1)
    body += le(seconds, 2) + le(milliampere_seconds, 4)
    for phase in limit_ma:
        body += le(phase, 2)
    return tagged(key, body + tail)


START = 1763821800000
ONE = [(START, 123456, 3680, (16000, 0, 0), 253, 0x43)]
TWO = ONE + [(START + 60001, 123517, 3675, (15980, 12, 9), 255, 0x43)]
SIXTY = [(START + 60000 * i + 997 * i, 2**40 + 368 * i, 22080 - i, (32000 - i, 31999, 32000 + i), -105 + i, (i * 5) % 256)
         for i in range(60)]
FARTHEST = [(2**48 - 2**24, 2**64 - 65536, 65535, (65535, 65535, 65535), 32767, 255),
            (2**48 - 1, 2**64 - 1, 0, (0, 0, 0), -32767, 0)]
UID4, UID7, UID10 = bytes.fromhex("de4adbee"), bytes.fromhex("04a1b2c3d4e5f6"), bytes(range(0xF0, 0xFA))

good, bad = [], []


def sample_fields(samples, first):
    names = ("at_ms", "register_wh", "power_w", "current_ma", "temperature_dc", "flags")
    return [dict(zip(("number",) + names, (first + i,) + s)) for i, s in enumerate(samples)]


def accept(name, message, kind, boot=7, counter=3, device=DEVICE, **fields):
    fields = dict(device=device, boot=boot, counter=counter, **fields)
    good.append(dict(name=name, kind=kind, bytes=message.hex(), fields=fields))


def refuse(name, message, kind, error, code):
    bad.append(dict(name=name, kind=kind, bytes=message.hex(), error=error, code=code))


def positives():
    accept("unit asks for its configuration", config_request(counter=1), "config_request", counter=1, sensor=37,
           capabilities=3, firmware=0x0102)
    accept("plain unit at place 0 with the largest numbers", config_request(0, 0, 65535, boot=2**32 - 1, counter=2**32 - 1,
           device=2**32 - 1), "config_request", boot=2**32 - 1, counter=2**32 - 1, device=2**32 - 1, sensor=0,
           capabilities=0, firmware=65535)
    defaults = dict(server_time_ms=1763821800123, transmit_period_s=60, sample_period_s=60, mains_v=230, phases=3,
                    rated_ma=32000, over_limit_grace_ms=5000, address="0.0.0.0", router="0.0.0.0", prefix=0, server="")
    accept("gateway configures the unit", config_answer(counter=1, server=b"gateway.local:8080"), "config_answer", counter=1,
           **(defaults | dict(server="gateway.local:8080")))
    edge = dict(server_time_ms=2**48 - 1, transmit_period_s=3600, sample_period_s=1, mains_v=100, phases=1, rated_ma=1000,
                over_limit_grace_ms=0, address="192.168.7.40", router="192.168.7.1", prefix=30, server="a" * 48)
    accept("static address and a full host name", config_answer(**(edge | dict(server=b"a" * 48))), "config_answer", **edge)
    accept("no router and the smallest time", config_answer(server_time_ms=0, address="10.0.0.9", prefix=1, rated_ma=65535,
           over_limit_grace_ms=10000, mains_v=260, transmit_period_s=1, sample_period_s=3600), "config_answer",
           **(defaults | dict(server_time_ms=0, address="10.0.0.9", prefix=1, rated_ma=65535, over_limit_grace_ms=10000,
                              mains_v=260, transmit_period_s=1, sample_period_s=3600)))

    def reading(name, samples, first=1, tap=0, uid=b"", capabilities=3, sensor=37, **h):
        message = readings(samples, first=first if samples else 0, tap=tap, uid=uid, capabilities=capabilities, sensor=sensor, **h)
        accept(name, message, "readings", sensor=sensor, capabilities=capabilities, tap=tap, uid=uid.hex(),
               samples=sample_fields(samples, first), **h)

    reading("no sample, no card", [])
    reading("a card and no sample", [], tap=1, uid=UID4)
    reading("two samples and a card", TWO, tap=2, uid=UID7)
    reading("a sample without temperature from a unit without plug signal", [(START, 0, 0, (0, 0, 0), None, 0x80)], capabilities=0, sensor=63)
    reading("sixty samples and the longest card: 1024 bytes", SIXTY, first=1000, tap=65535, uid=UID10, counter=2**31)
    reading("the largest steps to the largest values", FARTHEST, first=2**32 - 3)
    reading("equal times and an equal register", [TWO[0], TWO[0]])

    answer = dict(server_time_ms=1763821860456, stored_sample=2, card=1, reload_config=False, seconds=150,
                  milliampere_seconds=2400000, limit_ma=(16000, 0, 0))
    accept("a lease of 150 s", readings_answer(), "readings_answer", **answer)
    off = dict(seconds=0, milliampere_seconds=0, limit_ma=(0, 0, 0))
    accept("no lease, card refused, reload", readings_answer(card=2, flags=1, **off), "readings_answer",
           **(answer | off | dict(card=2, reload_config=True)))
    widest = dict(server_time_ms=2**48 - 1, stored_sample=2**32 - 1, card=3, seconds=3600, milliampere_seconds=2**32 - 1,
                  limit_ma=(65535, 65535, 65535))
    accept("the widest lease", readings_answer(**widest), "readings_answer", **(answer | widest))
    least = dict(server_time_ms=0, stored_sample=0, card=0, seconds=1, milliampere_seconds=1, limit_ma=(0, 0, 1))
    accept("the narrowest lease", readings_answer(**least), "readings_answer", **(answer | least))


def negatives():
    makers = dict(config_request=(config_request, DOWN, 34), config_answer=(config_answer, UP, 104),
                  readings=(lambda **k: readings(TWO, **k), DOWN, 96), readings_answer=(readings_answer, UP, 54))
    for kind, (make, other_key, length) in makers.items():
        assert len(make()) == length, (kind, len(make()))
        refuse("empty", b"", kind, "length", 2)
        refuse("one byte", b"\x01", kind, "length", 2)
        refuse("one byte short", make()[:-1], kind, "length", 2)
        refuse("one byte more under a good tag", make(tail=b"\0"), kind, "length", 2)
        refuse("longer than a chunk", make(tail=bytes(1025 - length)), kind, "too_long", 1)
        refuse("version 0", make(version=0), kind, "version", 3)
        refuse("version 2", make(version=2), kind, "version", 3)
        refuse("another kind under a good tag", make(kind=5), kind, "kind", 4)
        refuse("boot 0", make(boot=0), kind, "out_of_range", 6)
        refuse("counter 0", make(counter=0), kind, "out_of_range", 6)
        refuse("tag under the key of the other direction", make(key=other_key), kind, "bad_tag", 9)
        refuse("tag under the device key itself", make(key=DEVICE_KEY), kind, "bad_tag", 9)
        refuse("tag of zeros", make()[:-16] + bytes(16), kind, "bad_tag", 9)
    refuse("place 64", config_request(sensor=64), "config_request", "out_of_range", 6)
    refuse("unknown capability", config_request(capabilities=4), "config_request", "reserved", 5)

    def config(name, error="out_of_range", code=6, **fields):
        refuse(name, config_answer(**fields), "config_answer", error, code)

    for field, values in dict(transmit_period_s=(0, 3601), sample_period_s=(0, 3601), mains_v=(99, 261), phases=(0, 4),
                              rated_ma=(0, 999), over_limit_grace_ms=(10001,)).items():
        for value in values:
            config(f"{field} {value}", **{field: value})
    config("static address without prefix", address="10.0.0.9")
    config("prefix of 31 bits", address="10.0.0.9", prefix=31)
    config("prefix without address", prefix=24)
    config("router without address", router="10.0.0.1", prefix=24)
    config("space in the host", server=b"a b")
    config("byte above ASCII in the host", server=b"caf\xc3\xa9")
    config("text after the end of the host", "reserved", 5, server=b"a\0b")

    def reading(name, error="out_of_range", code=6, samples=TWO, **fields):
        refuse(name, readings(samples, **fields), "readings", error, code)

    reading("place 64", sensor=64)
    reading("unknown capability", "reserved", 5, capabilities=0x83)
    reading("card of 11 bytes", tap=1, uid=UID10, uid_length=11)
    reading("byte after the card", "reserved", 5, tap=1, uid=UID7, uid_length=4)
    reading("tap without card", tap=1)
    reading("card without tap", uid=UID4)
    reading("card from a unit without reader", tap=1, uid=UID4, capabilities=1)
    reading("plug from a unit without plug signal", capabilities=2)
    reading("sample number 0", first=0)
    reading("sample numbers that run over", first=2**32 - 2)
    reading("61 samples", count=61, samples=SIXTY)
    reading("fewer samples than counted", "length", 2, count=3)
    reading("more samples than counted", "length", 2, count=1)
    reading("part of a sample", "length", 2, tail=bytes(8))
    reading("later first record", "reserved", 5, first_step=(1, 0))
    reading("higher first record", "reserved", 5, first_step=(0, 1))
    reading("number without samples", "reserved", 5, samples=(), first=1)
    reading("time without samples", "reserved", 5, samples=(), base=(1, 0))
    reading("register without samples", "reserved", 5, samples=(), base=(0, 1))
    still, late, high = (record(ms, wh, 0, (0, 0, 0), None, 0) for ms, wh in ((0, 0), (1, 0), (0, 1)))
    reading("time beyond 48 bits", samples=(), first=1, count=2, base=(2**48 - 1, 0), records=[still, late])
    reading("register beyond 64 bits", samples=(), first=1, count=2, base=(0, 2**64 - 1), records=[still, high])

    def answer(name, error="out_of_range", code=6, **fields):
        refuse(name, readings_answer(**fields), "readings_answer", error, code)

    answer("unknown card outcome", card=4)
    answer("unknown flag", "reserved", 5, flags=2)
    answer("reload and an unknown flag", "reserved", 5, flags=3)
    answer("lease of 3601 s", seconds=3601)
    answer("lease of 0 s", seconds=0)
    answer("lease of 0 mAs", milliampere_seconds=0)
    answer("lease without current", limit_ma=(0, 0, 0))
    answer("current without lease", seconds=0, milliampere_seconds=0)


positives()
negatives()
hashes = [dict(length=n, hash=keyed(DEVICE_KEY, bytes(i % 251 for i in range(n))).hex())
          for n in (0, 1, 2, 63, 64, 65, 127, 128, 129, 512, 960, 961, 1023, 1024)]
document = dict(device_key=DEVICE_KEY.hex(), up_key=UP.hex(), down_key=DOWN.hex(), keyed_hash=hashes, good=good, bad=bad)
path = pathlib.Path(__file__).with_name("unit-protocol.json")
path.write_text(json.dumps(document, indent=1) + "\n")
print(f"{path.name}: {len(hashes)} hashes, {len(good)} good and {len(bad)} bad messages")
