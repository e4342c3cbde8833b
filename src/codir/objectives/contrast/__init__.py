"""What the contrastive objective is made of: its space, its keys, its estimators."""
