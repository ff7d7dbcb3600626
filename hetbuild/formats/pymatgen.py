"""Models as pymatgen molecules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hetbuild.elements import symbol
from hetbuild.errors import InputError
from hetbuild.model import Model, Role

if TYPE_CHECKING:
    from pymatgen.core import Molecule


def to_pymatgen(model: Model) -> Molecule:
    """Molecule with site properties domain, role and formal_charge (e).

    Raises
    ------
    InputError
        pymatgen is not installed.
    """
    try:
        from pymatgen.core import Molecule
    except ImportError:
        raise InputError("pymatgen is not installed: pip install 'hetbuild[pymatgen]'.") from None
    names = [d.name for d in model.domains]
    return Molecule(
        [symbol(z) for z in model.numbers],
        model.positions,
        charge=model.charge,
        spin_multiplicity=None,
        charge_spin_check=False,
        site_properties={
            "domain": [names[i] for i in model.domain],
            "role": [Role(r).label for r in model.role],
            "formal_charge": [int(q) for q in model.charges],
        },
    )
