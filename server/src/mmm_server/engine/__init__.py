"""From admitted request to vectors.

    event loop            decode threads          inference thread                  event loop
    admit ─► ticket ─►    decode, prepare  ─►     choose ─► forward (one batch) ─►  settle futures, learn costs

The loop never computes and the inference thread never waits for a client. A batch is whatever is waiting when the
device becomes free: there is no timer, so a lone request is never delayed, and under load batches grow by themselves.
"""
