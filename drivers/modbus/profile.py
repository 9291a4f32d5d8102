"""Meter profiles: what a meter's registers mean, as data with sources.

The files are `profiles/*.yaml`; `docs/how-to/add-a-meter.md` explains every key. A profile is
checked whole when it is loaded, so that a slip in a table is found at the desk.
"""

import difflib
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from drivers.modbus.blocks import MOST_REGISTERS, Span, Stretch
from drivers.modbus.codec import Register, RegisterType
from drivers.modbus.endpoint import TCP_PORT
from gateway.domain.errors import HeadroomError

SCHEMA_VERSION = 1
PLAUSIBLE = {
    "V": (80.0, 300.0),
    "A": (0.0, 10_000.0),
    "W": (-1e7, 1e7),
    "var": (-1e7, 1e7),
    "VA": (-1e7, 1e7),
    "Hz": (45.0, 65.0),
    "": (-2.0, 2.0),  # Power factor; some meters code the quadrant by going beyond 1.
    "Wh": (-1e15, 1e15),
    "varh": (-1e15, 1e15),
}
"""What a value may be, by its unit, where a profile says nothing narrower."""

UNIT_OF_NAME = {
    "current": "A",
    "voltage": "V",
    "power_active": "W",
    "power_reactive": "var",
    "power_apparent": "VA",
    "power_factor": "",
    "frequency": "Hz",
    "energy_active": "Wh",
    "energy_reactive": "varh",
}
"""How a register's name must begin, and the unit it then has."""

Tier = Literal["guard", "fast", "slow"]


class ProfileError(HeadroomError):
    """A profile is not there, or does not say what a profile must."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SunSpecModels:
    """Where to look for the map of a SunSpec device, and which models it may be.

    All addresses of the profile count from the model's id register; `length` is what the
    length register behind it must say.
    """

    bases: tuple[int, ...]
    models: frozenset[int]
    length: int


class Defaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the meter is found as it leaves the factory."""

    unit: int = 1
    baud: int = 9600
    format: str = "8N1"
    tcp_port: int = TCP_PORT


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A meter's map.

    `tiers` are the names of the values by how often they matter: `guard` each second, `fast`
    to people, `slow` to accounts.
    """

    id: str
    title: str
    phase_count: int
    function_code: int
    is_low_word_first: bool
    max_count: int
    stretches: tuple[Stretch, ...]
    registers: Mapping[str, Register]
    tiers: Mapping[Tier, tuple[str, ...]]
    defaults: Defaults
    sunspec: SunSpecModels | None
    sources: tuple[str, ...]
    confidence: str


class _RegisterFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    address: int
    type: RegisterType
    unit: str = ""
    scale: float = 1.0
    scale_factor: int | None = None
    plausible: tuple[float, float] | None = None
    sentinels: tuple[int, ...] | None = None


class _StretchFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    first: int
    count: int
    step: int = 1


class _SunSpecFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    bases: tuple[int, ...]
    models: tuple[int, ...]
    length: int


class _ProfileFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file as it is written."""

    schema: int
    id: str
    vendor: str
    models: tuple[str, ...]
    phases: Literal[1, 2, 3]
    function_code: Literal[3, 4]
    word_order: Literal["ABCD", "CDAB"]
    max_count: int
    stretches: tuple[_StretchFile, ...]
    sign: str
    registers: dict[Tier, dict[str, _RegisterFile]]
    sources: tuple[str, ...]
    confidence: Literal["high", "medium", "low"]
    defaults: Defaults = Defaults()
    sentinels: dict[RegisterType, tuple[int, ...]] = {}
    sunspec: _SunSpecFile | None = None
    notes: tuple[str, ...] = ()


def profile_names() -> tuple[str, ...]:
    """Return the ids of all profiles, sorted."""
    folder = resources.files("drivers.modbus") / "profiles"
    names = (entry.name for entry in folder.iterdir())
    return tuple(sorted(n.removesuffix(".yaml") for n in names if n.endswith(".yaml")))


@cache
def load_profile(profile_id: str) -> Profile:
    """Return the profile of that id.

    Raises:
        ProfileError: there is none (with the nearest name), or its file is not right.
    """
    known = profile_names()
    if profile_id not in known:
        near = difflib.get_close_matches(profile_id, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}"
        raise ProfileError(f"no meter profile {profile_id!r}: {hint}")
    file = resources.files("drivers.modbus") / "profiles" / f"{profile_id}.yaml"
    profile = parse_profile(file.read_text(encoding="utf-8"))
    if profile.id != profile_id:
        raise ProfileError(f"{profile_id}.yaml calls itself {profile.id}")
    return profile


