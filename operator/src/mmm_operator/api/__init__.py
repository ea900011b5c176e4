"""The MultimodalModel API: the one source of the CRD, its documentation and its printer columns.

Imports pydantic and the standard library only, so that the CLI can use it.
"""
