"""Being here puts this folder on the path: every folder of tests may import body_recipes."""
