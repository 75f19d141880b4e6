"""HTML pages with figures: on judges, on the correlation table, on the collection."""
