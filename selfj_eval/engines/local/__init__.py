"""Engines that run a model here, with transformers."""
