"""The types of `contracts` in the terms of chain/vectors: calls, transaction bodies and the genesis document."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "chain" / "vectors"))

from nouns import *  # noqa: E402
from wire import *  # noqa: E402

INVITE = Struct(issuer=ADDRESS, serial=U64, expires=TIMESTAMP, signature=SIGNATURE)
INVITE_SIGNED = Struct(chain_id=HASH, condominium=U32, issuer=ADDRESS, serial=U64, expires=TIMESTAMP)
READING = Struct(session=HASH, sequence=U64, at=TIMESTAMP, register_wh=WATT_HOURS, power_w=U32, flags=U32, samples_root=HASH, sample_count=U32)
ONE_SESSION = Struct(session=HASH)
START = Struct(card=HASH, connector=ID, tariff_version=U32, max_spend=AMOUNT, max_duration=DURATION, energy_target=Option(WATT_HOURS))
CALL = Enum(
    ("register_account", Struct(account=ADDRESS, condominium=U32, invite=Option(INVITE))),
    ("sell_tokens", Struct(condominium=U32, account=ADDRESS, amount=AMOUNT, sale=U64, payment=HASH)),
    ("request_redeem", Struct(amount=AMOUNT, payee=HASH)),
    ("confirm_redeem", Struct(redemption=HASH, answer=Enum(("paid", Struct(payment=HASH)), "refused"))),
    ("transfer", Struct(to=ADDRESS, amount=AMOUNT)),
    ("grant_role", Struct(**{"condominium": U32, "role": ROLE, "account": ADDRESS, "from": HEIGHT, "until": Option(HEIGHT)})),
    ("revoke_role", Struct(condominium=U32, role=ROLE, account=ADDRESS, until=HEIGHT)),
    ("put_group", Struct(group=ID, parent=Option(U32), limit=CURRENTS)),
    ("put_connector", Struct(connector=ID, group=U32, control=CONTROL, plug_signal=PLUG_SIGNAL, rated=CURRENTS, tariff=U32, service=SERVICE)),
    ("put_tariff", Struct(tariff=ID, version=U32, valid_from=TIMESTAMP, document=TARIFF)),
    ("open_session", Struct(
        connector=ID, tariff_version=U32, max_spend=AMOUNT, max_duration=DURATION, energy_target=Option(WATT_HOURS), state_of_charge=Option(U8),
        depart_by=Option(TIMESTAMP), window=Option(Struct(**{"from": TIMESTAMP, "until": TIMESTAMP})),
        priority=Enum("none", ("surcharge", Struct(basis_points=U32))))),
    ("top_up_session", Struct(session=HASH, amount=AMOUNT)),
    ("cancel_session", ONE_SESSION),
    ("stop_session", ONE_SESSION),
    ("grant_charge", Struct(session=HASH, current=CURRENTS, skipped=List(Struct(session=HASH, reason=SKIP_REASON)))),
    ("pause_charge", Struct(session=HASH, reason=PAUSE_REASON)),
    ("resume_charge", Struct(session=HASH, current=CURRENTS)),
    ("attest", Struct(readings=List(READING))),
    ("report_fault", Struct(connector=ID, session=Option(HASH), fault=FAULT, at=TIMESTAMP)),
    ("settle_session", ONE_SESSION),
    ("clear_positions", Struct(condominium=U32)),
    ("report_payment", Struct(clearing=U32, debtor=U32, creditor=U32, payment=HASH)),
    ("answer_payment", Struct(clearing=U32, debtor=U32, creditor=U32, answer=Enum("received", "missing"))),
    ("set_position_limit", Struct(condominium=U32, limit=AMOUNT)),
    ("grant_mandate", Struct(condominium=U32, terms=MANDATE_TERMS)),
    ("revoke_mandate", Struct(condominium=U32)),
    ("bind_card", Struct(condominium=U32, card=HASH, account=Option(ADDRESS))),
    ("open_session_by_mandate", START),
    ("ask_start", Struct(start=START)),
    ("confirm_start", Struct(start=START)),
    ("attest_unassigned", Struct(connector=ID, at=TIMESTAMP, register_wh=WATT_HOURS)),
    ("replace_meter", Struct(connector=ID, last=WATT_HOURS, first=WATT_HOURS)),
    ("prove_equivocation", Struct(condominium=U32, first=Shown(), second=Shown())),
    ("lift_suspension", Struct(condominium=U32, account=ADDRESS)),
)
BODY = Struct(chain_id=HASH, account=ADDRESS, signer=ADDRESS, nonce=U64, valid_until=TIMESTAMP, call=CALL)
GENESIS = Struct(
    version=U32, network=Text(), kind=Enum("live", "test"), timestamp=TIMESTAMP, currency=Text(), params=PARAMS,
    condominiums=List(Struct(id=U32, name=Text(), revenue=ADDRESS, mint_cap_per_day=AMOUNT, position_limit=AMOUNT,
                             roles=List(Struct(role=ROLE, account=ADDRESS)))),
    accounts=List(Struct(address=ADDRESS, home=U32, credit_limit=AMOUNT)),
    validators=List(Struct(address=ADDRESS, power=U64, condominium=U32, network_key=HASH)))


def invite(seed, chain_id, condominium, serial, expires, domain="invite"):
    """A promise of the key of `seed` to register whoever shows it."""
    signed = encode(INVITE_SIGNED, dict(chain_id=chain_id, condominium=condominium, issuer=address(seed), serial=serial, expires=expires))
    return dict(issuer=address(seed), serial=serial, expires=expires, signature=sign(seed, domain, signed))


def transaction(seed, body, domain="tx"):
    encoded = encode(BODY, body)
    return sign(seed, domain, encoded) + encoded
