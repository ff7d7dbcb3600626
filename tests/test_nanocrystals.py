"""Any nanocrystal: crystals, charges, sizes, selections, roles, shells."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner
from conftest import load

from hetbuild.cli import cli
from hetbuild.library import structures


def output(*words: str) -> str:
    """What a command that succeeds prints."""
    result = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_crystals_lists_every_phase_with_its_source() -> None:
    listed = {c["name"]: c for c in json.loads(output("crystals", "--json"))}
    assert set(listed) == set(structures())
    assert all(c["source"] and c["status"] for c in listed.values())
    assert listed["CdSe-wurtzite"]["cell"] == [4.299, 4.299, 7.01, 90, 90, 120]
    table = output("crystals")
    assert "InP" in table
    assert "β 124.73°" in table  # of Pb3S2Cl2


def test_wurtzite_is_nearly_regular() -> None:
    """One bond of each ion lies along c and is u c long; u is near the ideal 3/8."""
    bonds = load("CdSe-wurtzite").bonds
    assert len(bonds.length) == 4 * 4  # four sites, four bonds each
    axial = abs(bonds.vector[:, :2]).max(axis=1) < 1e-6
    assert bonds.length[axial] == pytest.approx(0.37679 * 7.01)
    assert bonds.length.max() / bonds.length.min() < 1.01
