"""`mmm-operator plan`: what the operator would do and why, from files alone, without a cluster.

    documents   files → objects that know their file and line
    check       object → mistakes, each at its line
    state       a dump of a cluster → the objects that a reconcile would observe
    forecast    object + state → Snapshot → the very `planner.plan` that the operator runs
    text        Forecast → what people and programs read
    command     arguments → exit code

Nothing here decides: a forecast is right because the planner is pure and the snapshot is put together by the functions
that `kube.observe` uses.
"""
