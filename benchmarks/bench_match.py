"""Planes of CsPbCl3 and PbS that fit: hetbuild beside pymatgen's searches, same work, same run."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.analysis.interfaces.substrate_analyzer import SubstrateAnalyzer
from pymatgen.analysis.interfaces.zsl import ZSLGenerator
from pymatgen.core import Structure

from hetbuild.crystal.crystal import Crystal, read_crystal
from hetbuild.crystal.planes import distinct_pairs, plane_net
from hetbuild.library import find_structure
from hetbuild.matching.registry import scan
from hetbuild.matching.search import match

MAIN = ((-2, 1, 0), (-4, -4, 2))


@pytest.fixture(scope="module")
def crystals() -> tuple[Crystal, Crystal]:
    first, second = (read_crystal(find_structure(name)) for name in ("CsPbCl3", "PbS"))
    match(first, second, planes=MAIN)  # imports
    return first, second


def test_one_pair(benchmark, crystals: tuple[Crystal, Crystal]) -> None:
    assert len(benchmark(lambda: match(*crystals, planes=MAIN))) == 1


def test_all_pairs_to_index_2(benchmark, crystals: tuple[Crystal, Crystal]) -> None:
    found = benchmark(lambda: match(*crystals, max_index=2, max_strain=0.03))
    print(f"\nhetbuild: {len(found)} matches")


def test_all_pairs_to_index_2_by_zsl(benchmark, crystals: tuple[Crystal, Crystal]) -> None:
    """A loop over the same primitive nets; each distinct primitive cell counts once."""

    def loop() -> int:
        search = ZSLGenerator(max_area_ratio_tol=0.09, max_area=400, max_length_tol=0.03)
        distinct = set()
        for pair in distinct_pairs(*crystals, 2):
            nets = [plane_net(c, h).flat for c, h in zip(crystals, pair, strict=True)]
            for m in search(*(np.hstack([n, np.zeros((2, 1))]) for n in nets)):
                cells = [np.array(v)[:, :2] for v in (m.film_sl_vectors, m.substrate_sl_vectors)]
                a, b = (np.rint(c @ np.linalg.inv(n)) for c, n in zip(cells, nets, strict=True))
                minors = [np.linalg.det(a), np.linalg.det(b)]
                minors += [a[0, i] * b[1, j] - a[1, i] * b[0, j] for i in (0, 1) for j in (0, 1)]
                if np.gcd.reduce(np.rint(minors).astype(int)) == 1:
                    stretch = np.linalg.svd(np.linalg.solve(*cells), compute_uv=False)
                    area = abs(np.linalg.det(cells[0]))
                    distinct.add((*pair, round(area, 2), *np.round(stretch, 4)))
        return len(distinct)

    print(f"\nZSL loop: {benchmark.pedantic(loop, rounds=2)} matches")


def test_all_pairs_to_index_2_by_substrate_analyzer(benchmark) -> None:
    film, substrate = (Structure.from_file(str(find_structure(n))) for n in ("CsPbCl3", "PbS"))

    def search() -> int:
        analyzer = SubstrateAnalyzer(film_max_miller=2, substrate_max_miller=2)
        return len(list(analyzer.calculate(film, substrate, lowest=True)))

    print(f"\nSubstrateAnalyzer: {benchmark.pedantic(search, rounds=2)} matches, the smallest each")


def test_all_pairs_to_index_4(benchmark, crystals: tuple[Crystal, Crystal]) -> None:
    benchmark.pedantic(lambda: match(*crystals, max_index=4), rounds=3)


def test_registry_scan(benchmark, crystals: tuple[Crystal, Crystal]) -> None:
    """Both pairs of terminations, 2016 shifts and 117 gaps each."""
    (pair,) = match(*crystals, planes=MAIN)
    benchmark(lambda: scan(pair, crystals))
