import pytest

from benchmarks import gate
from components.lineage import is_better, levels, power_of_equal
from components.verdict import GateLimits

LIMITS = GateLimits()


def test_levels_of_looks_that_fail_add_up_to_alpha():
    assert levels([False] * 49, 0.05, 50).sum() == pytest.approx(0.05)


def test_a_look_that_passes_gives_its_level_to_the_next():
    spent, passed = levels([False], 0.05, 50), levels([True], 0.05, 50)
    assert passed[1] == pytest.approx(spent[1] + spent[0])


def test_no_level_exceeds_alpha():
    assert levels([True] * 200, 0.05, 50).max() == pytest.approx(0.05)


def test_looks_beyond_the_last_have_no_level_of_their_own():
    assert levels([False] * 50, 0.05, 50)[-1] == 0
    assert levels([*[False] * 49, True], 0.05, 50)[-1] > 0


def test_an_anchor_is_replaced_by_what_is_better_by_more_than_chance():
    assert not is_better(105, 95)
    assert not is_better(95, 105)
    assert is_better(120, 95)
    assert is_better([120, 105], 95).tolist() == [True, False]


def test_power_is_that_of_the_simulation():
    level = levels([], LIMITS.alpha, LIMITS.looks)[0]
    found = simulated("apart", 0.04, (0.0,), 1)["+0 after 0"]
    expected = power_of_equal(level, 0.04, 5000, LIMITS.margin)
    # the comparison with the champion refuses 2.5% of equal challengers besides
    assert expected - 0.06 < found < expected + 0.02


def simulated(kind, disagreement, differences, offered):
    setting = gate.Setting(kind, disagreement, differences, 5000, 2000, offered)
    return gate.simulate(setting, LIMITS)


@pytest.mark.parametrize("kind", ["apart", "walk"])
@pytest.mark.parametrize("differences", [(-0.001,), (-0.003,), (0.003, -0.003)])
def test_a_lineage_does_not_creep(kind, differences):
    assert simulated(kind, 0.02, differences, 50)["beyond"] < 0.05


def test_creep_is_seen_if_nothing_prevents_it(monkeypatch):
    monkeypatch.setattr(gate, "level", lambda *_: 1.0)
    assert simulated("walk", 0.02, (-0.003,), 50)["beyond"] > 0.9


def test_a_much_better_challenger_passes_after_many_refusals():
    found = simulated("apart", 0.04, (-0.01,), 50)
    assert found["+1 after 49"] > 0.9
