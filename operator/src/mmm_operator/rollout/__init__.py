"""The rollout: observed revisions in, the next sizes of their Deployments and the reason out. Pure.

Every call looks at what is and says what the next sizes are; there is no step counter to lose. The
new revision grows by one pod beside the old one, the old one shrinks only as far as new pods are
Available, and a revision that never becomes Available never displaces the one that serves.
"""
