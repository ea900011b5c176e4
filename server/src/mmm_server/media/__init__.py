"""Bytes of a client become arrays here: every budget is checked on the header, before the costly step."""
