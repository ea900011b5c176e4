from tests.server.corpora.forms import form_cases
from tests.server.corpora.judge import Judge


def test_whatever_is_sent_is_answered_within_the_rules(judge: Judge) -> None:
    cases = form_cases()
    assert len(cases) >= 300
    with judge.trial("multipart"):
        judge.send(cases)
    assert judge.seen[200] > 50
