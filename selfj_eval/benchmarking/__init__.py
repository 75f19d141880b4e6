"""The correlation table: raters by answering models, on sets of rated answers."""
