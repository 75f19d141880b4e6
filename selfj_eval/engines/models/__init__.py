"""A model's folder: what may be in it, and how it is loaded."""
