"""Validates documents against a JSON Schema: {"schema", "documents": [text]} on stdin, a list of errors for each on stdout."""

import json
import sys

from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

given = json.load(sys.stdin)
Draft202012Validator.check_schema(given["schema"])
validator = Draft202012Validator(given["schema"])
reader = YAML(typ="safe", pure=True)  # YAML 1.2


def errors(text):
    found = validator.iter_errors(reader.load(text))
    return [f"/{'/'.join(map(str, error.absolute_path))}: {error.message[:200]}" for error in found]


json.dump([errors(text) for text in given["documents"]], sys.stdout)
