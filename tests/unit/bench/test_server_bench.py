"""How the bench of the server counts; its figures are compared with other people's work, so they must be right."""

import itertools
import json
import math
import random
import statistics
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from dev.bench.server import bodies
from dev.bench.server.__main__ import chosen
from dev.bench.server.arithmetic import due_times, median, percentile, ratio
from dev.bench.server.contenders import CONTENDERS, Serving
from dev.bench.server.document import BLOCK, DOCUMENT, rendered, write_document
from dev.bench.server.environments import ROOT
from dev.bench.server.figures import LIMITS, figures, tables
from dev.bench.server.load import Client, Job, content_length
from dev.bench.server.measured import Excess, Measured, Start, Turn, turn_of
from dev.bench.server.run import turned
from dev.bench.server.serving import family
from dev.bench.server.stages import grown, row, samples
from mmm_server.http.payload import Source, parse_payload


def turn(rate: float, *, p50: float = 10.0, p99: float = 15.0) -> Turn:
    return Turn(rate=rate, p50=p50, p99=p99, cpu=1.0, client_cpu=0.1, shed=0, failed=0)


def measured() -> Measured:
    found = Measured(absent={"kserve": "it is not well"}, versions={"ours": {"torch": "1"}, "naive": {"torch": "1"}})
    for workload in ("224 px, 8 clients", "224 px, 32 clients"):
        found.turns["tiny", workload, "ours"] = [turn(1000.0), turn(400.0), turn(900.0)]
        found.turns["tiny", workload, "naive"] = [turn(100.0), turn(100.0), turn(180.0)]
    found.turns["vit-fp32", "224 px, 8 clients", "ours"] = [turn(9.0)]
    found.raw["vit-fp32"] = [dict(zip(LIMITS, (5.0, 8.0, 10.0, 4.0), strict=True))]
    found.starts["tiny", "ours"] = [Start(3.0, 400.0, 430.0)]
    found.excesses["ours"] = [Excess(20.0, 500.0, 19.0, 1500.0, 3.0, 40.0, 1000, 0)]
    return found


def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed() -> None:
    values = list(range(1, 101))
    random.Random(1).shuffle(values)
    assert [percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)] == [1, 50, 99, 100]
    assert percentile([7.0], 0.99) == 7.0
    assert math.isnan(percentile([], 0.5))


def test_a_ratio_pairs_the_rounds_and_takes_the_median() -> None:
    assert ratio([10.0, 40.0, 90.0], [1.0, 2.0, 3.0]) == 20.0
    assert ratio([10.0, 40.0], [0.0, 2.0]) == 20.0
    assert math.isnan(ratio([], [1.0]))
    assert median([1.0, math.nan, 3.0]) == 2.0


def test_requests_of_an_open_loop_are_due_at_a_constant_rate() -> None:
    due = list(due_times(40.0, 2.5))
    assert len(due) == 100
    assert due[0] == 0.0
    assert max(due) < 2.5
    assert {round(after - before, 9) for before, after in itertools.pairwise(due)} == {0.025}


def test_every_contender_is_first_once() -> None:
    names = ["a", "b", "c"]
    assert [turned(names, number)[0] for number in range(4)] == ["a", "b", "c", "a"]
    assert sorted(turned(names, 2)) == names
    assert turned([], 1) == []


def test_figures_carry_the_targets_and_leave_out_what_was_not_measured() -> None:
    found = figures(measured())
    assert found["tiny, 224 px, 8 clients"].value == 900.0
    plain = found["tiny, 224 px, 8 clients, ours / naive FastAPI"]
    assert (plain.value, plain.target) == (5.0, 5.4)
    assert found["vit-fp32, 8 clients / torch alone at batch 8"].value == 0.9
    assert found["at 10 × capacity, goodput / capacity"].value == 0.95
    assert found["at 10 × capacity, p99 / p99 at 0.8 ×"].value == 3.0
    assert not [name for name in found if "1080p" in name or "vit-bf16" in name]
    assert all(math.isfinite(figure.value) for figure in found.values())


def test_the_document_names_what_was_missed_and_who_was_absent(tmp_path: Path) -> None:
    found = measured()
    results = {
        "machine": {"processors": 2, "processor": "Fast", "system": "Linux"},
        "command": "make bench-server",
        "date": "2026-01-02",
        "figures": {name: vars(figure) for name, figure in figures(found).items()},
        "tables": tables(found),
        "stages": [["workload"], ["tiny"]],
        "absent": found.absent,
        "versions": found.versions,
    }
    text = rendered(json.loads(json.dumps(results)))
    assert "2026-01-02" in text
    assert "2 × Fast" in text
    assert "KServe Python was left out: it is not well" in text
    assert "| tiny, 224 px, 8 clients, ours / naive FastAPI | 5 ratio | ≥ 5.4 | no |" in text
    assert "| first answer after start | 3 s | ≤ 4.5 | yes |" in text
    source, document = tmp_path / "server.json", tmp_path / "benchmarks.md"
    source.write_text(json.dumps(results))
    document.write_text("before\n<!-- figures: by a script -->\nold\n<!-- /figures -->\nafter\n")
    write_document(source, document)
    written = document.read_text()
    assert written.startswith("before\n<!-- figures: by a script -->\nMeasured on")
    assert written.endswith("<!-- /figures -->\nafter\n")
    assert "old" not in written