def parse_profile(text: str) -> Profile:
    """Return the profile a file describes.

    Raises:
        ProfileError: it is no YAML, misses a key or has one too many, or its table cannot be
            read; all that is wrong with the table is said at once.
    """
    try:
        file = msgspec.convert(YAML(typ="safe", pure=True).load(text), _ProfileFile)
    except (YAMLError, msgspec.ValidationError) as error:
        raise ProfileError(f"meter profile: {error}") from error
    profile = _as_profile(file)
    faults = [*_faults_of_head(file), *_faults_of_table(profile)]
    if faults:
        raise ProfileError(f"meter profile {file.id}: " + "; ".join(faults))
    return profile


def _as_profile(file: _ProfileFile) -> Profile:
    listed = {name: entry for tier in file.registers.values() for name, entry in tier.items()}
    return Profile(
        id=file.id,
        title=f"{file.vendor} {', '.join(file.models)}",
        phase_count=file.phases,
        function_code=file.function_code,
        is_low_word_first=file.word_order == "CDAB",
        max_count=file.max_count,
        stretches=tuple(
            Stretch(span=Span(address=s.first, count=s.count), step=s.step) for s in file.stretches
        ),
        registers={name: _as_register(name, entry, file) for name, entry in listed.items()},
        tiers={tier: tuple(entries) for tier, entries in file.registers.items()},
        defaults=file.defaults,
        sunspec=None
        if file.sunspec is None
        else SunSpecModels(
            bases=file.sunspec.bases,
            models=frozenset(file.sunspec.models),
            length=file.sunspec.length,
        ),
        sources=file.sources,
        confidence=file.confidence,
    )


def _as_register(name: str, entry: _RegisterFile, file: _ProfileFile) -> Register:
    lowest, highest = entry.plausible or PLAUSIBLE.get(entry.unit, (0.0, 0.0))
    own = entry.sentinels
    return Register(
        name=name,
        address=entry.address,
        type=entry.type,
        unit=entry.unit,
        lowest=lowest,
        highest=highest,
        scale=entry.scale,
        scale_factor_address=entry.scale_factor,
        sentinels=frozenset(file.sentinels.get(entry.type, ()) if own is None else own),
    )


def _faults_of_head(file: _ProfileFile) -> Iterator[str]:
    if file.schema != SCHEMA_VERSION:
        yield f"schema {file.schema} is not known, {SCHEMA_VERSION} is"
    if not file.sources:
        yield "no sources: where does the table come from?"
    if not 1 <= file.max_count <= MOST_REGISTERS:
        yield f"max_count {file.max_count} is not within 1-{MOST_REGISTERS}"
    names = [name for tier in file.registers.values() for name in tier]
    yield from (f"{name} stands in two tiers" for name in set(names) if names.count(name) > 1)
    for phase in range(1, file.phases + 1):
        if f"current_l{phase}" not in file.registers.get("guard", {}):
            yield f"current_l{phase} is missing from the guard registers"


def _faults_of_table(profile: Profile) -> Iterator[str]:
    registers = profile.registers.values()
    for register in registers:
        yield from _faults_of_register(register, profile)
    taken = {(r.own_span, r.name) for r in registers}
    taken |= {
        (Span(address=address, count=1), f"scale factor {address}")
        for address in {r.scale_factor_address for r in registers}
        if address is not None
    }
    for (span, name), (next_span, next_name) in itertools.pairwise(sorted(taken)):
        if next_span.address < span.end:
            yield f"{name} and {next_name} overlap at register {next_span.address}"


def _faults_of_register(register: Register, profile: Profile) -> Iterator[str]:
    name = register.name
    begin = next((b for b in UNIT_OF_NAME if name == b or name.startswith(f"{b}_")), None)
    if begin is None:
        yield f"{name}: a name begins with one of {', '.join(UNIT_OF_NAME)}"
    elif register.unit != UNIT_OF_NAME[begin]:
        yield f"{name}: its unit is {UNIT_OF_NAME[begin]!r}, not {register.unit!r} (use scale)"
    if not register.lowest < register.highest or register.scale == 0:
        yield f"{name}: nothing is plausible"
    if register.span.count > profile.max_count:
        yield f"{name}: longer than one read"
    homes = [s for s in profile.stretches if s.span.covers(register.span)]
    if len(homes) != 1:
        yield f"{name}: lies in {len(homes)} stretches"
    else:
        own, home = register.own_span, homes[0]
        if (own.address - home.span.address) % home.step or (
            own.end - home.span.address
        ) % home.step:
            yield f"{name}: is cut by the step of its stretch"
