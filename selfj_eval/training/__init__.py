"""Training a judge: labels, paired data, self-distillation, instruction tuning, merging."""