def test_the_document_has_its_markers() -> None:
    assert len(BLOCK.findall(DOCUMENT.read_text())) == 1


def test_who_descends_from_a_server_or_is_in_its_session_belongs_to_it() -> None:
    processes = {1: (0, 1), 10: (1, 10), 11: (10, 10), 12: (11, 12), 13: (1, 10), 14: (12, 14), 20: (1, 20), 21: None}
    assert family(10, processes) == [10, 11, 12, 13, 14]


def test_stages_are_shared_out_among_the_answers() -> None:
    before = samples('mmm_stage_seconds_sum{stage="decode"} 1.0\nmmm_batch_size_count{kind="image"} 2.0\n')
    after = samples(
        'mmm_stage_seconds_sum{stage="decode"} 3.0\nmmm_stage_seconds_bucket{le="1",stage="decode"} 9\n'
        'mmm_batch_size_count{kind="image"} 4.0\nmmm_batch_size_sum{kind="image"} 8.0\n'
    )
    loaded = Client(Job(0, [], 1.0)).loaded
    loaded.answered = 4
    cells = row("tiny", loaded, grown(before, after), {"decode": 0.4, "event loop": 0.8, "idle": 0.0})
    assert cells == [
        "tiny",
        "0",
        "4.0",
        "0.00",
        "500.00",
        "0.00",
        "0.00",
        "0.00",
        "300.00 (event loop 200.00, decode 100.00)",
    ]


def test_our_server_reads_the_form_as_it_is_meant() -> None:
    kind, body = bodies.multipart(b"\xff\xd8picture", bodies.LABELS)
    payload = parse_payload(Source(body, kind))
    assert payload.images == [b"\xff\xd8picture"]
    assert payload.texts == list(bodies.LABELS)


def test_each_of_the_others_has_a_program_and_a_lock_with_hashes_and_without_torch() -> None:
    for name, contender in CONTENDERS.items():
        command = contender.arguments(Serving(Path("/m"), "float32", 1, 1, 2))
        module = next(word.partition(":")[0] for word in command if word.count(".") == 4 or word == "mmm_server")
        assert module == "mmm_server" or (ROOT / f"{module.replace('.', '/')}.py").exists()
        if contender.own_environment:
            lock = (ROOT / "requirements" / f"bench-{name}.lock").read_text()
            assert "--hash=sha256:" in lock
            assert "://" not in lock
            assert "\ntorch==" not in lock


def test_an_unknown_contender_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTENDERS", "ours, nobody")
    with pytest.raises(SystemExit, match="there is no nobody; known are ours"):
        chosen("CONTENDERS", CONTENDERS)
    monkeypatch.setenv("CONTENDERS", "naive,ours naive")
    assert chosen("CONTENDERS", CONTENDERS) == ["naive", "ours"]


def test_the_length_of_an_answer_must_be_known() -> None:
    assert content_length(b"HTTP/1.1 200 OK\r\nCONTENT-length:  17\r\nx: y") == 17
    with pytest.raises(ValueError, match="without Content-Length"):
        content_length(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked")


@contextmanager
def answering(statuses: list[int], pause: float = 0.0) -> Iterator[int]:
    """A server that gives these statuses in turn, the last one for ever, after a pause before the first answer."""
    given, lock = list(statuses), threading.Lock()
    first = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            with lock:
                if not first.is_set():
                    first.wait(pause)
                    first.set()
                status = given.pop(0) if len(given) > 1 else given[0]
            self.send_response(status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


def request_file(directory: Path) -> list[str]:
    path = directory / "one.http"
    path.write_bytes(bodies.request("/predict", bodies.multipart, b"picture"))
    return [str(path)]


def test_a_closed_loop_counts_what_was_refused_apart(tmp_path: Path) -> None:
    with answering([429, 500, 200]) as port:
        loaded = Client(Job(port, request_file(tmp_path), 0.5, clients=2)).run()
    assert (len(loaded.shed), loaded.failed) == (1, 1)
    assert len(loaded.accepted) == loaded.in_time > 1
    found = turn_of(loaded, cpu_seconds=1.0)
    assert found.rate == pytest.approx(loaded.in_time / 0.5)
    assert found.cpu == pytest.approx(1000 / loaded.answered)


def test_an_open_loop_charges_a_stall_to_everyone_who_waits(tmp_path: Path) -> None:
    with answering([200], pause=0.6) as port:
        loaded = Client(Job(port, request_file(tmp_path), 0.5, rate=40.0)).run()
    assert len(loaded.accepted) + loaded.failed >= 19
    # Due over half a second, answered after 0.6: half of them waited longer than a generator that sends when it can
    # would ever have seen.
    assert statistics.median(loaded.accepted) > 0.3


def test_nobody_at_the_port_is_an_error_and_no_result(tmp_path: Path) -> None:
    with answering([200]) as port:
        pass
    with pytest.raises(ConnectionRefusedError):
        Client(Job(port, request_file(tmp_path), 0.2)).run()
