"""What a check found, as files that pipelines show: JUnit's XML, and Markdown."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree as Xml

from selfj_eval.errors import counted, shown
from selfj_eval.evaluation.cells import markdown_cell
from selfj_eval.evaluation.checked import Check
from selfj_eval.files.atomic import atomic_write
from selfj_eval.jobs.options import PathLike

_NAME = "selfj check"


def write_junit(path: PathLike, found: Check) -> None:
    """Write a test case per requirement; one that is broken has failed.

    Raises:
        StoreError: If it cannot be written.
    """
    counts = {"tests": str(len(found.outcomes)), "failures": str(len(found.broken))}
    counts |= {"errors": "0", "skipped": "0"}
    root = Xml.Element("testsuites", {"name": _NAME, **counts})
    suite = Xml.SubElement(root, "testsuite", {"name": _NAME, **counts})
    properties = Xml.SubElement(suite, "properties")
    about = {"judge": found.judge, "scores": found.scores, "baseline": found.baseline}
    for name, value in about.items():
        if value is not None:
            Xml.SubElement(properties, "property", {"name": name, "value": shown(value)})
    for outcome in found.outcomes:
        name, sentence = shown(outcome.requirement), shown(outcome.sentence)
        case = Xml.SubElement(suite, "testcase", {"classname": _NAME, "name": name})
        if outcome.holds:
            Xml.SubElement(case, "system-out").text = sentence
        else:
            failure = {"type": "broken requirement", "message": f"{name}: {sentence}"}
            Xml.SubElement(case, "failure", failure).text = f"{sentence}\n{shown(found.scores)}"
    if found.warnings:
        Xml.SubElement(suite, "system-out").text = "\n".join(map(shown, found.warnings))
    Xml.indent(root)
    with atomic_write(Path(path)) as stream:
        Xml.ElementTree(root).write(stream, encoding="utf-8", xml_declaration=True)


def write_markdown(path: PathLike, found: Check) -> None:
    """Write a table of the requirements, the broken ones first.

    Raises:
        StoreError: If it cannot be written.
    """
    about = f"{counted(found.answers, 'answer')} of {found.scores}, scored by {found.judge}"
    if found.baseline is not None:
        about += f"; the baseline is {found.baseline}"
    lines = [f"### {_NAME}", "", f"**{_cell(found.summary)}**", "", f"{_cell(about)}.", ""]
    lines.append("| | requirement | found |\n| --- | --- | --- |")
    for outcome in sorted(found.outcomes, key=lambda o: o.holds):
        how = "holds" if outcome.holds else "**broken**"
        lines.append(f"| {how} | {_cell(outcome.requirement)} | {_cell(outcome.sentence)} |")
    lines += ["", *(f"- {_cell(warning)}" for warning in found.warnings)]
    with atomic_write(Path(path)) as stream:
        stream.write(("\n".join(lines).rstrip() + "\n").encode())


def _cell(text: object) -> str:
    return markdown_cell(shown(text))
