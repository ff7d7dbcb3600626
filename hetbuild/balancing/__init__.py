"""Charge balancing: which ions to add, remove or swap so that a target is met exactly.

`balance.balance` with `candidates.Move` and `balance.Target`; `anneal` chooses among places.
"""
