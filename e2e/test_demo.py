"""The demo is a test: what `make demo` shows must be true."""

from dev.demo.phases import MODEL, NAMESPACE, STORY, Demo, title


def test_demo(demo: Demo) -> None:
    for phase in STORY:
        print(f"\n── {title(phase)}", flush=True)
        phase(demo)
    assert demo.before is not None
    assert demo.during is not None
    assert demo.after is not None
    assert demo.before.failed == demo.during.failed == demo.after.failed == 0
    assert set(demo.during.requests) == {"1", "2"}
    assert demo.after.accuracy("2") > demo.before.accuracy("1") + 0.2
    header = demo.stage.kubectl("get", "mmm", MODEL, "-n", NAMESPACE).splitlines()[0].split()
    assert header == ["NAME", "READY", "VERSION", "TARGET", "ROLLOUT", "REASON", "AGE"]
    status = demo.model()["status"]
    assert status["readySummary"] == "2/2"
    assert status["acceleration"]["device"] == "cpu"
