"""The Open Inference Protocol, version 2, for dual encoders: health, metadata, inference and statistics under /v2.

POST …/infer    body ─► message (JSON, binary tensors) ─► call (images, texts, wanted outputs) ─► vectors ─► answer
"""
