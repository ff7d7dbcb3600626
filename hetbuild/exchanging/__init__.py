"""Ions for others: on their sites, topotactic, molecules; and a domain etched away.

`same_site.replace_ions`, `topotactic.exchange_cations`, `molecules.replace_molecules`, `etch.etch`.
"""
