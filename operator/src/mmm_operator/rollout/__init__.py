"""The rollout: observed revisions in, the next sizes of their Deployments and the reason out. Pure.

Every call looks at what is and says what the next sizes are; there is no step counter to lose. `capacity` says whether
there is room for a pod more, `canary` how much of the traffic a new revision may have by now, `verdict` whether it has
failed; `step` makes sizes of that. Rolling back is rolling forward with the two revisions exchanged.

In every step: pods that serve are taken away only while as many as are wanted serve elsewhere; where there is no room
for one more, no more than `maxUnavailable` are missing. A revision that never became Available displaces nobody, except
where it can only come up in an old pod's place, and then for no more than those.
"""
