"""Filling: a model on whose sites ligands are put, kind by kind, and what came of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hetbuild.arrays import FloatArray, IntArray, Progress
from hetbuild.balancing.balance import change
from hetbuild.balancing.candidates import Move
from hetbuild.capping.add import Add
from hetbuild.capping.binding import OFF
from hetbuild.capping.molecule import Ligand
from hetbuild.capping.placement import Pose, place
from hetbuild.capping.room import Surroundings
from hetbuild.elements import symbol
from hetbuild.errors import ImpossibleError, InputError
from hetbuild.exchanging.selection import select, share
from hetbuild.model import LedgerEntry, Model, Role
from hetbuild.selection.language import parse_selection
from hetbuild.selection.order import parse_order
from hetbuild.selection.places import Places, chosen, explained

SECOND = 5.0
"""Å that ligands may stand off an ion that stays, or that two replace."""

STANDS = 0.1
"""Å within which an atom of the model is the ion that was there before."""


@dataclass(frozen=True, slots=True)
class Attached:
    """What came of one `Add`."""

    ligand: str
    smiles: str
    anchor: str
    available: int
    """Ions the selection meant."""
    asked: int
    """Of them, how many were to be taken."""
    sites: int
    """How many were."""
    molecules: tuple[int, int]
    """First and last molecule of this kind; the last is smaller where there is none."""
    modes: dict[str, int]
    """Molecules by the way they are bound."""
    bent: int
    """Of them, those that fit only after their tails were bent."""
    no_room: tuple[tuple[str, float, float, float], ...]
    """Ion and place in Å of each site that was tried and has no room."""

    @property
    def placed(self) -> int:
        """Molecules."""
        return self.molecules[1] - self.molecules[0] + 1


class Filling:
    """The model as it is filled, kind by kind."""

    def __init__(
        self, model: Model, order: str, seed: int, clearance: float, progress: Progress
    ) -> None:
        self.model = model
        self.order, self.seed, self.clearance = order, seed, clearance
        self.progress, self.share = progress, (0, 1)
        self.ions = np.flatnonzero(model.molecule == 0)
        charges = np.where(model.molecule > 0, 0, model.charges)
        self.around = Surroundings(model.numbers, model.positions, charges)
        self.taken = np.zeros(len(model), dtype=bool)
        self.first = int(model.molecule.max(initial=0))
        self.added: list[tuple[Ligand, int, FloatArray]] = []
        self.ledger: list[LedgerEntry] = []
        self.kinds: list[dict[str, Any]] = []

    def attached(self, add: Add, ligand: Ligand) -> Attached:
        """Molecules of one kind put on their sites."""
        sites = self._eligible(add, ligand)
        asked = add.count
        if asked is None:
            asked = share(1.0 if add.fraction is None else add.fraction, len(sites))
        if asked > len(sites):
            raise ImpossibleError(
                f"{asked} {add.ligand} were asked for on {add.on!r}, which means {len(sites)} ions "
                "that are free: ask for fewer, or select more."
            )
        start, full, bent, failed = self._count(), 0, 0, []
        modes: Counter[str] = Counter()
        for site in self._ordered(add, sites, asked):
            if full == asked:
                break
            poses = self._put(add, ligand, int(site))
            if poses is None:
                failed.append(int(site))
                continue
            full += 1
            modes.update(p.mode for p in poses)
            bent += sum(p.bent for p in poses)
            self._tell(full / max(asked, 1))
        last = self._count()
        self.kinds.append(_kind(ligand, start + 1, last))
        places = tuple(self._named(site) for site in failed)
        return Attached(
            ligand.name, ligand.smiles, ligand.anchor, len(sites), asked, full,
            (start + 1, last), dict(sorted(modes.items())), bent, places,
        )  # fmt: skip

    def _named(self, site: int) -> tuple[str, float, float, float]:
        x, y, z = np.round(self.model.positions[site], 3).tolist()
        return symbol(int(self.model.numbers[site])), x, y, z

    def _count(self) -> int:
        return self.first + len(self.added)

    def _tell(self, part: float) -> None:
        if self.progress is not None:
            k, n = self.share
            self.progress((k + part) / n)

    def _eligible(self, add: Add, ligand: Ligand) -> IntArray:
        """Ions a selection means that are still there, and whose charge fits."""
        ions = np.flatnonzero(~self.taken & (self.model.molecule == 0))
        places = Places.of(self.model, ions)
        selection = parse_selection(add.on)
        sites = ions[chosen(selection, places)]
        if not len(sites):
            raise ImpossibleError(
                f"No ion is left for {add.ligand} on {add.on!r}: {explained(selection, places)}."
            )
        charges = self.model.charges[sites]
        fits = charges > 0 if ligand.charge == 0 else np.isin(charges / ligand.charge, (1, 2))
        if not fits.all():
            wrong = sites[~fits][0]
            ion = f"{symbol(int(self.model.numbers[wrong]))} of {self.model.charges[wrong]:+d} e"
            what = (
                "neutral and binds to cations"
                if ligand.charge == 0
                else f"of {ligand.charge:+d} e: one takes the place of an ion of as much, two that "
                f"of one of {2 * ligand.charge:+d} e"
            )
            raise InputError(
                f"{add.ligand} on {add.on!r}: {(~fits).sum()} of the {len(sites)} ions do not fit, "
                f"as {ion}: {ligand.name} is {what}. Name the element in the selection."
            )
        return sites

    def _ordered(self, add: Add, sites: IntArray, count: int) -> IntArray:
        """The sites an order takes first, then the others in case some have no room."""
        tie = parse_order(self.order, tie="spread", seed=self.seed).tie
        if tie in ("symmetric", "lowest energy"):
            first = self._balanced(add, sites, count)
        else:
            first = select(self.model, sites, count, self.order or "spread", self.seed)
        rest = np.setdiff1d(sites, first)
        return np.concatenate([first, np.random.default_rng(self.seed).permutation(rest)])

    def _balanced(self, add: Add, sites: IntArray, count: int) -> IntArray:
        """Ions in whole orbits of the point group, or that cost the least energy to take out.

        Their choice is that of the balancing for ions that leave: ligands bring the charge back.
        """
        z, d = np.unique(self.model.numbers[sites]), np.unique(self.model.domain[sites])
        if len(z) > 1 or len(d) > 1:
            raise InputError(
                f"{add.ligand} on {add.on!r}: order {self.order!r} takes the ions of one element "
                "in one domain; name both in the selection, or order by 'spread' or 'random'."
            )
        from scipy.spatial import cKDTree

        left = np.flatnonzero(~self.taken & (self.model.molecule == 0))
        core = self.model.where(np.isin(np.arange(len(self.model)), left))
        name = self.model.domains[int(d[0])].name
        move = Move(
            "remove", symbol(int(z[0])), name, which=add.on, order=self.order, seed=self.seed
        )
        stay = change(core, move, count)
        distance, _ = cKDTree(stay.positions).query(core.positions)
        return np.asarray(left[distance > STANDS])

    def _put(self, add: Add, ligand: Ligand, site: int) -> list[Pose] | None:
        """Molecules in the place of one ion, or on it; None, and nothing changed: no room."""
        on_top = ligand.charge == 0
        molecules = 1 if on_top else int(self.model.charges[site]) // ligand.charge
        self.around.gone[site] = not on_top
        poses: list[Pose] = []
        for k in range(molecules):
            pose = place(
                ligand,
                self.model.positions[site],
                self.around,
                self.ions,
                mode=add.mode,
                on_top=on_top,
                off=SECOND if molecules > 1 or on_top else OFF,
                clearance=self.clearance,
            )
            if pose is None:
                for _ in range(k):
                    self.around.drop_last(len(ligand))
                self.around.gone[site] = False
                return None
            poses.append(pose)
            self.around.add(ligand.numbers, pose.positions)
        self.taken[site] = True
        self.added += [(ligand, int(self.model.domain[site]), p.positions) for p in poses]
        self.ledger.append(self._entry(ligand, site, poses, on_top))
        return poses

    def _entry(self, ligand: Ligand, site: int, poses: list[Pose], on_top: bool) -> LedgerEntry:
        x, y, z = map(float, self.model.positions[site])
        ion = symbol(int(self.model.numbers[site]))
        name = self.model.domains[int(self.model.domain[site])].name
        what = ligand.name if len(poses) == 1 else f"{len(poses)} {ligand.name}"
        how = ", ".join(p.mode for p in poses)
        if on_top:
            return LedgerEntry("ligands", "add", what, name, (x, y, z), f"{how} on {ion}")
        return LedgerEntry("ligands", "swap", f"{ion}>{what}", name, (x, y, z), how)

    def result(self) -> Model:
        """The model without the ions that left and with all molecules, its ledger and bonds."""
        model = self.model.where(~self.around.gone[: len(self.model)])
        if self.added:
            sizes = [len(ligand) for ligand, _, _ in self.added]
            model = model.extended(
                numbers=np.concatenate([ligand.numbers for ligand, _, _ in self.added]),
                positions=np.concatenate([positions for _, _, positions in self.added]),
                charges=np.concatenate([ligand.charges for ligand, _, _ in self.added]),
                domain=np.repeat([d for _, d, _ in self.added], sizes),
                role=np.full(sum(sizes), Role.LIGAND),
                molecule=np.repeat(np.arange(len(sizes)) + self.first + 1, sizes),
                on_sites=False,
            )
        known = dict(model.provenance)
        known["ligands"] = [*known.get("ligands", []), *self.kinds]
        return replace(model, ledger=(*model.ledger, *self.ledger), provenance=known)


def _kind(ligand: Ligand, first: int, last: int) -> dict[str, Any]:
    """What files keep of a kind: its graph, and which molecules are of it."""
    return {
        "name": ligand.name,
        "smiles": ligand.smiles,
        "numbers": ligand.numbers.tolist(),
        "charges": ligand.charges.tolist(),
        "bonds": ligand.bonds.tolist(),
        "donors": ligand.donors.tolist(),
        "molecules": [first, last],
    }
