"""VESTA's native format: the model as it should look, ready to open.

Sections and their order are those of files VESTA 3.5.4 writes (Momma & Izumi, doi
10.1107/S0021889811038970). Sites are coloured by element with VESTA's own palette; the shared layer
is magenta and larger, ligands are darker and compensating ions paler than their element.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import count, product
from typing import TextIO

import numpy as np

from hetbuild.arrays import FloatArray, Plane
from hetbuild.crystal import lattice
from hetbuild.elements import A_CATIONS, number, symbol
from hetbuild.elements import MOLECULAR as IN_MOLECULES
from hetbuild.formats.box import box, in_cell
from hetbuild.formats.cif import labels
from hetbuild.formats.columns import rows
from hetbuild.formats.title import title
from hetbuild.formats.vesta_file import cell_vectors
from hetbuild.geometry.bonds import LIGANDS, MOLECULAR, ionic_limit
from hetbuild.geometry.view import View, view
from hetbuild.model import Model, Role

PALETTE: Mapping[str, tuple[float, int]] = {
    "H": (0.46, 0xffcccc), "Li": (1.57, 0x86e074), "C": (0.77, 0x804929), "N": (0.74, 0xb0b9e6),
    "O": (0.74, 0xfe0300), "F": (0.72, 0xb0b9e6), "Na": (1.91, 0xf9dc3c), "Mg": (1.60, 0xfb7b15),
    "Al": (1.43, 0x81b2d6), "P": (1.10, 0xc09cc2),
    "S": (1.04, 0xfffa00), "Cl": (0.99, 0x31fc02), "K": (2.35, 0xa121f6),
    "Ca": (1.97, 0x5a96bd), "Mn": (1.37, 0xa8089e), "Cu": (1.28, 0x2247dc),
    "Zn": (1.37, 0x8f8f81), "Ga": (1.53, 0x9ee373), "Ge": (1.22, 0x7e6ea6),
    "As": (1.21, 0x74d057),
    "Se": (1.04, 0x9aef0f), "Br": (1.14, 0x7e3102), "Rb": (2.50, 0xff0099),
    "Sr": (2.15, 0x00ff26), "Ag": (1.44, 0xb7bbbd), "Cd": (1.52, 0xf21edc),
    "In": (1.67, 0xd780bb), "Sn": (1.58, 0x9a8eb9), "Sb": (1.41, 0xd7834f),
    "Te": (1.37, 0xada251), "I": (1.33, 0x8e1f8a), "Cs": (2.72, 0x0efeb9),
    "Ba": (2.24, 0x1eef2c), "Hg": (1.55, 0xd3b7cb), "Tl": (1.71, 0x95896c),
    "Pb": (1.75, 0x52535b), "Bi": (1.82, 0xd22ff7),
}  # fmt: skip
"""Atomic radius in Å and colour of each element as VESTA 3.5.4 ships them."""

MARKS: Mapping[Role, str] = {
    Role.LATTICE: "",
    Role.SHARED: "_shared",
    Role.LIGAND: "_ligand",
    Role.COMPENSATION: "_comp",
}
"""What the label of a site ends in, by role."""

SHARED_SIZE = 1.2
"""Times its radius that a cation of the shared layer is drawn with."""

BETWEEN = " | "
"""Between the parts of the title."""

PLANE_COLOUR = (255, 0, 255, 96)
"""Red, green, blue, opacity of the interface plane."""


def write_vesta(model: Model, stream: TextIO, *, vacuum: float = 10.0) -> None:
    """A .vesta file of the model in the box of its CIF. vacuum: Å on every side."""
    cell, shift = box(model, vacuum)
    marks = {int(r): mark for r, mark in MARKS.items()}
    sites = [a + marks[r] for a, r in zip(labels(model), model.role.tolist(), strict=True)]
    seen = view(model)
    # From the model's axes to VESTA's, which differ where a periodic model has been turned.
    standard = np.linalg.inv(cell) @ cell_vectors(lattice.parameters(cell))
    stream.write("#VESTA_FORMAT_VERSION 3.5.4\n\n\nCRYSTAL\n\n")
    stream.write(_title(model))
    stream.write(SYMMETRY)
    stream.write(_row("CELLP\n", lattice.parameters(cell), "11.6f"))
    stream.write(_row("", 6 * [0.0], "11.6f"))
    stream.writelines(_structure(model, sites, in_cell(model.positions + shift, cell)))
    stream.write(BOUNDARY)
    stream.writelines(_bonds(model))
    stream.writelines(_site_styles(model, sites))
    stream.write("VECTR\n 0 0 0 0 0\nVECTT\n 0 0 0 0 0\n")
    stream.write(_planes(seen, cell, shift))
    stream.write(HIDDEN)
    stream.writelines(_element_styles(model))
    stream.writelines(_scene(seen.axes @ standard))
    stream.write(STYLE)


def _title(model: Model) -> str:
    """Title, formula and citations on one line: VESTA's title is no longer than that."""
    recipe = model.provenance.get("recipe", {})
    cited = [f"Cite: {reference}" for reference in recipe.get("references", ())]
    roles = "Colours: shared layer magenta, ligands dark, compensating ions pale"
    whole = BETWEEN.join([f"{title(model)}: {model.formula}", *cited, roles])
    return "TITLE\n" + " ".join(whole.split()) + "\n\n"


