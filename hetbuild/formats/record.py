"""Everything of a model that is not one value per atom, as plain JSON values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from fractions import Fraction
from typing import Any

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import Coincidence, Direction, check_plane
from hetbuild.crystal.setting import CENTRING
from hetbuild.elements import number
from hetbuild.errors import InputError
from hetbuild.model import Domain, Interface, LedgerEntry, Model
from hetbuild.names import check_name, shown
from hetbuild.numerals import MOST_CHARGE, rounded

VERSION = 1

STRAINED = 0.4
"""Largest strain of a domain's frame against its crystal; coherent interfaces have a few %."""

FAR = 1e6
"""Å: no model reaches so far, and positions beyond are not exact to the 1e-8 Å of its files."""


DECIMALS = 10
"""Of numbers in a record: frames place a particle of 100 cells to the 1e-8 Å of its positions."""


def to_record(model: Model) -> dict[str, Any]:
    """Domains with their crystals and frames, interface, ledger, provenance."""
    own = {
        "version": VERSION,
        "domains": [_domain(d) for d in model.domains],
        "interface": None if model.interface is None else _interface(model.interface),
        **_further(model),
        "ledger": [[getattr(e, f.name) for f in fields(e)] for e in model.ledger],
        "provenance": _told(model.provenance),
        "cell": None if model.cell is None else model.cell.tolist(),
        "periodic": model.periodic,
    }
    return {k: v if k == "provenance" else rounded(v, DECIMALS) for k, v in own.items()}


