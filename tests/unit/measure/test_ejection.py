"""EF, EDV and ESV of clips and pairs of clips made of solids of known volume."""

from dataclasses import replace

import numpy as np
import pytest

from echo_node.codes import ImageMode, Quantity, Reason, Structure, View
from echo_node.measure.biplane import measure_biplane
from echo_node.measure.single_plane import measure_clip
from echo_node.records import Clip, ClipAnalysis, EngineIdentity, Segmentation, ViewPrediction
from tests.unit.measure.test_beats import curve
from tests.unit.measure.test_volumes import half_ellipse

SPACING = (0.6, 0.6)
TIMES = np.arange(0, 1400, 40.0)
ENGINE = EngineIdentity(name="e", version="1", digest="0" * 64, backend="b")


def clip_and_cavity(*, width=50.0, esv=50.0, spacing=SPACING, times=TIMES, uid="1.2.3"):
    """A ventricle whose width follows the volume curve of 120 ml to ``esv``."""
    volumes = curve(TIMES, esv=esv)
    masks = np.stack(
        [half_ellipse(length=88, width=width * np.sqrt(v / 120), tilt=0.1, spacing=SPACING) for v in volumes]
    )
    numbers = tuple(range(1, len(TIMES) + 1))
    clip = Clip(
        SOPInstanceUID=uid,
        frames=np.zeros(masks.shape, np.uint8),
        frame_numbers=numbers,
        times_ms=times,
        spacing_mm=spacing,
        sector=np.ones(masks.shape[1:], bool),
        mode=ImageMode.TWO_D,
        NumberOfFrames=len(numbers),
    )
    cavity = Segmentation(SOPInstanceUID=uid, structure=Structure.LV_CAVITY, masks=masks, frame_numbers=numbers)
    return clip, cavity


def analysed(view, **kwargs) -> ClipAnalysis:
    clip, cavity = clip_and_cavity(uid=f"1.2.{len(view.name)}.{view.code.value}", **kwargs)
    result = measure_clip(clip, cavity, view)
    return ClipAnalysis(
        SOPInstanceUID=clip.SOPInstanceUID,
        StudyInstanceUID="1.2",
        prediction=ViewPrediction(
            SOPInstanceUID=clip.SOPInstanceUID,
            view=view,
            probability=0.9,
            runner_up=View.OTHER,
            runner_up_probability=0.1,
            mode=ImageMode.TWO_D,
        ),
        outcome=None,
        detail="",
        spacing_mm=clip.spacing_mm,
        segmentations=(cavity,),
        curve=result.curve,
        measurements=result.measurements,
        not_measured=result.not_measured,
        engine=ENGINE,
    )


def values(result) -> dict:
    return {m.quantity: m.value for m in result.measurements}


def reasons(result) -> dict:
    return {n.quantity: n.reason for n in result.not_measured}


def test_a_clip_gives_its_volumes_and_ef():
    found = values(measure_clip(*clip_and_cavity(), View.A4C))
    edv = 2 / 3 * np.pi * 25**2 * 88 / 1000
    assert found[Quantity.LV_EDV] == pytest.approx(edv, rel=0.03)
    assert found[Quantity.LV_ESV] == pytest.approx(edv * 50 / 120, rel=0.05)
    assert found[Quantity.LVEF] == pytest.approx(100 * 70 / 120, abs=2)


def test_without_calibration_ef_stands_and_volumes_say_why():
    result = measure_clip(*clip_and_cavity(spacing=None), View.A4C)
    assert values(result)[Quantity.LVEF] == pytest.approx(100 * 70 / 120, abs=2)
    assert reasons(result) == {
        Quantity.LV_EDV: Reason.NO_CALIBRATION,
        Quantity.LV_ESV: Reason.NO_CALIBRATION,
    }


