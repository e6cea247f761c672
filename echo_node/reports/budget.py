"""How much a study may send, and whose objects go first."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from echo_node.records import Analysis, ClipAnalysis, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Limits on a study's segmentations and overlay clips; documents always go.

    Attributes
    ----------
    max_clips : int
        Clips with objects of their own.
    max_bytes : int
        Of all these objects together, as files.
    """

    max_clips: int
    max_bytes: int


NO_LIMIT = Budget(max_clips=sys.maxsize, max_bytes=sys.maxsize)


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """What is made of a study."""

    reports: tuple[Report, ...]
    withheld: tuple[str, ...]  # SOPInstanceUIDs of clips that got no objects of their own


def ranked(analysis: Analysis, clips: Sequence[ClipAnalysis]) -> list[ClipAnalysis]:
    """Clips by what the study's numbers owe to them: how many rest on one, then its certainty, then its UID.

    So an analysis has one order, in whatever order its clips came.
    """
    uses = [source.SOPInstanceUID for m in analysis.measurements for source in m.sources]

    def rank(clip: ClipAnalysis) -> tuple[int, float, str]:
        certainty = 0.0 if clip.prediction is None else clip.prediction.probability
        return -uses.count(clip.SOPInstanceUID), -certainty, clip.SOPInstanceUID

    return sorted(clips, key=rank)
