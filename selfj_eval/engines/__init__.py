"""Engines that run a judge. One file an engine; heavy imports happen inside its functions."""
