"""Recipes: their schema, how they are read and run, and the files of a build.

`read.read_recipe`, `run.build`, `run.stages`, `steps.run_step`, `output.model_files`.
"""
