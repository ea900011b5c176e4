"""OpenAI's API, as far as a dual encoder can answer it: the list of models, and embeddings of texts and images."""
