"""`mmm-operator simulate`: a rollout from its first to its last step, in virtual time, without a cluster.

    script      `--event` texts → occurrences, each with its moment
    pod         one pod: what the kubelet makes of it, and when
    cluster     what Kubernetes does: Deployments, the scheduler with its limited room, Jobs, the API server
    answers     how pods answer requests: what a canary's gates look at
    world       the object, the repository and the cluster around the very `planner.plan` that the operator runs
    run         the clock: from one moment at which something happens to the next, until nothing does
    table       rows → what people and programs read
    command     arguments → exit code

The operator is the real one; Kubernetes is played, by the rules that matter for a rollout: a pod that ends holds its
place until it is gone, a crashed container is started again after ever longer waits, a pod without room waits.
"""
