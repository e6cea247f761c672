"""The few forms of Markdown that the statement has."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

_WIDTH = 116
_AS_THEY_ARE = ("|", "#", "-", "```")  # tables, headings, lists, drawings


def page(blocks: Iterable[str]) -> str:
    """Blocks with a blank line between them, paragraphs filled."""
    return "\n\n".join(b if b.startswith(_AS_THEY_ARE) else _filled(b) for b in blocks) + "\n"


def _filled(paragraph: str) -> str:
    return textwrap.fill(paragraph, _WIDTH, break_long_words=False, break_on_hyphens=False)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar inside a cell is escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', '&#124;') for cell in line)} |" for line in lines)


def anchor(heading: str) -> str:
    """What a link to a heading names, as the usual renderers make it."""
    kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")


def contents_list(blocks: Iterable[str]) -> str:
    """Links to the headings of the second and third level."""
    lines = []
    for block in blocks:
        level = len(block) - len(block.lstrip("#"))
        if level in (2, 3):
            heading = block.lstrip("# ")
            lines.append(f"{'  ' * (level - 2)}- [{heading}](#{anchor(heading)})")
    return "\n".join(lines)
