"""The formats of Commonwatt, written a second time from their description: encoding, addresses, hashes, signatures, trees.

Nothing here was made from the Rust code's output; the Rust tests read what is written with it. Each type knows two forms of a value: `write`
makes its bytes, `json` what people see. Values are plain: numbers, strings, bytes, lists, dicts; an enum's variant is its name, or `{name: content}`.

The format: integers little endian and of fixed width; an enum's tag is a u32, a length a u64, an option's tag a byte; structs are their fields in order;
arrays have no length; a string is its length and its UTF-8 bytes; a rejection code is a u16.
"""

import hashlib
import json
import pathlib
import struct

from blake3 import blake3
from nacl import bindings as sodium

# ---- encoding -------------------------------------------------------------------------------------------------------------------------------------------


class Writer:
    """Collects bytes, and where a tag, a length or a text stands, so that negative examples can be made of every one of them."""

    def __init__(self):
        self.bytes = bytearray()
        self.marks = []

    def put(self, value):
        self.bytes += value

    def mark(self, kind, detail=None):
        self.marks.append((len(self.bytes), kind, detail))


class Int:
    def __init__(self, bits, text=False):
        self.size, self.text = bits // 8, text

    def write(self, out, value):
        out.put(value.to_bytes(self.size, "little"))

    def json(self, value):
        return str(value) if self.text else value


class Bool:
    def write(self, out, value):
        out.mark("bool")
        out.put(b"\1" if value else b"\0")

    def json(self, value):
        return value


class Raw:
    """So many bytes without a length."""

    def __init__(self, size, show=bytes.hex):
        self.size, self.show = size, show

    def write(self, out, value):
        assert len(value) == self.size
        out.put(value)

    def json(self, value):
        return self.show(value)


class Unit:
    """Nothing."""

    def write(self, out, value):
        assert value is None

    def json(self, value):
        return None


class LocalId:
    """A condominium and a number in it."""

    def write(self, out, value):
        out.put(struct.pack("<II", *value))

    def json(self, value):
        return "%d-%d" % value


class Text:
    def write(self, out, value):
        encoded = value.encode()
        out.mark("length")
        out.put(struct.pack("<Q", len(encoded)))
        if encoded:
            out.mark("text")
        out.put(encoded)

    def json(self, value):
        return value


class Blob:
    """Bytes with a length; a list of numbers in JSON."""

    def write(self, out, value):
        out.mark("length")
        out.put(struct.pack("<Q", len(value)) + value)

    def json(self, value):
        return list(value)


class Shown(Blob):
    """Bytes with a length; hexadecimal digits in JSON."""

    def json(self, value):
        return value.hex()


class Option:
    def __init__(self, inner):
        self.inner = inner

    def write(self, out, value):
        out.mark("option")
        if value is None:
            out.put(b"\0")
        else:
            out.put(b"\1")
            self.inner.write(out, value)

    def json(self, value):
        return None if value is None else self.inner.json(value)


class List:
    def __init__(self, inner):
        self.inner = inner

    def write(self, out, value):
        out.mark("length")
        out.put(struct.pack("<Q", len(value)))
        for item in value:
            self.inner.write(out, item)

    def json(self, value):
        return [self.inner.json(item) for item in value]


class Array:
    def __init__(self, inner, count):
        self.inner, self.count = inner, count

    def write(self, out, value):
        assert len(value) == self.count
        for item in value:
            self.inner.write(out, item)

    def json(self, value):
        return [self.inner.json(item) for item in value]


class Tuple:
    def __init__(self, *kinds):
        self.kinds = kinds

    def write(self, out, value):
        for kind, item in zip(self.kinds, value, strict=True):
            kind.write(out, item)

    def json(self, value):
        return [kind.json(item) for kind, item in zip(self.kinds, value)]


class Struct:
    def __init__(self, **fields):
        self.fields = fields

    def write(self, out, value):
        assert value.keys() == self.fields.keys(), (set(value) ^ set(self.fields))
        for name, kind in self.fields.items():
            kind.write(out, value[name])

    def json(self, value):
        return {name: kind.json(value[name]) for name, kind in self.fields.items()}


class Enum:
    """Variants in order of their tags: a name alone, or a name and its content."""

    def __init__(self, *variants):
        self.variants = [(v, None) if isinstance(v, str) else v for v in variants]

    def write(self, out, value):
        name, content = (value, None) if isinstance(value, str) else next(iter(value.items()))
        tag = [variant for variant, _ in self.variants].index(name)
        out.mark("enum", len(self.variants))
        out.put(struct.pack("<I", tag))
        if self.variants[tag][1] is not None:
            self.variants[tag][1].write(out, content)
        else:
            assert content is None

    def json(self, value):
        if isinstance(value, str):
            return value
        ((name, content),) = value.items()
        return {name: dict(self.variants)[name].json(content)}


