"""From admitted request to vectors.

    event loop            decode threads          inference thread                  event loop
    admit ─► ticket ─►    decode, prepare  ─►     choose ─► forward (one batch) ─►  settle futures, learn costs

The loop never computes. A batch is whatever is waiting when the device becomes free: a lone request is never delayed,
and under load batches grow by themselves. Only where more requests were seen a moment ago does the device wait for
them, for at most a tenth of what the last batch took.
"""
