"""`mmm rollout`: how far a change of a MultimodalModel is, and what people may say about it.

view        object → lines for people, documents for programs; whether the change is over
change      object → what to write into its spec, or why not
commands    arguments → the two above, and the cluster
"""