CODES = dict(
    malformed=1, too_large=2, bad_signature=3, wrong_chain=4, wrong_nonce=5, expired=6, valid_too_long=7, unknown_signer=8, too_many_from_signer=9,
    not_active=20, unknown_account=21, account_exists=22, not_allowed=23, unknown_condominium=24, zero_value=25, over_limit=26, overflow=27,
    insufficient_funds=28, self_transfer=29, wrong_sale_number=30, mint_cap_exceeded=31, not_home=32, unknown_redemption=33, last_manager=34,
    role_already_granted=35, role_not_granted=36, notice_too_short=37, invalid_range=38, position_limit=39,
    unknown_group=40, group_cycle=41, group_depth=42, group_limit=43, unknown_connector=44, connector_busy=45, connector_out_of_service=46,
    meter_only=47, unknown_tariff=48, wrong_tariff_version=49, stale_tariff=50, invalid_tariff=51, too_many=52, invalid_connector=53,
    plug_not_reported=54, meter_register=55,
    unknown_session=60, wrong_session_state=61, connector_rating=62, below_minimum_current=63, skip_without_reason=64, invalid_skip=65,
    session_mismatch=66,
    reading_falling=80, reading_gap=81, reading_replay=82, reading_backwards=83, reading_ahead=84, reading_impossible=85, reading_not_metering=86,
    reading_after_stop=87, reading_before_grant=88, reading_not_yours=89,
    unknown_payment=100, payment_reported=101, payment_not_reported=102, nothing_to_clear=103,
    no_mandate=110, mandate_expired=111, mandate_connector=112, mandate_session=113, mandate_day=114, mandate_price=115, unknown_card=116, card_bound=117, nothing_to_confirm=118,
    role_suspended=120, no_contradiction=121, evidence_too_old=122, already_suspended=123, not_suspended=124,
)


class Code:
    def write(self, out, value):
        out.mark("code")
        out.put(struct.pack("<H", CODES[value]))

    def json(self, value):
        return value


def encode(kind, value):
    out = Writer()
    kind.write(out, value)
    return bytes(out.bytes)


def spoiled(kind, value):
    """Encodings that are none, made of a good one: (what is wrong, bytes, kind of error)."""
    out = Writer()
    kind.write(out, value)
    good = bytes(out.bytes)
    found = [("a byte follows", good + b"\0", "trailing"), ("the good encoding twice", good + good, "trailing")]
    if good:
        found += [("the last byte is missing", good[:-1], "malformed"), ("nothing", b"", "malformed")]
    else:
        found = found[:1]
    seen = {}
    for place, what, detail in out.marks:
        # Of long lists the first entry's tags say as much as all of them.
        seen[what] = seen.get(what, 0) + 1
        if seen[what] > 12:
            continue
        changes = dict(
            bool=[("bool 2", b"\2")],
            option=[("option tag 2", b"\2"), ("option tag 255", b"\xff")],
            enum=[(f"enum tag {detail}", struct.pack("<I", detail or 0)), ("enum tag with a high bit", struct.pack("<I", 1 << 31))],
            length=[("length 2^64 - 1", b"\xff" * 8), ("length 2^40", struct.pack("<Q", 1 << 40))],
            text=[("text that is no UTF-8", b"\xff")],
            code=[("code 0", b"\0\0"), ("code 10, which was never given", b"\n\0"), ("code 65535", b"\xff\xff")],
        )[what]
        for name, change in changes:
            found.append((f"{name} at byte {place}", good[:place] + change + good[place + len(change):], "malformed"))
    return found


# ---- bech32m --------------------------------------------------------------------------------------------------------------------------------------------

LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
BECH32M = 0x2BC830A3


def polymod(values):
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            if top >> bit & 1:
                check ^= generator
    return check


def bech32m(data, prefix="watt", constant=BECH32M, groups=None):
    if groups is None:
        number = int.from_bytes(data, "big") << (-8 * len(data) % 5)
        count = (8 * len(data) + 4) // 5
        groups = [number >> 5 * (count - 1 - i) & 31 for i in range(count)]
    spread = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    check = polymod(spread + groups + [0] * 6) ^ constant
    return prefix + "1" + "".join(LETTERS[g] for g in groups + [check >> 5 * (5 - i) & 31 for i in range(6)])


# ---- hashes and signatures ------------------------------------------------------------------------------------------------------------------------------


def derive(context, *parts):
    return blake3(b"".join(parts), derive_key_context="commonwatt 2026 " + context).digest()


DOMAINS = {name: f"commonwatt/{name}/v1\0".encode() for name in ("tx", "vote", "proposal", "invite")}
ORDER = 2**252 + 27742317777372353535851937790883648493


def secret(seed):
    """The secret key of a seed: a byte that is repeated 32 times, or 32 bytes."""
    return bytes([seed]) * 32 if isinstance(seed, int) else seed


def address(seed):
    return sodium.crypto_sign_seed_keypair(secret(seed))[0]


def sign(seed, domain, message):
    return sodium.crypto_sign(DOMAINS[domain] + message, sodium.crypto_sign_seed_keypair(secret(seed))[1])[:64]


