"""One HTML file that shows a model: 3D, composition, interface, diffraction, images, recipe.

Nothing in it is loaded from elsewhere. `vendor` holds build/3Dmol-min.js of the npm package 3dmol
2.5.5 as it is (Rego & Koes, doi 10.1093/bioinformatics/btu829), with the licences of all in it.
"""
