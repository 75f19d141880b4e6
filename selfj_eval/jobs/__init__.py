"""What every job is made of: options, results, progress, provenance."""