def _structure(model: Model, sites: Sequence[str], fractional: FloatArray) -> Iterator[str]:
    yield "STRUC\n"
    kinds = {int(z): symbol(z) for z in np.unique(model.numbers)}
    row = "%5d %-2s %10s 1.0000 %.9f %.9f %.9f  1a  1\n"
    row += f"{0:28.6f} {0:10.6f} {0:10.6f} %.2f\n"
    names = (kinds[z] for z in model.numbers.tolist())
    yield from rows(row, count(1), names, sites, *fractional.T, model.charges)
    yield "  0 0 0 0 0 0 0\nTHERI 1\n"
    yield from rows("%5d %10s 1.000000\n", count(1), sites)
    yield "  0 0 0\n"


def bond_limits(model: Model) -> dict[tuple[str, str], float]:
    """Longest bond in Å of each pair of cation and anion in the model, A cations left out."""
    signs = {
        symbol(int(z)): int(np.sign(model.charges[model.numbers == z].sum()))
        for z in np.unique(model.numbers)
    }
    pairs = {
        (c, a): limit
        for c, a in product(signs, signs)
        if signs[c] > 0 > signs[a] and c not in (*A_CATIONS, *IN_MOLECULES)
        if (limit := ionic_limit(c, a)) is not None
    }
    known = {**MOLECULAR, **(LIGANDS if model.molecule.any() else {})}
    inside = {p: d for p, d in known.items() if set(p) <= set(signs)}
    return dict(sorted(pairs.items(), key=lambda p: (-number(p[0][0]), p[0][1]))) | inside


def _bonds(model: Model) -> Iterator[str]:
    """Search for A2 around A1, beyond the box only if it repeats; polyhedra around cations."""
    beyond = int(any(model.periodic))
    yield "SBOND\n"
    for i, ((a, b), limit) in enumerate(bond_limits(model).items(), 1):
        polyhedra = int((a, b) not in MOLECULAR and (a, b) not in LIGANDS)
        yield f"{i:3d} {a:>2s} {b:>2s} 0.00000 {limit:9.5f} 0 {beyond} {polyhedra} 0 1 "
        yield "0.150 2.000 127 127 127\n"
    yield "  0 0 0 0\n"


