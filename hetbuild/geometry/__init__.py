"""Geometry and energies of ions: contacts, bonds, neighbours, electrostatics, depth, symmetry.

`contacts.Floors` are the shortest distances allowed, `bonds` is the one rule for "bonded",
`electrostatics` sums point charges, `point_group` finds what maps a particle onto itself.
"""
