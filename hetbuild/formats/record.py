"""Everything of a model that is not one value per atom, as plain JSON values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import numpy as np

from hetbuild.arrays import FloatArray, IntArray
from hetbuild.crystal.crystal import Crystal
from hetbuild.crystal.lattice import Coincidence, Direction
from hetbuild.errors import InputError
from hetbuild.model import Domain, Interface, LedgerEntry, Model

VERSION = 1


def to_record(model: Model) -> dict[str, Any]:
    """Domains with their crystals and frames, interface, ledger, provenance."""
    return {
        "version": VERSION,
        "domains": [_domain(d) for d in model.domains],
        "interface": None if model.interface is None else _interface(model.interface),
        "ledger": [list(asdict(e).values()) for e in model.ledger],
        "provenance": dict(model.provenance),
        "cell": None if model.cell is None else model.cell.tolist(),
        "periodic": model.periodic,
    }


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
        return Model(
            **atoms,
            domains=tuple(_to_domain(d) for d in record["domains"]),
            interface=None if record["interface"] is None else _to_interface(record["interface"]),
            ledger=tuple(_to_entry(e) for e in record["ledger"]),
            provenance=record["provenance"],
            cell=None if record.get("cell") is None else _floats(record["cell"]),
            periodic=_periodic(record),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"The hetbuild record is damaged: {error!r}.") from None


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
    vectors, origin = _floats(record["vectors"]), _floats(record["origin"])
    return Domain(record["name"], Crystal(**crystal), vectors, origin, record["datum"])


def _crystal(crystal: Crystal) -> dict[str, Any]:
    fields = {name: getattr(crystal, name) for name in crystal.__dataclass_fields__}
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in fields.items()}


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
    a, b = (tuple(p) for p in record["planes"])
    return Interface(
        domains=(record["domains"][0], record["domains"][1]),
        planes=(a, b),
        along=_to_coincidence(record["along"]),
        across=None if record["across"] is None else _to_coincidence(record["across"]),
        shift=(record["shift"][0], record["shift"][1]),
        gap=record["gap"],
    )


def _coincidence(pair: Coincidence) -> dict[str, Any]:
    directions = [[str(d.multiplier), list(d.uvw)] for d in (pair.first, pair.second)]
    return {"directions": directions, "counts": pair.counts, "lengths": pair.lengths}


def _to_coincidence(record: Mapping[str, Any]) -> Coincidence:
    first, second = (Direction(Fraction(m), tuple(uvw)) for m, uvw in record["directions"])
    return Coincidence(first, second, tuple(record["counts"]), tuple(record["lengths"]))


def _to_entry(values: list[Any]) -> LedgerEntry:
    step, action, element, domain, position, reason = values
    return LedgerEntry(step, action, element, domain, tuple(position), reason)


def _floats(values: Any) -> FloatArray:
    return np.array(values, dtype=np.float64)


def _integers(values: Any) -> IntArray:
    return np.array(values, dtype=np.int64)
