"""The conformance statement's tables, read back."""

from __future__ import annotations

import re

_SEPARATOR = re.compile(r"\| ---( \| ---)* \|")


def rows(text: str, after: str, *, tables: int = 1) -> list[list[str]]:
    """The rows, without their heads, of the first tables that follow a line with some words.

    A heading of the same or a higher level ends them.
    """
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if after in line and not line.startswith(("|", "-", " ")))
    level = len(lines[start]) - len(lines[start].lstrip("#"))
    found: list[list[str]] = []
    seen = 0
    for before, line in zip(lines[start:], lines[start + 1 :], strict=False):
        if level and re.match(rf"#{{1,{level}}} ", line):
            break
        if not line.startswith("|"):
            continue
        if not before.startswith("|"):
            seen += 1
            if seen > tables:
                break
        elif not _SEPARATOR.fullmatch(line):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    assert found, f"no table after {after!r}"
    return found
