"""Which layout a folder of labelled data has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path

from echo_node.errors import LabelError
from echo_node.evaluation.camus import camus, is_camus
from echo_node.evaluation.cases import Case, Part, Source
from echo_node.evaluation.echonet import FILE_LIST, echonet
from echo_node.evaluation.table import TABLE, table


def open_folder(path: Path, part: Part = Part.TEST) -> Source:
    """The cases of a folder, or of a CSV file, that are there for a purpose.

    CAMUS's layout has no such parts: its patients are there to learn from or to judge by, as it is used.

    Raises
    ------
    LabelError
        There is no such folder, or its layout is none that is known.
    """
    if path.is_file():
        return table(path, part)
    if not path.is_dir():
        raise LabelError(f"{path}: there is no such folder or CSV file")
    if (path / FILE_LIST).is_file():
        return echonet(path, part)
    if is_camus(path):
        return camus(path, part)
    if (path / TABLE).is_file():
        return table(path / TABLE, part)
    raise LabelError(
        f"{path}: holds neither {FILE_LIST} (EchoNet-Dynamic), nor patient*/Info_2CH.cfg (CAMUS), nor {TABLE}"
    )


def first_patients(source: Source, count: int) -> Source:
    """The same source, cut after some patients."""
    return replace(source, patients=min(count, source.patients), cases=_first(source.cases, count))


def _first(cases: Iterator[Case], count: int) -> Iterator[Case]:
    for _, same in islice(groupby(cases, key=lambda case: case.labels.patient), count):
        yield from same