def test_without_times_nothing_is_measured():
    result = measure_clip(*clip_and_cavity(times=None), View.A4C)
    assert result.measurements == ()
    assert set(reasons(result).values()) == {Reason.NO_TIMING}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: np.where(np.arange(len(m))[:, None, None] % 3 == 0, False, m), Reason.LOW_QUALITY),
        (lambda m: m & (np.indices(m.shape[1:])[1] % 40 == 0), Reason.LOW_QUALITY),
        (lambda m: np.repeat(m[:1], len(m), axis=0), Reason.NO_FULL_CYCLE),
    ],
)
def test_masks_that_went_wrong_are_not_measured(change, reason):
    clip, cavity = clip_and_cavity()
    result = measure_clip(clip, replace(cavity, masks=change(cavity.masks)), View.A4C)
    assert result.measurements == ()
    assert set(reasons(result).values()) == {reason}


def test_a_cavity_cut_off_by_the_sector_is_not_measured():
    clip, cavity = clip_and_cavity()
    left = int(np.flatnonzero(cavity.masks.any(axis=(0, 1)))[0])
    sector = np.indices(clip.sector.shape)[1] >= left + 12
    result = measure_clip(replace(clip, sector=sector), replace(cavity, masks=cavity.masks & sector), View.A4C)
    assert result.measurements == ()
    assert set(reasons(result).values()) == {Reason.CUT_OFF}
    assert measure_clip(replace(clip, sector=np.roll(sector, -11, axis=1)), cavity, View.A4C).measurements


def test_an_impossible_ef_is_implausible():
    result = measure_clip(*clip_and_cavity(esv=8.0), View.A4C)
    assert set(reasons(result).values()) == {Reason.IMPLAUSIBLE}


def test_noise_shows_in_the_uncertainty():
    clip, cavity = clip_and_cavity()
    calm = measure_clip(clip, cavity, View.A4C)
    rng = np.random.default_rng(3)
    shaken = np.stack([np.roll(m, int(rng.integers(-3, 4)), 1) & m for m in cavity.masks])
    noisy = measure_clip(clip, replace(cavity, masks=shaken), View.A4C)
    assert noisy.measurements[0].uncertainty > calm.measurements[0].uncertainty


def test_two_views_give_an_elliptic_ventricle():
    result = measure_biplane([analysed(View.A4C, width=56.0), analysed(View.A2C, width=42.0)])
    found = values(result)
    assert found[Quantity.LV_EDV] == pytest.approx(2 / 3 * np.pi * 28 * 21 * 88 / 1000, rel=0.03)
    assert found[Quantity.LVEF] == pytest.approx(100 * 70 / 120, abs=2)
    assert len(result.measurements[0].sources) == 2


def test_a_missing_view_is_named():
    result = measure_biplane([analysed(View.A4C)])
    assert set(reasons(result).values()) == {Reason.VIEW_MISSING}
    assert "A2C" in result.not_measured[0].detail


def test_two_views_that_disagree_are_not_averaged():
    result = measure_biplane([analysed(View.A4C, esv=40.0), analysed(View.A2C, esv=75.0)])
    assert result.measurements == ()
    assert set(reasons(result).values()) == {Reason.DISAGREEMENT}


def test_the_surer_clip_of_a_view_is_taken():
    sure, unsure = analysed(View.A4C, width=50.0), analysed(View.A4C, width=60.0)
    unsure = replace(unsure, SOPInstanceUID="1.1", prediction=replace(sure.prediction, probability=0.81))
    two = analysed(View.A2C)
    assert values(measure_biplane([unsure, two, sure])) == values(measure_biplane([sure, two]))


def test_an_outline_that_wavers_as_much_as_it_beats_is_no_beat():
    clip, cavity = clip_and_cavity()
    rng = np.random.default_rng(3)
    wavering = curve(TIMES, esv=112) + rng.normal(0, 8, len(TIMES))
    widths = 50 * np.sqrt(wavering / 120)
    masks = np.stack([half_ellipse(length=88, width=w, tilt=0.1, spacing=SPACING) for w in widths])
    result = measure_clip(clip, replace(cavity, masks=masks), View.A4C)
    assert result.measurements == ()
    assert result.curve is None  # so that no other head is asked for an EF either
    assert set(reasons(result).values()) == {Reason.LOW_QUALITY}
    assert all("no beat is told from that" in missing.detail for missing in result.not_measured)
