"""Make docs/formats.md of the schemas beside it: python docs/make_formats.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("formats.md")
SCHEMAS = Path(__file__).with_name("schemas")
NAMES = (
    *("record", "scores", "pairs", "preferences", "plan", "ratings"),
    *("policy", "decisions", "audit", "check", "run"),
)
_HEAD = """# File formats

These are the files that you write, or that the package writes for you and for other programs. Each
format has a JSON Schema, against which tests check what the package reads and writes. A file of
rows is JSONL, JSON (an array), CSV or Parquet. The schema describes one row of it, as it is in
JSONL. In CSV, lists are written as JSON, and an empty cell is null.

The page is made from the schemas by `python docs/make_formats.py`. [layouts.md](layouts.md) lists
the files of other programs that can be read.
"""


def render() -> str:
    """The page."""
    parts = [_HEAD, "| format | what it is |", "| --- | --- |"]
    schemas = {name: _schema(name) for name in NAMES}
    for name, schema in schemas.items():
        parts.append(f"| [`{name}`](#{name}) | {schema['title']} |")
    for name, schema in schemas.items():
        parts += [f"\n## {name}\n", f"{schema['description']}\n"]
        parts.append(f"Schema: [{name}.json](schemas/{name}.json)\n")
        for rows in schema.get("oneOf", [schema]):
            if rows is not schema:
                parts.append(f"{rows['description']}:\n")
            parts += _fields(rows)
    return "\n".join(parts).rstrip() + "\n"


def _schema(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def _fields(schema: dict[str, Any]) -> list[str]:
    patterns = schema.get("patternProperties", {}).items()
    named = schema["properties"] | {f"{start[1:]}NAME": field for start, field in patterns}
    lines = ["| field | type | |", "| --- | --- | --- |"]
    for name, field in named.items():
        must = " Required." if name in schema["required"] else ""
        lines.append(f"| `{name}` | {_kind(field)} | {field['description']}.{must} |")
    return [*lines, ""]


def _kind(field: dict[str, Any]) -> str:
    if "const" in field:
        return f"`{field['const']}`"
    if "enum" in field:
        return ", ".join("null" if value is None else f"`{value}`" for value in field["enum"])
    if "anyOf" in field:
        return " or ".join(one["type"] for one in field["anyOf"])
    kinds = field["type"]
    return kinds if isinstance(kinds, str) else " or ".join(kinds)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
