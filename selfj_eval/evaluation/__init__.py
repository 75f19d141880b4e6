"""What scores are worth: agreement with ratings, comparisons, decisions, leaderboards."""
