"""Finds a model in the map of a SunSpec device by walking its chain of models.

The map begins with "SunS"; then follow models, each with its id, its length L and L registers;
the id 0xFFFF ends the chain (SunSpec Device Information Model, 2.2).
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from drivers.modbus.blocks import Span
from drivers.modbus.codec import Register, RegisterType, Value
from drivers.modbus.errors import DeviceExceptionError, ModbusError, NoAnswerError
from drivers.modbus.profile import Profile, SunSpecModels

MARKER = b"SunS"
END_ID = 0xFFFF
MAX_MODELS_COUNT = 100
MODEL, LENGTH = "sunspec_model", "sunspec_length"

ReadSpan = Callable[[tuple[Span, ...]], Awaitable[bytes]]
"""Reads the first span given, or one that contains it; returns the first one's registers."""


class ModelNotFoundError(ModbusError):
    """The device has no SunSpec map, or none of the models looked for in it."""


async def find_model(read: ReadSpan, wanted: SunSpecModels) -> int:
    """Return the address of the id register of the first model that is wanted.

    Raises:
        ModelNotFoundError: there is none; the models that are there are named.
        ModbusError: a read failed.
    """
    base = await _find_map(read, wanted.bases)
    address, seen = base + 2, list[int]()
    for _ in range(MAX_MODELS_COUNT):
        if address > 0xFFFF - 2:
            break
        header = await read(_header_windows(address, base=base))
        model, length = int.from_bytes(header[:2], "big"), int.from_bytes(header[2:4], "big")
        if model == END_ID:
            break
        if model in wanted.models:
            if length != wanted.length:
                raise ModelNotFoundError(
                    f"model {model} has length {length}, the standard says {wanted.length}"
                )
            return address
        seen.append(model)
        address += 2 + length
    models = ", ".join(map(str, sorted(wanted.models)))
    raise ModelNotFoundError(f"none of the models {models}, only {', '.join(map(str, seen))}")


def with_header(profile: Profile) -> Profile:
    """Return the profile with the model's id and length among the guard values.

    Read with every poll they prove that the map has not moved.
    """
    if profile.sunspec is None:
        return profile
    header = {
        name: Register(
            name=name,
            address=address,
            type=RegisterType.U16,
            unit="",
            lowest=lowest,
            highest=highest,
        )
        for address, (name, lowest, highest) in enumerate(
            (
                (MODEL, min(profile.sunspec.models), max(profile.sunspec.models)),
                (LENGTH, profile.sunspec.length, profile.sunspec.length + 0.5),
            )
        )
    }
    return replace(
        profile,
        registers={**header, **profile.registers},
        tiers={**profile.tiers, "guard": (*header, *profile.tiers["guard"])},
    )


def is_in_place(values: Mapping[str, Value], wanted: SunSpecModels) -> bool:
    """Say whether guard values were read from a model that is wanted."""
    return values.get(MODEL) in wanted.models and values.get(LENGTH) == wanted.length


async def _find_map(read: ReadSpan, bases: tuple[int, ...]) -> int:
    failure: ModbusError = ModelNotFoundError(f"no SunSpec map at {', '.join(map(str, bases))}")
    for base in bases:
        # A common model of at least 65 registers follows, so longer reads are fine.
        windows = tuple(Span(address=base, count=count) for count in (2, 3, 4, 5))
        try:
            if await read(windows) == MARKER:
                return base
        except DeviceExceptionError:
            continue  # Nothing lives there, and the device says so.
        except NoAnswerError as error:
            failure = error  # Some are mute where nothing lives.
    raise failure


def _header_windows(address: int, *, base: int) -> tuple[Span, ...]:
    # Backwards, because what lies before is read for sure, and what lies behind may not exist.
    backs = range(min(3, address - base) + 1)
    return tuple(Span(address=address - back, count=2 + back) for back in backs)
