"""One HTML file that shows a model: 3D, composition, interface, diffraction, images, recipe.

Nothing in it is loaded from elsewhere. `vendor` holds 3Dmol.js (Rego & Koes, doi
10.1093/bioinformatics/btu829) with its licence.
"""
