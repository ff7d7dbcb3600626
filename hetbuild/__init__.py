"""Build atomistic models of colloidal nanocrystal heterostructures, ready for DFT.

    import hetbuild as hb

    model = hb.build("cspbcl3-pbs")
    model.write("model.vesta")
    atoms = model.to_ase()

Every public name is in `__all__` and documented with an example; its module is read when the name
is first used, so that importing hetbuild costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # type checkers know the name; typing itself is slow to read
if TYPE_CHECKING:
    from typing import Any

    from hetbuild.analyse.comparison import Comparison as Comparison
    from hetbuild.analyse.report import Report as Report
    from hetbuild.analyse.report import inspect as inspect
    from hetbuild.assemble.carve import carve as carve
    from hetbuild.assemble.cut import cut as cut
    from hetbuild.assemble.join import join as join
    from hetbuild.assemble.orientation import Orientation as Orientation
    from hetbuild.assemble.orientation import align as align
    from hetbuild.assemble.orientation import anchored as anchored
    from hetbuild.assemble.polyhedron import Facet as Facet
    from hetbuild.assemble.registry import Registry as Registry
    from hetbuild.assemble.registry import Window as Window
    from hetbuild.assemble.registry import search_registry as search_registry
    from hetbuild.balancing.balance import balance as balance
    from hetbuild.balancing.candidates import Move as Move
    from hetbuild.balancing.target import Target as Target
    from hetbuild.crystal.crystal import Crystal as Crystal
    from hetbuild.diffraction.pdf import pdf as pdf
    from hetbuild.diffraction.xrd import xrd as xrd
    from hetbuild.domain import Domain as Domain
    from hetbuild.domain import Role as Role
    from hetbuild.errors import CheckError as CheckError
    from hetbuild.errors import HetbuildError as HetbuildError
    from hetbuild.errors import ImpossibleError as ImpossibleError
    from hetbuild.errors import InputError as InputError
    from hetbuild.geometry.contacts import Floors as Floors
    from hetbuild.library import recipes as recipes
    from hetbuild.library import structures as structures
    from hetbuild.matching.matches import Match as Match
    from hetbuild.matching.search import match as match
    from hetbuild.microscopy.fourier import spectrum as spectrum
    from hetbuild.microscopy.image import image as image
    from hetbuild.model import Model as Model
    from hetbuild.recipe.read import read_recipe as read_recipe
    from hetbuild.recipe.run import build as build
    from hetbuild.recipe.schema import Recipe as Recipe
    from hetbuild.relaxing.relaxation import relax as relax
    from hetbuild.relaxing.report import before_after as before_after
    from hetbuild.verbs import compare as compare
    from hetbuild.verbs import etch as etch
    from hetbuild.verbs import exchange as exchange
    from hetbuild.verbs import ligands as ligands
    from hetbuild.verbs import read_model as read_model
    from hetbuild.verbs import report as report

__version__ = "0.1.0"

_MODULES = {
    "CheckError": "errors",
    "Comparison": "analyse.comparison",
    "Crystal": "crystal.crystal",
    "Domain": "domain",
    "Facet": "assemble.polyhedron",
    "Floors": "geometry.contacts",
    "HetbuildError": "errors",
    "ImpossibleError": "errors",
    "InputError": "errors",
    "Match": "matching.matches",
    "Model": "model",
    "Move": "balancing.candidates",
    "Orientation": "assemble.orientation",
    "Recipe": "recipe.schema",
    "Registry": "assemble.registry",
    "Report": "analyse.report",
    "Role": "domain",
    "Target": "balancing.target",
    "Window": "assemble.registry",
    "align": "assemble.orientation",
    "anchored": "assemble.orientation",
    "balance": "balancing.balance",
    "before_after": "relaxing.report",
    "build": "recipe.run",
    "carve": "assemble.carve",
    "compare": "verbs",
    "cut": "assemble.cut",
    "etch": "verbs",
    "exchange": "verbs",
    "image": "microscopy.image",
    "inspect": "analyse.report",
    "join": "assemble.join",
    "ligands": "verbs",
    "match": "matching.search",
    "pdf": "diffraction.pdf",
    "read_model": "verbs",
    "read_recipe": "recipe.read",
    "recipes": "library",
    "relax": "relaxing.relaxation",
    "report": "verbs",
    "search_registry": "assemble.registry",
    "spectrum": "microscopy.fourier",
    "structures": "library",
    "xrd": "diffraction.xrd",
}
"""Public names and the module of each, below hetbuild: the one list there is."""

__all__ = ["__version__", *_MODULES]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        from hetbuild.errors import nearest

        raise AttributeError(f"hetbuild has no name {name!r}; {nearest(name, _MODULES)}")
    value = getattr(import_module(f"hetbuild.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
