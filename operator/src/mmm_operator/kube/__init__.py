"""The API server: what is (`observe`), what to do, done (`execute`), and the only client that speaks to it."""
