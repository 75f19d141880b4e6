"""Files: one document, written whole or not at all."""
