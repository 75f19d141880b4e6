"""Finished work on disk, and going on from it."""
