"""The AlpacaEval edge: data, annotator, win rates, table, ranking.

``evaluate`` and ``ranking`` work on ``data.Answers``, one text an instruction in the official
order. Only ``upstream`` imports the package ``alpaca_eval``, and ``client`` is imported by it.
"""
