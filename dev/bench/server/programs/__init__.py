"""One small program per contender: the same model and answers, served the way its framework means it."""
