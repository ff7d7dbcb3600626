"""Relaxation of a model by a calculator, and what it did to it."""
