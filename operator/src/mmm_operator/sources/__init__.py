"""The model repositories: which bytes a wanted version means."""
