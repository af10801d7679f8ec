"""Names that a node really has, as dictionaries for schemathesis: without them hardly any question would meet anything.

Usage: schemathesis.py URL TOKEN. It writes the end of a configuration, after node/tests/schemathesis.toml. Called by ./dev schemathesis.
"""

import json
import sys
import urllib.request

url, token = sys.argv[1:]


def ask(path):
    request = urllib.request.Request(f"{url}/api/v1{path}", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request) as answer:
        return json.load(answer)


sessions = [next(iter(item.values())) for item in ask("/sessions?state=all&limit=20")["items"]]
blocks = ask("/blocks?limit=50")["items"]
first = sessions[0]["id"]
names = {
    "accounts": sorted({item["receipt" if "receipt" in item else "session"]["account"] for item in sessions}),
    "sessions": [item["id"] for item in sessions] + [first[:12]],
    "transactions": [id for block in blocks for id in block["transactions"]][:20],
    "blocks": [block["hash"] for block in blocks[:5]] + ["1", "2", "17"],
    "connectors": [item["id"] for item in ask("/connectors?limit=5")["items"]],
    "tariffs": [item["id"] for item in ask("/tariffs?limit=5")["items"]],
    "sequences": [0, 1, 2, 3],
}
for name, values in names.items():
    print(f"[dictionaries.{name}]\nvalues = {json.dumps(values)}\n")

bindings = {"path.address": "accounts", "path.name": "blocks", "path.sequence": "sequences", "query.account": "accounts", "query.session": "sessions"}
print("[parameters]")
for place, name in (bindings | {"query.connector": "connectors"}).items():
    print(f'"{place}" = {{ dictionary = "{name}", probability = 0.7 }}')

places = {"sessions": "sessions", "transactions": "transactions", "receipts": "transactions", "connectors": "connectors", "tariffs": "tariffs"}
for path, name in places.items():
    print(f'\n[[operations]]\ninclude-path-regex = "^/api/v1/{path}/\\\\{{id\\\\}}"')
    print(f'parameters = {{ "path.id" = {{ dictionary = "{name}", probability = 0.7 }} }}')
