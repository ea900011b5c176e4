from tests.server.corpora.images import image_cases
from tests.server.corpora.judge import Judge


def test_whatever_is_sent_is_answered_within_the_rules(judge: Judge) -> None:
    cases = image_cases()
    assert len(cases) >= 2000
    with judge.trial("images"):
        judge.send(cases)
    assert judge.seen[200] > 50
