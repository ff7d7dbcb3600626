"""Build atomistic models of colloidal nanocrystal heterostructures, ready for DFT."""

__version__ = "0.1.0"
