"""The whole product on one machine, from nothing to a served and updated model.

`stage` is the world that the product runs in, `phases` what the demo does with it; the end-to-end tests run the very
same phases and then everything that should go wrong.
"""
