"""Labels of Self-J: from ratings, or from the model's own evaluation."""
