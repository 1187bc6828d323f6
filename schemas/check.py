#!/usr/bin/env python3
"""Holds the schemas, their examples and the AsyncAPI document to account.

Usage: check.py [--outputs DIRECTORY] [--verdicts FILE]

Without arguments: every schema is a valid schema with an $id that is its path; every example passes
and every counter-example fails, and each schema has several of both; the AsyncAPI document names
every message, and each of its references leads somewhere.

With --outputs, DIRECTORY/<schema without .json>/*.json are checked as well: what the real encoders
wrote. With --verdicts, FILE is a list of {"body": a command, "accepted": what the reader said}, and the
schema must say the same. Needs the packages python3-jsonschema and python3-yaml.
"""

import argparse
import json
import pathlib
import sys
import warnings

try:
    import jsonschema
    import yaml
except ImportError as error:
    sys.exit(f"{error}. Install the packages python3-jsonschema and python3-yaml.")

ROOT = pathlib.Path(__file__).resolve().parent
BASE = "https://stillpoint.example/schemas/v1/"
SHARED = {"definitions"}
FEWEST_COUNTER_EXAMPLES = 2
faults = []


def fault(place, sentence):
    faults.append(f"{place}: {sentence}")


def load(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def load_schemas():
    """The schemas by their path without .json."""
    schemas = {}
    for path in sorted(ROOT.rglob("*.json")):
        place = path.relative_to(ROOT)
        if place.parts[0] in ("examples", "counter-examples"):
            continue
        stem = str(place.with_suffix("")) if place.suffix == ".json" else str(place)
        schema = load(path)
        try:
            jsonschema.Draft202012Validator.check_schema(schema)
        except jsonschema.SchemaError as error:
            fault(place, f"not a valid schema: {error.message}")
        if schema.get("$id") != f"{BASE}{place}":
            fault(place, f"its $id is {schema.get('$id')!r}")
        schemas[stem] = schema
    return schemas


def make_validators(schemas):
    """One validator a schema; references are looked up in the files, never on the net."""
    try:
        from referencing import Registry, Resource

        registry = Registry().with_resources(
            (schema["$id"], Resource.from_contents(schema)) for schema in schemas.values()
        )
        return {
            stem: jsonschema.Draft202012Validator(schema, registry=registry)
            for stem, schema in schemas.items()
        }
    except ImportError:
        store = {schema["$id"]: schema for schema in schemas.values()}
        return {
            stem: jsonschema.Draft202012Validator(
                schema, resolver=jsonschema.RefResolver(schema["$id"], schema, store=store)
            )
            for stem, schema in schemas.items()
        }


def check_references(schemas):
    """Every $ref between the schemas leads to a schema."""
    from urllib.parse import urldefrag, urljoin

    def walk(node, base, place):
        if isinstance(node, dict):
            if "$ref" in node:
                address, fragment = urldefrag(urljoin(base, node["$ref"]))
                stem = address[len(BASE):].removesuffix(".json")
                target = schemas.get(stem)
                for token in filter(None, fragment.split("/")):
                    target = target.get(token) if isinstance(target, dict) else None
                if target is None:
                    fault(place, f"the reference {node['$ref']} leads nowhere")
            for value in node.values():
                walk(value, base, place)
        elif isinstance(node, list):
            for value in node:
                walk(value, base, place)

    for stem, schema in schemas.items():
        walk(schema, schema["$id"], stem)


def files_below(directory):
    return sorted(directory.glob("*.json")) if directory.is_dir() else []


def check_examples(validators):
    checked = 0
    for stem, validator in validators.items():
        if stem in SHARED:
            continue
        examples = files_below(ROOT / "examples" / stem)
        counter_examples = files_below(ROOT / "counter-examples" / stem)
        if not examples:
            fault(stem, "it has no examples")
        if len(counter_examples) < FEWEST_COUNTER_EXAMPLES:
            fault(stem, f"it has {len(counter_examples)} counter-examples")
        for path in examples:
            for error in validator.iter_errors(load(path)):
                fault(path.relative_to(ROOT), error.message)
        for path in counter_examples:
            if validator.is_valid(load(path)):
                fault(path.relative_to(ROOT), "it is a counter-example, and passes")
        checked += len(examples) + len(counter_examples)
    for kind in ("examples", "counter-examples"):
        for path in (ROOT / kind).rglob("*.json"):
            if str(path.parent.relative_to(ROOT / kind)) not in validators:
                fault(path.relative_to(ROOT), "it belongs to no schema")
    return checked


def check_outputs(validators, directory):
    checked = 0
    for path in sorted(directory.rglob("*.json")):
        place = path.relative_to(directory)
        validator = validators.get(str(place.parent))
        if validator is None:
            fault(place, "it belongs to no schema")
            continue
        for error in validator.iter_errors(load(path)):
            fault(place, f"{error.json_path}: {error.message}")
        checked += 1
    if checked == 0:
        fault(directory, "there are no outputs in it")
    return checked


def check_verdicts(validators, file):
    verdicts = load(file)
    for verdict in verdicts:
        if validators["command"].is_valid(verdict["body"]) != verdict["accepted"]:
            said = "takes" if verdict["accepted"] else "refuses"
            body = json.dumps(verdict["body"])
            fault("command", f"the reader {said}, the schema does not: {body}")
    if not any(v["accepted"] for v in verdicts) or all(v["accepted"] for v in verdicts):
        fault(file, "the verdicts are all alike")
    return len(verdicts)


def check_asyncapi(validators):
    """The document names every message, and what it names exists."""
    document = yaml.safe_load((ROOT / "asyncapi.yaml").read_text(encoding="utf-8"))
    place = "asyncapi.yaml"
    if document.get("asyncapi") != "3.0.0":
        fault(place, "it is not AsyncAPI 3.0.0")

    def inside(reference):
        target = document
        for token in reference[2:].split("/"):
            token = token.replace("~1", "/").replace("~0", "~")
            target = target.get(token) if isinstance(target, dict) else None
        return target

    def walk(node):
        if isinstance(node, dict):
            reference = node.get("$ref")
            if reference and reference.startswith("#/") and inside(reference) is None:
                fault(place, f"the reference {reference} leads nowhere")
            if reference and reference.startswith("./") and not (ROOT / reference).is_file():
                fault(place, f"there is no file {reference}")
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)
    messages = document.get("components", {}).get("messages", {})
    named = set()
    for name, message in messages.items():
        reference = message.get("payload", {}).get("schema", {}).get("$ref", "")
        stem = reference.removeprefix("./").removesuffix(".json")
        named.add(stem)
        named.add(str(message.get("x-data-schema", "")).removeprefix("./").removesuffix(".json"))
        named.add(str(message.get("x-parameters", "")).removeprefix("./").removesuffix(".json"))
        if not message.get("examples"):
            fault(place, f"message {name} has no examples")
        for example in message.get("examples", []):
            if stem in validators and not validators[stem].is_valid(example.get("payload")):
                fault(place, f"an example of message {name} does not pass {stem}")
    due = {"command", "outcome"} | {
        stem for stem in validators if stem.split("/")[0] in ("events", "parameters")
    }
    for stem in sorted(due - named):
        fault(place, f"no message has the schema {stem}")
    used = {
        message["$ref"].split("/")[-1]
        for channel in document.get("channels", {}).values()
        for message in channel.get("messages", {}).values()
    }
    for name in sorted(set(messages) - used):
        fault(place, f"no channel has the message {name}")
    return len(messages)


def main():
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--outputs", type=pathlib.Path)
    parser.add_argument("--verdicts", type=pathlib.Path)
    arguments = parser.parse_args()
    schemas = load_schemas()
    check_references(schemas)
    if faults:
        sys.exit("\n".join(faults))
    validators = make_validators(schemas)
    examples = check_examples(validators)
    messages = check_asyncapi(validators)
    outputs = check_outputs(validators, arguments.outputs) if arguments.outputs else 0
    verdicts = check_verdicts(validators, arguments.verdicts) if arguments.verdicts else 0
    if faults:
        sys.exit("\n".join(faults))
    print(
        f"{len(schemas)} schemas, {examples} examples, {messages} messages, {outputs} outputs, "
        f"{verdicts} verdicts: as due"
    )


main()
