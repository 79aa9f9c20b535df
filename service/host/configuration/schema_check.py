"""One check of values against a stranger's JSON Schema, as a program: JSON on stdin, JSON on stdout.

A regular expression in a schema can take longer than the sun burns, and a crafted `$ref` more memory than there is.
So this runs in a process of its own, with limits, and is killed when it is late. It imports nothing of the server.

In: `{"schema": …, "values": …}`. Out: `{"schema_error": text or null, "errors": [{"path", "rule", "expected"}]}`.
"""

from __future__ import annotations

import ast
import json
import resource
import sys
from typing import Any

MEMORY_BYTES = 512 * 1024 * 1024
CPU_SECONDS = 10
MAX_ERRORS = 100
MAX_EXPECTED_CHARS = 300


def check(schema: Any, values: Any) -> dict[str, Any]:
    """The answer for one schema and one set of values."""
    import jsonschema
    import referencing
    import referencing.exceptions

    try:
        jsonschema.Draft202012Validator.check_schema(schema)
        # An empty registry: a schema is never fetched from somewhere.
        validator = jsonschema.Draft202012Validator(schema, registry=referencing.Registry())
        errors: list[dict[str, Any]] = []
        for error in validator.iter_errors(values):
            errors.extend(_described(error))
            if len(errors) >= MAX_ERRORS:
                break
    except jsonschema.SchemaError as error:
        where = "/".join(map(str, error.absolute_path))
        return {"schema_error": f"{where or '(root)'}: {error.message}"[:500], "errors": []}
    except referencing.exceptions.Unresolvable as error:
        return {"schema_error": f"$ref: {error.ref}"[:500], "errors": []}
    except (RecursionError, MemoryError):
        return {"schema_error": "recursion without end", "errors": []}
    except Exception as error:
        # Such as a pattern that Python's `re` does not take.
        return {"schema_error": f"{type(error).__name__}: {error}"[:500], "errors": []}
    return {"schema_error": None, "errors": errors}


def _described(error: Any) -> list[dict[str, Any]]:
    path = list(error.absolute_path)
    rule = str(error.validator)
    if rule == "required" and isinstance(error.instance, dict):
        # Missing values fail calls and not the configuration, as far as the outermost object is concerned.
        if not path:
            return []
        missing = ast.literal_eval(error.message.removesuffix(" is a required property"))
        return [{"path": [*path, missing], "rule": rule, "expected": ""}]
    if not path and rule in ("additionalProperties", "unevaluatedProperties"):
        return []
    expected = error.validator_value
    if not isinstance(expected, str):
        expected = json.dumps(expected, ensure_ascii=False, default=str)
    return [{"path": path, "rule": rule, "expected": expected[:MAX_EXPECTED_CHARS]}]


def main() -> None:
    """Answer one question."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    question = json.load(sys.stdin.buffer)
    json.dump(check(question["schema"], question["values"]), sys.stdout)


if __name__ == "__main__":
    main()
