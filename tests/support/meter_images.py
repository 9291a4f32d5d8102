"""Register images of the three meters, written out in hexadecimal words, and what they say.

Each line is "FUNCTION ADDRESS WORD WORD ..." as the libmodbus server takes it. The words were not
made by our codec: floats are IEEE 754 written by hand.
"""

import struct

SDM630 = """
4 0 4366 3333 4367 8000 4365 E666 4148 0000 0000 0000 40E8 0000
4 12 4533 B000 0000 0000 C4D0 5000 4534 0000 0000 0000 44D0 8000
4 24 0000 0000 0000 0000 0000 0000 3F80 0000 3F80 0000 BF80 0000
4 36 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 419E 0000 0000 0000
4 52 4497 2800 0000 0000 4591 0000 0000 0000 0000 0000 3F00 0000 0000 0000
4 66 0000 0000 0000 0000 4247 999A 42F6 E979 0000 0000 0000 0000 0000 0000
4 200 43C8 0000 43C8 0000 43C8 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000 0000
4 216 0000 0000 0000 0000 0000 0000 0000 0000 3FC0 0000
4 342 42F6 E979 0000 0000 4224 0000 4224 0000 4224 0000 0000 0000 0000 0000 0000 0000
"""
SDM630_VALUES = {
    "voltage_l1": 230.2,
    "voltage_l2": 231.5,
    "voltage_l3": 229.9,
    "current_l1": 12.5,
    "current_l2": 0.0,
    "current_l3": 7.25,
    "power_active_l1": 2_875.0,
    "power_active_l2": 0.0,
    "power_active_l3": -1_666.5,
    "power_active_total": 1_209.25,
    "power_factor_l3": -1.0,
    "frequency": 49.9,
    "current_n": 1.5,
    "energy_active_import": 123_456.0,
    "energy_active_import_l1": 41_000.0,
}

IEM3000 = """
3 2999 4148 0000 0000 0000 40E8 0000
3 3005 FFC0 0000 FFC0 0000 FFC0 0000 FFC0 0000 FFC0 0000 FFC0 0000 FFC0 0000
3 3019 43C8 0000 43C8 0000 43C8 0000 FFC0 0000 4366 3333 4367 8000 4365 E666
3 3033 FFC0 0000 FFC0 0000 FFC0 0000 FFC0 0000 FFC0 0000 FFC0 0000 FFC0 0000 FFC0 0000
3 3049 FFC0 0000 FFC0 0000 4038 0000 0000 0000 BFD5 4FDF 3F9A C083
3 3067 0000 0000 FFC0 0000 FFC0 0000 FFC0 0000 4091 0000 FFC0 0000 FFC0 0000 FFC0 0000 3F00 0000
3 3109 4247 999A
3 3203 0000 0000 0001 E240 8000 0000 0000 0000 0000 0000 0000 0000
3 3215 0000 0000 0000 0000 0000 0000 0000 0001 0000 0000 0000 0002
3 3517 0000 0000 0000 A028 0000 0000 0000 A028 0000 0000 0000 A028
"""
IEM3000_VALUES = {
    "current_l1": 12.5,
    "current_l2": 0.0,
    "current_l3": 7.25,
    "voltage_l1": 230.2,
    "voltage_l2": 231.5,
    "voltage_l3": 229.9,
    "voltage_l12": 400.0,
    "power_active_l1": 2_875.0,
    "power_active_l2": 0.0,
    "power_active_l3": -1_666.5,
    "power_active_total": 1_209.0,
    "frequency": 49.9,
    "energy_active_import": 123_456.0,
    "energy_active_export": None,  # 0x8000... means it has none.
    "energy_active_import_l3": 41_000.0,
}


def sunspec(base: int = 40_000, *, model: int = 203, current_factor: str = "FFFE") -> str:
    """Return a SunSpec device: the common model, an inverter model, then the meter."""
    meter = base + 2 + 68 + 52
    zeros = "0000 " * 50
    return f"""
3 {base} 5375 6E53
3 {base + 2} 0001 0042 {zeros} {"0000 " * 16}
3 {base + 70} 0067 0032 {zeros}
3 {meter} {model:04X} 0069 07BB 04E2 0000 02D5 {current_factor}
3 {meter + 7} 08FE 08FE 090B 08FB 0FA0 0FA0 0FA0 0FA0 FFFF
3 {meter + 16} 137E FFFE 0079 011F 0000 FF59 0001
3 {meter + 23} 0000 8000 8000 8000 0000 0000 8000 8000 8000 0000 0032 8000 8000 8000 FFFE
3 {meter + 38} 0000 0000 {"0000 " * 6} 0001 E240 {"0000 " * 6} 0000 {"0000 " * 52}
3 {meter + 107} FFFF 0000
"""


SUNSPEC_VALUES = {
    "current_l1": 12.5,
    "current_l2": 0.0,
    "current_l3": 7.25,
    "voltage_l1": 230.2,
    "voltage_l2": 231.5,
    "voltage_l3": 229.9,
    "power_active_l1": 2_870.0,
    "power_active_l2": 0.0,
    "power_active_l3": -1_670.0,
    "power_active_total": 1_210.0,
    "frequency": 49.9,
    "energy_active_import": 123_456.0,
    "energy_active_export": None,  # An accumulator of 0 is not accumulated.
}


SDM630_WORDS = {
    int(line.split()[1]) + index: int(word, 16)
    for line in SDM630.strip().splitlines()
    for index, word in enumerate(line.split()[2:])
}


def tcp_answer(question: bytes, words: dict[int, int] | None = None) -> bytes:
    """Return a network answer out of `words` (the SDM630's if none are given)."""
    address, count = struct.unpack(">HH", question[8:12])
    words = SDM630_WORDS if words is None else words
    if any(a not in words for a in range(address, address + count)):
        return question[:4] + bytes((0, 3, question[6], question[7] | 0x80, 2))
    payload = b"".join(words[a].to_bytes(2, "big") for a in range(address, address + count))
    return (
        question[:4]
        + struct.pack(">HBBB", 3 + len(payload), *question[6:8], len(payload))
        + payload
    )
