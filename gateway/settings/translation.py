"""From the models of site.yaml to the words of the domain: mA, phases, parents before children."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from gateway.control.parameters import ControlParameters
from gateway.control.proof import prove
from gateway.domain.circuits import (
    FASTEST_CURVE,
    SET_POINT_RATIO,
    ChargingStation,
    Circuit,
    Connector,
    Load,
    Meter,
    OvercurrentDevice,
    Site,
    Source,
    SourceKind,
    TripCurve,
)
from gateway.domain.electric import Phase
from gateway.domain.ids import (
    BusId,
    CircuitId,
    ConnectorRef,
    LoadId,
    MeterId,
    SourceId,
    StationId,
)
from gateway.domain.rating_calendar import DAYS, CalendarRating
from gateway.domain.tokens import KnownToken, TokenMode, TokenPolicy
from gateway.settings.amperes import ALL_PHASES, Present, ma_down, ma_up, phases_left, spread
from gateway.settings.models import (
    BusEntry,
    CircuitEntry,
    ControlEntry,
    CredentialEntry,
    ListenEntry,
    RatingEntry,
    SiteFile,
    StationEntry,
)
from gateway.settings.site_settings import (
    HookSettings,
    ListenAddress,
    Listeners,
    SerialBus,
    Settings,
    StopInput,
    TcpBus,
    TripOutput,
)


def translate(file: SiteFile, *, path: Path) -> Settings:
    """Return the settings of a file in which everything fits together, without warnings.

    Ratings and limits are rounded down to the mA, worst cases up.
    """
    site = _make_site(file)
    stop = file.stop_input
    return Settings(
        path=path,
        site=site,
        control=_make_parameters(file.control),
        buses=tuple(_make_bus(bus) for bus in file.buses),
        listen=Listeners(
            ocpp=_make_address(file.listen.ocpp),
            api=_make_address(file.listen.api),
            metrics=_make_address(file.listen.metrics),
        ),
        credentials={StationId(station.id): _name_credential(station) for station in file.stations},
        stop_input=None
        if stop is None
        else StopInput(
            bus=BusId(stop.bus),
            unit=stop.unit,
            kind=stop.kind,
            address=stop.address,
            bit=0 if stop.bit is None else stop.bit,
            stops_when_closed=stop.stops_when == "closed",
            is_self_releasing=stop.release == "contact",
        ),
        trip_outputs=tuple(_make_trip_outputs(file)),
        webhooks=tuple(
            HookSettings(
                id=hook.id,
                url=hook.url,
                credential=hook.id if hook.credential is None else hook.credential,
                kinds=hook.tell,
                holder=hook.holder,
            )
            for hook in file.webhooks
        ),
        plan_min_gap_s=file.planning.min_gap_s,
        tokens=_make_policy(file),
        warnings=(),
        proof=prove(site),
    )


def _make_policy(file: SiteFile) -> TokenPolicy:
    holders = {
        id_token.casefold(): holder.id
        for holder in file.authorize.holders
        for id_token in holder.id_tokens
    }
    if file.authorize.accept != "list":
        return TokenPolicy(TokenMode(file.authorize.accept), holders=holders)
    zone = ZoneInfo(file.site.timezone)
    return TokenPolicy.of_list(
        tuple(
            KnownToken(
                id=token.id,
                group=token.group,
                good_until_at=_end_of_day(token.valid_until, zone),
                is_blocked=token.blocked,
            )
            for token in file.authorize.tokens
        ),
        holders,
    )


def _end_of_day(day: str | None, zone: ZoneInfo) -> datetime | None:
    """Return the instant a day is over for its people; None where there is none, or none is last."""
    if day is None or day == date.max.isoformat():
        return None
    after = date.fromisoformat(day) + timedelta(days=1)
    return datetime.combine(after, time(), tzinfo=zone).astimezone(UTC)


def _make_trip_outputs(file: SiteFile) -> Iterator[TripOutput]:
    for circuit in file.circuits:
        output = circuit.trip_output
        if output is not None:
            yield TripOutput(
                circuit=CircuitId(circuit.id),
                bus=BusId(output.bus),
                unit=output.unit,
                address=output.address,
                bit=output.bit,
                trips_when_closed=output.trips_when == "closed",
            )


def _make_site(file: SiteFile) -> Site:
    ordered = _parents_first(file.circuits)
    present: dict[str, Present] = {}
    for entry in ordered:
        above = ALL_PHASES if entry.parent is None else present[entry.parent]
        present[entry.id] = phases_left(entry.rating_a, above)
    return Site(
        name=file.site.name,
        timezone=file.site.timezone,
        voltage_v=file.site.voltage_v,
        circuits=tuple(_make_circuit(entry, present[entry.id]) for entry in ordered),
        meters=tuple(
            Meter(
                id=MeterId(meter.id),
                bus=BusId(meter.bus),
                unit=meter.unit,
                profile=meter.profile,
                ct_ratio=meter.ct_ratio,
                invert=meter.invert,
                phases=tuple(Phase[name] for name in meter.phases),
                interval_s=meter.interval_s,
            )
            for meter in file.meters
        ),
        loads=tuple(
            Load(
                id=LoadId(load.id),
                circuit=CircuitId(load.circuit),
                worst_case_ma=spread(load.worst_case_a, present[load.circuit], to_ma=ma_up),
                interlock=load.interlock,
            )
            for load in file.loads
        ),
        sources=tuple(
            Source(
                id=SourceId(source.id),
                circuit=CircuitId(source.circuit),
                kind=SourceKind(source.kind),
                nameplate_ma=spread(source.nameplate_a, present[source.circuit], to_ma=ma_up),
                meter=None if source.meter is None else MeterId(source.meter),
            )
            for source in file.sources
        ),
        stations=tuple(_make_station(station) for station in file.stations),
    )


def _parents_first(circuits: tuple[CircuitEntry, ...]) -> tuple[CircuitEntry, ...]:
    """Return the circuits so that each comes after its parent, else in the order of the file."""
    ordered: list[CircuitEntry] = []
    waiting = list(circuits)
    while waiting:
        placed = {entry.id for entry in ordered} | {None}
        ready = [entry for entry in waiting if entry.parent in placed]
        assert ready, "a circle of circuits is refused before"
        ordered.extend(ready)
        waiting = [entry for entry in waiting if entry.parent not in placed]
    return tuple(ordered)


def _make_circuit(entry: CircuitEntry, present: Present) -> Circuit:
    device = OvercurrentDevice(entry.device)
    usual = SET_POINT_RATIO[device]
    return Circuit(
        id=CircuitId(entry.id),
        parent=None if entry.parent is None else CircuitId(entry.parent),
        rating_ma=spread(entry.rating_a, present, to_ma=ma_down),
        device=device,
        set_point_ratio=usual if entry.set_point_ratio is None else entry.set_point_ratio,
        curve=FASTEST_CURVE[device]
        if entry.curve is None
        else TripCurve(
            trip_ratio=entry.curve.trip_ratio, time_constant_s=entry.curve.time_constant_s
        ),
        meter=None if entry.meter is None else MeterId(entry.meter),
        ratings=tuple(_make_rating(rating, present) for rating in entry.ratings),
        worst_case_base_ma=spread(entry.worst_case_base_a, present, to_ma=ma_up),
        power_limit_va=None
        if entry.power_limit_kva is None
        else ma_down(entry.power_limit_kva),  # VA are thousandths of a kVA.
        neutral_ma=None if entry.neutral_a is None else ma_down(entry.neutral_a),
        imbalance_ma=None if entry.imbalance_a is None else ma_down(entry.imbalance_a),
    )


def _make_rating(entry: RatingEntry, present: Present) -> CalendarRating:
    return CalendarRating(
        rating_ma=spread(entry.rating_a, present, to_ma=ma_down),
        starts_s=_second_of(entry.starts),
        ends_s=_second_of(entry.ends),
        days=frozenset(DAYS.index(day) for day in entry.days),
    )


def _second_of(clock: str) -> int:
    hour, minute = clock.split(":")
    return 3_600 * int(hour) + 60 * int(minute)


def _make_station(entry: StationEntry) -> ChargingStation:
    station = StationId(entry.id)
    return ChargingStation(
        id=station,
        takes_watts=entry.limits_in == "watts",
        connectors=tuple(
            Connector(
                ref=ConnectorRef(station, connector.id),
                circuit=CircuitId(entry.circuit),
                phases=tuple(Phase[name] for name in connector.phases),
                max_ma=ma_down(connector.max_a),
                fallback_ma=ma_down(connector.fallback_a),
            )
            for connector in entry.connectors
        ),
    )


def _name_credential(entry: StationEntry) -> str | None:
    match entry.auth:
        case None:
            return entry.id
        case "none":
            return None
        case CredentialEntry(credential=name):
            return name


def _make_bus(entry: BusEntry) -> SerialBus | TcpBus:
    if entry.serial is not None:
        return SerialBus(
            id=BusId(entry.id),
            port=entry.serial.port,
            baud=entry.serial.baud,
            format=entry.serial.format,
            timeout_s=entry.timeout_s,
            min_gap_s=entry.min_gap_s,
        )
    assert entry.tcp is not None
    return TcpBus(
        id=BusId(entry.id),
        host=entry.tcp.host,
        port=entry.tcp.port,
        timeout_s=entry.timeout_s,
        min_gap_s=entry.min_gap_s,
    )


def _make_address(entry: ListenEntry) -> ListenAddress:
    return ListenAddress(host=entry.host, port=entry.port)


def _make_parameters(entry: ControlEntry) -> ControlParameters:
    return ControlParameters(
        period_s=entry.period_s,
        stale_no_raises_s=entry.stale_no_raises_s,
        stale_worst_case_s=entry.stale_worst_case_s,
        stale_fallback_s=entry.stale_fallback_s,
        acknowledgement_s=entry.acknowledgement_s,
        reaction_s=entry.reaction_s,
        reserve_floor_ratio=entry.reserve_floor_ratio,
        reserve_unlearnt_ratio=entry.reserve_unlearnt_ratio,
        disobedience_ma=ma_down(entry.disobedience_a),
        disobedience_ratio=entry.disobedience_ratio,
        disobedience_s=entry.disobedience_s,
        raise_after_s=entry.raise_after_s,
        raise_share_ratio=entry.raise_share_ratio,
        dead_band_ma=ma_up(entry.dead_band_a),
        thermal_minimum_ratio=entry.thermal_minimum_ratio,
        thermal_pause_ratio=entry.thermal_pause_ratio,
        over_rating_pause_s=entry.over_rating_pause_s,
        over_rating_trip_s=entry.over_rating_trip_s,
        excursion_s=entry.excursion_s,
        excursion_count=entry.excursion_count,
        excursion_window_s=entry.excursion_window_s,
        lockout_s=entry.lockout_s,
        lease_s=entry.lease_s,
        renew_s=entry.renew_s,
    )
