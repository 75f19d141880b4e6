"""Make docs/api.md of the docstrings: python docs/make_api.py."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import selfj_eval
from selfj_eval.jobs.results import Result

PAGE = Path(__file__).with_name("api.md")
NAMESPACES = {
    "alpaca": ("config", "evaluate", "rank", "run", "table"),
    "collect": ("run", "sample", "stats"),
    "data": ("get", "list", "path", "verify"),
}
_SECTION = re.compile(r"^(\w[\w ]*):$")
_HEAD = """# The Python library, name by name

Made from the docstrings by `python docs/make_api.py`. [python.md](python.md) is the tour.
"""


def render() -> str:
    """The page."""
    names = [n for n in selfj_eval.__all__ if n not in NAMESPACES]
    found = {name: getattr(selfj_eval, name) for name in names}
    verbs = [n for n, value in found.items() if not inspect.isclass(value)]
    types = [n for n, value in found.items() if inspect.isclass(value)]
    parts = [_HEAD, "## Verbs\n", *(_entry(name, found[name]) for name in verbs)]
    for space, members in NAMESPACES.items():
        parts.append(f"## Namespace `{space}`\n")
        module = getattr(selfj_eval, space)
        parts += [_entry(f"{space}.{name}", getattr(module, name)) for name in members]
    parts += ["## Types\n", *(_entry(name, found[name]) for name in types)]
    return "\n".join(parts)


def _entry(name: str, value: Any) -> str:
    text = inspect.getdoc(value) or ""
    if inspect.isclass(value):
        methods = [
            _entry(f"{name}.{own}", member)
            for own, member in _members(value).items()
            if not own.startswith("_") and inspect.isfunction(inspect.unwrap(_plain(member)))
        ]
        return "\n".join([f"### `{name}`\n", _markdown(text), *methods])
    level = "####" if name[0].isupper() else "###"
    return (
        f"{level} `{name}`\n\n```text\n{_signature(name, _plain(value))}\n```\n\n{_markdown(text)}"
    )


def _members(value: type) -> dict[str, Any]:
    """What a class has of its own and of bases of this package, without those of all results."""
    found: dict[str, Any] = {}
    for base in reversed(value.__mro__):
        own = base.__module__.startswith("selfj_eval") and not base.__name__.startswith("_")
        if own and base is not Result:
            found |= vars(base)
    return found


def _plain(member: Any) -> Any:
    return getattr(member, "__func__", member)


def _signature(name: str, value: Any) -> str:
    signature = inspect.signature(value)
    words, starred = [], False
    for parameter in signature.parameters.values():
        if parameter.name in ("self", "cls"):
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            starred = True
            words.append("*")
        words.append(_parameter(parameter))
    returned = str(signature.return_annotation).strip("'")
    end = "" if signature.return_annotation is signature.empty else f" -> {returned}"
    line = f"{name}({', '.join(words)}){end}"
    if len(line) <= 96:
        return line
    return f"{name}(\n" + "".join(f"    {word},\n" for word in words) + f"){end}"


def _parameter(parameter: inspect.Parameter) -> str:
    star = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
    word = f"{star}{parameter.name}"
    if parameter.annotation is not parameter.empty:
        word += f": {str(parameter.annotation).strip(chr(39))}"
    if parameter.default is not parameter.empty:
        word += f" = {str(repr(parameter.default)).replace('<factory>', '{}')}"
    return word


def _markdown(text: str) -> str:
    """A docstring in Google's style as Markdown: sections become lists."""
    lines: list[str] = []
    section = ""
    for line in text.splitlines():
        heading = _SECTION.match(line)
        if heading:
            section = heading[1]
            lines += [f"**{section}**", ""]
        elif section == "Example" and line.strip():
            lines.append(line)
        elif section and re.match(r"    \S", line) and re.match(r"    [\w*., ]+: ", line):
            name, _, rest = line.strip().partition(": ")
            lines.append(f"- `{name}`: {rest}")
        elif section and line.startswith("    "):
            within = lines[-1].startswith(("- ", "  "))
            lines.append(f"  {line.strip()}" if within else line.strip())
        else:
            section = section if not line.strip() or line.startswith(" ") else ""
            lines.append(line.rstrip())
    return re.sub(r"``([^`]+)``", r"`\1`", "\n".join(lines)).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
