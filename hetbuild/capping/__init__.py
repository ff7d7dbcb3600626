"""Capping: whole ligand molecules on the facets of a nanocrystal."""
