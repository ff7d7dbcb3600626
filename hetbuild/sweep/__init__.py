"""Many models from one recipe: each variant of its axes built once, here or on a cluster."""
