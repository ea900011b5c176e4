"""One change of version per policy, under load on a real node, as a timeline.

    a plan ─ applied, loaded, changed ─► Timeline: pods and answers by the second ─┬─► picture (SVG) ─► docs/rollouts/
                                                                                   └─► figures ─► docs/rollouts.md

The timelines are kept in `build/bench/rollout.json`, of which pictures and tables are pure functions.
"""
