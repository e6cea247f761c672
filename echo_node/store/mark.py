"""Which folder and which database belong together: both bear the same mark from the first start on.

A folder with another node's database, or one that is not mounted, would be taken for what killed processes
left, and swept.
"""

from __future__ import annotations

import os
import uuid

import sqlalchemy as sa

from echo_node.errors import StoreError
from echo_node.store.database import Database
from echo_node.store.files import Files, as_store_errors, fsync_folder
from echo_node.store.schema import analyses, instances, instances_aside, marks, reports

_NAME = "store.id"
_NAMING = (instances, instances_aside, analyses, reports)  # rows that name files


def check(files: Files, db: Database) -> None:
    """See that folder and database belong together, and mark what has no mark yet.

    Both are marked where both are new, or where both hold something: they are of a version without marks.

    Raises
    ------
    StoreError
        They do not belong together. Nothing was changed.
    """
    with db.read() as conn:
        known = conn.scalar(sa.select(marks.c.id))
    path = files.root / _NAME
    with as_store_errors():
        marked = path.read_text(encoding="ascii") if path.exists() else None
    if known is not None and known == marked:
        return
    with db.read() as conn:
        is_new = all(conn.scalar(sa.select(table.c.path).limit(1)) is None for table in _NAMING)
    with as_store_errors():
        is_empty = not any(files.holds(area) for area in ("spool", "results"))
    are_unmarked = known is None and marked is None
    if (known is not None and marked is not None) or is_new != is_empty or not (is_new or are_unmarked):
        raise StoreError(
            f"{files.root} is not the folder of this database: {_said('the folder', is_empty, marked)}, "
            f"{_said('the database', is_new, known)}. Set node.storage and node.database to the two that belong "
            "together (is the disk mounted?), or both to new ones"
        )
    mark = known or marked or uuid.uuid4().hex
    if known is None:
        with db.write() as conn:
            conn.execute(marks.insert().values(id=mark))
    if marked is None:
        with as_store_errors():
            half = path.with_suffix(".half")
            with half.open("w", encoding="ascii") as file:
                file.write(mark)
                file.flush()
                os.fsync(file.fileno())
            half.replace(path)
            fsync_folder(files.root)


def _said(which: str, is_empty: bool, mark: str | None) -> str:
    holds = "is empty" if is_empty else "holds objects"
    return f"{which} {holds} and bears {'no mark' if mark is None else f'the mark {mark}'}"
