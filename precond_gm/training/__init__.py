"""Training: recipes, the loop, and the job that compares variants."""
