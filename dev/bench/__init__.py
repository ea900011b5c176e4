"""Measurements: each bench prints a table and writes `build/bench/<name>.json`. Speed is never asserted by a test."""
