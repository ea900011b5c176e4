"""The control loop: what is (`Snapshot`) → what to do (`Plan`) → done, again and again.

    kopf watch ──on.event──► WorkQueue ──key──► reconcile(key)
                                                  observe(kube, key)   -> Snapshot   reads only
                                                  plan(snapshot, now)  -> Plan       pure and total
                                                  execute(kube, plan)               writes only

Level-triggered: a reconcile looks at what is, never at what changed. The modules between `api` and
`planner` import no clock, no network and no randomness, so every decision is tested as a function.
"""
