from tests.server.corpora.documents import json_cases
from tests.server.corpora.judge import Judge


def test_whatever_is_sent_is_answered_within_the_rules(judge: Judge) -> None:
    cases = json_cases()
    assert len(cases) >= 1000
    with judge.trial("json"):
        judge.send(cases)
    assert judge.seen[200] > 50
