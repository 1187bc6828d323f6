"""The project's JSON Schemas, ready to hold documents to."""

import json
import pathlib

import jsonschema

ROOT = pathlib.Path(__file__).resolve().parents[2] / "schemas"
BASE = "https://stillpoint.example/schemas/v1/"
EXAMPLES = ("examples", "counter-examples")


def _load():
    store = {}
    for path in ROOT.rglob("*.json"):
        if path.relative_to(ROOT).parts[0] not in EXAMPLES:
            schema = json.loads(path.read_text(encoding="utf-8"))
            store[schema["$id"]] = schema
    return store


_STORE = _load()
_VALIDATORS = {}


def _validator(address):
    if address not in _VALIDATORS:
        schema = _STORE.get(address)
        if schema is None:
            raise AssertionError(f"there is no schema {address}")
        resolver = jsonschema.RefResolver(address, schema, store=_STORE)
        _VALIDATORS[address] = jsonschema.Draft202012Validator(schema, resolver=resolver)
    return _VALIDATORS[address]


def check(document, name):
    """Raises where `document` is not what the schema of that name or address says."""
    address = name if name.startswith("https:") else f"{BASE}{name}.json"
    for error in _validator(address).iter_errors(document):
        where = "/".join(str(part) for part in error.absolute_path)
        raise AssertionError(f"{address} at /{where}: {error.message}\n{json.dumps(document)}")


def check_event(event):
    """Holds an event to its envelope's schema, and its data to the schema that it names itself."""
    check(event, "event")
    check(event["data"], event["dataschema"])
