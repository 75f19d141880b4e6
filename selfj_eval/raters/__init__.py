"""Whatever rates answers: the Self-J judge, and the other rows of the correlation table.

``base`` says what a rater is, one file a rater, ``open_rater`` makes them from what a user says.
Heavy imports happen inside their functions.
"""
