"""What a happening does to vehicles and stations, and what is said of it."""

from gateway.domain.events import Event, TransactionEnded, TransactionStarted
from gateway.domain.ids import TransactionId
from tests.control.drawn import Happening, Kind
from tests.control.outlets import Outlet
from tests.control.plant import Plant


def at_vehicle(plant: Plant, happening: Happening, outlet: Outlet) -> list[Event]:
    """Let something happen to a vehicle."""
    amount, vehicle = happening.amount, outlet.vehicle
    takes_ma, phase_count = 2_000 + amount * 400, 3 if amount % 2 else 1
    match happening.kind:
        case Kind.PLUG_IN:
            return plant.plug_in(outlet, phase_count=phase_count, takes_ma=takes_ma)
        case Kind.LEAVE:
            return plant.leave(outlet)
        case Kind.SWAP:
            return plant.swap(
                outlet, after_s=1 + amount % 5, phase_count=phase_count, takes_ma=takes_ma
            )
        case Kind.NEW_TRANSACTION:
            return plant.new_transaction(outlet, after_s=amount % 4)
        case Kind.REST | Kind.WAKE if vehicle is not None:
            vehicle.rests = happening.kind is Kind.REST
        case Kind.APPETITE if vehicle is not None:
            vehicle.takes_ma = takes_ma
        case Kind.GHOST if vehicle is None and plant.lines[outlet.connector.ref.station].is_linked:
            at_s, ref, transaction = plant.now_s, outlet.connector.ref, TransactionId("ghost")
            return [
                TransactionStarted(at_s=at_s, connector=ref, transaction=transaction),
                TransactionEnded(at_s=at_s, connector=ref, transaction=transaction),
            ]
        case Kind.ENERGY_READING:
            return plant.energy_reading(outlet)
        case _:
            pass
    return []


def at_station(plant: Plant, happening: Happening, outlet: Outlet) -> list[Event]:
    """Let something happen to a station or its connection."""
    amount, station = happening.amount, outlet.connector.ref.station
    line, until_s = plant.lines[station], plant.now_s + amount
    match happening.kind:
        case Kind.LOSE:
            lost = plant.drop_link(station)
            if amount % 2:  # While it is gone another vehicle may come.
                plant.swap(outlet, after_s=amount % 9, phase_count=3, takes_ma=32_000)
            return lost
        case Kind.RETURN:
            return [e for lost in plant.lines for e in plant.raise_link(lost)]
        case Kind.MUTE:
            line.mute_until_s = until_s
        case Kind.REFUSE:
            line.refuses_until_s = until_s
        case Kind.LATE:
            line.late_until_s = until_s
        case Kind.NO_READINGS:
            line.silent_until_s = until_s + 60
        case Kind.BOOT:
            return plant.boot(station, off_s=amount % 40)
        case Kind.DISOBEY:
            for other in plant.outlets.values():
                if other.connector.ref.station == station:
                    other.obeys_from_s = until_s
        case _:
            pass
    return []
