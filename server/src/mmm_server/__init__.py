"""The inference server: one process, one model version, one device."""
