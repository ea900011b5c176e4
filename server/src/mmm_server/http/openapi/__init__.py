"""The OpenAPI document of the inference port: one file per surface, written by hand as the routes are raw ASGI."""
