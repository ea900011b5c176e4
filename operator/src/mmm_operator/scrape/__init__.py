"""The server pods: what they say about themselves."""
