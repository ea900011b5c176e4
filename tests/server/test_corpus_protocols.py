from tests.server.corpora.judge import Judge
from tests.server.corpora.protocols import protocol_cases


def test_whatever_is_sent_is_answered_within_the_rules(judge: Judge) -> None:
    cases = protocol_cases()
    assert len(cases) >= 300
    with judge.trial("protocols"):
        judge.send(cases)
    assert judge.seen[200] > 20
