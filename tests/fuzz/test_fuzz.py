"""A slice of the fuzzed inputs, the same on every machine; `run.py --long` runs 100,000."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from inputs import case
from run import SHORT, results

pytestmark = pytest.mark.fuzz


def test_inputs_are_the_same_everywhere() -> None:
    assert case(7) == case(7)


@pytest.mark.parametrize("part", range(10))
def test_nothing_crashes_hangs_or_shows_a_traceback(part: int) -> None:
    size = SHORT // 10
    seeds = range(part * size, (part + 1) * size)
    found = dict(results(seeds))
    assert sorted(found) == list(seeds)
    wrong = {s: text for s, text in found.items() if not text.removeprefix("exit ").isdigit()}
    assert not wrong
