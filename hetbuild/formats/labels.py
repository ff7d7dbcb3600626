"""What each atom is called in a file: its domain, role and lattice site, as names and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from hetbuild.arrays import IntArray
from hetbuild.crystal.crystal import numbered
from hetbuild.errors import InputError
from hetbuild.model import Model, Role
from hetbuild.names import check_name

Names = tuple[IntArray, list[str]]
"""Index into a list of names for each atom, shape (N,), and the list."""

NO_SITE = "-"
"""What stands for the site of an atom that has none."""

LABELS = ("domain", "role", "site")
"""Columns of names; files of earlier versions lack the last."""


def to_names(model: Model) -> dict[str, Names]:
    """Domain, role and site of each atom."""
    tables = [[*d.crystal.site_names, NO_SITE] for d in model.domains]
    first = np.cumsum([0, *(len(t) for t in tables)])
    # An atom without a site takes the last name of its domain's table.
    site = np.where(model.site < 0, first[1:][model.domain] - 1, first[model.domain] + model.site)
    return {
        "domain": (model.domain, [d.name for d in model.domains]),
        "role": (model.role, [r.label for r in Role]),
        "site": (site, [name for table in tables for name in table]),
    }


def from_names(record: Mapping[str, Any], given: Mapping[str, Names]) -> dict[str, IntArray]:
    """Fields of Model for the names of a file with this record.

    Raises
    ------
    InputError
        The record names no domains.
    KeyError, ValueError
        A name that the record does not know.
    """
    names = domain_names(record)
    index, known = given["domain"]
    domain = np.array([names.index(n) for n in known], dtype=np.int8)[index]
    index, known = given["role"]
    found: dict[str, IntArray] = {"domain": domain}
    found["role"] = np.array([Role[r.upper()] for r in known], dtype=np.int8)[index]
    if "site" in given:
        found["site"] = _sites(record["domains"], domain, given["site"])
    return found


def domain_names(record: Mapping[str, Any]) -> list[str]:
    """Names of the domains of a record.

    Raises
    ------
    InputError
        It has none, or they are no names.
    """
    try:
        return [check_name(d["name"], "domain") for d in record["domains"]]
    except (KeyError, TypeError) as error:
        raise InputError(f"The hetbuild record is damaged: its domains lack {error}.") from None


def _sites(domains: list[dict[str, Any]], domain: IntArray, given: Names) -> IntArray:
    """Site indices, -1 for none, shape (N,)."""
    index, known = given
    site = np.full(len(index), -1, dtype=np.int16)
    for i, record in enumerate(domains):
        place = {name: k for k, name in enumerate(numbered(record["crystal"]["labels"]))}
        mine = np.flatnonzero(domain == i)
        used, which = np.unique(index[mine], return_inverse=True)
        found = [-1 if known[k] == NO_SITE else place[known[k]] for k in used]
        site[mine] = np.array(found, dtype=np.int16)[which]
    return site
