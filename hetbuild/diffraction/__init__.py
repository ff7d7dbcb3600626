"""X-ray powder patterns, pair distribution functions, and angles between lattices."""
