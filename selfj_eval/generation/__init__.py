"""Answers to instructions by a model: instructions in, stored and resumable generation, answers.

``base`` says what an engine offers; one file an engine, whose heavy imports happen inside its
functions.
"""
