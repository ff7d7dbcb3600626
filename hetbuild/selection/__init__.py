"""Which ions are meant and in what order they go, as recipes and moves say it."""
