"""The inference server next to what other people use: the same model, pictures, labels and threads for everybody.

Each round starts every contender in turn, in an environment and a session of its own. It has to give torch's answers
first; then closed loops of 1, 8 and 32 clients run against it, and for the overload an open loop at ten times what it
could do a moment ago. A latency counts from when the request was due. Ratios compare within a round, and the median
over the rounds is reported; the order of the contenders turns with every round.

Torch alone runs in every round too: forward passes and nothing else, the limit for any server around it.
"""
