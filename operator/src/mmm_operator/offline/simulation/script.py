"""What shall happen, and when: `version=2`, `30s replicas=3`, `+10s crash`."""

import re
from dataclasses import dataclass
from enum import StrEnum

_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")
_OCCURRENCE = re.compile(
    r"(?:(?P<plus>\+?)(?P<time>\d[\dhms]*)\s+)?(?P<word>[A-Za-z-]+(?:\.[\w.]+)?)(?:=(?P<value>.*))?"
)

VERSION, NUMBER, PERCENT, MILLISECONDS = "VERSION", "N", "VERSION:PERCENT", "VERSION:MS"
_FORMS = {
    VERSION: r"[A-Za-z0-9._-]+",
    NUMBER: r"\d{1,4}",
    PERCENT: r"[A-Za-z0-9._-]+:(\d{1,2}|100)",
    MILLISECONDS: r"[A-Za-z0-9._-]+:\d{1,6}",
}

# Word → what must follow it, and what it does.
WORDS: dict[str, tuple[str, str]] = {
    "version": (VERSION, "ask for another version; with updatePolicy Auto: the repository gets a newer one"),
    "replicas": (NUMBER, "ask for so many pods"),
    "pause": ("", "set rollout.paused"),
    "resume": ("", "take rollout.paused back"),
    "promote": ("", "set rollout.promote to the revision that shall serve"),
    "bad": (VERSION, "from now on pods of the version crash while they load"),
    "smoke": (VERSION, "from now on pods of the version fail their smoke test"),
    "hang": (VERSION, "from now on pods of the version load for ever"),
    "errors": (PERCENT, "from now on pods of the version fail so many of their requests"),
    "slow": (MILLISECONDS, "from now on pods of the version take so long, as the 95th percentile; usual are 50"),
    "differs": (PERCENT, "so many of the version's answers are not those of the others: a mirroring canary sees it"),
    "good": (VERSION, "take all of these back"),
    "capacity": (NUMBER, "the cluster has room for so many pods, or accelerators"),
    "crash": ("", "one pod that serves crashes"),
    "lose-status": ("", "somebody deletes the object's status"),
}
SPEC = "spec."


class When(StrEnum):
    """From where the time of an occurrence counts."""

    START = "start"
    BEFORE = "before"  # after the occurrence before it
    REST = "rest"  # once nothing happens any more


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One thing that happens to the object or to the world; `text` is how it was written, without its time."""

    when: When
    seconds: int
    word: str
    value: str

    @property
    def text(self) -> str:
        """The occurrence without its time."""
        return f"{self.word}={self.value}" if self.value else self.word


def parse_occurrence(text: str) -> Occurrence:
    """`[TIME] WORD[=VALUE]`; raises ValueError with what to write instead."""
    found = _OCCURRENCE.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text}: write [TIME] WORD[=VALUE], for instance version=2 or '30s replicas=3'")
    word, value = found["word"], found["value"] or ""
    _check(word, value)
    if found["time"] is None:
        return Occurrence(When.REST, 0, word, value)
    return Occurrence(When.BEFORE if found["plus"] else When.START, parse_duration(found["time"]), word, value)


def parse_duration(text: str) -> int:
    """Seconds in `90`, `90s`, `5m` or `1h30m`; raises ValueError with what to write instead."""
    found = _DURATION.fullmatch(text) if text else None
    if found is None:
        raise ValueError(f"{text}: write a time in whole seconds, minutes or hours: 90s, 5m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return 3600 * hours + 60 * minutes + seconds


def show_duration(seconds: float) -> str:
    """`90` as `1m30s`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    parts = [f"{number}{unit}" for number, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if number]
    return "".join(parts) or "0s"


def explain_words() -> str:
    """One line for each word that an occurrence can be."""
    forms = {f"{word}={form}" if form else word: explanation for word, (form, explanation) in WORDS.items()}
    forms[f"{SPEC}FIELD=VALUE"] = "change any other field, for instance spec.rollout.whenNoCapacity=Wait"
    return "\n".join(f"  {form:20}  {explanation}" for form, explanation in forms.items())


def _check(word: str, value: str) -> None:
    if word.startswith(SPEC):
        return
    if word not in WORDS:
        raise ValueError(f"{word}: there is no such event; there are {', '.join(WORDS)} and {SPEC}FIELD")
    form = WORDS[word][0]
    if form and not re.fullmatch(_FORMS[form], value):
        raise ValueError(f"{word}={value}: write {word}={form}")
    if value and not form:
        raise ValueError(f"{word}={value}: write {word} alone")
