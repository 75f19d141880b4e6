"""What the judge reads: templates, trimming, and the digit tokens it answers with."""
