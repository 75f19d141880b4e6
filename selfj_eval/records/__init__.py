"""Answers to be judged: what a record is, and how files of them are read and written."""
