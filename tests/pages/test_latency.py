"""Times are compared within a round, so that a busy moment slows both sides."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from fashionlib.pages import latency

RECORDED = {
    "networks": {"ours": {}, "other": {}},
    "rows": [
        {"network": n, "way": "eager", "size": 64, "batch": b, "milliseconds": ms}
        for n, b, ms in (
            ("ours", 1, [1.0, 2.0, 10.0]),
            ("other", 1, [3.0, 6.0, 30.0]),
            ("ours", 64, [5.0]),
            ("other", 64, [20.0]),
        )
    ],
}


def test_all_take_their_turn():
    called = []
    runs = {name: lambda name=name: called.append(name) for name in "ab"}
    both = latency.take_turns(runs, rounds=3)
    assert called == ["a", "b"] * 4  # one round to warm up
    for times in both:
        assert {name: len(spent) for name, spent in times.items()} == {"a": 3, "b": 3}


def test_a_run_that_waits_takes_longer_by_the_clock_alone(monkeypatch):
    """A run works for 3 ms and waits for 4."""
    clock, worked = [0.0], [0.0]

    def run() -> None:
        worked[0] += 0.003
        clock[0] += 0.007

    times = SimpleNamespace(perf_counter=lambda: clock[0], process_time=lambda: worked[0])
    monkeypatch.setattr(latency, "time", times)
    by_clock, of_processor = latency.take_turns({"a": run}, rounds=2)
    assert by_clock["a"] == pytest.approx([7, 7])
    assert of_processor["a"] == pytest.approx([3, 3])


def test_eager_runs_the_network_in_evaluation():
    network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Dropout(0.9))
    out = latency.eager(network, batch=2, size=8)()
    assert out.shape == (2, 2, 6, 6)
    assert not out.requires_grad
    assert not network.training
    assert torch.equal(out, latency.eager(network, 2, 8)())


def test_ratios_are_taken_round_by_round():
    """The third round was slow for both; the ratio does not see it."""
    found = latency.ratios(RECORDED, slow="other", fast="ours")
    assert found == {"64 px, batch 1, eager": [3.0, 3.0, 3.0], "64 px, batch 64, eager": [4.0]}


def test_middle_is_the_quartiles():
    assert latency.middle([1.0, 2.0, 3.0, 4.0, 100.0]) == (2.0, 4.0)
