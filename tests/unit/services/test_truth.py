"""What people are shown of results: truth in the demo, and plain JSON of a folder."""

import json

import numpy as np
import pytest

from echo_node.codes import Quantity, View, WallPoint
from echo_node.phantom import sample_patient
from echo_node.phantom.clips import simulate_clip
from echo_node.phantom.heart import Rhythm
from echo_node.services.demo import wall_truth
from echo_node.services.folder import plain
from tests.unit.store.builders import measured


@pytest.mark.parametrize("view", [View.PLAX, View.A2C])
def test_the_demo_knows_a_long_axis_walls_and_none_of_another_view(view):
    rng = np.random.default_rng(2)
    patient = sample_patient(rng, ef=60.0, wall_mm=10.0, rhythm=Rhythm.REGULAR)
    clip = simulate_clip(patient, view, rng=rng, frames=6, size=64, straying=0.0)
    truth = wall_truth(clip)
    if view is not View.PLAX:
        assert truth == {}
        return
    first, second = (
        clip.landmarks[p][clip.ed_frame] for p in (WallPoint.POSTERIOR_INNER, WallPoint.POSTERIOR_OUTER)
    )
    assert truth[Quantity.LVPWD] == pytest.approx(np.hypot(*((first - second) * clip.spacing_mm)))
    assert truth[Quantity.LVIDD] > truth[Quantity.LVIDS] > truth[Quantity.IVSD] > 5
    assert truth[Quantity.LV_RWT] == pytest.approx(2 * truth[Quantity.LVPWD] / truth[Quantity.LVIDD])


def test_plain_json_carries_walls_estimate_and_body():
    said = json.loads(json.dumps(plain(measured())))
    assert said["body"] == {"sex": "FEMALE", "height_m": 1.7, "weight_kg": None}
    assert [place[0] for place in said["landmarks"][0]["points"]] == [point.name for point in WallPoint]
    assert said["estimate"]["ed_frame"] == 1
    assert len(said["diameters"]["diameters_mm"]) == 3
    assert said["not_measured"][1]["method"] == "LEARNED"
