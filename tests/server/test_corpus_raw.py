from tests.server.corpora.judge import Judge
from tests.server.corpora.streams import streams
from tests.server.corpora.wire import play_all


async def test_whatever_comes_over_a_connection_is_answered_within_the_rules(judge: Judge) -> None:
    cases = streams()
    assert len(cases) >= 200
    with judge.trial("raw HTTP"):
        await play_all(judge, cases)
