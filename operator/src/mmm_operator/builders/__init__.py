"""One Kubernetes kind per file: (MultimodalModel, Revision, Settings) → manifest. No clock, no I/O."""
