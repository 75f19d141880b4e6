"""Judging answers: files, folders, and the best of several."""
