"""Model families behind one protocol: the only place that imports torch and transformers, once a model is loaded."""