def scalar(seed):
    low = bytearray(hashlib.sha512(secret(seed)).digest()[:32])
    low[0] &= 248
    low[31] = low[31] & 63 | 64
    return int.from_bytes(low, "little")


def challenge(r, key, message):
    return int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % ORDER


def times_base(number):
    return sodium.crypto_scalarmult_ed25519_base_noclamp((number % ORDER).to_bytes(32, "little"))


# ---- trees ----------------------------------------------------------------------------------------------------------------------------------------------

ZERO = bytes(32)


def split_point(count):
    """The largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def merkle_top(leaves):
    if len(leaves) < 2:
        return leaves[0] if leaves else ZERO
    half = split_point(len(leaves))
    return derive("merkle node", merkle_top(leaves[:half]), merkle_top(leaves[half:]))


def merkle_root(leaves):
    return derive("merkle root", struct.pack("<Q", len(leaves)), merkle_top(leaves))


def merkle_siblings(leaves, index):
    """From the leaf upwards."""
    if len(leaves) == 1:
        return []
    half = split_point(len(leaves))
    if index < half:
        return merkle_siblings(leaves[:half], index) + [merkle_top(leaves[half:])]
    return merkle_siblings(leaves[half:], index - half) + [merkle_top(leaves[:half])]


def mountain(leaves):
    """The top of 2^h leaves."""
    if len(leaves) == 1:
        return leaves[0]
    half = len(leaves) // 2
    return derive("history node", mountain(leaves[:half]), mountain(leaves[half:]))


def mountains(leaves):
    """The leaves of each mountain, from the left."""
    if not leaves:
        return []
    size = 1 << len(leaves).bit_length() - 1
    return [leaves[:size]] + mountains(leaves[size:])


def history_peaks(leaves):
    return [mountain(part) for part in mountains(leaves)]


def history_root(leaves):
    return derive("history root", struct.pack("<Q", len(leaves)), *history_peaks(leaves))


def mountain_siblings(leaves, index):
    if len(leaves) == 1:
        return []
    half = len(leaves) // 2
    own, other = (leaves[:half], leaves[half:]) if index < half else (leaves[half:], leaves[:half])
    return mountain_siblings(own, index % half) + [mountain(other)]


def history_path(leaves, index):
    begin, siblings, peaks = 0, None, []
    for part in mountains(leaves):
        if begin <= index < begin + len(part):
            siblings = mountain_siblings(part, index - begin)
        else:
            peaks.append(mountain(part))
        begin += len(part)
    return dict(index=index, count=len(leaves), siblings=siblings, peaks=peaks)


def bits(path):
    return "".join(f"{byte:08b}" for byte in path)


def state_node(leaves, depth):
    """`leaves`: (path, value digest) that share their first `depth` bits."""
    if not leaves:
        return ZERO
    if len(leaves) == 1:
        return derive("state leaf", *leaves[0])
    sides = [[leaf for leaf in leaves if bits(leaf[0])[depth] == side] for side in "01"]
    return derive("state node", *(state_node(side, depth + 1) for side in sides))


def state_leaves(state):
    return [(derive("state key", key), derive("state value", value)) for key, value in state.items()]


def state_root(state):
    return state_node(state_leaves(state), 0)


def state_proof(state, key):
    own, leaves, siblings, depth = derive("state key", key), state_leaves(state), [], 0
    while len(leaves) > 1:
        side = bits(own)[depth]
        siblings.insert(0, state_node([leaf for leaf in leaves if bits(leaf[0])[depth] != side], depth + 1))
        leaves = [leaf for leaf in leaves if bits(leaf[0])[depth] == side]
        depth += 1
    if not leaves:
        end = "Nothing"
    elif leaves[0][0] == own:
        end = "Value"
    else:
        end = {"OtherLeaf": dict(path=leaves[0][0], value=leaves[0][1])}
    return dict(end=end, siblings=siblings)


# ---- files ----------------------------------------------------------------------------------------------------------------------------------------------


def good(name, kind, value, **extra):
    """A positive vector of a value."""
    return dict(name=name, json=kind.json(value), bytes=encode(kind, value).hex(), **extra)


def bad(name, data, error, **extra):
    return dict(name=name, bytes=data.hex(), error=error, **extra)


def save(beside, name, document):
    """One vector a line, so that a change shows as the lines that it changes."""
    lines = []
    for section, entries in document.items():
        if isinstance(entries, list):
            inner = ",\n".join("  " + json.dumps(entry) for entry in entries)
            lines.append(f" {json.dumps(section)}: [\n{inner}\n ]")
        else:
            lines.append(f" {json.dumps(section)}: {json.dumps(entries)}")
    pathlib.Path(beside).with_name(name).write_text("{\n" + ",\n".join(lines) + "\n}\n")
    counts = ", ".join(f"{len(entries)} {section}" for section, entries in document.items() if isinstance(entries, list))
    print(f"{name}: {counts}")