def _told(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Provenance with what steps measured rounded; what was asked stays as it was given."""
    if "steps" not in provenance:
        return dict(provenance)
    steps = [s | {"done": rounded(s["done"], DECIMALS)} for s in provenance["steps"]]
    return {**provenance, "steps": steps}


def from_record(record: Mapping[str, Any], atoms: Mapping[str, Any]) -> Model:
    """The model of a record and its per-atom arrays, named as the fields of Model.

    Raises
    ------
    InputError
        The record is of another version, or incomplete.
    """
    if record.get("version") != VERSION:
        raise InputError(
            f"Record of version {record.get('version')!r}; this hetbuild reads version {VERSION}."
        )
    try:
        model = Model(
            **atoms,
            domains=tuple(_to_domain(d) for d in record["domains"]),
            interface=None if record["interface"] is None else _to_interface(record["interface"]),
            further_interfaces=tuple(map(_to_interface, record.get("further_interfaces", ()))),
            ledger=tuple(_to_entry(e) for e in record["ledger"]),
            provenance=_provenance(record["provenance"]),
            cell=None if record.get("cell") is None else _cell(record["cell"]),
            periodic=_periodic(record),
        )
        _check(model)
    except (AttributeError, KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        raise InputError(
            f"The hetbuild record is damaged ({_short(error)}): write the file anew with hetbuild, "
            "or name the crystals it is made of with --crystals A,B."
        ) from None
    return model


def _short(error: Exception) -> str:
    """What is wrong, on one line: damaged files put anything into an exception."""
    return " ".join(f"{type(error).__name__}: {str(error)[:200]}".split())


def _check(model: Model) -> None:
    """Refuse what no model can be: ValueError."""
    names = [d.name for d in model.domains]
    if len(set(names)) < len(names) or not names:
        raise ValueError(f"domains {', '.join(names) or 'none'}")
    held = {names[i] for i in np.unique(model.domain) if i < len(names)}
    for interface in model.interfaces:
        if not set(interface.domains) <= held or len(set(interface.domains)) < 2:
            raise ValueError(
                f"an interface is between {', '.join(interface.domains)}, and there are atoms of "
                f"{', '.join(sorted(held))}"
            )
    if (model.cell is None) != (not any(model.periodic)):
        raise ValueError("a cell goes with directions in which the model repeats")
    if not np.isfinite(model.positions).all() or np.abs(model.positions).max(initial=0.0) > FAR:
        raise ValueError(f"positions must be numbers, within {FAR:g} Å")


def _provenance(record: Any) -> Mapping[str, Any]:
    """Checked as far as anything relies on it."""
    if not isinstance(record, dict):
        raise TypeError("provenance is no mapping")
    recipe, steps = record.get("recipe", {}), record.get("steps", [])
    check_name(recipe.get("name", "model"), "recipe")
    for text in (recipe.get("title", ""), *recipe.get("references", ())):
        _text(text)
    for step in steps:
        asked, done = step["asked"], step["done"]
        _text(asked["action"]), _text(asked["domain"])
        if not all(isinstance(part, dict) for part in done):
            raise TypeError("a step says not what it did")
    return record


def _text(value: Any) -> str:
    """One line of text without control characters: it is printed, and put into other files."""
    if not isinstance(value, str) or not value.isprintable():
        raise ValueError(f"{shown(value)} is no line of text")
    return value


def _periodic(record: Mapping[str, Any]) -> tuple[bool, bool, bool]:
    a, b, c = record.get("periodic", (False, False, False))
    return bool(a), bool(b), bool(c)


def _domain(domain: Domain) -> dict[str, Any]:
    return {
        "name": domain.name,
        "crystal": _crystal(domain.crystal),
        "vectors": domain.vectors.tolist(),
        "origin": domain.origin.tolist(),
        "datum": domain.datum,
    }


def _to_domain(record: Mapping[str, Any]) -> Domain:
    crystal = dict(record["crystal"])
    for key in ("numbers", "charges", "rotations"):
        crystal[key] = _integers(crystal[key])
    for key in ("vectors", "fractional"):
        crystal[key] = _floats(crystal[key])
    crystal["labels"] = tuple(crystal["labels"])
    crystal["guessed"] = tuple(crystal.get("guessed", ()))
    foreign = crystal.get("foreign_charges", {})
    if not isinstance(foreign, dict) or any(type(e) is not int for e in foreign.values()):
        raise TypeError("the charges of elements that the crystal has none of are no whole numbers")
    for element in (*crystal["guessed"], *foreign):
        number(element)
    bulk = _checked(Crystal(**crystal))
    vectors, origin, datum = _cell(record["vectors"]), _floats(record["origin"]), record["datum"]
    stretch = np.linalg.svd(np.linalg.inv(bulk.vectors) @ vectors, compute_uv=False)
    if not np.abs(stretch - 1.0).max() < STRAINED:
        raise ValueError(f"the frame of {bulk.name} is not that of its cell")
    fits = origin.shape == (3,) and (np.abs(origin) < FAR).all() and isinstance(datum, int)
    if not fits or not 0 <= datum < len(bulk.numbers):
        raise ValueError(f"the frame of {bulk.name} is none")
    return Domain(record["name"], bulk, vectors, origin, datum)


def _checked(bulk: Crystal) -> Crystal:
    """Refuse what no crystal can be: ValueError."""
    n = len(bulk.numbers)
    shapes = {
        "fractional": (n, 3), "charges": (n,), "rotations": (len(bulk.rotations), 3, 3),
        "vectors": (3, 3),
    }  # fmt: skip
    for name, shape in shapes.items():
        if getattr(bulk, name).shape != shape:
            raise ValueError(f"{name} of {bulk.name} have shape {getattr(bulk, name).shape}")
    if len(bulk.labels) != n or bulk.space_group[0] not in CENTRING or not len(bulk.rotations):
        raise ValueError(f"the sites and symmetry of {bulk.name} do not agree")
    if not 0 < bulk.numbers.min() <= bulk.numbers.max() < 119:
        raise ValueError(f"{bulk.name} has sites of no element")
    if not (np.abs(bulk.charges) <= MOST_CHARGE).all() or not (np.abs(bulk.fractional) < 2).all():
        raise ValueError(f"{bulk.name} has sites that are none")
    distinct = np.unique(bulk.rotations, axis=0)
    if len(distinct) < len(bulk.rotations) or not np.isin(distinct, (-1, 0, 1)).all():
        raise ValueError(f"the point group of {bulk.name} is none")
    metric = _cell(bulk.vectors) @ bulk.vectors.T
    images = np.swapaxes(bulk.rotations, 1, 2) @ metric @ bulk.rotations
    if not np.abs(images - metric).max() < 1e-2 * metric.max():
        raise ValueError(f"the point group of {bulk.name} does not fit its cell")
    _text(bulk.source), _text(bulk.status), _text(bulk.sha256)
    return bulk


def _crystal(crystal: Crystal) -> dict[str, Any]:
    fields = {name: getattr(crystal, name) for name in crystal.__dataclass_fields__}
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in fields.items()}


def _further(model: Model) -> dict[str, Any]:
    """Interfaces beyond the first: records of models without them have no such key."""
    further = [_interface(i) for i in model.further_interfaces]
    return {"further_interfaces": further} if further else {}


def _interface(interface: Interface) -> dict[str, Any]:
    return {
        "domains": interface.domains,
        "planes": [[int(i) for i in p] for p in interface.planes],
        "along": _coincidence(interface.along),
        "across": None if interface.across is None else _coincidence(interface.across),
        "shift": interface.shift,
        "gap": interface.gap,
    }


def _to_interface(record: Mapping[str, Any]) -> Interface:
    (h, k, l), (m, n, o) = (check_plane(p).tolist() for p in record["planes"])  # noqa: E741
    return Interface(
        domains=(record["domains"][0], record["domains"][1]),
        planes=((h, k, l), (m, n, o)),
        along=_to_coincidence(record["along"]),
        across=None if record["across"] is None else _to_coincidence(record["across"]),
        shift=(_number(record["shift"][0]), _number(record["shift"][1])),
        gap=_number(record["gap"]),
    )


def _coincidence(pair: Coincidence) -> dict[str, Any]:
    directions = [[str(d.multiplier), list(d.uvw)] for d in (pair.first, pair.second)]
    return {"directions": directions, "counts": pair.counts, "lengths": pair.lengths}


def _to_coincidence(record: Mapping[str, Any]) -> Coincidence:
    first, second = (_direction(m, uvw) for m, uvw in record["directions"])
    a, b = record["counts"]
    x, y = record["lengths"]
    return Coincidence(first, second, (int(a), int(b)), (_number(x), _number(y)))


def _direction(multiplier: str, uvw: list[int]) -> Direction:
    if not re.fullmatch(r"[0-9]{1,6}(/[0-9]{1,6})?", multiplier):
        raise ValueError(f"{shown(multiplier)} is how often no direction is taken")
    u, v, w = (int(i) for i in uvw)
    if not 0 < max(abs(u), abs(v), abs(w)) < FAR:
        raise ValueError(f"{shown(uvw)} is no direction")
    return Direction(Fraction(multiplier), (u, v, w))


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < FAR:
        raise ValueError(f"{shown(value)} is no number within {FAR:g}")
    return float(value)


def _to_entry(values: list[Any]) -> LedgerEntry:
    step, action, element, domain, position, reason = values
    for text in (step, action, element, domain, reason):
        _text(text)
    x, y, z = map(_number, position)
    return LedgerEntry(step, action, element, domain, (x, y, z), reason)


def _cell(values: Any) -> FloatArray:
    """Three vectors as rows that span a volume, Å, shape (3, 3)."""
    vectors = _floats(values)
    size = np.abs(vectors).max(initial=0.0)
    if vectors.shape != (3, 3) or not 0.1 < size < FAR:
        raise ValueError("a cell takes three vectors")
    if abs(np.linalg.det(vectors / size)) < 1e-6:
        raise ValueError("the vectors of a cell lie in a plane")
    return vectors


def _floats(values: Any) -> FloatArray:
    return np.array(values, dtype=np.float64)


def _integers(values: Any) -> IntArray:
    return np.array(values, dtype=np.int64)
