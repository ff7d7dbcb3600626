"""The electronic structure of a model as a calculation gives it, by domain, region and element."""