def style(element: str, role: Role = Role.LATTICE) -> tuple[float, Plane]:
    """Radius in Å and colour of a site by its element and role."""
    radius, colour = PALETTE.get(element) or _jmol(element)
    r, g, b = colour >> 16, colour >> 8 & 255, colour & 255
    match role:
        case Role.SHARED:
            return SHARED_SIZE * radius, (255, 0, 255)
        case Role.LIGAND:
            return radius, (r * 11 // 20, g * 11 // 20, b * 11 // 20)
        case Role.COMPENSATION:
            return radius, ((r + 510) // 3, (g + 510) // 3, (b + 510) // 3)
        case _:
            return radius, (r, g, b)


def _jmol(element: str) -> tuple[float, int]:
    """Covalent radius and Jmol's colour, for elements the palette leaves out."""
    from ase.data import covalent_radii
    from ase.data.colors import jmol_colors

    z = min(number(element), len(jmol_colors) - 1)
    r, g, b = (round(255 * c) for c in jmol_colors[z])
    return float(covalent_radii[z]), r << 16 | g << 8 | b


def _site_styles(model: Model, sites: Sequence[str]) -> Iterator[str]:
    yield "SITET\n"
    looks = list(zip(model.numbers.tolist(), model.role.tolist(), strict=True))
    styled = {(z, r): _styled(symbol(z), Role(r)) for z, r in set(looks)}
    yield from rows("%5d %10s %s 0\n", count(1), sites, (styled[x] for x in looks))
    yield "  0 0 0 0 0 0\n"


def _element_styles(model: Model) -> Iterator[str]:
    yield "ATOMT\n"
    _, first = np.unique(model.numbers, return_index=True)
    kinds = [symbol(model.numbers[k]) for k in np.sort(first)]
    for i, element in enumerate(kinds, 1):
        yield f"{i:3d} {element:>2s} {_styled(element, Role.LATTICE)}\n"
    yield "  0 0 0 0 0 0\n"


def _styled(element: str, role: Role) -> str:
    radius, (r, g, b) = style(element, role)
    return f"{radius:.4f} {r:3d} {g:3d} {b:3d} {r:3d} {g:3d} {b:3d} 204"


def _planes(seen: View, cell: FloatArray, shift: FloatArray) -> str:
    if seen.plane is None:
        return "SPLAN\n  0 0 0 0\n"
    normal, point = seen.plane
    hkl = cell @ normal
    hkl /= np.abs(hkl).max()
    indices = " ".join(f"{h:.6g}" for h in np.where(np.abs(hkl) < 1e-6, 0.0, hkl))
    r, g, b, a = PLANE_COLOUR
    return f"SPLAN\n  1 {indices} {normal @ (point + shift):.6f} {r} {g} {b} {a}\n  0 0 0 0\n"


def _scene(axes: FloatArray) -> Iterator[str]:
    yield "SCENE\n"
    for row in axes:
        yield _row("", [*row, 0.0], "9.6f")
    yield " 0.000000  0.000000  0.000000  1.000000\n  0.000   0.000\n  0.000\n  1.000\n"


def _row(start: str, values: Sequence[float], form: str) -> str:
    return start + " ".join(f"{round(v, 6) + 0.0:{form}}" for v in values) + "\n"


SYMMETRY = """\
GROUP
1 1 P 1
SYMOP
 0.000000  0.000000  0.000000  1  0  0   0  1  0   0  0  1   1
 -1.0 -1.0 -1.0  0 0 0  0 0 0  0 0 0
TRANM 0
 0.000000  0.000000  0.000000  1  0  0   0  1  0   0  0  1
LTRANSL
 -1
 0.000000  0.000000  0.000000  0.000000  0.000000  0.000000
LORIENT
 -1   0   0   0   0
 1.000000  0.000000  0.000000  1.000000  0.000000  0.000000
 0.000000  0.000000  1.000000  0.000000  0.000000  1.000000
LMATRIX
 1.000000  0.000000  0.000000  0.000000
 0.000000  1.000000  0.000000  0.000000
 0.000000  0.000000  1.000000  0.000000
 0.000000  0.000000  0.000000  1.000000
 0.000000  0.000000  0.000000
"""
"""P1, in VESTA's standard orientation."""

BOUNDARY = """\
SHAPE
  0       0       0       0   0.000000  0   192   192   192   192
BOUND
       0        1         0        1         0        1
  0   0   0   0  0
"""
"""One box."""

HIDDEN = """\
LBLAT
 -1
LBLSP
 -1
DLATM
 -1
DLBND
 -1
DLPLY
 -1
PLN2D
  0   0   0   0
"""
"""Nothing labelled, nothing hidden."""

LIGHT_PLACE = """\
 1.000000  0.000000  0.000000  0.000000
 0.000000  1.000000  0.000000  0.000000
 0.000000  0.000000  1.000000  0.000000
 0.000000  0.000000  0.000000  1.000000
 0.000000  0.000000 20.000000  0.000000
 0.000000  0.000000 -1.000000
"""

LIGHT_OFF = "   0   0   0   0\n" * 3

STYLE = f"""\
HBOND 0 2

STYLE
DISPF 37753794
MODEL   2  1  0
SURFS   0  1  1
SECTS  32  1
FORMS   0  1
ATOMS   0  0  1
BONDS   1
POLYS   1
VECTS 1.000000
FORMP
  1  1.0   0   0   0
ATOMP
 24  24   0  50  2.0   0
BONDP
  1  16  0.250  2.000 127 127 127
POLYP
 120 1  1.000 180 180 180
ISURF
  0   0   0   0
TEX3P
  1  0.00000E+00  1.00000E+00
SECTP
  1  0.00000E+00  1.00000E+00  0.00000E+00  0.00000E+00  0.00000E+00  0.00000E+00
CONTR
 0.1 -1 1 1 10 -1 2 5
 2 1 2 1
   0   0   0
   0   0   0
   0   0   0
   0   0   0
HKLPP
 192 1  1.000 255   0 255
UCOLP
   0   1  1.000   0   0   0
COMPS 1
LABEL 1    12  1.000 0
PROJT 0  0.962
BKGRC
 255 255 255
DPTHQ 1 -0.5000  3.5000
LIGHT0 1
{LIGHT_PLACE}  26  26  26 255
 179 179 179 255
 255 255 255 255
LIGHT1
{LIGHT_PLACE}{LIGHT_OFF}LIGHT2
{LIGHT_PLACE}{LIGHT_OFF}LIGHT3
{LIGHT_PLACE}{LIGHT_OFF}SECCL 0

TEXCL 0

ATOMM
 204 204 204 255
  25.600
BONDM
 255 255 255 255
 128.000
POLYM
 255 255 255 255
 128.000
SURFM
   0   0   0 255
 128.000
FORMM
 255 255 255 255
 128.000
HKLPM
 255 255 255 255
 128.000
"""
"""Polyhedra with balls and sticks; all else as VESTA starts."""
