"""The other rows of the correlation table: what rates answers and is no Self-J judge.

``base`` says what a rater is, one file a rater, ``opening`` makes them from what a user says.
Heavy imports happen inside their functions.
"""
