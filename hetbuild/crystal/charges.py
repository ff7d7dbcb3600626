"""Formal charges of the elements of a crystal: stated, usual, or told by its formula."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real

from hetbuild.elements import USUAL_CHARGES, number, reduced
from hetbuild.errors import InputError
from hetbuild.names import shown
from hetbuild.numerals import MOST_CHARGE

MOST_WAYS = 10_000
"""Ways to share oxidation states among the atoms of a formula that are tried: half a second."""


def formal_charges(
    count: Mapping[str, int], stated: Mapping[str, int]
) -> tuple[dict[str, int], tuple[str, ...]]:
    """Charge in e of each element of a crystal, and the elements whose charge was guessed.

    count: atoms by element. Elements not stated have their usual charge. Where an element has none,
    or usual charges do not make the formula neutral, they are those pymatgen's oxidation states
    (`Composition.oxi_state_guesses`) leave as the only neutral choice of whole charges.

    Raises
    ------
    InputError
        No charge is known for an element, and the formula does not tell it; one is stated for what
        is no element, or one that no element has.
    """
    for element, charge in stated.items():
        number(element)
        whole = isinstance(charge, Real) and charge == round(charge, 0)  # NaN is not
        if not whole or abs(charge) > MOST_CHARGE:
            value = f"{charge:+g}" if whole else shown(charge)
            raise InputError(
                f"{value} e is no formal charge of {element}; they are whole, between "
                f"-{MOST_CHARGE} and +{MOST_CHARGE} e."
            )
    known = {e: stated.get(e, USUAL_CHARGES.get(e)) for e in count}
    given = {e: q for e, q in known.items() if q is not None}
    unknown = [e for e in count if e not in given]
    if not unknown and sum(q * count[e] for e, q in given.items()) == 0:
        return given, ()
    fixed = given if unknown else {e: q for e, q in stated.items() if e in count}
    guess = _guess(count, fixed) if len(fixed) < len(count) else None
    if guess is not None:
        return guess, tuple(e for e in count if guess[e] != given.get(e))
    if unknown:
        raise InputError(f"no formal charge known for {', '.join(unknown)}; {state(unknown[0])}.")
    return given, ()


def state(element: str) -> str:
    """How to state a charge, with one that is common for the element."""
    from pymatgen.core import Element

    common = Element(element).common_oxidation_states or Element(element).oxidation_states
    charge = int(common[0]) if common else 1
    return (
        f"state it, for example charges = {{ {element} = {charge} }} in the recipe's domain, or "
        f"--charge {element}={charge}"
    )


def parse_charges(texts: tuple[str, ...]) -> dict[str, int]:
    """Charges by element written as ``Ti=4`` or ``O=-2``.

    Raises
    ------
    InputError
        Anything else.
    """
    charges = {}
    for text in texts:
        element, sign, value = text.partition("=")
        try:
            charges[element.strip()] = int(value) if len(value) < 5 else int("none")
        except ValueError:
            sign = ""
        if not sign:
            raise InputError(f"--charge {shown(text)}: write element=charge in e, as Ti=4 or O=-2.")
        number(element.strip())
    return charges


def _guess(count: Mapping[str, int], fixed: Mapping[str, int]) -> dict[str, int] | None:
    """The only neutral choice of whole oxidation states, None where there is none or several."""
    from pymatgen.core import Composition, Element

    override = {e: [q] for e, q in fixed.items()}
    unit = reduced(count)
    if _ways(unit, override) > MOST_WAYS:
        return None
    found = Composition(unit).oxi_state_guesses(oxi_states_override=override)
    whole = [g for g in found if all(float(q).is_integer() for q in g.values())]
    if len(whole) != 1:
        return None
    guess = {e: int(q) for e, q in whole[0].items()}
    unusual = [e for e, q in guess.items() if q != fixed.get(e, USUAL_CHARGES.get(e, q))]
    # A rare charge in place of the usual one would rather hide a CIF that lacks atoms.
    return guess if all(guess[e] in Element(e).common_oxidation_states for e in unusual) else None


def _ways(count: Mapping[str, int], override: Mapping[str, list[int]]) -> float:
    """How many ways pymatgen goes through; of sums it tries thirty in the time of one sharing."""
    from math import comb, prod

    from pymatgen.core import Element

    states = {
        e: override.get(e)
        or Element(e).icsd_oxidation_states
        or Element(e).common_oxidation_states
        or (0,)
        for e in count
    }
    shared = (comb(n + len(states[e]) - 1, n) for e, n in count.items())
    sums = (n * (max(states[e]) - min(states[e])) + 1 for e, n in count.items())
    return max(float(sum(shared)), prod(map(float, sums)) / 30)
