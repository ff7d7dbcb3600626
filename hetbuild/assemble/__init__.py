"""How models are made: carved out of crystals, cut along planes, joined on a shared layer.

`carve.carve`, `cut.cut`, `trim.trim`, `join.align`, `join.anchored`, `join.search_registry`,
`join.join`; and `slab` with `coherent` for interfaces that repeat in their plane.
"""
