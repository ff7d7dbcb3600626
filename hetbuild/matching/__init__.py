"""Which planes of two crystals fit, how their sublattices go on, and where the minima lie.

`search.match`, `continuation`, `registry.scan`, `proposal.propose`.
"""
