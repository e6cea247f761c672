"""What ``echo-node engines compile`` says, and how it ends."""

import pytest

from echo_node.export import plans
from echo_node.inference.plans import Acceptance, PlanCache
from echo_node.services.engines import compile_plans


@pytest.mark.parametrize(("difference", "verdict", "status"), [(1e-3, "accepted", 0), (0.5, "refused", 1)])
def test_a_refused_plan_is_a_failure(tmp_path, monkeypatch, capsys, difference, verdict, status):
    found = [
        ("encoder", Acceptance(differences={"1": difference, "8": 2e-3}, allowed=5e-3)),
        ("view", Acceptance(differences={"1": 0.0}, allowed=5e-3)),
    ]
    monkeypatch.setattr(plans, "compile_package", lambda package, cache: iter(found))
    cache = PlanCache(tmp_path / "plans", tmp_path / "node.key")
    assert compile_plans(tmp_path / "engine", cache) == status
    first, second, last = capsys.readouterr().out.splitlines()
    assert f"encoder      {verdict}" in first
    assert f"1: {difference:.1e}, 8: 2.0e-03; 5.0e-03 is allowed" in first
    assert "view         accepted" in second
    assert last == f"{tmp_path / 'engine'}: plans in {tmp_path / 'plans'}"
