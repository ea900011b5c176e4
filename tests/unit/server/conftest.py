from hypothesis import settings

# A shared machine may stall any single example; what takes long shows in --durations.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
