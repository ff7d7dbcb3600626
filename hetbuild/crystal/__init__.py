"""Bulk crystals: lattice, canonical setting, planes, layers, terminations, vicinal surfaces.

Start at `crystal.Crystal` (`from_cif`, `from_ase`, `from_pymatgen`, `named`); `lattice` has the
directions and planes, `planes` their nets, `layers` and `terminations` how a surface can end.
"""
