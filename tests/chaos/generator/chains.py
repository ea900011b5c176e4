"""Chains of moves, made before anything runs: the same seed gives the same chains."""

import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.chaos.generator.coupled import coupled_moves, hopeless_moves
from tests.chaos.generator.fitting import may_follow
from tests.chaos.generator.moves import Move, Verdict, field_moves
from tests.chaos.generator.offer import Offer
from tests.chaos.generator.schema import Schema, Spec

LENGTH = 10
# Every so many valid moves the way back is tried as well.
BACK_EVERY = 3
SHARES = {Verdict.INVALID: 0.4, Verdict.HOPELESS: 0.1}


@dataclass(frozen=True)
class Operation:
    """One write of a whole spec. `same_as` is the earlier operation whose children must result, if any."""

    name: str
    field: str
    verdict: Verdict
    spec: Spec
    same_as: int | None = None


@dataclass(frozen=True)
class Chain:
    """Operations on one MultimodalModel; the first creates it."""

    name: str
    operations: tuple[Operation, ...]

    @property
    def verdicts(self) -> Counter[Verdict]:
        """How many operations there are of each verdict."""
        return Counter(operation.verdict for operation in self.operations)


def make_chains(schema: Schema, offer: Offer, seed: int, at_most: int | None = None) -> list[Chain]:
    """Chains that hold every move, or a sample with about `at_most` operations."""
    rng = random.Random(seed)
    moves = [*field_moves(schema, offer, rng), *coupled_moves(schema, offer), *hopeless_moves(schema, offer)]
    rng.shuffle(moves)
    deck = moves if at_most is None else _sample(moves, at_most)
    chains: list[Chain] = []
    while deck:
        chain, rest = _make_chain(f"chain-{len(chains)}", deck, offer.start())
        if len(rest) == len(deck):
            break  # what is left applies to no start
        chains.append(chain)
        deck = rest
    return chains


def _sample(moves: Sequence[Move], size: int) -> list[Move]:
    """The first moves of each verdict, in the order in which they stand."""
    share = {verdict: round(size * part) for verdict, part in SHARES.items()}
    # A hopeless move takes two operations, and of three valid ones one more is the way back.
    room = size - share[Verdict.INVALID] - 2 * share[Verdict.HOPELESS]
    share[Verdict.VALID] = round(room * BACK_EVERY / (BACK_EVERY + 1))
    chosen = {id(move) for verdict, n in share.items() for move in [m for m in moves if m.verdict is verdict][:n]}
    return [move for move in moves if id(move) in chosen]


def _make_chain(name: str, deck: Sequence[Move], start: Spec) -> tuple[Chain, list[Move]]:
    """A chain of the first moves that apply one after the other, and the moves that are left."""
    builder = _Builder(start)
    rest = [move for move in deck if not builder.take(move)]
    return Chain(name, tuple(builder.operations)), rest


class _Builder:
    def __init__(self, start: Spec) -> None:
        self.operations = [Operation("create", "", Verdict.VALID, start)]
        self._good = [0]  # the operations that came true, by their number
        self._valid = 0

    def take(self, move: Move) -> bool:
        """Whether the move was made."""
        if len(self.operations) >= LENGTH:
            return False
        now = self._spec(self._good[-1])
        changed = move(now)
        if changed is None or (move.verdict is Verdict.VALID and not may_follow(self._specs(), changed)):
            return False
        self.operations.append(Operation(move.name, move.field, move.verdict, changed))
        if move.verdict is Verdict.HOPELESS:
            self._back(move, self._good[-1])
        elif move.verdict is Verdict.VALID:
            self._valid += 1
            self._good.append(len(self.operations) - 1)
            if self._valid % BACK_EVERY == 0:
                self._back(move, self._good[-2])
        return True

    def _back(self, move: Move, to: int) -> None:
        spec = self._spec(to)
        self.operations.append(Operation(f"back from {move.name}", move.field, Verdict.VALID, spec, same_as=to))
        self._good.append(len(self.operations) - 1)

    def _spec(self, number: int) -> Spec:
        return self.operations[number].spec

    def _specs(self) -> list[Spec]:
        return [self._spec(number) for number in self._good]


def fields_of(chains: Iterable[Chain], verdicts: Sequence[Verdict]) -> Iterator[str]:
    """The fields that operations of these verdicts are about."""
    for chain in chains:
        yield from (op.field for op in chain.operations if op.verdict in verdicts and op.field)
